"""Will the weights fit? Asked before they are loaded: a process that runs out of memory is killed without a word."""

from __future__ import annotations

import json
import math
from pathlib import Path

import torch
from huggingface_hub import HfApi
from huggingface_hub.errors import HTTPError, NotASafetensorsRepoError, SafetensorsParsingError

from causal_attrib.errors import InputError
from causal_attrib.io.hub import Home

# Bytes of one number, by its name in a safetensors header. What is not floating point keeps its width when loaded.
_FLOATING = {"F64": 8, "F32": 4, "F16": 2, "BF16": 2}
_FIXED = {"I64": 8, "U64": 8, "I32": 4, "U32": 4, "I16": 2, "U16": 2}


def check_room(name: str, need: float, device: torch.device) -> None:
    """Refuse weights of `need` bytes that `device` has no room for.

    Raises:
        InputError: says how much is needed and how much is free.
    """
    free = free_bytes(device)
    if free is not None and need > free:
        raise InputError(
            f"The weights of {name} take {need / 1e9:.1f} GB and {device} has {free / 1e9:.1f} GB of memory free; "
            f"choose a smaller model, or try --dtype bfloat16, --load-in-4bit or --device-map auto."
        )


def needed_bytes(counts: dict[str, int], dtype: str, bits: int | None = None) -> float:
    """Bytes of the weights once they are loaded.

    Args:
        counts: how many numbers of each stored type there are.
        dtype: what floating-point numbers become; "auto" leaves them as they are stored.
        bits: what quantisation makes of each number; a little too few, since some layers are left alone.

    >>> needed_bytes({"BF16": 7_000_000_000}, "float32")
    28000000000
    >>> needed_bytes({"BF16": 7_000_000_000}, "auto", bits=4)
    3500000000.0
    """
    if bits is not None:
        return sum(counts.values()) * bits / 8
    width = None if dtype == "auto" else getattr(torch, dtype).itemsize
    return sum(
        count * ((width or _FLOATING[stored]) if stored in _FLOATING else _FIXED.get(stored, 1))
        for stored, count in counts.items()
    )


def count_weights(home: Home) -> dict[str, int] | None:
    """How many numbers of each type the safetensors files of a model hold, read from their headers alone.

    None if there are none, or if the hub does not tell.
    """
    config = home.file("config.json")
    folder = None if config is None else config.parent
    if folder is not None and _shards(folder):
        return _count(_shards(folder))
    if home.commit is None or home.cached:
        return None
    try:
        counts = HfApi().get_safetensors_metadata(home.source, revision=home.commit).parameter_count
        return {str(dtype): count for dtype, count in counts.items()}
    except (HTTPError, OSError, NotASafetensorsRepoError, SafetensorsParsingError):
        return None


def free_bytes(device: torch.device) -> int | None:
    """Memory that is free on a CPU (Linux) or CUDA device; None where it cannot be told."""
    if device.type == "cuda":
        return torch.cuda.mem_get_info(device)[0]
    if device.type != "cpu":
        return None
    meminfo = Path("/proc/meminfo")
    if not meminfo.is_file():
        return None
    entries = dict(line.split(":") for line in meminfo.read_text().splitlines())
    return min([1024 * int(entries["MemAvailable"].split()[0]), *_left_to_container()])


def _left_to_container(folder: Path = Path("/sys/fs/cgroup")) -> list[int]:
    """What a container may still take, if it is limited; files it has read are given up when room is wanted."""
    try:
        limit = int((folder / "memory.max").read_text())
        used = int((folder / "memory.current").read_text())
        files = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())["file"]
    except (OSError, ValueError, KeyError):
        return []
    return [limit - used + int(files)]


def _shards(folder: Path) -> list[Path]:
    index = folder / "model.safetensors.index.json"
    if index.is_file():
        names = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
    else:
        names = {"model.safetensors"}
    paths = [folder / name for name in sorted(names)]
    return paths if all(path.is_file() for path in paths) else []


def _count(shards: list[Path]) -> dict[str, int]:
    counts: dict[str, int] = {}
    for shard in shards:
        for name, tensor in _header(shard).items():
            if name != "__metadata__":
                counts[tensor["dtype"]] = counts.get(tensor["dtype"], 0) + math.prod(tensor["shape"])
    return counts


def _header(path: Path) -> dict:
    """Names, types and shapes in a safetensors file. `safe_open` would map the whole file, which may itself not fit."""
    size = path.stat().st_size
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if size < 8 or 8 + length > size:
            raise ValueError(f"{path.name} is cut short; download it again")
        header = json.loads(file.read(length))
    ends = [tensor["data_offsets"][1] for name, tensor in header.items() if name != "__metadata__"]
    whole = 8 + length + max(ends, default=0)
    if size < whole:
        raise ValueError(f"{path.name} is cut short: it has {size:,} of {whole:,} bytes; download it again")
    return header
