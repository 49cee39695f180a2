"""`load`: a model that is in memory already is not loaded again."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any
from weakref import WeakKeyDictionary, WeakValueDictionary

from causal_attrib.vlm import loading
from causal_attrib.vlm.model import VLM

# Models that somebody holds, by what was asked for, and what they were when they were loaded.
_LOADED: WeakValueDictionary[tuple, VLM] = WeakValueDictionary()
_STATES: WeakKeyDictionary[VLM, tuple] = WeakKeyDictionary()
# The small model weighs nothing, and is asked for without a name again and again.
_KEPT: dict[tuple, VLM] = {}


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
    anew: bool = False,
) -> VLM:
    """Load a vision-language model, or give the one that is in memory.

    The same arguments give the same object: a model is loaded once per process, and no further copy of it is made while
    somebody holds it. Only weak references are kept here, so that the last one who lets go of a model frees its memory;
    the small model in the package stays. A model whose weights or settings have changed since, or whose files (for an
    adapter those of its base too), is loaded again. A model of the hub is looked up when it is loaded, and not again
    while it is held; `anew` finds what its branch has become.

    Args:
        model: a local folder in Hugging Face format or a hub id; None (or "bundled") is the small model in the package.
            An adapter (PEFT) is put on the model that its config names.
        revision: branch, tag or commit of a hub model.
        dtype: "auto" is the checkpoint's own on an accelerator and float32 on a CPU, where half precision is slow and
            too coarse for small effects.
        device: "auto" takes the first accelerator, else the CPU.
        device_map: as in transformers, for models larger than one device; excludes `device`.
        load_in_4bit, load_in_8bit: quantise with bitsandbytes (extra `quant`).
        attn_implementation: as in transformers ("sdpa", "eager", "flash_attention_2").
        allow_pickle: take weights in pickle files where there are no safetensors.
        trust_remote_code: run the code that a checkpoint brings along.
        anew: a model of one's own, which nobody else is given: for who is going to train or change it.

    Raises:
        InputError: there is no such model, it is not a vision-language model, its weights are missing or do not fit
            into memory, or an option is not available here.
    """
    given: dict[str, Any] = {
        "revision": revision,
        "dtype": dtype,
        "device": device,
        "device_map": device_map,
        "load_in_4bit": load_in_4bit,
        "load_in_8bit": load_in_8bit,
        "attn_implementation": attn_implementation,
        "allow_pickle": allow_pickle,
        "trust_remote_code": trust_remote_code,
    }
    key = None if anew else _key(model, given)
    known = None if key is None else _LOADED.get(key)
    if known is not None and _STATES.get(known) == _state(known):
        return known
    vlm = loading.load(model, **given)
    if key is not None:
        _LOADED[key], _STATES[vlm] = vlm, _state(vlm)
        if vlm.name == loading.BUNDLED:
            _KEPT[key] = vlm
    return vlm


def _key(model: str | None, given: dict[str, Any]) -> tuple | None:
    """What two calls have in common that are to get the same model; None where it cannot be told."""
    name = loading.name_of(model)
    try:
        return name, _files(loading.BUNDLED_FOLDER if name == loading.BUNDLED else name), tuple(given.items())
    except (OSError, ValueError, KeyError, TypeError):
        return None  # what is wrong with it is told by who loads it


def _files(place: str, *, is_base: bool = False) -> tuple:
    """What tells a folder from what it was: its files, and for an adapter those of its base. Of the hub a name does."""
    folder = Path(place)
    if not folder.is_dir():
        return (place,)
    entries = [(path, path.stat()) for path in folder.iterdir()]
    files = sorted((path.name, stat.st_size, stat.st_mtime_ns) for path, stat in entries)
    described = folder / "adapter_config.json"
    if is_base or (folder / "config.json").is_file() or not described.is_file():
        return str(folder.resolve()), *files
    base = str(json.loads(described.read_text("utf-8"))["base_model_name_or_path"])
    of_base = _files(loading.BUNDLED_FOLDER if base == loading.BUNDLED else base, is_base=True)
    return str(folder.resolve()), *files, of_base


def _state(vlm: VLM) -> tuple:
    """What changes when a model is trained, moved, cast, wrapped or written to: every tensor counts its changes."""
    model = vlm.model
    tensors = itertools.chain(model.named_parameters(), model.named_buffers())
    return (
        id(model),
        model.training,
        model.config._attn_implementation,
        getattr(vlm.processor, "chat_template", None),
        tuple((name, tensor.data_ptr(), tensor.dtype, tensor._version) for name, tensor in tensors),
    )
