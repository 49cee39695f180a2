"""The least time that any exact algorithm takes: its multiply-adds at the rate of this machine."""

from __future__ import annotations

import functools
import statistics
import time

import torch
from models import HIDDEN, INNER, SAMPLES, length_of

from causal_attrib.vlm import VLM
from causal_attrib.vlm.encoding import Encoding


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
