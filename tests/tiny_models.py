"""Tiny randomly initialised models of real architectures, with their real processors, built offline from config.

A new architecture gets every test that is parametrised over `BUILDERS` by adding one function here.
"""

import functools

import torch
import transformers as tf

from causal_attrib.vlm import VLM
from tests.tokenizers_of_kinds import byte_level, metaspace

TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}{{ m['role'] | upper }}: {% if m['content'] is string %}{{ m['content'] }}"
    "{% else %}{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE\n{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if m['role'] == 'assistant' %}{{ eos_token }}{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)
CLIP = {
    "model_type": "clip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "image_size": 56,
    "patch_size": 14,
}
SIGLIP = CLIP | {"model_type": "siglip_vision_model", "vision_use_head": False}


def text_config(tokenizer, **more):
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 2048,
        "bos_token_id": tokenizer.bos_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        **more,
    }


def llava_clip_llama():
    tokenizer = metaspace()
    config = tf.LlavaConfig(
        vision_config=CLIP,
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    images = tf.CLIPImageProcessorPil(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = tf.LlavaProcessor(
        images, tokenizer, patch_size=14, vision_feature_select_strategy="default", num_additional_image_tokens=1
    )
    return tf.LlavaForConditionalGeneration(config), processor, "<image>"


def llava_siglip_qwen2():
    tokenizer = byte_level()
    config = tf.LlavaConfig(
        vision_config=SIGLIP,
        text_config=text_config(tokenizer, model_type="qwen2"),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_select_strategy="full",
    )
    images = tf.SiglipImageProcessorPil(size={"height": 56, "width": 56})
    processor = tf.LlavaProcessor(images, tokenizer, patch_size=14, vision_feature_select_strategy="full")
    return tf.LlavaForConditionalGeneration(config), processor, "<image>"


def idefics3():
    tokenizer = byte_level()
    tokenizer.add_special_tokens(
        {"extra_special_tokens": ["<fake_token_around_image>", "<global-img>", "<end_of_utterance>"]}
    )
    config = tf.Idefics3Config(
        vision_config={key: CLIP[key] for key in CLIP if key != "model_type"},
        text_config=text_config(tokenizer, model_type="llama"),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        pad_token_id=tokenizer.pad_token_id,
    )
    images = tf.Idefics3ImageProcessorPil(size={"longest_edge": 112}, max_image_size={"longest_edge": 56})
    return (
        tf.Idefics3ForConditionalGeneration(config),
        tf.Idefics3Processor(images, tokenizer, image_seq_len=4),
        "<image>",
    )


BUILDERS = {build.__name__: build for build in (llava_clip_llama, llava_siglip_qwen2, idefics3)}


@functools.cache
def tiny(name: str) -> VLM:
    torch.manual_seed(0)
    model, processor, image_token = BUILDERS[name]()
    processor.chat_template = TEMPLATE.replace("IMAGE", image_token)
    with torch.no_grad():
        for parameter in model.parameters():
            # The usual initialisation makes logits so flat that a wrong mask or position hardly shows.
            if parameter.dim() >= 2:
                parameter.mul_(3.0)
    return VLM(model.float(), processor, name=name)
