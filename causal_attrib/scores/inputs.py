"""What is scored, held against the settings as far as no model is needed for it. No torch is imported.

Whoever scores calls `check_inputs` before the model is loaded: what is wrong is then told at once.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import shown
from causal_attrib.io.pictures import ImageLike, Picture, read_picture
from causal_attrib.outcomes.names import check_given
from causal_attrib.outcomes.objects import annotated_objects
from causal_attrib.scores.coherence_channels.reasoned import check_reasoned
from causal_attrib.scores.settings import Settings
from causal_attrib.scores.verdict import Calibration, read_calibration
from causal_attrib.words.blank import check_says_something
from causal_attrib.words.reasoning import check_asked, split_response

# A text, the ids that a model wrote, or None for what the model is yet to write.
Caption = str | Sequence[int] | None


@dataclass(frozen=True, kw_only=True)
class Inputs:
    """Captions of one picture, and what goes with all of them.

    prompt, question, answer, objects: as in `causal_attrib.score`
    calibration: of the verdicts; None where none are asked for
    """

    picture: Picture
    captions: tuple[Caption, ...]
    prompt: str | None
    question: str | None
    answer: str | None
    objects: list[str] | None
    calibration: Calibration | None


def check_inputs(
    settings: Settings,
    image: ImageLike,
    captions: Sequence[Caption],
    *,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    objects: list[str] | None = None,
) -> Inputs:
    """Read the picture and the calibration, and look at the texts.

    Raises:
        InputError: a picture or calibration that cannot be read, a text that is empty, or a caption that coherence
            cannot be taken of.
    """
    calibration = calibration_of(settings)
    picture = read_picture(image)
    check_texts(captions, prompt=prompt, question=question, answer=answer)
    _check_objects(settings, objects)
    for caption in captions:
        if isinstance(caption, str):
            check_says_something("caption", caption, "give the words that are to be scored")
    if answer is not None:
        check_says_something("reference answer", answer, "give the answer that counts as right")
    for caption in captions:
        if isinstance(caption, str):
            if settings.coherence:
                check_reasoned(caption, answer)
            check_asked_of(settings, caption, question, answer, objects)
    return Inputs(
        picture=picture,
        captions=tuple(captions),
        prompt=prompt,
        question=question,
        answer=answer,
        objects=objects,
        calibration=calibration,
    )


def check_texts(captions: Sequence[object], **texts: object) -> None:
    """Raises InputError for a caption that is neither text nor ids, and for other texts, by name, that are none."""
    for what, text in texts.items():
        if text is not None and not isinstance(text, str):
            raise InputError(f"The {what} is {shown(text)}; give a string.")
    for caption in captions:
        if caption is not None and not isinstance(caption, str) and not _are_ids(caption):
            raise InputError(f"The caption is {shown(caption)}; give a string, or the ids of its tokens.")


def _check_objects(settings: Settings, objects: object) -> None:
    if objects is None:
        return
    if not isinstance(objects, (list, tuple, set, frozenset)) or not all(isinstance(name, str) for name in objects):
        raise InputError(f"The objects are {shown(objects)}; give a list of their names.")
    if settings.outcome == "objects":
        annotated_objects(list(objects))


def check_asked_of(
    settings: Settings, caption: str, question: str | None, answer: str | None, objects: Sequence[str] | None
) -> None:
    """Raises InputError if a caption without reasoning lacks a question or an answer, or what the outcome needs."""
    reasons = split_response(caption) is not None
    if not reasons:
        check_asked(question, answer)
    check_given(settings.outcome, answer=reasons or answer is not None, objects=objects is not None)


def _are_ids(caption: object) -> bool:
    """Whether it is a sequence of whole numbers: a list, a tuple, an array or a tensor."""
    if isinstance(caption, bytes | bytearray | dict):
        return False
    try:
        return all(0 <= operator.index(token) < 2**31 for token in caption)  # type: ignore[attr-defined]
    except TypeError:
        return False


def calibration_of(settings: Settings) -> Calibration | None:
    """The calibration that the settings name, or None where no verdicts are asked for.

    Raises:
        InputError: there is no such calibration, or it is of another necessity than the settings ask for.
    """
    if not settings.verdict:
        return None
    calibration = read_calibration(settings.calibration, settings.level, settings.against)
    if calibration.reads_necessity and settings.outcome_words != "all":
        raise InputError(
            "This calibration reads the necessity of words under the outcome of all words; leave out --outcome-words "
            "(or outcome_words=), or the calibration."
        )
    return calibration
