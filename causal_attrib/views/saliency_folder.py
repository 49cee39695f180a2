"""What `copo saliency` leaves in a folder: an overlay per map, a sheet of all, the raw maps, and their figures."""

from __future__ import annotations

import io
import json
import os
import re
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.results.maps import Maps
from causal_attrib.views.overlay import full_colour, overlay

SCHEMA = 1


def check_folder(folder: str | os.PathLike) -> None:
    """Raise an `InputError` unless a folder can be made or written to: call it before the work, not after.

    A probe file is made and removed where the folder is, or is to be; nothing is left.
    """
    there = Path(folder)
    try:
        while not there.exists() and there != there.parent:
            there = there.parent
        with tempfile.TemporaryFile(dir=there):
            pass
    except OSError as error:
        what = "be written to" if there == Path(folder) else "be made"
        raise InputError(f"The folder {folder} cannot {what} ({error.strerror}); choose another.") from None


def write_saliency(
    folder: str | os.PathLike, maps: Maps, picture: Image.Image, known: tuple[dict, ...] | None = None
) -> list[Path]:
    """Write `maps.safetensors`, `saliency.json`, `sheet.png` and `NN-word.png` for each map; files of those names are
    replaced, overlays of an earlier `saliency.json` removed, others left alone.

    Args:
        picture: what the maps are of.
        known: of each map, what is to stand beside its own figures in the JSON.

    Returns:
        The paths written, in that order.

    Raises:
        InputError: the folder cannot be made or written to.
    """
    folder = Path(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The folder {folder} cannot be made ({error.strerror}); choose another.") from None
    for name in _overlays_before(folder):
        (folder / name).unlink(missing_ok=True)
    limit = full_colour(maps.values_THW)
    names = [f"{number:02d}-{_plain(label)}.png" for number, label in enumerate(maps.labels, 1)]
    written = [folder / "maps.safetensors", folder / "saliency.json", folder / "sheet.png"]
    maps.save(written[0])
    record = {
        "schema": SCHEMA,
        "caption": maps.caption,
        "method": maps.method,
        "level": maps.level,
        "target": maps.target,
        "foil": maps.foil,
        "full_colour": limit,
        "image": maps.image,
        "model": maps.model,
        "settings": maps.settings,
        "tool": maps.tool,
        "maps": [
            {"label": label, "tokens": list(tokens), "overlay": name}
            | _figures(maps.values_THW[t])
            | (more or {})
            | ({"proof": maps.proofs[t]} if maps.proofs else {})
            for t, (label, tokens, name, more) in enumerate(
                zip(maps.labels, maps.tokens, names, known or [None] * len(names), strict=True)
            )
        ],
    }
    replace_file(written[1], (json.dumps(record, ensure_ascii=False, allow_nan=False, indent=1) + "\n").encode())
    sheet = io.BytesIO()
    # matplotlib takes its time to import; whether the folder can be written is told without it.
    from causal_attrib.views.figure_maps import draw_maps

    draw_maps(maps, picture).savefig(sheet, format="png", dpi=150)
    replace_file(written[2], sheet.getvalue())
    for name, image in zip(names, overlay(picture, maps, limit), strict=True):
        written.append(folder / name)
        replace_file(written[-1], _png(image))
    return written


def _overlays_before(folder: Path) -> list[str]:
    """Overlays that stand in the folder from an earlier call."""
    try:
        before = [entry["overlay"] for entry in json.loads((folder / "saliency.json").read_text("utf-8"))["maps"]]
    except (OSError, ValueError, KeyError, TypeError):
        return []
    return [name for name in before if re.fullmatch(r"\d{2,}-[\w-]+\.png", str(name))]


def _figures(map_HW: np.ndarray) -> dict:
    """Where a map is highest, as shares of width and height, and what speaks for and against."""
    row, column = np.unravel_index(map_HW.argmax(), map_HW.shape)
    height, width = map_HW.shape
    return {
        "highest": float(map_HW.max()),
        "highest_at": [(int(column) + 0.5) / width, (int(row) + 0.5) / height],
        "lowest": float(map_HW.min()),
        "sum": float(map_HW.sum()),
    }


def _png(image: Image.Image) -> bytes:
    data = io.BytesIO()
    image.save(data, "PNG")
    return data.getvalue()


def _plain(label: str) -> str:
    """A label as part of a file name.

    >>> _plain(" Dog's/"), _plain("...")
    ('dog-s', 'map')
    """
    return re.sub(r"\W+", "-", label.strip().lower()).strip("-_")[:40] or "map"
