"""Models from a local folder, from the hub, or the one in the package."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import torch
from safetensors import SafetensorError
from transformers import AutoConfig, AutoModelForImageTextToText, AutoProcessor, BitsAndBytesConfig

from causal_attrib.errors import InputError
from causal_attrib.vlm.model import VLM

BUNDLED = "bundled"
DTYPES = ("auto", "float32", "bfloat16", "float16")


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
) -> VLM:
    """Load a vision-language model.

    Args:
        model: a local folder in Hugging Face format or a hub id; None (or "bundled") is the small model in the package.
        revision: branch, tag or commit of a hub model.
        dtype: "auto" is the checkpoint's own on an accelerator and float32 on a CPU, where half precision is slow and
            too coarse for small effects.
        device: "auto" takes the first accelerator, else the CPU.
        device_map: as in transformers, for models larger than one device; excludes `device`.
        load_in_4bit, load_in_8bit: quantise with bitsandbytes (extra `quant`).
        attn_implementation: as in transformers ("sdpa", "eager", "flash_attention_2").

    Raises:
        InputError: there is no such model, it is not a vision-language model, its weights are missing, or an option
            is not available here. Pickled weights and code from the hub are refused.
    """
    if dtype not in DTYPES:
        raise InputError(f"There is no dtype {dtype!r}; choose one of {', '.join(DTYPES)}.")
    if load_in_4bit and load_in_8bit:
        raise InputError("Choose one of --load-in-4bit and --load-in-8bit, not both.")
    if device_map is not None and device != "auto":
        raise InputError("--device and --device-map exclude each other; leave one of them out.")
    place = _device(device)
    name = BUNDLED if model is None else str(model)
    source = str(files("causal_attrib") / "assets" / "model") if name == BUNDLED else name
    if Path(source).is_dir() and not (Path(source) / "config.json").is_file():
        raise InputError(
            f"The folder {source} holds no model (no config.json); give a folder saved by save_pretrained."
        )

    config = _explained(lambda: AutoConfig.from_pretrained(source, revision=revision), name)
    if type(config) not in AutoModelForImageTextToText._model_mapping:
        raise InputError(
            f"{name} is a {config.model_type} model, which does not turn a picture and text into text; choose a "
            f"vision-language model."
        )
    processor = _explained(lambda: AutoProcessor.from_pretrained(source, revision=revision), name)
    quantised = _quantisation(load_in_4bit, load_in_8bit)
    on_cpu = place.type == "cpu" and device_map is None and not quantised
    weights, report = _explained(
        lambda: AutoModelForImageTextToText.from_pretrained(
            source,
            revision=revision,
            dtype=torch.float32 if dtype == "auto" and on_cpu else dtype,
            device_map=device_map or ({"": place} if quantised else None),
            attn_implementation=attn_implementation,
            use_safetensors=True,
            output_loading_info=True,
            **quantised,
        ),
        name,
    )
    if report["missing_keys"] or report["mismatched_keys"]:
        lacking = sorted(map(str, [*report["missing_keys"], *report["mismatched_keys"]]))
        raise InputError(
            f"{name} lacks {len(lacking)} of the weights its config asks for (such as {lacking[0]}); download it again."
        )
    if device_map is None and not quantised:
        weights.to(place)
    return VLM(weights, processor, name=name, revision=revision or getattr(config, "_commit_hash", None))


def _device(device: str) -> torch.device:
    if device == "auto":
        return torch.accelerator.current_accelerator() if torch.accelerator.is_available() else torch.device("cpu")
    try:
        place = torch.device(device)
        torch.empty(1, device=place)
    except (RuntimeError, AssertionError):
        raise InputError(f"There is no device {device!r} here; try --device cpu, or see `copo env`.") from None
    return place


def _quantisation(load_in_4bit: bool, load_in_8bit: bool) -> dict:
    if not (load_in_4bit or load_in_8bit):
        return {}
    try:
        import bitsandbytes  # noqa: F401
    except ImportError:
        raise InputError("Loading in 4 or 8 bits needs bitsandbytes: pip install 'copo[quant]'.") from None
    return {"quantization_config": BitsAndBytesConfig(load_in_4bit=load_in_4bit, load_in_8bit=load_in_8bit)}


def _explained(step, name: str):
    """Run one step of loading; what goes wrong is the user's to mend and is said in one sentence.

    transformers reads what is in a folder with few checks of its own, so a damaged one can raise nearly anything.
    """
    try:
        return step()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, ImportError, SafetensorError) as error:
        if Path(name).is_dir() or name == BUNDLED:
            what = f"The folder {name} holds no model that can be loaded"
        elif Path(name).exists():
            what = f"{name} is a file; give the folder it lies in"
        else:
            what = f"There is no folder {name}, and no such model could be fetched from the hub"
        detail = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{what} ({detail}).") from error
