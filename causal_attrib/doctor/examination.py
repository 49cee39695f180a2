"""All checks of one model, one after the other."""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Sequence
from typing import Any

from causal_attrib.choices import ENGINES
from causal_attrib.doctor.case import Case
from causal_attrib.doctor.forwards import causality, hiding, image_is_seen, image_is_used, leak, numbers, padding
from causal_attrib.doctor.precision import precision
from causal_attrib.doctor.report import Check, Report
from causal_attrib.doctor.scoring import deterministic, engines
from causal_attrib.doctor.software import environment
from causal_attrib.doctor.text import image_tokens, prompt, spans
from causal_attrib.doctor.writing import own_words, writing
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, read_picture
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM

_OF_A_PATIENT = (
    *(spans, prompt, image_tokens),
    *(numbers, image_is_seen, image_is_used, causality, hiding, leak, padding),
    *(deterministic, precision, own_words, writing),
)

_log = logging.getLogger(__name__)


def examine(
    vlm: VLM,
    image: ImageLike,
    caption: str | Sequence[int] | None = None,
    *,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Check that scores of a model can be trusted, on a picture and a caption.

    A check that raises has failed, with the reason as its detail, and the others go on.

    Args:
        image: path, PIL image, array, tensor, bytes, data URI (docs/pictures.md).
        caption: a text that fits the picture, or ids the model wrote; None lets the model write one.
        seed: of what is drawn.
        progress: called with (checks done, checks in all).

    Raises:
        InputError: the picture or the caption cannot be used.
    """
    if seed < 0:
        raise InputError(f"The seed is {seed}, but it must be 0 or more.")
    case = Case(vlm, read_picture(image), caption, seed)
    try:
        _ = case.encoding
    except InputError:
        raise
    except Exception:
        _log.debug("The picture and the caption could not be encoded", exc_info=True)  # told by the checks that need it
    names = [name for name in ENGINES if name not in ("auto", "plain")] if vlm.family.packs else []
    faster = {name: functools.partial(case.score, engine=name) for name in names}
    steps: list[tuple[Any, ...]] = [
        (environment,),
        *((check, case) for check in _OF_A_PATIENT),
        (engines, case, faster),
    ]
    checks = []
    for done, (check, *arguments) in enumerate(steps, 1):
        checks.append(_looked_at(check, *arguments))
        if progress is not None:
            progress(done, len(steps))
    return Report(tuple(checks), vlm.record, {"name": "copo", "version": __version__})


def _looked_at(check: Callable[..., Check], *arguments: Any) -> Check:
    try:
        return check(*arguments)
    except Exception as error:
        _log.debug("The check %s raised", check.__name__, exc_info=True)
        reason = str(error) if isinstance(error, InputError) else f"{type(error).__name__} ({_first_line(error)})."
        return Check(check.__name__.replace("_", " "), False, reason)


def _first_line(error: Exception) -> str:
    return next(iter(str(error).strip().splitlines()), "no message")
