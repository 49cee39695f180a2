"""Steps a second and memory of COPO beside GRPO on a GPU: python benchmarks/training_on_gpu.py [--json FILE]

Two models: the bundled one, all of its weights, and one of Qwen2-VL-2B's size with random weights in bfloat16 and LoRA.
Both methods are the same trainer on the same pictures of scenes, 8 prompts with 8 completions an update; COPO scores
every token of every completion by grounding. Wall-clock seconds of an update with the device's work waited for, the
median behind the first, and the peak of the device's memory. The random model never ends a completion, so that each has
all of its 64 tokens, and what it is rewarded for is chance: times and memory are what is measured.

    python benchmarks/training_on_gpu.py --size tiny --device cpu     # tries the script out
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import tempfile

os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

import torch
import transformers as tf
from real_size import TEMPLATE, Timed, random_model, tokenizer
from training_step import rows_of
from transformers import TrainerCallback
from trl import GRPOConfig

import causal_attrib
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import COPO, GRPO
from causal_attrib.training.scoring import rewards
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.trainers.lora import lora_config
from causal_attrib.vlm.processors import forget_empty_slots, still_images_only

PROMPTS, GROUP, LONGEST = 8, 8, 64


def qwen2_vl(size):
    """Qwen2-VL-2B (Qwen/Qwen2-VL-2B-Instruct)."""
    big = size == "2b"
    names = ["<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>"]
    words = tokenizer(names)
    ids = dict(zip(names, words.convert_tokens_to_ids(names), strict=True))
    config = tf.Qwen2VLConfig(
        vision_config={
            "depth": 32 if big else 2,
            "embed_dim": 1280 if big else 32,
            "hidden_size": 1536 if big else 64,
            "num_heads": 16 if big else 4,
            "mlp_ratio": 4,
            "patch_size": 14,
        },
        text_config={
            "vocab_size": 151936 if big else len(words),
            "hidden_size": 1536 if big else 64,
            "intermediate_size": 8960 if big else 128,
            "num_hidden_layers": 28 if big else 2,
            "num_attention_heads": 12 if big else 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 32768,
            "rope_parameters": {
                "rope_type": "default",
                "rope_theta": 1e6,
                "mrope_section": [16, 24, 24] if big else [2, 3, 3],
            },
            "bos_token_id": words.bos_token_id,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
        },
        image_token_id=ids["<|image_pad|>"],
        video_token_id=ids["<|video_pad|>"],
        vision_start_token_id=ids["<|vision_start|>"],
        vision_end_token_id=ids["<|vision_end|>"],
    )
    # A scene of 96 pixels becomes 336: 144 tokens, as many as a small photograph.
    side = 336 if big else 56
    images = tf.Qwen2VLImageProcessorPil(size={"shortest_edge": side * side, "longest_edge": 1280 * 28 * 28})
    with still_images_only():
        template = TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>")
        processor = forget_empty_slots(tf.Qwen2VLProcessor(images, words, None, chat_template=template))
    return tf.Qwen2VLForConditionalGeneration, config, processor


def bundled(size, device):
    vlm = causal_attrib.load(device=device, anew=True)
    return vlm.model, vlm.processor, None


def random_qwen(size, device):
    model, processor = random_model(qwen2_vl, size, torch.bfloat16 if size == "2b" else torch.float32, device)
    model.generation_config.eos_token_id = None
    return model, processor, lora_config()


class Clock(TrainerCallback):
    """Seconds and peak memory of each update."""

    def __init__(self, device):
        self.device, self.timed = device, []

    def on_step_begin(self, args, state, control, **kwargs):
        self.now = Timed(self.device).__enter__()

    def on_step_end(self, args, state, control, **kwargs):
        self.now.__exit__()
        self.timed.append(self.now)


def updates(make, method, size, device, steps):
    """Seconds an update takes, and GiB at the peak (None on a CPU)."""
    model, processor, peft_config = make(size, device)
    prompts = PROMPTS if size == "2b" else 2
    trainer = CopoGRPOTrainer(
        model=model,
        reward_funcs=[rewards.objects],
        train_dataset=to_dataset(rows_of("captions", prompts * (steps + 1))),
        processing_class=processor,
        peft_config=peft_config,
        method=method,
        scoring=Scoring(outcome="grounding"),
        args=GRPOConfig(
            output_dir=tempfile.mkdtemp(),
            use_cpu=device == "cpu",
            bf16=False,
            per_device_train_batch_size=prompts * GROUP,
            num_generations=GROUP,
            gradient_accumulation_steps=1,
            max_completion_length=LONGEST if size == "2b" else 8,
            max_steps=steps + 1,
            learning_rate=1e-6,
            gradient_checkpointing=False,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            seed=0,
        ),
    )
    clock = Clock(device)
    trainer.add_callback(clock)
    trainer.train()
    gib = [one.gib for one in clock.timed[1:]]
    return statistics.median(one.seconds for one in clock.timed[1:]), None if gib[0] is None else max(gib)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", choices=["2b", "tiny"], default="2b")
    parser.add_argument("--device", default="cuda:0")
    parser.add_argument("--steps", type=int, default=5)
    parser.add_argument("--json", metavar="FILE")
    asked = parser.parse_args()
    what = torch.cuda.get_device_name() if asked.device.startswith("cuda") else "CPU"
    found, lines = {}, []
    for name, make in (("bundled", bundled), ("Qwen2-VL, LoRA", random_qwen)):
        for method in (GRPO(), COPO()):
            seconds, gib = updates(make, method, asked.size, asked.device, asked.steps)
            found[f"{name}, {method.name}"] = {"seconds": seconds, "gib": gib}
            memory = "-" if gib is None else f"{gib:.1f}"
            lines.append(f"| {name} | {method.name} | {1 / seconds:.2f} | {seconds:.2f} | {memory} |")
    print(f"{what}, torch {torch.__version__}, transformers {tf.__version__}\n")
    print("| model | method | updates/s | s | peak GiB |\n|---|---|---|---|---|")
    print("\n".join(lines))
    if asked.json:
        with open(asked.json, "w", encoding="utf-8") as file:
            json.dump(found, file, indent=1)


if __name__ == "__main__":
    main()
