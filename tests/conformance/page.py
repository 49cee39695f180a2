"""Writes docs/models.md from the results of the suite:

python -m pytest -p tests.conformance.page tests/conformance --models-page docs/models.md
"""

import math
from pathlib import Path

import torch
import transformers
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from causal_attrib.vlm.families.refused import REFUSED
from tests.tiny_models import BUILDERS, tiny

HEAD = """\
# Models

At the end of this page you know what was tested on the architecture of your model.

`--model` takes any model that `transformers.AutoModelForImageTextToText` loads, from a folder or the hub, but for a few
that [are refused](#the-other-classes). What differs between architectures sits in one small file each, in
`causal_attrib/vlm/families`. The tables below are written by the test suite from its own measurements:

    python -m pytest -p tests.conformance.page tests/conformance --models-page docs/models.md

It builds each architecture tiny, from its config, with random weights large enough that a wrong mask or position shows,
and with its real processor; where torchvision prepares its pictures (a note tells) another stands in for that. No real
checkpoint is run: on yours, `copo doctor --model ID` repeats these checks ([what it does](doctor.md),
[first run](first-run.md)).

Each figure is the largest difference of a logit that was measured (in units of the logits' standard deviation where
that is above 1), in float32 on a CPU; {versions}.
The tolerance is 1e-5, and 0 differing tokens for writing. transformers 5.24.0 passes the same tests, but for llama4,
which it cannot run itself (it asks the text model for the outputs of pictures).

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

TIMM = "its vision tower is built by timm, which cannot be imported without torchvision"
TORCHVISION = "its pictures are prepared by torchvision only, and no tiny model of it was built yet"
UNTRIED = {
    "Gemma4UnifiedForConditionalGeneration": TORCHVISION,
    "InklingForConditionalGeneration": TORCHVISION,
    "MuseSparkForConditionalGeneration": TORCHVISION,
    "NemotronH_Omni_Reasoning_V3": TORCHVISION,
    "PPFormulaNetForConditionalGeneration": "torchvision crops its pictures to what is written on them, so that what "
    "is seen hangs on the picture",
    "FastVlmForConditionalGeneration": TIMM,
    "PerceptionLMForConditionalGeneration": TIMM,
    "Qwen4ExpForConditionalGeneration": "its table of n-grams reads hidden words too, so that scores with "
    "`--mask zero` or `mean` are refused at first use; the rest was not tried",
    "Cosmos3OmniForConditionalGeneration": "transformers has no processor for it",
}

OTHERS_HEAD = """
## The other classes

Every other class that `AutoModelForImageTextToText` of transformers {version} knows. One that is **refused** ends in
this sentence when it is loaded. One that is **untried** is loaded and read as any other, by what its processor and its
config say; let `copo doctor` check it first.

| class | | why |
|---|---|---|
"""

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
    "idefics": "HuggingFaceM4/idefics-9b-instruct",
    "fuyu": "adept/fuyu-8b",
    "kosmos2_5": "microsoft/kosmos-2.5",
    "ernie4_5_vl": "baidu/ERNIE-4.5-VL-28B-A3B-PT",
    "glm4v": "zai-org/GLM-4.1V-9B-Thinking",
    "glm4v_moe": "zai-org/GLM-4.5V",
    "glm46v": "zai-org/GLM-4.6V-Flash",
    "glm_ocr": "zai-org/GLM-OCR",
    "paddleocr_vl": "PaddlePaddle/PaddleOCR-VL",
    "qwen3_vl_moe": "Qwen/Qwen3-VL-30B-A3B-Instruct",
    "qwen3_5": "Qwen/Qwen3.5-27B",
    "qwen3_5_moe": "Qwen/Qwen3.5-35B-A3B",
    "qwen2_5_omni": "Qwen/Qwen2.5-Omni-7B",
    "hunyuan_vl": "tencent/HunyuanOCR",
    "vipllava": "llava-hf/vip-llava-7b-hf",
    "aria": "rhymes-ai/Aria",
    "idefics2": "HuggingFaceM4/idefics2-8b",
    "got_ocr2": "stepfun-ai/GOT-OCR-2.0-hf",
    "ovis2": "thisisiron/Ovis2-1B-hf",
    "deepseek_vl": "deepseek-community/deepseek-vl-1.3b-chat",
    "deepseek_vl_hybrid": "deepseek-community/deepseek-vl-7b-chat",
    "janus": "deepseek-community/Janus-Pro-1B",
    "chameleon": "facebook/chameleon-7b",
    "lighton_ocr": "lightonai/LightOnOCR-1B-1025",
    "video_llama_3": "lkhl/VideoLLaMA3-2B-Image-HF",
    "qianfan_ocr": "baidu/Qianfan-OCR",
    "t5gemma2": "google/t5gemma-2-270m-270m",
    "exaone4_5": "LGAI-EXAONE/EXAONE-4.5-33B",
    "llava_next_video": "llava-hf/LLaVA-NeXT-Video-7B-hf",
    "cosmos3_edge": "nvidia/Cosmos3-Edge",
    "hyperclovax": "naver-hyperclovax/HyperCLOVAX-SEED-Think-32B",
    "qwen3_omni_moe": "Qwen/Qwen3-Omni-30B-A3B-Instruct",
    "granite_docling": "ibm-granite/granite-for-docling-500m",
    "granite4_vision": "-",
    "llama4": "meta-llama/Llama-4-Scout-17B-16E-Instruct",
    "lfm2_vl": "LiquidAI/LFM2-VL-1.6B",
    "cohere2_vision": "CohereLabs/command-a-vision-07-2025",
    "cohere_compass": "CohereLabs/North-Micro-Vision-Instruct",
    "lfm3_vl": "LiquidAI/LFM3-VL-2B",
    "video_llava": "LanguageBind/Video-LLaVA-7B-hf",
    "deepseek_ocr2": "deepseek-community/DeepSeek-OCR-2",
    "mistral_large4": "-",
    "glm5_next": "zai-org/GLM-5.3-Flash",
    "dots3_note": "dots-studio/dots3-note-prev",
    "kimi_k25": "moonshotai/Kimi-K2.6",
    "step3p7": "stepfun-ai/Step-3.7-Flash",
    "muse_glimmer": "meta-models/Muse-Glimmer-30B",
    "inkling2": "thinkingmachines/Inkling-2-Small-MXFP8",
    "molmo2": "allenai/Molmo2-8B",
    "minimax_m3": "MiniMaxAI/MiniMax-M3",
    "emu3": "Emu3-community/Emu3-Chat-hf",
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
    return "\n".join(lines) + "\n" + LAYOUT_HEAD + "\n".join(map(_layout, BUILDERS)) + "\n" + _others()


def classes_tested() -> set[str]:
    return {type(tiny(name).model).__name__ for name in BUILDERS}


def refused_classes() -> dict[str, str]:
    """Of classes that no tested model has, those that are refused whatever their type, and why."""
    types: dict[str, list[str]] = {}
    for model_type, name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES.items():
        types.setdefault(name, []).append(model_type)
    return {name: REFUSED[kinds[0]] for name, kinds in types.items() if all(kind in REFUSED for kind in kinds)}


def _others() -> str:
    states = [(name, "refused", why) for name, why in refused_classes().items()]
    states += [(name, "untried", why) for name, why in UNTRIED.items()]
    rows = "\n".join(f"| {name} | {state} | {why} |" for name, state, why in sorted(states))
    return OTHERS_HEAD.format(version=transformers.__version__) + rows + "\n"


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
