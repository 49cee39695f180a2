"""Where a source of coherence stands among the ids that a model reads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import spans_of_ids
from causal_attrib.words.segmentation import Span


def positions_in_prompt(vlm: VLM, prompt_inputs: dict[str, Tensor], text: str) -> list[int]:
    """Positions of the words of `text`, where it stands last in the prompt.

    Raises:
        InputError: it is empty, the tokenizer has changed it beyond recognition, or an encoder of its own reads it.
    """
    if vlm.family.row != "input_ids":
        raise InputError(
            f"{vlm.name} reads its prompt apart from what it writes, and coherence needs both in one row; take a "
            "decoder."
        )
    ids = prompt_inputs[vlm.family.row][0].tolist()
    places = [place for place, token in enumerate(ids) if token not in vlm.family.image_ids]
    read, spans = spans_of_ids(vlm.tokenizer, tuple(ids[place] for place in places))
    text = text.strip()
    start = read.rfind(text)
    if not text or start < 0:
        raise InputError(
            f"The prompt {text[:40]!r} cannot be found in what the tokenizer of {vlm.name} makes of it; leave out "
            "characters that it changes."
        )
    return [places[t] for t in covering(spans, (start, start + len(text)))]


def covering(spans: Sequence[Span], border: Span) -> tuple[int, ...]:
    """The tokens that have a character within the border.

    >>> covering(((0, 1), (1, 5), (5, 7)), (2, 6))
    (1, 2)
    """
    return tuple(t for t, (start, end) in enumerate(spans) if max(start, border[0]) < min(end, border[1]))
