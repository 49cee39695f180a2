"""How fast is the engine, and how fast could it be? python benchmarks/engine.py [--quick] [--json FILE]

Three jobs on LLaVA and Qwen2-VL with random weights (hidden 512, 8 layers, prompt of about 600 tokens, caption of 24
tokens, answer of 4), every way of doing a job side by side in one process, on one thread, in CPU time:

* scores:  necessity and early answers, 1 + T + T edited responses;
* peers:   the part of it that captum can do (`peers.py`), and ours on the same part;
* sampled: sufficiency with H = 8 sampled completions of 16 tokens (on average) behind each of T + 1 prefixes.

A way of doing a job is first held against the one at the top of the table; where the numbers differ it is reported as
wrong and not timed. The floor is the time that the multiply-adds take that no exact algorithm can leave out, at the
rate of matrix products that this process reaches on this machine (`Floor`). Peak memory is that of a fresh process for
each way, over what it holds before it begins. Markdown on standard output; `--json FILE` writes every figure.

    python benchmarks/engine.py                      # about an hour on one core
    python benchmarks/engine.py --quick              # under two minutes: LLaVA alone, naive loops in part
    python benchmarks/engine.py --only peers         # llava, qwen2_vl; scores, peers, sampled, memory, growth

inseq is not among them: it takes no picture (inseq 0.7.1).
"""

from __future__ import annotations

import argparse
import ctypes
import dataclasses
import functools
import json
import math
import platform
import re
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import transformers as tf
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

from causal_attrib.engine import PackedEngine, PlainEngine, base
from causal_attrib.engine.base import Draft
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.interventions import Keep
from causal_attrib.outcomes import Likelihood
from causal_attrib.scenes import PARK, render
from causal_attrib.scores import necessity, sufficiency
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.processors import forget_empty_slots, still_images_only

HIDDEN, INNER, LAYERS, HEADS, VOCABULARY = 512, 1376, 8, 8, 8000
PROMPT, CAPTION, SAMPLES, NEW = 600, 24, 8, 16
QUESTION, ANSWER = "Sure?", "dog on the grass"
WORDS = "a red frisbee and the dog on grass at sunset with two people sitting in shade of tall tree".split()
# The engines let a completion grow this much longer than the text it replaces. With NEW - T / 2 the completions of all
# prefixes together have as many tokens as if each had NEW: those of prefix t have T - t + SLACK.
SLACK = NEW - CAPTION // 2
# Largest difference of the log-probability of an answer that rounding may make (fp32).
TOLERANCE = 1e-4
TEMPLATE = (
    "{% for m in messages %}{% if m['role'] == 'assistant' %}: {% endif %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}IMAGE\n{% else %}{{ c['text'] }}{% endif %}{% endfor %} {% endfor %}"
    "{% if add_generation_prompt %}:{% endif %}"
)


# -- models and work ---------------------------------------------------------------------------------------------------


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


# -- by hand: what a user would write without this package -------------------------------------------------------------


def extended(encoding: Encoding, ids: Sequence[int], inputs: dict | None = None) -> dict:
    """The model's inputs with `ids` behind the prompt."""
    longer = dict(encoding.prompt_inputs if inputs is None else inputs)
    tail = torch.tensor([list(ids)], dtype=torch.long)
    for name, fill in (("input_ids", tail), ("attention_mask", 1), ("mm_token_type_ids", 0)):
        if name in longer:
            row = tail if name == "input_ids" else torch.full_like(tail, fill)
            longer[name] = torch.cat([longer[name], row.to(longer[name])], 1)
    return longer


def features(vlm: VLM, encoding: Encoding) -> dict:
    """Inputs that hold what the vision tower gives instead of the picture."""
    inputs = dict(encoding.prompt_inputs)
    picture = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
    del inputs["pixel_values"]
    return inputs | {"mm_encoder_outputs": {"image": vlm.model.get_image_features(**picture)}}


def by_hand(vlm: VLM, encoding: Encoding, *, cached: bool = False, only: Sequence[int] | None = None) -> np.ndarray:
    """One forward for each edited response: log-probabilities of the answer in the order of `plans`.

    cached: run the vision tower once for all
    only:   of the 2T + 1 distinct edits, do these and leave the rest NaN
    """
    model, body, answer = vlm.model, encoding.response_ids, encoding.answer_ids
    inputs = features(vlm, encoding) if cached else None
    T, P = len(body), encoding.prompt_length
    edits = [(t, None) for t in range(T)] + [(T, None)] + [(T, t) for t in range(T)]
    logprob = np.full(len(edits), np.nan)
    for index in range(len(edits)) if only is None else only:
        count, hidden = edits[index]

        def hide(module, args, embedded, hidden=hidden):
            embedded = embedded.clone()
            embedded[:, P + hidden] = 0
            return embedded

        hook = model.get_input_embeddings().register_forward_hook(hide) if hidden is not None else None
        ids = body[:count] + encoding.cue_ids + answer
        logits = model(**extended(encoding, ids, inputs), logits_to_keep=len(answer) + 1, use_cache=False).logits[
            0, :-1
        ]
        if hook:
            hook.remove()
        logprob[index] = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).sum().item()
    return np.insert(logprob, T + 1, logprob[T])


def generate(vlm: VLM, encoding: Encoding, counts: Sequence[int], samples: int, greedy: bool = False):
    """transformers' own sampling behind each prefix, picture and all."""
    return [
        _until_full(vlm, extended(encoding, encoding.response_ids[:count]), length_of(encoding, count), samples, greedy)
        for count in counts
    ]


def prompt_cache(vlm: VLM, encoding: Encoding) -> tf.DynamicCache:
    """Keys and values of the prompt without its last token."""
    cache = tf.DynamicCache()
    rows = ("input_ids", "attention_mask", "mm_token_type_ids")
    inputs = {name: value[:, :-1] if name in rows else value for name, value in encoding.prompt_inputs.items()}
    vlm.model.model(**inputs, past_key_values=cache, use_cache=True)
    return cache


def generate_cached(vlm: VLM, encoding: Encoding, counts: Sequence[int], samples: int, greedy=False, cache=None):
    """The same from a copy of the prompt's keys and values."""
    cache = prompt_cache(vlm, encoding) if cache is None else cache
    written = []
    for count in counts:
        copy = tf.DynamicCache()
        for index, layer in enumerate(cache.layers):
            copy.update(layer.keys.expand(samples, -1, -1, -1), layer.values.expand(samples, -1, -1, -1), index)
        longer = extended(encoding, encoding.response_ids[:count])
        inputs = {name: longer[name].expand(samples, -1) for name in ("input_ids", "attention_mask")}
        inputs["past_key_values"] = copy
        written.append(_until_full(vlm, inputs, length_of(encoding, count), 1, greedy))
    return written


def _until_full(vlm: VLM, inputs: dict, length: int, samples: int, greedy: bool) -> torch.Tensor:
    how = {"do_sample": False} if greedy else {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}
    start = inputs["input_ids"].shape[1]
    written = vlm.model.generate(
        **inputs, **how, num_return_sequences=samples, max_new_tokens=length, pad_token_id=vlm.pad_id
    )
    assert written.shape[1] == start + length
    return written[:, start:]


# -- ours --------------------------------------------------------------------------------------------------------------


def engine(kind, vlm: VLM, **settings):
    """An engine whose completions have the lengths of `length_of`."""
    base.SLACK = SLACK
    return kind(vlm, **settings)


def logprobs(encoding: Encoding, r: np.ndarray) -> np.ndarray:
    """What the answer's tokens have together, from the geometric mean that `Likelihood` gives."""
    return len(encoding.answer_ids) * np.log(r)


def ours(kind, vlm: VLM, encoding: Encoding, plan=None) -> np.ndarray:
    r = engine(kind, vlm).run(encoding, plans(encoding) if plan is None else plan, Likelihood())
    return logprobs(encoding, r[:, 0])


def ours_sampled(kind, vlm: VLM, encoding: Encoding, plan=None, samples: int = SAMPLES, **settings) -> np.ndarray:
    plan = sufficiency.plan(encoding.units("token")) if plan is None else plan
    batch = {"batch_size": samples} if kind is PlainEngine else {}
    return logprobs(encoding, engine(kind, vlm, **batch).run(encoding, plan, Likelihood(), samples=samples, **settings))


# -- the floor ---------------------------------------------------------------------------------------------------------


class Floor:
    """Multiply-adds that every exact algorithm must do, as floating-point operations (two each), and seconds for them.

    Needed are: the vision tower and projector once; each distinct token position once, through every layer (two
    positions are the same if all tokens up to them are the same, hidden ones included, for then so are their keys and
    values); in attention, for each such position the keys that it can see and no others; and the output layer where a
    token's probability is read or drawn, and nowhere else. Not counted: embeddings, norms, activations, softmax, the
    noise of sampling, and anything a copy or a mask costs.

    This is a floor for algorithms that run the model as it is. Two things below it exist in principle and are not taken
    off: the last layer's queries and feed-forward where only keys and values are needed, and layers of the CLIP tower
    behind the one that LLaVA reads.

    Linear layers are counted by their weights, in the model itself. Seconds come from the rate of fp32 matrix products
    of one decoder layer's shape, measured in this process with as many rows as the job brings together.
    """

    def __init__(self, vlm: VLM, encoding: Encoding):
        self.P = encoding.prompt_length
        self.T, self.C, self.A = len(encoding.response_ids), len(encoding.cue_ids), len(encoding.answer_ids)
        self.lengths = [length_of(encoding, count) for count in range(self.T + 1)]
        text = vlm.model.config.text_config
        self.width, self.depth = text.hidden_size, text.num_hidden_layers
        self.per_token = 2 * _weights(vlm.model.model.language_model)
        self.per_logit = 2 * vlm.model.lm_head.weight.numel()
        self.vision = _vision(vlm, encoding)

    def attention(self, keys: float) -> float:
        """Of queries that see so many keys all together."""
        return 4 * self.width * self.depth * keys

    def prompt(self) -> float:
        return self.vision + self.P * self.per_token + self.attention(self.P * (self.P + 1) / 2)

    def run_of(self, count: int, before: int) -> float:
        """`count` new positions in a row behind `before` others."""
        return count * self.per_token + self.attention(count * before + count * (count + 1) / 2)

    def forward(self) -> float:
        """One ordinary forward over picture, prompt, caption and answer."""
        count = self.T + self.C + self.A
        return self.prompt() + self.run_of(count, self.P) + (self.A + 1) * self.per_logit

    def scores(self, masks: bool = True, prefixes: bool = True) -> float:
        tail = self.C + self.A - 1
        total = self.prompt() + self.run_of(self.T + tail, self.P) + self.A * self.per_logit
        for t in range(self.T):
            if masks:
                total += self.run_of(self.T - t + tail, self.P + t) + self.A * self.per_logit
            if prefixes:
                total += self.run_of(tail, self.P + t) + self.A * self.per_logit
        return total

    def sampled(self, samples: int = SAMPLES, judged: bool = True) -> float:
        """The last token of a completion is run only where an answer behind it is judged."""
        total = self.prompt() + self.run_of(self.T, self.P)
        for t, length in enumerate(self.lengths):
            positions = length + self.C + self.A - 1 if judged else length - 1
            logits = length - 1 + (self.A if judged else 0)
            total += self.per_logit + samples * (self.run_of(positions, self.P + t) + logits * self.per_logit)
        return total


def _weights(module: torch.nn.Module) -> int:
    return sum(part.weight.numel() for part in module.modules() if isinstance(part, torch.nn.Linear))


def _vision(vlm: VLM, encoding: Encoding) -> float:
    """Operations of the vision tower, its patch embedding and the projector for one picture."""
    tokens = len(encoding.image_positions)
    model = vlm.model.model
    if hasattr(model, "vision_tower"):
        tower, patches, rows = model.vision_tower, tokens, tokens + 1
        layers, width = tower.config.num_hidden_layers, tower.config.hidden_size
        merger = 2 * tokens * _weights(model.multi_modal_projector)
        linear = _weights(tower)
    else:
        tower = model.visual
        patches = rows = tokens * tower.config.spatial_merge_size**2
        layers, width = tower.config.depth, tower.config.embed_dim
        merger = 2 * tokens * _weights(tower.merger)
        linear = _weights(tower.blocks)
    stem = sum(p.weight.numel() for p in tower.modules() if isinstance(p, (torch.nn.Conv2d, torch.nn.Conv3d)))
    return 2 * patches * stem + 2 * rows * linear + 4 * width * layers * rows**2 + merger


@functools.cache
def gemm_rate(rows: int, repeats: int = 7) -> float:
    """Operations a second of fp32 matrix products with the weights of a decoder layer, the median of some rounds."""
    shapes = [(HIDDEN, HIDDEN)] * 4 + [(HIDDEN, INNER)] * 2 + [(INNER, HIDDEN)]
    weights = [torch.randn(outer, inner) for inner, outer in shapes]
    inputs = {inner: torch.randn(rows, inner) for inner, _ in shapes}
    times = max(1, 3000 // rows)
    rates = []
    for _ in range(repeats):
        began = time.process_time()
        for _ in range(times):
            for weight in weights:
                torch.nn.functional.linear(inputs[weight.shape[1]], weight)
        seconds = time.process_time() - began
        rates.append(2 * rows * times * sum(weight.numel() for weight in weights) / seconds)
    return statistics.median(rates)


# -- running ways of doing a job ---------------------------------------------------------------------------------------


@dataclasses.dataclass
class Way:
    """One way of doing a job.

    run:   does it, or `share` of it (seconds are divided by that)
    check: gives the largest difference from the first way, in nats, or a string where it is wrong or impossible
    """

    name: str
    run: Callable[[], object]
    check: Callable[[], float | str] = lambda: 0.0
    share: float = 1.0
    seconds: list[float] = dataclasses.field(default_factory=list)
    difference: float | str | None = None

    @property
    def right(self) -> bool:
        return not isinstance(self.difference, str) and self.difference <= TOLERANCE

    @property
    def median(self) -> float | None:
        return statistics.median(self.seconds) / self.share if self.seconds else None

    def record(self) -> dict:
        return {
            "name": self.name,
            "seconds": self.median,
            "rounds": [value / self.share for value in self.seconds],
            "share_measured": self.share,
            "difference": self.difference,
            "right": self.right,
        }


def cpu_seconds(run: Callable[[], object]) -> float:
    began = time.process_time()
    run()
    return time.process_time() - began


def measure(ways: Sequence[Way], repeats: int, patience: float) -> None:
    """Check every way, then time the right ones in turns, so that what else the machine does falls on all alike.

    A way that has taken `patience` seconds is not run again.
    """
    for way in ways:
        try:
            way.difference = way.check()
        except Exception as error:  # a peer may fail in any way it likes; that is a result
            way.difference = f"{type(error).__name__}: {str(error).splitlines()[0][:120]}"
    for _ in range(repeats):
        for way in ways:
            if way.right and sum(way.seconds) < patience:
                way.seconds.append(cpu_seconds(way.run))


def largest(found, right) -> float:
    return float(np.nanmax(np.abs(np.asarray(found) - np.asarray(right))))


def scores_ways(vlm: VLM, encoding: Encoding, quick: bool) -> list[Way]:
    """Necessity and early answers."""
    T = encoding.end
    every = 2 * T + 1
    # Edits of the whole length and short ones, in the same proportion: their mean costs what the mean of all does.
    some = [0, T // 2, T - 1, T, T + 1, T + 1 + T // 2] if quick else None
    share = len(some) / every if quick else 1.0
    truth = functools.cache(lambda: by_hand(vlm, encoding, only=some))
    ways = [
        Way("by hand, with pixels", lambda: by_hand(vlm, encoding, only=some), share=share),
        Way(
            "by hand, vision once",
            lambda: by_hand(vlm, encoding, cached=True, only=some),
            lambda: largest(by_hand(vlm, encoding, cached=True, only=some), truth()),
            share,
        ),
    ]
    plan = plans(encoding)
    chosen = list(range(len(plan)))
    if quick:
        # Places in `plans` of the same edits: behind the longest prefix comes the whole response once more.
        chosen = [index if index <= T else index + 1 for index in some]
    ways.append(
        Way(
            "PlainEngine",
            lambda: ours(PlainEngine, vlm, encoding, [plan[i] for i in chosen]),
            lambda: largest(ours(PlainEngine, vlm, encoding, [plan[i] for i in chosen]), truth()[chosen]),
            share,
        )
    )
    packed = Way(
        "PackedEngine",
        lambda: ours(PackedEngine, vlm, encoding),
        lambda: largest(ours(PackedEngine, vlm, encoding), truth()),
    )
    return [*ways, packed]


def sampled_ways(vlm: VLM, encoding: Encoding, quick: bool) -> list[Way]:
    """H sampled completions behind each prefix; the engines' ways judge each of them as well."""
    T = encoding.end
    # Lengths fall evenly with t, so these prefixes have the mean length of all.
    counts = [T // 2] if quick else [T // 4, T - T // 4]
    share = len(counts) / (T + 1)
    plan = sufficiency.plan(encoding.units("token"))
    some = [Keep(count) for count in counts]
    cache = functools.cache(lambda: prompt_cache(vlm, encoding))
    seen = functools.cache(lambda: features(vlm, encoding))

    def greedy_alike():
        pairs = zip(
            generate(vlm, encoding, counts, 1, greedy=True),
            generate_cached(vlm, encoding, counts, 1, greedy=True, cache=cache()),
            strict=True,
        )
        return 0.0 if all(torch.equal(*pair) for pair in pairs) else "greedy search writes other tokens"

    ways = [
        Way("generate for each prefix, with pixels", lambda: generate(vlm, encoding, counts, SAMPLES), share=share),
        Way(
            "generate from a copy of the prompt's cache",
            lambda: generate_cached(vlm, encoding, counts, SAMPLES, cache=cache()),
            greedy_alike,
            share,
        ),
        Way(
            "judging the completions by hand, vision once",
            lambda: [_judge_by_hand(vlm, encoding, seen(), count) for count in counts],
            share=share / SAMPLES,
        ),
        Way("PlainEngine", lambda: ours_sampled(PlainEngine, vlm, encoding, some), share=share),
    ]
    # With it the draws behind a prefix do not depend on which others are asked for.
    coupled = {"coupling": "gumbel"}

    def same_draws():
        packed = ours_sampled(PackedEngine, vlm, encoding, **coupled)[[plan.index(keep) for keep in some]]
        return largest(packed, ours_sampled(PlainEngine, vlm, encoding, some, **coupled))

    def draw():
        drafts = [
            Draft(
                encoding,
                Continuation(encoding.response_ids[:count]),
                length_of(encoding, count),
                GumbelNoise(0, 1 + count, k),
            )
            for count in range(T + 1)
            for k in range(SAMPLES)
        ]
        return engine(PackedEngine, vlm).write(drafts)

    return [
        *ways,
        Way("PackedEngine", lambda: ours_sampled(PackedEngine, vlm, encoding), same_draws),
        Way("PackedEngine, drawing alone", draw),
    ]


def _judge_by_hand(vlm: VLM, encoding: Encoding, inputs: dict, count: int):
    """The answer behind one completion (any will do for its cost)."""
    body = encoding.response_ids[:count] + encoding.response_ids[:1] * length_of(encoding, count)
    ids = body + encoding.cue_ids + encoding.answer_ids
    return vlm.model(**extended(encoding, ids, inputs), logits_to_keep=len(encoding.answer_ids) + 1, use_cache=False)


# -- memory ------------------------------------------------------------------------------------------------------------

REMEMBERED = {
    "one forward": lambda vlm, encoding: by_hand(vlm, encoding, only=[0]),
    "scores, by hand, vision once": lambda vlm, encoding: by_hand(vlm, encoding, cached=True, only=[0, 1]),
    "scores, PlainEngine": lambda vlm, encoding: ours(PlainEngine, vlm, encoding, plans(encoding)[:2]),
    "sampled, generate": lambda vlm, encoding: generate(vlm, encoding, [encoding.end], SAMPLES),
    "scores, PackedEngine": lambda vlm, encoding: ours(PackedEngine, vlm, encoding),
    "sampled, PackedEngine": lambda vlm, encoding: ours_sampled(PackedEngine, vlm, encoding),
}


def memory_here(name: str, way: str) -> None:
    """Print by how many MiB this process grows at most while it does the job. The job must be its first."""
    vlm = build(name)
    encoding = encode(vlm)
    with torch.no_grad():
        vlm.model(input_ids=torch.tensor([[5, 6, 7]]))
        ctypes.CDLL(None).malloc_trim(0)
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak of building the model
        before = _peak()
        REMEMBERED[way](vlm, encoding)
    print(json.dumps((_peak() - before) / 1024))


def _peak() -> int:
    """KiB that this process has held at most; `getrusage` would count what its parent held when it was forked."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status).group(1))


def memory(name: str) -> dict[str, float]:
    """MiB of each way, each in a process of its own."""
    grown = {}
    for way in REMEMBERED:
        command = [sys.executable, __file__, "--memory-of", way, "--models", name]
        done = subprocess.run(command, capture_output=True, text=True)
        grown[way] = json.loads(done.stdout) if done.returncode == 0 else None
    return grown


# -- growth ------------------------------------------------------------------------------------------------------------

GROWTH = {
    "T": (8, 16, 32, 64, 128, 256),
    "P": (64, 128, 256, 512, 1024, 2048),
    "H": (1, 2, 4, 8, 16),
}


def growth(quick: bool) -> list[dict]:
    """Floor and seconds of the packed engine on LLaVA as one size grows; one forward by hand beside them."""
    points = []
    for size, values in GROWTH.items():
        for value in values[:3] if quick else values:
            P, T, H = value if size == "P" else PROMPT, value if size == "T" else CAPTION, value
            # A longer prompt is a larger picture: its tokens are a square that leaves room for some words.
            vlm = build("llava", math.isqrt(P - 24))
            encoding = encode(vlm, P, T)
            floor, rate = Floor(vlm, encoding), gemm_rate(PROMPT)
            point = {"size": size, "value": value, "prompt": encoding.prompt_length, "caption": T}
            with torch.no_grad():
                point["forward_seconds"] = cpu_seconds(lambda e=encoding, v=vlm: by_hand(v, e, only=[e.end]))
                if size == "H":
                    point["floor"] = floor.sampled(H) / gemm_rate(H * (T + 1))
                    run = functools.partial(ours_sampled, PackedEngine, vlm, encoding, samples=H)
                else:
                    point["floor"] = floor.scores() / rate
                    run = functools.partial(ours, PackedEngine, vlm, encoding)
                cheap = point["floor"] < 3
                point["seconds"] = statistics.median(cpu_seconds(run) for _ in range(3 if cheap else 1))
                point["factor"] = point["seconds"] / point["floor"]
            points.append(point)
    return points


# -- report ------------------------------------------------------------------------------------------------------------


def number(value: float | None, form: str = ".2f") -> str:
    return "-" if value is None else format(value, form)


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print("| " + " | ".join(header) + " |")
    print("|" + "---|" * len(header))
    for row in rows:
        print("| " + " | ".join(row) + " |")
    print(flush=True)


def show_ways(title: str, ways: Sequence[Way], floor: float | None) -> dict:
    """One table; ratios are to the ways above, the factor is to the floor."""
    print(f"### {title}\n")
    first = ways[0].median
    rows = []
    for way in ways:
        seconds = way.median
        difference = way.difference if isinstance(way.difference, str) else f"{way.difference:.1e}"
        rows.append(
            [
                way.name,
                number(seconds),
                number(first / seconds, ".1f") if seconds and first else "-",
                number(seconds / floor) if seconds and floor else "-",
                difference if way.right else f"WRONG: {difference}",
                "all" if way.share == 1 else f"{way.share:.3f}",
            ]
        )
    if floor:
        rows.append(["floor", number(floor), number(first / floor, ".1f") if first else "-", "1.00", "", ""])
    table(["way", "CPU s", "x first", "x floor", "max difference (nats)", "share measured"], rows)
    return {"ways": [way.record() for way in ways], "floor": floor}


def seconds_of(job: dict | None, name: str) -> float | None:
    return next((way["seconds"] for way in (job or {}).get("ways", ()) if way["name"] == name), None)


def aims(results: dict) -> list[dict]:
    """Each aim with what was measured; None where something it needs is missing."""
    reached = []

    def aim(what: str, limit: float, value: float | None, at_least: bool) -> None:
        holds = None if value is None else bool(value >= limit if at_least else value <= limit)
        reached.append({"aim": what, "limit": limit, "measured": value, "reached": holds})

    def ratio(above: float | None, below: float | None) -> float | None:
        return above / below if above and below else None

    for name, result in results["models"].items():
        scores, sampled, peers = result.get("scores"), result.get("sampled"), result.get("peers")
        if scores:
            packed = seconds_of(scores, "PackedEngine")
            pixels, cached = (seconds_of(scores, f"by hand, {how}") for how in ("with pixels", "vision once"))
            aim(f"{name}: scores, times faster than by hand with pixels", 30, ratio(pixels, packed), True)
            aim(f"{name}: scores, times faster than by hand with vision once", 10, ratio(cached, packed), True)
            aim(f"{name}: scores, times the floor", 1.2, ratio(packed, scores["floor"]), False)
        if sampled:
            packed = seconds_of(sampled, "PackedEngine")
            drawing = seconds_of(sampled, "PackedEngine, drawing alone")
            naive = seconds_of(sampled, "generate for each prefix, with pixels")
            aim(f"{name}: drawing, times faster than generate", 28, ratio(naive, drawing), True)
            aim(f"{name}: sampled, times the floor", 1.2, ratio(packed, sampled["floor"]), False)
        for job in peers or ():
            mine = seconds_of(job, "PackedEngine")
            for way in job["ways"]:
                if way["name"].startswith(("captum", "inseq")) and way["right"]:
                    aim(f"{name}: times faster than {way['name']}", 2, ratio(way["seconds"], mine), True)
        if result.get("memory"):
            one = result["memory"]["one forward"]
            for job in ("scores", "sampled"):
                grown = result["memory"].get(f"{job}, PackedEngine")
                aim(f"{name}: {job}, peak memory over that of one forward", 1.7, ratio(grown, one), False)
    by_T = [point for point in results.get("growth", ()) if point["size"] == "T"]
    if by_T:
        factors = [point.get("factor") for point in by_T]
        aim("factor to the floor, longest caption over shortest", 1.0, ratio(factors[-1], factors[0]), False)
    return reached


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="LLaVA alone, naive loops in part, one round")
    parser.add_argument("--json", metavar="FILE")
    parser.add_argument("--only", nargs="+", choices=["scores", "peers", "sampled", "memory", "growth"])
    parser.add_argument("--models", nargs="+", choices=list(MODELS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--memory-of", metavar="WAY", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    names = asked.models or (["llava"] if asked.quick else list(MODELS))
    if asked.memory_of:
        memory_here(names[0], asked.memory_of)
        return
    tf.logging.set_verbosity_error()
    parts = asked.only or ["scores", "peers", "sampled", "memory", "growth"]
    repeats, patience = (1, 0.0) if asked.quick else (asked.repeats, 60.0)

    machine = {
        "processor": _processor(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": tf.__version__,
        "threads": torch.get_num_threads(),
        "gemm_flops": {str(rows): gemm_rate(rows) for rows in (PROMPT, SAMPLES * (CAPTION + 1))},
    }
    results = {"machine": machine, "quick": asked.quick, "models": {}}
    rates = ", ".join(f"{rate / 1e9:.0f} GFLOP/s with {rows} rows" for rows, rate in machine["gemm_flops"].items())
    print(f"{machine['processor']}, one thread, torch {torch.__version__}, transformers {tf.__version__}; {rates}\n")
    with torch.no_grad():
        for name in names:
            results["models"][name] = of_model(name, parts, asked.quick, repeats, max(patience, 1e-9))
        if "growth" in parts:
            results["growth"] = growth(asked.quick)
            show_growth(results["growth"])
    results["aims"] = aims(results)
    if results["aims"]:
        print("## Aims\n")
        said = {True: "reached", False: "MISSED", None: "not measured"}
        rows = [[a["aim"], f"{a['limit']:g}", number(a["measured"]), said[a["reached"]]] for a in results["aims"]]
        table(["aim", "limit", "measured", ""], rows)
    if asked.json:
        Path(asked.json).write_text(json.dumps(results, indent=1) + "\n")


def of_model(name: str, parts: Sequence[str], quick: bool, repeats: int, patience: float) -> dict:
    """Every job asked for on one model."""
    vlm = build(name)
    encoding = encode(vlm)
    floor = Floor(vlm, encoding)
    sizes = {
        "prompt": encoding.prompt_length,
        "image_tokens": len(encoding.image_positions),
        "caption": len(encoding.response_ids),
        "cue": len(encoding.cue_ids),
        "answer": len(encoding.answer_ids),
        "parameters": vlm.model.num_parameters(),
        "forward_flops": floor.forward(),
        "vision_flops": floor.vision,
    }
    print(
        f"## {name}\n\n{sizes['parameters'] / 1e6:.0f} M parameters; P = {sizes['prompt']} ({sizes['image_tokens']} of "
        f"the image), T = {sizes['caption']}, cue {sizes['cue']}, A = {sizes['answer']}; one forward is "
        f"{sizes['forward_flops'] / 1e9:.0f} GFLOP, {sizes['vision_flops'] / 1e9:.0f} of them vision.\n"
    )
    result: dict = {"sizes": sizes}
    if "scores" in parts:
        ways = scores_ways(vlm, encoding, quick)
        measure(ways, repeats, patience)
        seconds = floor.scores() / gemm_rate(PROMPT)
        result["scores"] = show_ways("Necessity and early answers", ways, seconds) | {"flops": floor.scores()}
    if "peers" in parts:
        import peers

        result["peers"] = []
        for title, ways in peers.jobs(vlm, encoding, quick):
            measure(ways, 1, patience)
            result["peers"].append({"job": title} | show_ways(title, ways, None))
    if "sampled" in parts:
        ways = sampled_ways(vlm, encoding, quick)
        measure(ways, 1 if quick else 2, patience)
        seconds = floor.sampled() / gemm_rate(SAMPLES * (CAPTION + 1))
        drawing = floor.sampled(judged=False) / gemm_rate(SAMPLES * (CAPTION + 1))
        result["sampled"] = show_ways(
            f"Sampled sufficiency, H = {SAMPLES}; engines judge completions too (floor of drawing {drawing:.2f} s)",
            ways,
            seconds,
        ) | {"flops": floor.sampled(), "floor_drawing": drawing}
    if "memory" in parts:
        result["memory"] = memory(name)
        one = result["memory"]["one forward"]
        print("### Peak memory over the model's own\n")
        rows = [
            [way, number(grown, ".0f"), number(grown / one if grown and one else None)]
            for way, grown in result["memory"].items()
        ]
        table(["way", "MiB", "x one forward"], rows)
    return result


def show_growth(points: Sequence[dict]) -> None:
    print("## Growth (llava)\n")
    rows = [
        [
            f"{point['size']} = {point['value']}",
            str(point["prompt"]),
            number(point["floor"], ".3f"),
            number(point.get("seconds"), ".3f"),
            number(point.get("factor")),
            number(point["forward_seconds"], ".3f"),
        ]
        for point in points
    ]
    table(["size", "P", "floor s", "PackedEngine s", "x floor", "one forward by hand s"], rows)


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    # The module under its own name as well, so that `peers` imports this one and not a second copy.
    sys.modules.setdefault("engine", sys.modules["__main__"])
    main()
