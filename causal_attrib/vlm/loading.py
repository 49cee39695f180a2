"""Models from a local folder, from the hub, or the one in the package."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.resources import files
from pathlib import Path
from typing import Any

import torch
from transformers import (
    CONFIG_MAPPING,
    AutoConfig,
    AutoModelForImageTextToText,
    BitsAndBytesConfig,
    GenerationConfig,
    PreTrainedConfig,
    PreTrainedModel,
)
from transformers import __version__ as transformers_version
from transformers.utils import logging

from causal_attrib.errors import InputError
from causal_attrib.io.hub import Home, find
from causal_attrib.io.model_options import BUNDLED, check_options, name_of, no_device, no_model
from causal_attrib.vlm.adapters import put_on
from causal_attrib.vlm.bundled import build_bundled
from causal_attrib.vlm.families.refused import REFUSED
from causal_attrib.vlm.memory import check_room, count_weights, needed_bytes
from causal_attrib.vlm.model import VLM
from causal_attrib.vlm.processors import load_processor
from causal_attrib.vlm.refusal import explained, too_large

BUNDLED_FOLDER = str(files("causal_attrib") / "assets" / "model")

# Bytes of weights; fewer take no time that a bar could tell of.
_LARGE = 1_000_000_000
# Of layers, and of experts in one; the largest models have some hundred.
MOST_LAYERS = 10_000
_COUNTS_LAYERS = re.compile(r"(layers?|depth|experts|blocks)$")

# Under which of these names a checkpoint offers its own code, the first being the one we ask for.
_OWN_CODE = ("AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForCausalLM")


def load(
    model: str | None = None,
    *,
    revision: str | None = None,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    attn_implementation: str | None = None,
    allow_pickle: bool = False,
    trust_remote_code: bool = False,
) -> VLM:
    """Load a model anew; see `in_memory.load`."""
    check_options(
        dtype=dtype,
        device=device,
        device_map=device_map,
        load_in_4bit=load_in_4bit,
        load_in_8bit=load_in_8bit,
        attn_implementation=attn_implementation,
        trust_remote_code=trust_remote_code,
    )
    place = _device(device)
    bits = 4 if load_in_4bit else 8 if load_in_8bit else None
    quantised = _quantisation(bits)
    if device_map is not None:
        _need("accelerate", "--device-map", "accelerate")
    if dtype == "auto" and place.type == "cpu" and device_map is None and bits is None:
        dtype = "float32"
    name = name_of(model)
    home = find(BUNDLED_FOLDER if name == BUNDLED else name, revision)

    weights: PreTrainedModel
    base, adapter = _base_and_adapter(name, home)
    config = _config(name, base, trust_remote_code)
    own_processor = adapter and (adapter.file("processor_config.json") or adapter.file("preprocessor_config.json"))
    parts = adapter if adapter is not None and own_processor else base
    by_name = name == BUNDLED and dtype == "float32" and place.type == "cpu" and device_map is None and bits is None
    with explained(name, parts):
        processor = load_processor(parts.source, config, trust_remote_code=trust_remote_code, **parts.options)
    if by_name:
        with explained(name, base, attn_implementation):
            weights = build_bundled(base.source, config, attn_implementation)
        return VLM(weights, processor, name=name)
    with explained(name, base):
        if not allow_pickle:
            _refuse_pickle(name, base)
        counts = count_weights(base) if device_map is None else None
    if counts is not None:
        # Without quantisation the weights pass through the main memory on their way to another device.
        for stop in {torch.device("cpu"), place} if bits is None else {place}:
            check_room(name, needed_bytes(counts, dtype, bits), stop)
    with explained(name, base):
        settled = _settled_generation(base)
    is_small = counts is not None and needed_bytes(counts, dtype, bits) < _LARGE
    with explained(name, base, attn_implementation), _no_bars() if is_small else nullcontext():
        loaded: Any = AutoModelForImageTextToText.from_pretrained(
            base.source,
            config=config,
            dtype=dtype,
            device_map=device_map or ({"": place} if quantised else None),
            attn_implementation=attn_implementation,
            use_safetensors=None if allow_pickle else True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # they are in the report
            **base.options,
            **quantised,
            **settled,
        )
    weights, report = loaded
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        raise InputError(
            f"{name} lacks {len(lacking)} of the weights its config asks for (such as {lacking[0]}); download it again."
        )
    if adapter is not None:
        weights = put_on(weights, name, adapter, allow_pickle=allow_pickle, merge=bits is None)
    if device_map is None and not quantised:
        try:
            torch.nn.Module.to(weights, place)
        except torch.OutOfMemoryError as error:
            raise too_large(name) from error
    vlm = VLM(weights, processor, name=name, revision=home.commit)
    unused = vlm.family.unused(report["unexpected_keys"])
    if unused:
        raise InputError(
            f"{name} holds {len(unused)} weights that the model of its config has no place for (such as {unused[0]}): "
            f"the config is of another model, or of one with fewer layers; download both again, from one place."
        )
    return vlm


def without_weights(model: str | None, revision: str | None = None) -> PreTrainedModel | None:
    """The modules of a model as its config has them, which takes no memory; None if they cannot be built so."""
    name = name_of(model)
    try:
        base, _ = _base_and_adapter(name, find(BUNDLED_FOLDER if name == BUNDLED else name, revision))
        config = _config(name, base, trust_remote_code=False)
        with torch.device("meta"):
            return AutoModelForImageTextToText.from_config(config)
    except Exception:
        # A class may read a number while it is built, and here there are none; loading tells what else is wrong.
        return None


@contextmanager
def _no_bars() -> Iterator[None]:
    """None of transformers' bars, for a model that is there in a moment."""
    was_enabled = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        if was_enabled:
            logging.enable_progress_bar()


def _device(device: str) -> torch.device:
    if device == "auto":
        found = torch.accelerator.current_accelerator() if torch.accelerator.is_available() else None
        return found or torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError):
        raise no_device(device) from None
    return place


def _quantisation(bits: int | None) -> dict:
    if bits is None:
        return {}
    for package in ("bitsandbytes", "accelerate"):
        _need(package, "Loading in 4 or 8 bits", "'copo[quant]'")
    # In 4 bits as QLoRA (arXiv 2305.14314): NormalFloat, computed in bfloat16.
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": torch.bfloat16}
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=bits == 4, load_in_8bit=bits == 8, **four)}


def _need(package: str, what: str, install: str) -> None:
    try:
        __import__(package)
    except ImportError:
        raise InputError(f"{what} needs {package}: pip install {install}.") from None


def _base_and_adapter(name: str, home: Home) -> tuple[Home, Home | None]:
    """Where the weights are and, if the model is an adapter on top of them, where that is."""
    if home.file("config.json") is not None:
        return home, None
    path = home.file("adapter_config.json")
    if path is None:
        raise no_model(name)
    _need("peft", f"{name} is an adapter, which", "peft")
    with explained(name, home):
        described = json.loads(path.read_text("utf-8"))
        base, revision = str(described["base_model_name_or_path"]), described.get("revision")
        base = BUNDLED_FOLDER if base == BUNDLED else base
    try:
        return find(base, None if Path(base).is_dir() else revision), home
    except InputError as error:
        raise InputError(f"{name} is an adapter of {base}, which cannot be loaded: {error}") from error


def _config(name: str, home: Home, trust_remote_code: bool) -> PreTrainedConfig:
    """The model's config, if it is one of a vision-language model."""
    with explained(name, home):
        described, _ = PreTrainedConfig.get_config_dict(home.source, **home.options)
        _check_sizes(name, described)
        own_code, model_type = described.get("auto_map") or {}, described.get("model_type")
        if model_type in REFUSED:
            raise InputError(
                f"{name} is a {model_type} model, which cannot be scored: {REFUSED[model_type]}; choose another model."
            )
        if model_type not in CONFIG_MAPPING and own_code and not trust_remote_code:
            raise InputError(
                f"{name} brings its own code, which would run on this machine; read it, and if you trust it add "
                f"--trust-remote-code."
            )
        if model_type not in CONFIG_MAPPING and not own_code:
            raise InputError(
                f"{name} is of the type {model_type!r}, which transformers {transformers_version} does not know; "
                f"upgrade it (pip install --upgrade transformers) or choose another model."
            )
        config = AutoConfig.from_pretrained(home.source, trust_remote_code=trust_remote_code, **home.options)
    if type(config) in AutoModelForImageTextToText._model_mapping:
        return config
    offered = [own_code[kind] for kind in _OWN_CODE if kind in own_code]
    if trust_remote_code and offered:
        config.auto_map = own_code | {_OWN_CODE[0]: offered[0]}
        return config
    raise InputError(
        f"{name} is a {config.model_type} model, which does not turn a picture and text into text; choose a "
        f"vision-language model."
    )


def _check_sizes(name: str, described: dict, where: str = "") -> None:
    """Refuse a config that asks for so many layers that building them would take hours."""
    for key, value in described.items():
        if isinstance(value, dict):
            _check_sizes(name, value, f"{where}{key}.")
        elif isinstance(value, int) and value > MOST_LAYERS and _COUNTS_LAYERS.search(key):
            raise InputError(
                f"The config of {name} asks for {str(value)[:20]} in {where}{key}, but {MOST_LAYERS:,} is the most "
                f"that is built; download it again."
            )


def _settled_generation(home: Home) -> dict:
    """Where a checkpoint's generation settings contradict one another, those that are left when all wishes are dropped.

    transformers would not load the model; nothing of what is dropped is used here (`plain_generation`).
    """
    try:
        GenerationConfig.from_pretrained(home.source, **home.options)
    except OSError:
        return {}  # there are none
    except (ValueError, TypeError):
        path = home.file("generation_config.json")
        settings = {} if path is None else json.loads(path.read_text("utf-8"))
        kept = {name: value for name, value in settings.items() if name.endswith("_token_id")}
        return {"generation_config": GenerationConfig(**kept)}
    return {}


def _refuse_pickle(name: str, home: Home) -> None:
    stored = ("model.safetensors", "model.safetensors.index.json")
    pickled = ("pytorch_model.bin", "pytorch_model.bin.index.json")
    if not any(map(home.has, stored)) and any(map(home.has, pickled)):
        raise InputError(
            f"The weights of {name} are pickled, which can hide code; take a model with safetensors, or add "
            f"--allow-pickle if you trust this one."
        )
