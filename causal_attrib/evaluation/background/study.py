"""The background study on a model: answers and their saliency, with the picture and with its description.

The text arm puts the reference image in the place of the user's and lets the description stand in the conversation as
what the model said of it; then the question is asked. So any model that takes a picture has a text arm, and it reads
the words only. Whether it can answer from them is another matter, which the share of right answers tells.

Axes: N tokens, D features, L positions.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.evaluation.background.rows import MEASURES, Asked
from causal_attrib.evaluation.background.shares import Measured, Share, background_share, outside_mask
from causal_attrib.io.pictures import read_picture
from causal_attrib.io.row_pictures import name_of
from causal_attrib.outcomes.match import matches
from causal_attrib.scores.coherence_channels.jacobians import take_slopes
from causal_attrib.scores.coherence_channels.sources import covering
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib.vlm import VLM, Continuation
from causal_attrib.vlm.text import decode

# Tokens of an answer that is written.
LONGEST = 64
# Stands for the response where only the prompt matters.
_PLACE = "."


def study(
    vlm: VLM,
    rows: Sequence[Asked],
    *,
    measure: str = "gradient",
    progress: Callable[[int, int], None] | None = None,
) -> list[Measured]:
    """Put every question to both arms (to the text arm where there is a description).

    Args:
        measure: "gradient" (its norm) or "gradient_x_input" (the size of the product).
        progress: called with (questions done, questions in all).

    Returns:
        What was measured. A question is left out of an arm that answers nothing to it, or whose tokens all lie on one
        side of the object's border.

    Raises:
        InputError: there is no such measure, or the model's image tokens stand for no part of the picture.
    """
    if measure not in MEASURES:
        raise InputError(f"There is no measure {measure!r}; choose one of {', '.join(MEASURES)}.")
    found = []
    for done, row in enumerate(rows, 1):
        found.append(by_picture(vlm, row, measure))
        if row.description is not None:
            found.append(by_description(vlm, row, measure))
        if progress is not None:
            progress(done, len(rows))
    return [measured for measured in found if measured is not None]


def by_picture(vlm: VLM, row: Asked, measure: str = "gradient") -> Measured | None:
    """One question to a model that sees the picture."""
    encoding = vlm.encode(read_picture(row.image), row.question, _PLACE)
    boxed = {n: box for n, box in enumerate(encoding.layout.boxes) if box is not None}
    if not boxed:
        raise InputError(
            f"The image tokens of {vlm.name} stand for no particular part of the picture, so none is background; take "
            "a model that reads patches."
        )
    (ids,) = vlm.write(encoding, Continuation(()), LONGEST)
    if not ids:
        return None
    slopes = take_slopes(vlm, encoding.prompt_inputs, ids, [range(len(ids))], Door(vlm, encoding))
    assert slopes.of_image_KND is not None and slopes.image_ND is not None  # taken at the door
    saliency_N = token_saliency(slopes.of_image_KND[0], slopes.image_ND, measure)[list(boxed)]
    mask_HW = row.mask(encoding.picture.pixels.size)
    outside_N = outside_mask(list(boxed.values()), mask_HW)
    return _measured(vlm, "image", row, ids, background_share(saliency_N, outside_N))


def by_description(vlm: VLM, row: Asked, measure: str = "gradient") -> Measured | None:
    """One question to a model that reads the description in place of the picture."""
    encoding = vlm.encode(read_picture(row.image), None, row.description, row.answer, question=row.question)
    before = encoding.response_ids + encoding.cue_ids
    (ids,) = vlm.write(encoding, Continuation(before, reference=True), LONGEST)
    if not ids:
        return None
    said = range(len(before), len(before) + len(ids))
    slopes = take_slopes(vlm, encoding.reference_inputs, before + ids, [said])
    read = [encoding.prompt_length + t for t in encoding.scored]
    saliency_N = token_saliency(slopes.of_words_KLD[0, read], slopes.words_LD[read], measure)
    named = {t for span in row.spans for t in covering(encoding.spans, span)}
    outside_N = np.array([t not in named for t in encoding.scored])
    return _measured(vlm, "text", row, ids, background_share(saliency_N, outside_N))


def token_saliency(gradient_ND: Tensor, value_ND: Tensor, measure: str = "gradient") -> np.ndarray:
    """s_j (N,) of tokens: the norm of each gradient, or the size of its product with the token.

    >>> import torch
    >>> gradient_ND, value_ND = torch.tensor([[3.0, 4.0], [0.0, 1.0]]), torch.tensor([[1.0, -2.0], [5.0, 0.5]])
    >>> token_saliency(gradient_ND, value_ND), token_saliency(gradient_ND, value_ND, "gradient_x_input")
    (array([5., 1.]), array([5. , 0.5]))
    """
    found_N = gradient_ND.norm(dim=-1) if measure == "gradient" else (gradient_ND * value_ND).sum(-1).abs()
    return found_N.double().cpu().numpy()


def _measured(vlm: VLM, arm: str, row: Asked, ids: tuple[int, ...], share: Share | None) -> Measured | None:
    reply = decode(vlm.tokenizer, ids).strip()
    return (
        None
        if share is None
        else Measured(arm, name_of(row.image), row.question, reply, matches(reply, row.answer), share)
    )
