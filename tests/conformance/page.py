"""Writes docs/models.md from the results of the suite:

python -m pytest -p tests.conformance.page tests/conformance --models-page docs/models.md
"""

import math
from pathlib import Path

import torch
import transformers

from tests.tiny_models import BUILDERS, tiny

HEAD = """\
# Models

`--model` takes any model that `transformers.AutoModelForImageTextToText` loads, from a folder or the hub. What differs
between architectures sits in one small file each, in `causal_attrib/vlm/families`. The tables below are written by the
test suite from its own measurements:

    python -m pytest -p tests.conformance.page tests/conformance --models-page docs/models.md

It builds each architecture tiny, from its config, with random weights large enough that a wrong mask or position shows,
and with its real processor. No real checkpoint is run: on yours, `copo doctor --model ID` repeats these checks
([what it does](doctor.md), [first run](first-run.md)).

Each figure is the largest difference of a logit that was measured (in units of the logits' standard deviation where
that is above 1), in float32 on a CPU; {versions}.
The tolerance is 1e-5, and 0 differing tokens for writing.

{checks}
"""

CHECKS = {
    "call by hand": "what `VLM.read` gives, against a call of the model as its documentation writes it, with the "
    "picture and with one of a single colour",
    "hidden tokens": "embeddings replaced by zero or the mean, against a model whose embedding table was edited",
    "leak": "logits after a hidden word, with one word hidden there and with another",
    "scores": "sufficiency and necessity of `copo score`, against a brute-force loop of calls by hand",
    "batch": "rows of different length and with different hidden tokens, together against one by one",
    "left padding": "three padding tokens in front, as `generate` does for prompts of different length",
    "eager": "the eager attention kernel against the model's own",
    "sdpa": "the sdpa attention kernel against the model's own",
    "causal": "logits in front of a hidden token, against those without it",
    "writing": "greedy tokens of `generate` that are not the likeliest by what is read, and texts of the packed "
    "engine, greedy and sampled, that are not those of `generate`",
    "packed": "log-probabilities by the packed engine, all kinds of edits and both pictures, eager and sdpa, against "
    "one ordinary forward each, in nats",
    "saved and loaded": "saved to a folder and loaded by `causal_attrib.load`, against the model in memory",
    "picture seen": "change of a logit when the picture is another, in standard deviations of the logits; 0.01 or more",
}

LAYOUT_HEAD = """
## Image tokens

Where the image tokens stand, and whether each has a box: the part of the picture that it stands for. That a change of
the picture inside a box moves its own token most is tested for every model with boxes, on a lying, a standing and a
nearly square picture (`tests/conformance/test_layouts.py`). `Generic` and `GenericSeq2Seq` serve every architecture
that has no file of its own. The last column names a checkpoint of that architecture; none was run here.

| model | class | family | where | boxes | for example |
|---|---|---|---|---|---|
"""

# A checkpoint of each architecture. None of them was run here.
EXAMPLES = {
    "llava_clip_llama": "llava-hf/llava-1.5-7b-hf",
    "llava_siglip_qwen2": "llava-hf/llava-interleave-qwen-0.5b-hf",
    "llava_pixtral_mistral": "mistral-community/pixtral-12b",
    "llava_next": "llava-hf/llava-v1.6-mistral-7b-hf",
    "llava_onevision": "llava-hf/llava-onevision-qwen2-7b-ov-hf",
    "idefics3": "HuggingFaceTB/SmolVLM-256M-Instruct",
    "smolvlm": "HuggingFaceTB/SmolVLM2-500M-Video-Instruct",
    "internvl": "OpenGVLab/InternVL3-1B-hf",
    "qwen2_vl": "Qwen/Qwen2-VL-7B-Instruct",
    "qwen2_5_vl": "Qwen/Qwen2.5-VL-7B-Instruct",
    "qwen3_vl": "Qwen/Qwen3-VL-8B-Instruct",
    "mistral3": "mistralai/Mistral-Small-3.1-24B-Instruct-2503",
    "paligemma": "google/paligemma-3b-mix-224",
    "gemma3": "google/gemma-3-4b-it",
    "gemma3n": "google/gemma-3n-E2B-it",
    "gemma4": "google/gemma-4-e2b-it",
    "mllama": "meta-llama/Llama-3.2-11B-Vision-Instruct",
    "blip": "Salesforce/blip-image-captioning-base",
    "blip2_opt": "Salesforce/blip2-opt-2.7b",
    "blip2_t5": "Salesforce/blip2-flan-t5-xl",
    "instructblip": "Salesforce/instructblip-vicuna-7b",
    "git": "microsoft/git-base-coco",
    "kosmos2": "microsoft/kosmos-2-patch14-224",
    "florence2": "florence-community/Florence-2-base",
    "vision_encoder_decoder": "nlpconnect/vit-gpt2-image-captioning",
    "aya_vision": "CohereLabs/aya-vision-8b",
    "pix2struct": "google/pix2struct-textcaps-base",
}


def pytest_addoption(parser):
    parser.addoption("--models-page", metavar="FILE", help="write the table of models to FILE")


def pytest_configure(config):
    if config.getoption("--models-page"):
        config.pluginmanager.register(_Collector(Path(config.getoption("--models-page"))))


class _Collector:
    def __init__(self, path: Path):
        self.path = path
        self.worst: dict[tuple[str, str], float] = {}
        self.reasons: dict[tuple[str, str], str] = {}
        self.failed = False

    def pytest_runtest_logreport(self, report):
        # The one test of the page itself fails for want of what is about to be written.
        self.failed |= report.failed and "test_page" not in report.nodeid
        for kind, what in report.user_properties:
            if kind == "measured":
                model, check, value, _ = what
                # "picture seen" is noted as minus what is to be large.
                self.worst[model, check] = max(self.worst.get((model, check), -math.inf), value)
            elif kind == "without":
                model, check, reason = what
                self.reasons[model, check] = reason

    def pytest_sessionfinish(self, session):
        # A page of a run that failed, or of a part of the suite, would tell less than the truth.
        whole = {(model, check) for model in BUILDERS for check in CHECKS}
        if not self.failed and whole == {*self.worst, *self.reasons}:
            self.path.write_text(page(self.worst, self.reasons), encoding="utf-8")
        else:
            missing = sorted(whole - {*self.worst, *self.reasons})
            print(f"\n{self.path} was not written: tests failed, or {len(missing)} cells are missing {missing[:3]}")


def page(worst, reasons) -> str:
    versions = f"transformers {transformers.__version__}, torch {torch.__version__.partition('+')[0]}"
    checks = "\n".join(f"- **{check}**: {meaning}." for check, meaning in CHECKS.items())
    lines = [HEAD.format(versions=versions, checks=checks)]
    lines.append("| model | " + " | ".join(CHECKS) + " |\n|---|" + "---|" * len(CHECKS))
    notes: list[str] = []
    for model in BUILDERS:
        cells = [_cell(model, check, worst, reasons, notes) for check in CHECKS]
        lines.append(f"| {model} | " + " | ".join(cells) + " |")
    lines += ["", *(f"[{number}] {note}." for number, note in enumerate(notes, start=1))]
    return "\n".join(lines) + "\n" + LAYOUT_HEAD + "\n".join(map(_layout, BUILDERS)) + "\n"


def _cell(model, check, worst, reasons, notes) -> str:
    if (model, check) in worst:
        value = worst[model, check]
        if check == "picture seen":
            return f"{-value:.2f}"
        return "0" if value == 0 else f"{value:.0e}".replace("e-0", "e-")
    reason = reasons[model, check]
    if reason not in notes:
        notes.append(reason)
    return f"- [{notes.index(reason) + 1}]"


def _layout(model: str) -> str:
    from tests.conformance.test_layouts import SIZES, noise

    vlm = tiny(model)
    layouts = [
        vlm.family.layout(vlm.family.prompt_inputs(vlm.family.converse("Look.").before, noise(size)), size)
        for size in SIZES
    ]
    layout = layouts[0]
    boxed = sum(box is not None for box in layout.boxes)
    if boxed == 0:
        boxes = f"none ({len(layout.boxes)} tokens)"
    elif all(layout.grid for layout in layouts):
        boxes = f"one grid, here {layout.grid[0]} x {layout.grid[1]}"
    else:
        boxes = f"tiles, here {boxed} boxes"
    place = {"prompt": "in the prompt", "encoder": "seen by cross-attention"}.get(layout.sequence, layout.sequence)
    kind, family = type(vlm.model).__name__, type(vlm.family).__name__
    return f"| {model} | {kind} | `{family}` | {place} | {boxes} | {EXAMPLES[model]} |"
