"""Is the model's precision fine enough for the effects that are looked at?"""

from __future__ import annotations

import copy
from pathlib import Path

import torch

from causal_attrib.doctor.case import Case
from causal_attrib.doctor.report import Check
from causal_attrib.results.attribution import Attribution
from causal_attrib.vlm import VLM

# Rounding may move a score by half of the caption's largest: with more, not even the strongest word clearly stands out.
SHARE = 0.5
# An effect that is smaller is none: in float32 an outcome is rounded by about as much.
NOTHING = 1e-6


def precision(case: Case) -> Check:
    """Rounding moves necessity by less than half of the caption's largest.

    In half precision, rounding is what the same weights change when computed in float32; in float32, what another batch
    size changes.
    """
    in_float32 = case.vlm.model.dtype == torch.float32
    if in_float32:
        rounding = moved_necessity(case.attribution, case.score(batch_size=4))
        aside = _cost_of_bfloat16(case)
        remedy = "choose a caption that says what the image shows"
    else:
        obstacle = _obstacle(case.vlm, torch.float32)
        if obstacle:
            return Check.skipped("precision", f"float32 cannot be compared with: {obstacle}.")
        rounding = moved_necessity(case.attribution, case.score(in_precision(case.vlm, torch.float32)))
        aside = ""
        remedy = "score in float32 (--dtype float32)"
    largest = max(abs(token.necessity) for token in case.attribution.tokens if token.necessity is not None)
    return Check.at_most(
        "precision",
        rounding / largest if largest > NOTHING else float("inf"),
        SHARE,
        "of the largest",
        good=f"Rounding moves necessity by {rounding:.2g}; the caption's largest is {largest:.2g}.{aside}",
        bad=f"Rounding moves necessity by {rounding:.2g}, and the caption's largest is {largest:.2g}: {remedy}.",
    )


def _cost_of_bfloat16(case: Case) -> str:
    """What a user of float32 would lose; for information, so that nothing here can fail the check."""
    if _obstacle(case.vlm, torch.bfloat16):
        return ""
    try:
        coarse = case.score(in_precision(case.vlm, torch.bfloat16))
    except Exception as error:
        return f" It cannot be scored in bfloat16 ({type(error).__name__})."
    return f" bfloat16 would move it by {moved_necessity(case.attribution, coarse):.2g}."


def moved_necessity(a: Attribution, b: Attribution) -> float:
    pairs = zip(a.tokens, b.tokens, strict=True)
    return max(
        abs(one.necessity - other.necessity)
        for one, other in pairs
        if one.necessity is not None and other.necessity is not None
    )


def in_precision(vlm: VLM, dtype: torch.dtype) -> VLM:
    """A copy of the model as it would have been loaded in another dtype: rotary frequencies stay as they are."""
    model = copy.deepcopy(vlm.model).to(dtype)
    for name, frequencies in vlm.model.named_buffers():
        if name.endswith("inv_freq"):
            model.get_buffer(name).data = frequencies.clone()
    return type(vlm)(model, vlm.processor, name=vlm.name, revision=vlm.revision)


def _obstacle(vlm: VLM, dtype: torch.dtype) -> str | None:
    """Why the model cannot be copied in another dtype, if it cannot."""
    model = vlm.model
    if getattr(model.config, "quantization_config", None) is not None:
        return "the weights are quantised"
    if len(set(getattr(model, "hf_device_map", {}).values())) > 1:
        return "the model is spread over several devices"
    needed = model.num_parameters() * max(model.dtype.itemsize, dtype.itemsize)
    free = _free_bytes(model.device)
    if free is not None and needed > 0.8 * free:
        return f"a copy needs {needed / 1e9:.1f} GB and {free / 1e9:.1f} GB are free"
    return None


def _free_bytes(device: torch.device) -> int | None:
    """Free memory of a device, or None where it cannot be asked."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    meminfo = Path("/proc/meminfo")
    if not meminfo.exists():
        return None
    fields = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return int(fields["MemAvailable"].split()[0]) * 1024
