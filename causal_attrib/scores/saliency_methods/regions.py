"""How a picture is cut into regions, and how values of regions become a map.

    grid:8        8 x 8 cells of equal size;  grid:4x6 has 4 rows and 6 columns
    patch         the cells of the model's own image tokens
    window:3      squares of 3 x 3 image tokens, one around each image token, cut at the picture's edge. They overlap;
                  the value of each is put where its middle is. Where there are more than 256 image tokens, they are
                  joined by twos; where they have no place in the picture, 8 x 8 cells stand for them
    window:1+3    squares of both widths; a cell has the mean of those whose middle it is
    FILE          masks: a .npy array of labels (height, width) or of masks (regions, height, width), or a picture whose
                  colours are the labels. Every label is a region, 0 too.

Axes: R regions, H and W of the map's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.choice import MOST_REGIONS, WINDOW, RegionsLike, check_regions, grid_of
from causal_attrib.scores.saliency_methods.geometry import holds_a_token, token_grid
from causal_attrib.vlm.layout import ImageLayout

# Of windows of one width.
MOST_WINDOWS = 256


@dataclass(frozen=True, eq=False)
class Regions:
    """Parts of a picture, which may overlap.

    cover_RHW: boolean; which cells of the map's grid each region covers
    mark_RHW:  boolean; which cells its value stands for: by default those it covers
    """

    cover_RHW: np.ndarray
    mark_RHW: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.cover_RHW)

    @property
    def overlap(self) -> bool:
        return bool((self.cover_RHW.sum(0) > 1).any())

    def union(self, chosen_R: np.ndarray) -> np.ndarray:
        """The cells (H, W) that any of the chosen regions covers."""
        return self.cover_RHW[np.asarray(chosen_R, dtype=bool)].any(0)

    def paint(self, values_R: np.ndarray) -> np.ndarray:
        """The map (H, W): each cell has the mean of the regions that stand for it, or 0 where none does."""
        mark_RHW = self.cover_RHW if self.mark_RHW is None else self.mark_RHW
        return np.tensordot(values_R, mark_RHW, 1) / np.maximum(mark_RHW.sum(0), 1)


def cut(spec: RegionsLike, layout: ImageLayout, size: tuple[int, int]) -> Regions:
    """Regions of a picture.

    Args:
        spec: as above, or an array as in a .npy file.
        layout: of the image tokens, for `patch` and `window`.
        size: (width, height) of the picture.

    Raises:
        InputError: there are no such regions, or too many.
    """
    check_regions(spec)
    if isinstance(spec, np.ndarray):
        regions = _of_array(spec, "The array of regions")
    elif grid := grid_of(spec):
        rows, columns = grid
        if rows > size[1] or columns > size[0]:
            raise InputError(
                f"{spec} has cells smaller than a pixel of a picture of {size[0]} x {size[1]}; the finest square grid "
                f"is grid:{min(*size, 64)}."
            )
        regions = _cells(rows, columns)
    elif spec == "patch":
        regions = _cells(*token_grid(layout))
    elif match := WINDOW.fullmatch(str(spec)):
        regions = _windows(*_window_grid(layout), [int(side) for side in match[1].split("+")])
    else:
        regions = _of_file(Path(spec))
    if len(regions) > MOST_REGIONS:
        raise InputError(f"{spec} makes {len(regions)} regions, and each takes forwards; take at most {MOST_REGIONS}.")
    return regions


def check_hides_tokens(regions: Regions, spec: RegionsLike, layout: ImageLayout) -> None:
    """Raises InputError if a region that was named holds no image token: it would hide nothing and come out as 0."""
    if isinstance(spec, str) and (spec == "patch" or WINDOW.fullmatch(spec)):
        return  # made of the image tokens
    empty = ~holds_a_token(layout, regions.cover_RHW)
    if empty.any():
        rows, columns = token_grid(layout)
        raise InputError(
            f"Region {empty.argmax() + 1} of {len(regions)} holds no image token for the most part, so that nothing of "
            f"it would be hidden; take patch (grid:{rows}x{columns}) or larger regions, or level='region'."
        )


def token_cells(layout: ImageLayout) -> Regions:
    """The cells that windows are laid around, each by itself: the image tokens, joined by twos where there are many, or
    8 x 8 cells where they have no place in the picture."""
    return _cells(*_window_grid(layout))


def in_picture(cover_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Cells of the map's grid as a mask of the picture (height, width)."""
    mask = Image.fromarray(cover_HW.astype(np.uint8)).resize(size, Image.Resampling.NEAREST)
    return np.asarray(mask).astype(bool)


def _cells(rows: int, columns: int) -> Regions:
    if rows * columns > MOST_REGIONS:
        raise InputError(
            f"{rows} x {columns} regions are too many, as each takes forwards; take at most {MOST_REGIONS}."
        )
    return Regions(np.eye(rows * columns, dtype=bool).reshape(-1, rows, columns))


def _window_grid(layout: ImageLayout) -> tuple[int, int]:
    """(rows, columns) of the cells that windows are laid around."""
    if not any(layout.boxes):
        return 8, 8
    rows, columns = token_grid(layout)
    while rows * columns > MOST_WINDOWS:
        rows, columns = (rows + 1) // 2, (columns + 1) // 2
    return rows, columns


def _windows(rows: int, columns: int, sides: list[int]) -> Regions:
    if not all(1 <= side <= max(rows, columns) for side in sides):
        raise InputError(f"Windows of {sides} image tokens do not fit their {rows} x {columns}; take smaller ones.")

    def near(count: int, side: int) -> np.ndarray:
        """Which cells (count, count) of an axis lie in the window around each."""
        cells = np.arange(count)
        # An even window reaches one cell further up and to the left.
        return (cells >= cells[:, None] - side // 2) & (cells < cells[:, None] + (side + 1) // 2)

    cover_RHW = [
        (near(rows, side)[:, None, :, None] & near(columns, side)[None, :, None, :]).reshape(-1, rows, columns)
        for side in sides
    ]
    return Regions(np.concatenate(cover_RHW), np.tile(_cells(rows, columns).cover_RHW, (len(sides), 1, 1)))


def _of_file(path: Path) -> Regions:
    try:
        if path.suffix == ".npy":
            return _of_array(np.load(path, allow_pickle=False), str(path))
        with Image.open(path) as opened:
            # A palette's indices are labels as they are.
            labels = np.asarray(opened if opened.mode in ("P", "L", "1", "I", "I;16") else opened.convert("RGB"))
    except (OSError, ValueError):
        raise InputError(
            f"{path} holds no regions; give a .npy array of labels or masks, or a label picture."
        ) from None
    if labels.ndim == 3:
        labels = np.unique(labels.reshape(-1, 3), axis=0, return_inverse=True)[1].reshape(labels.shape[:2])
    return _of_array(labels, str(path))


def _of_array(array: np.ndarray, name: str) -> Regions:
    if array.ndim == 2 and array.dtype.kind in "iub" and array.size:
        labels = np.unique(array)
        if len(labels) > MOST_REGIONS:
            raise InputError(f"{name} has {len(labels)} labels, and each takes forwards; take at most {MOST_REGIONS}.")
        return Regions(array[None] == labels[:, None, None])
    if array.ndim == 3 and array.size and set(np.unique(array)) <= {0, 1}:
        cover_RHW = array.astype(bool)
        if not cover_RHW.any((1, 2)).all():
            raise InputError(f"{name} has a mask that covers nothing; leave it out.")
        return Regions(cover_RHW)
    raise InputError(
        f"{name} must hold whole numbers (height, width) as labels, or masks of 0 and 1 (regions, height, width), not "
        f"{array.dtype} of shape {array.shape}."
    )
