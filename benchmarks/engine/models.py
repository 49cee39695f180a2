"""The two models with random weights, and the caption whose every edit is asked for."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from causal_attrib.scenes import PARK, render
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.vlm import VLM
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.processors import forget_empty_slots, still_images_only

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY = 512, 1376, 8, 8, 8000
PROMPT, CAPTION, SAMPLES, NEW = 600, 24, 8, 16
QUESTION, ANSWER = "Sure?", "dog on the grass"
WORDS = "a red frisbee and the dog on grass at sunset with two people sitting in shade of tall tree".split()
# The engines let a completion grow this much longer than the text it replaces. With NEW - T / 2 the completions of all
# prefixes together have as many tokens as if each had NEW: those of prefix t have T - t + SLACK.
SLACK = NEW - CAPTION // 2
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}: {% endif %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}IMAGE\n{% else %}{{ c['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}:{% endif %}"
)


def tokenizer(special: Sequence[str]) -> tf.PreTrainedTokenizerFast:
    """A byte-level tokenizer that knows each of the words as one token."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=700, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet)
    made.train_from_iterator([" ".join(["", *WORDS, QUESTION, ":"])] * 4, trainer)
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.add_special_tokens({"extra_special_tokens": list(special)})
    return fast


def text_config(words: tf.PreTrainedTokenizerFast, **more) -> dict:
    return {
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": INNER,
        "num_hidden_layers": LAYERS,
        "num_attention_heads": HEADS,
        "num_key_value_heads": HEADS,
        "max_position_embeddings": 4096,
        "bos_token_id": words.bos_token_id,
        "eos_token_id": words.eos_token_id,
        "pad_token_id": words.pad_token_id,
        **more,
    }


def llava(side: int):
    words = tokenizer(["<image>"])
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 384,
        "intermediate_size": 1536,
        "num_hidden_layers": 7,
        "num_attention_heads": 6,
        "image_size": 14 * side,
        "patch_size": 14,
    }
    config = tf.LlavaConfig(
        vision_config=vision,
        text_config=text_config(words, model_type="llama"),
        image_token_index=words.convert_tokens_to_ids("<image>"),
    )
    square = {"height": 14 * side, "width": 14 * side}
    images = tf.CLIPImageProcessorPil(size={"shortest_edge": 14 * side}, crop_size=square)
    processor = tf.LlavaProcessor(
        images,
        words,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    return tf.LlavaForConditionalGeneration(config), processor


def qwen2_vl(side: int):
    names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    words = tokenizer(names)
    image, video, start, end = words.convert_tokens_to_ids(names)
    rope = {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [8, 12, 12]}
    config = tf.Qwen2VLConfig(
        text_config=text_config(words, rope_parameters=rope),
        vision_config={"depth": 6, "embed_dim": 384, "hidden_size": HIDDEN, "num_heads": 6, "mlp_ratio": 4},
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=start,
        vision_end_token_id=end,
    )
    pixels = (28 * side) ** 2
    images = tf.Qwen2VLImageProcessorPil(size={"shortest_edge": pixels, "longest_edge": pixels})
    with still_images_only():
        template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
        processor = forget_empty_slots(tf.Qwen2VLProcessor(images, words, None, chat_template=template))
    return tf.Qwen2VLForConditionalGeneration(config), processor


MODELS = {"llava": llava, "qwen2_vl": qwen2_vl}


def build(name: str, side: int = 24) -> VLM:
    """A model with random weights that is shown side x side image tokens and never ends a text by itself."""
    torch.manual_seed(0)
    model, processor = MODELS[name](side)
    model.generation_config.eos_token_id = None
    return VLM(model, processor, name=name)


def encode(vlm: VLM, prompt: int = PROMPT, caption: int = CAPTION) -> Encoding:
    """The bundled scene with a prompt and a caption of so many tokens, and a question behind it."""
    picture, _ = render(PARK, size=336)
    ids = [vlm.tokenizer(f" {word}", add_special_tokens=False)["input_ids"] for word in WORDS]
    assert all(len(pieces) == 1 for pieces in ids), "the tokenizer splits a word"
    response = tuple(ids[i % len(ids)][0] for i in range(caption))

    def with_words(count: int) -> Encoding:
        text = " ".join(WORDS[i % len(WORDS)] for i in range(count))
        return vlm.encode(picture, text, response, ANSWER, question=QUESTION)

    few = with_words(1)
    return with_words(max(1, 1 + prompt - few.prompt_length))


def plans(encoding: Encoding):
    """All edits of the first job, in the order in which every way of doing it gives its results."""
    units = encoding.units("token")
    return sufficiency.plan(units) + necessity.plan(units)


def length_of(encoding: Encoding, count: int) -> int:
    """Tokens that the engines let the model write behind a prefix of `count` tokens."""
    return len(encoding.response_ids) - count + SLACK
