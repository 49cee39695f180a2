"""Whether a model's processor takes the pictures of a run, found before the first step."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import at_least_smallest, picture_size
from causal_attrib.vlm import VLM


def check_sizes(vlm: VLM, rows: Sequence[dict], path: str | None) -> None:
    """Show the processor an empty picture of each extreme shape in the rows: widest, tallest, smallest, of least area.

    What processors refuse is a shape (Qwen: sides of more than 200 to 1), and one that takes these takes those between.

    Raises:
        InputError: it refuses one; the row is named.
    """
    numbers: dict[tuple[int, int], int] = {}
    for number, row in enumerate(rows, start=1):
        for picture in (row.get("image"), row.get("image_contrast"), *(row.get("images") or ())):
            if picture is not None:
                numbers.setdefault(picture_size(picture), number)
    if not numbers:
        return
    text = vlm.family.converse(vlm.family.default_prompt).before
    extremes = (
        max(numbers, key=lambda size: size[0] / size[1]),
        max(numbers, key=lambda size: size[1] / size[0]),
        min(numbers, key=min),
        min(numbers, key=lambda size: size[0] * size[1]),
    )
    for size in dict.fromkeys(extremes):
        try:
            vlm.prompt_inputs(text, at_least_smallest(Image.new("RGB", size)))
        except InputError as error:
            raise InputError(f"{path} row {numbers[size]}: {error}") from None
