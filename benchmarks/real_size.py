"""Seconds and memory at the size of real models: python benchmarks/real_size.py --size 7b --dtype bfloat16

Builds LLaVA-1.5-7B and Qwen2.5-VL-7B from their configs with random weights, saves them to a folder, and then does what
a user does: load it, run the doctor, score a caption. One table (Markdown) on standard output; `--json FILE` writes
every figure. `--size tiny` does the same in miniature, to try the script out where no such machine is at hand.

Random weights tell nothing about what the scores mean; times and memory are those of the real sizes.
"""

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path

import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

import causal_attrib
from causal_attrib.doctor import examine
from causal_attrib.scenes import PARK, render
from causal_attrib.vlm.processors import forget_empty_slots, still_images_only

CAPTION = (
    "a dog and a red frisbee on the grass at sunset, with two people sitting on a bench in the shade of a tall tree"
)
TEMPLATE = (
    "{% for m in messages %}{{ m['role'] | upper }}: {% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE\n"
    "{% else %}{{ c['text'] }}{% endif %}{% endfor %} {% endfor %}{% if add_generation_prompt %}ASSISTANT:{% endif %}"
)


def tokenizer(special):
    """A small byte-level tokenizer: the number of tokens is what counts, not which."""
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=["<s>", "</s>", "<pad>"], initial_alphabet=alphabet)
    made.train_from_iterator([CAPTION, "USER: ASSISTANT: Describe this image. Answer yes or no."] * 4, trainer)
    fast = tf.PreTrainedTokenizerFast(tokenizer_object=made, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    fast.add_special_tokens({"extra_special_tokens": list(special)})
    return fast


def llava(size):
    """LLaVA-1.5-7B (llava-hf/llava-1.5-7b-hf): CLIP-L at 336 pixels, Vicuna."""
    big = size == "7b"
    words = tokenizer(["<image>"])
    side, patch = (336, 14) if big else (56, 14)
    vision = {
        "model_type": "clip_vision_model",
        "hidden_size": 1024 if big else 32,
        "intermediate_size": 4096 if big else 64,
        "num_hidden_layers": 24 if big else 3,
        "num_attention_heads": 16 if big else 4,
        "image_size": side,
        "patch_size": patch,
    }
    text = {
        "model_type": "llama",
        "vocab_size": 32064 if big else len(words),
        "hidden_size": 4096 if big else 64,
        "intermediate_size": 11008 if big else 128,
        "num_hidden_layers": 32 if big else 2,
        "num_attention_heads": 32 if big else 4,
        "num_key_value_heads": 32 if big else 4,
        "max_position_embeddings": 4096,
    }
    config = tf.LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=words.convert_tokens_to_ids("<image>")
    )
    images = tf.CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    processor = tf.LlavaProcessor(
        images,
        words,
        patch_size=patch,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    return tf.LlavaForConditionalGeneration, config, processor


def qwen2_5_vl(size):
    """Qwen2.5-VL-7B (Qwen/Qwen2.5-VL-7B-Instruct)."""
    big = size == "7b"
    names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    words = tokenizer(names)
    ids = dict(zip(names, words.convert_tokens_to_ids(names), strict=True))
    vision = {
        "depth": 32 if big else 2,
        "hidden_size": 1280 if big else 32,
        "intermediate_size": 3420 if big else 64,
        "num_heads": 16 if big else 4,
        "patch_size": 14,
        "out_hidden_size": 3584 if big else 64,
        "window_size": 112 if big else 56,
        "fullatt_block_indexes": [7, 15, 23, 31] if big else [1],
    }
    text = {
        "vocab_size": 152064 if big else len(words),
        "hidden_size": 3584 if big else 64,
        "intermediate_size": 18944 if big else 128,
        "num_hidden_layers": 28 if big else 2,
        "num_attention_heads": 28 if big else 4,
        "num_key_value_heads": 4 if big else 2,
        "max_position_embeddings": 32768,
        "rope_parameters": {
            "rope_type": "default",
            "rope_theta": 1e6,
            "mrope_section": [16, 24, 24] if big else [2, 3, 3],
        },
    }
    config = tf.Qwen2_5_VLConfig(
        vision_config=vision,
        text_config=text,
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    images = tf.Qwen2VLImageProcessorPil(size={"shortest_edge": 56 * 56, "longest_edge": 1280 * 28 * 28})
    with still_images_only():
        template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
        processor = forget_empty_slots(tf.Qwen2_5_VLProcessor(images, words, None, chat_template=template))
    return tf.Qwen2_5_VLForConditionalGeneration, config, processor


MODELS = {"llava": llava, "qwen2_5_vl": qwen2_5_vl}


def random_model(build, size, dtype, device):
    """A model with random weights, made on its device, and its processor."""
    kind, config, processor = build(size)
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = kind(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return model, processor


def save_random(build, size, dtype, device, folder):
    """Write a checkpoint with random weights to `folder`; gives the number of parameters."""
    model, processor = random_model(build, size, dtype, device)
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return sum(parameter.numel() for parameter in model.parameters())


class Timed:
    """Seconds and peak device memory of a step, with the device's work waited for."""

    def __init__(self, device):
        self.cuda = device.startswith("cuda")

    def __enter__(self):
        if self.cuda:
            torch.cuda.synchronize()
            torch.cuda.reset_peak_memory_stats()
        self.began = time.perf_counter()
        return self

    def __exit__(self, *_):
        if self.cuda:
            torch.cuda.synchronize()
        self.seconds = time.perf_counter() - self.began
        self.gib = torch.cuda.max_memory_allocated() / 2**30 if self.cuda else None


def run(name, size, dtype, device):
    with tempfile.TemporaryDirectory() as folder:
        parameters = save_random(MODELS[name], size, getattr(torch, dtype), device, folder)
        if device.startswith("cuda"):
            torch.cuda.empty_cache()
        with Timed(device) as loading:
            vlm = causal_attrib.load(folder, dtype=dtype, device=device)
    picture, _ = render(PARK, size=512 if size == "7b" else 96)
    causal_attrib.score(picture, "a dog", model=vlm)  # the first call compiles and allocates
    with Timed(device) as scoring:
        attribution = causal_attrib.score(picture, CAPTION, model=vlm, batch_size="auto")
    with Timed(device) as examining:
        report = examine(vlm, picture, CAPTION)
    encoding = vlm.encode(picture, response=CAPTION)
    return {
        "model": name,
        "parameters": parameters,
        "dtype": dtype,
        "prompt_tokens": encoding.prompt_length,
        "caption_tokens": len(encoding.response_ids),
        "load_seconds": loading.seconds,
        "load_gib": loading.gib,
        "score_seconds": scoring.seconds,
        "score_gib": scoring.gib,
        "score_cost": attribution.cost,
        "doctor_seconds": examining.seconds,
        "doctor_gib": examining.gib,
        "doctor": report.to_dict(),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["7b", "tiny"], default="7b")
    parser.add_argument("--model", choices=list(MODELS), nargs="+", default=list(MODELS))
    parser.add_argument("--dtype", default="bfloat16")
    parser.add_argument("--device", default="cuda:0" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    if asked.size == "7b" and not asked.device.startswith("cuda"):
        sys.exit("Models of this size need an accelerator; try --size tiny.")

    what = torch.cuda.get_device_name() if asked.device.startswith("cuda") else f"CPU, {os.cpu_count()} cores"
    print(f"{what}, torch {torch.__version__}, transformers {tf.__version__}, {asked.dtype}\n")
    print("| model | parameters | prompt + caption tokens | load s (GiB) | score s (GiB) | forwards | doctor s (GiB) |")
    print("|---|---|---|---|---|---|---|")
    results = []
    for name in asked.model:
        r = run(name, asked.size, asked.dtype, asked.device)
        results.append(r)
        steps = [
            f"{r[step + '_seconds']:.1f}" + ("" if r[step + "_gib"] is None else f" ({r[step + '_gib']:.1f})")
            for step in ("load", "score", "doctor")
        ]
        print(
            f"| {name} | {r['parameters'] / 1e9:.2f} G | {r['prompt_tokens']} + {r['caption_tokens']} | {steps[0]} "
            f"| {steps[1]} | {r['score_cost']['forwards']} | {steps[2]} |",
            flush=True,
        )
    if asked.json:
        Path(asked.json).write_text(json.dumps({"machine": what, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
