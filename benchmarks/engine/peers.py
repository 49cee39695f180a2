"""What captum does of the engine's work: `python benchmarks/engine --only peers`.

captum 0.9's `LLMAttribution` with `FeatureAblation` puts another token in the place of each caption token and asks by
how much the log-probability of the answer falls: necessity with `--mask token`. It takes one forward per token, in the
only mode that is right on present transformers (`forward_in_tokens=False`). Its own inputs hold either words or a
picture, so an input with both is written here, as a user would have to.
"""

from __future__ import annotations

import numpy as np
import torch
from captum.attr import FeatureAblation, LLMAttribution, TextTokenInput
from ours import ours
from ways import Way

from causal_attrib.engine import PackedEngine, PlainEngine
from causal_attrib.interventions import Mask, Whole
from causal_attrib.vlm import VLM
from causal_attrib.vlm.encoding import Encoding


class CaptionInput(TextTokenInput):
    """The caption's tokens as features, behind a picture and a prompt that stay, and before a cue."""

    def __init__(self, encoding: Encoding):
        self.prompt, self.cue = encoding.prompt_inputs, torch.tensor([encoding.cue_ids])
        self.inp_tensor = self.itp_tensor = torch.tensor([encoding.response_ids])
        self.itp_mask = None
        self.values = [str(token) for token in encoding.response_ids]
        self.n_itp_features = len(self.values)

    def to_tensor(self) -> torch.Tensor:
        return self.itp_tensor

    def to_model_input(self, perturbed_tensor=None) -> dict:
        caption = self.itp_tensor if perturbed_tensor is None else perturbed_tensor
        return self.prompt | {"input_ids": torch.cat([self.prompt["input_ids"], caption, self.cue], 1)}

    def format_attr(self, attribution: torch.Tensor) -> torch.Tensor:
        return attribution


def peer_jobs(vlm: VLM, encoding: Encoding, quick: bool) -> list[tuple[str, list[Way]]]:
    """(title, ways) of each job."""
    plan = (Whole(), *(Mask((t,), "token") for t in encoding.scored))
    mask_id = PlainEngine(vlm)._mask_id

    def by_us(kind) -> np.ndarray:
        logprob = ours(kind, vlm, encoding, plan)
        return logprob[0] - logprob[1:]

    def by_captum() -> np.ndarray:
        method = LLMAttribution(FeatureAblation(vlm.model), vlm.tokenizer, attr_target="log_prob")
        result = method.attribute(
            CaptionInput(encoding),
            target=torch.tensor(encoding.answer_ids),
            forward_in_tokens=False,
            baselines=mask_id,  # it does not ask its input for it
        )
        return result.seq_attr.numpy()

    reference = by_us(PlainEngine)

    def far(found: np.ndarray) -> float:
        return float(np.abs(found - reference).max())

    ways = [
        Way("PlainEngine", lambda: by_us(PlainEngine)),
        Way("captum LLMAttribution", by_captum, lambda: far(by_captum())),
        Way("PackedEngine", lambda: by_us(PackedEngine), lambda: far(by_us(PackedEngine))),
    ]
    return [("Necessity by another token, as captum can do it", ways)]
