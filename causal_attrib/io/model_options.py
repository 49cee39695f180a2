"""What can be found wrong in the choice of a model before torch is imported, which takes seconds."""

from __future__ import annotations

import os
import re
import sys
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from causal_attrib.errors import InputError

BUNDLED = "bundled"
DTYPES = ("auto", "float32", "bfloat16", "float16")
# One of which a folder of a model, or of an adapter, holds.
_CONFIGS = ("config.json", "adapter_config.json")
# Attention kernels that transformers knows by name; others are of the hub, as OWNER/NAME, or registered by code.
KERNELS = (
    *("eager", "sdpa", "flex_attention", "flash_attention_2", "flash_attention_3", "flash_attention_4"),
    "paged|eager",
)
# Kinds of device that torch knows; others come with packages that announce themselves to it.
_DEVICES = (
    *("auto", "cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla"),
    *("lazy", "vulkan", "mps", "meta", "hpu", "mtia", "privateuseone"),
)


def check_choice(model: object = None, *, revision: str | None = None, **options: Any) -> None:
    """Check the arguments of `causal_attrib.load`, and that there is such a folder, or such a model on the hub.

    Raises:
        InputError: there is not, or the options contradict each other.
    """
    check_options(**options)
    name = name_of(model)
    if name == BUNDLED:
        return
    folder = Path(name).is_dir()
    if folder and revision is None:
        if not any((Path(name) / file).is_file() for file in _CONFIGS):
            raise no_model(name)
        return
    from causal_attrib.io.hub import find

    # It also says why a name is neither a folder nor a model on the hub.
    home = find(name, revision)
    if not any(map(home.file, _CONFIGS)):
        raise no_model(name)


def check_options(
    *,
    dtype: str = "auto",
    device: str = "auto",
    device_map: str | None = None,
    load_in_4bit: bool = False,
    load_in_8bit: bool = False,
    attn_implementation: str | None = None,
    trust_remote_code: bool = False,
    **_: object,
) -> None:
    """Raises InputError for options of loading that contradict each other; others than these are not looked at."""
    if dtype not in DTYPES:
        raise InputError(f"There is no dtype {dtype!r}; choose one of {', '.join(DTYPES)}.")
    if load_in_4bit and load_in_8bit:
        raise InputError("Choose one of --load-in-4bit and --load-in-8bit, not both.")
    if device_map is not None and device != "auto":
        raise InputError("--device and --device-map exclude each other; leave one of them out.")
    kind = re.fullmatch(r"([a-z]+)(:\d{1,4})?", str(device))
    if kind is None or (kind[1] not in _DEVICES and not entry_points(group="torch.backends")):
        raise no_device(device)
    if attn_implementation is not None and not trust_remote_code:
        _check_kernel(attn_implementation)


def _check_kernel(name: str) -> None:
    """Raises InputError for the name of an attention kernel that nobody can know."""
    if name in KERNELS or "/" in name:
        return
    # Who has imported transformers may have registered one.
    modelling = sys.modules.get("transformers.modeling_utils")
    if modelling is None or name not in modelling.ALL_ATTENTION_FUNCTIONS.valid_keys():
        raise InputError(f"There is no attention kernel {name!r}; choose one of {', '.join(KERNELS[:4])}.")


def name_of(model: object) -> str:
    """What names a model: a folder, a hub id, or "bundled" for None.

    Raises:
        InputError: a model is named by nothing of that type.
    """
    if model is None:
        return BUNDLED
    if not isinstance(model, str | os.PathLike):
        raise InputError(f"A model cannot be {model!r:.40}; give a folder, a hub id, or a loaded VLM.")
    name = os.fspath(model)
    try:
        Path(name).is_dir()
    except (OSError, ValueError):  # a name that is too long, or holds a null character
        raise InputError(f"There is no folder {name[:80]!r}; give a folder, or a hub id.") from None
    return name


def no_device(device: object) -> InputError:
    return InputError(f"There is no device {device!r} here; try --device cpu, or see `copo env`.")


def no_model(name: str) -> InputError:
    return InputError(f"{name} holds no model (no config.json); give a model saved by save_pretrained.")
