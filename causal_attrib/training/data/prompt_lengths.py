"""Whether a model reads prompts as long as those of a run, found before the first step."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import at_least_smallest, picture_size
from causal_attrib.training.data.layouts import text_of
from causal_attrib.training.scoring.rollout import Rollout, chat_of
from causal_attrib.vlm import VLM

# Pictures of so many sizes are shown to the processor, to learn what a picture takes.
_SIZES = 16
_RESPONSES = ("chosen", "rejected", "chosen_contrast")

_Size = tuple[int, int]


def check_lengths(
    vlm: VLM,
    rows: Sequence[dict],
    path: str | None,
    written: int | None = 1,
    options: Mapping[str, Any] | None = None,
) -> None:
    """Hold the prompts of rows, with empty pictures of their sizes, against what the model reads.

    A token is at least a byte of text, so that of short rows only the longest is tokenized.

    Args:
        path: where the rows are from.
        written: tokens that may be written behind a prompt; None: the responses of the row stand there.
        options: further arguments of the chat template.

    Raises:
        InputError: behind a prompt no token can be written, or a response does not fit; the row is named.

    Warns:
        UserWarning: `written` tokens go beyond what the model reads.
    """
    longest = vlm.family.longest
    if longest is None or not rows:
        return
    told = dict(options or {})
    asked = [{"type": "image"}, {"type": "text", "text": vlm.family.default_prompt}]
    default = chat_of(vlm, Rollout([], [{"role": "user", "content": asked}], (), options=told))
    pictures = [_pictures(row) for row in rows]
    sizes = sorted({size for of_row in pictures for shown in of_row for size in shown}, key=lambda s: (s[0] * s[1], s))
    spread = {sizes[n * (len(sizes) - 1) // (_SIZES - 1)] for n in range(_SIZES)} if sizes else set()
    each = max((_length(vlm, default, [size]) for size in spread), default=0)

    def at_most(n: int) -> int:
        """Tokens that a row has at most; a turn takes less of the template than a whole conversation does."""
        texts = [text_of(turn["content"]) for turn in rows[n]["prompt"]]
        of_text = sum(len(text.encode()) for text in texts) + len(default.encode()) * len(texts)
        responses = 0 if written else max(len(text.encode()) for text in _responses(rows[n]))
        return of_text + responses + each * max(map(len, pictures[n]))

    bounds = [at_most(n) for n in range(len(rows))]
    first, *others = sorted(range(len(rows)), key=lambda n: -bounds[n])
    found: dict[int, int] = {}
    for n in (first, *(n for n in others if bounds[n] + 1 > longest)):
        row = rows[n]
        behind = 1 if written else max(_text_length(vlm, text) for text in _responses(row))
        in_words = _text_length(vlm, chat_of(vlm, Rollout([], row["prompt"], (), options=told), picture=False))
        if n != first and in_words + each * max(map(len, pictures[n])) + behind <= longest:
            continue
        found[n] = max(_length_of_prompt(vlm, row["prompt"], shown, told) for shown in pictures[n])
        if found[n] + behind > longest:
            what = "" if written else f", the response {behind} more"
            remedy = "shorten the prompt" if written or found[n] >= longest else "shorten them"
            raise InputError(
                f"{path} row {n + 1} has a prompt of {found[n]} tokens, pictures included{what}, but {vlm.name} reads "
                f"at most {longest}, with what is written behind it; {remedy}, or choose another model."
            )
    n = max(found, key=lambda n: found[n])
    if written and found[n] + written > longest:
        warnings.warn(
            f"{path} row {n + 1} has a prompt of {found[n]} tokens, pictures included, and {written} may be written "
            f"behind it, but {vlm.name} reads at most {longest}: the end of a long completion would be written and "
            f"trained on beyond that. Set max_completion_length to {longest - found[n]} or less.",
            stacklevel=1,
        )


def _pictures(row: dict) -> list[tuple[_Size, ...]]:
    """The sizes of the pictures that a row's prompt is shown with; twice where there is a contrast."""
    shown = [row["image"]] if row.get("image") is not None else row.get("images") or []
    contrast = row.get("image_contrast")
    every = [shown] if contrast is None else [shown, [contrast]]
    return [tuple(picture_size(picture) for picture in some) for some in every]


def _responses(row: dict) -> Iterator[str]:
    return (text_of(row[name][-1]["content"]) for name in _RESPONSES if row.get(name))


def _length_of_prompt(vlm: VLM, messages: Sequence[dict], sizes: Sequence[_Size], options: dict) -> int:
    rollout = Rollout([Image.new("RGB", size) for size in sizes], messages, (), options=options)
    text = chat_of(vlm, rollout)
    return _length(vlm, text, sizes) if sizes else _text_length(vlm, text)


def _length(vlm: VLM, text: str, sizes: Sequence[_Size]) -> int:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what is stretched, which is told of the pictures themselves
        blank = [at_least_smallest(Image.new("RGB", size)) for size in sizes]
    return vlm.prompt_inputs(text, *blank)[vlm.family.row].shape[1]


def _text_length(vlm: VLM, text: str) -> int:
    return len(vlm.tokenizer(text, add_special_tokens=False)["input_ids"])
