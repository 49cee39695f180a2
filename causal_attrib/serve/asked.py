"""What a request asks for, read and checked without the model. Whoever wrote it is a stranger.

Nothing that it names is opened: a picture is sent along, never a path or an address, and an outcome is one of the
package's own, never a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, TypeVar

from causal_attrib.choices import OUTCOMES, kind_of
from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, shown
from causal_attrib.io.pictures import embedded, read_picture
from causal_attrib.scores.inputs import Inputs, check_inputs
from causal_attrib.scores.saliency_methods.choice import Choice, SettledChoice
from causal_attrib.scores.settings import Settings
from causal_attrib.serve.limits import Limits

Kind = Literal["score", "verdict", "saliency"]

TEXTS = ("caption", "prompt", "question", "answer")
# Fields of `Settings` and of `Choice` that a request may set. Others name files, or what suits the machine.
SCORING = (
    *("outcome", "against", "mask", "samples", "estimator", "coupling", "level", "lambda_s", "lambda_n", "seed"),
    *("verdict", "coherence", "outcome_words", "signals"),
)
MAPPING = ("method", "level", "baseline", "reduce", "smooth", "samples", "steps", "noise", "smallest", "seed", "of")
# What a map is of; beside the fields of `Choice`.
WORDS = ("words", "foil")

_T = TypeVar("_T", Settings, Choice)


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A request that may be put to the model.

    data:     the bytes of the picture, which a report of the result is made with
    settings: how the caption is scored
    inputs:   the picture and the texts
    choice:   how maps are made, where maps were asked for
    words, foil: what of, as in `causal_attrib.saliency`
    """

    data: bytes
    settings: Settings
    inputs: Inputs
    choice: SettledChoice | None = None
    words: str | None = None
    foil: str | None = None

    @property
    def texts(self) -> dict[str, Any]:
        """Beside the caption, by the names that scores and maps take them."""
        return {"prompt": self.inputs.prompt, "question": self.inputs.question, "answer": self.inputs.answer}

    @property
    def shares_forwards_with(self) -> object:
        """Requests for which this is equal can be run together; None goes alone."""
        return None if self.choice is not None else self.settings


def read_asked(kind: Kind, values: Mapping[str, Any], data: bytes | None, limits: Limits, calibration: Any) -> Asked:
    """Read the fields of a form or of a JSON object.

    Args:
        values: texts as a form has them, or values of JSON.
        data: the picture, if it came as a file.
        calibration: of verdicts, as in `Settings`.

    Raises:
        InputError: anything that is wrong with it.
    """
    allowed = {"image", "objects", *TEXTS, *(MAPPING + WORDS if kind == "saliency" else SCORING)}
    if unknown := sorted(set(values) - allowed):
        raise InputError(f"There is no field {shown(unknown[0])} of {kind}; there are {', '.join(sorted(allowed))}.")
    if data is None:
        data = _sent_along(values.get("image"))
    texts = {name: _text(name, values.get(name), limits) for name in TEXTS}
    caption = texts.pop("caption")
    # An empty field of a form is one that was left blank.
    texts = {name: text or None for name, text in texts.items()}
    objects = _objects(values.get("objects"), limits)
    if kind == "saliency":
        settings = Settings()
        choice = _settings(Choice, MAPPING, values, limits).settled()
        if choice.baseline == "swap":
            raise InputError("The baseline swap needs a second picture, which this server does not take.")
        words, foil = (_text(name, values.get(name), limits) or None for name in WORDS)
    else:
        settings = _settings(Settings, SCORING, values, limits, calibration if kind == "verdict" else None, kind)
        choice, words, foil = None, None, None
    picture = read_picture(data, max_pixels=limits.pixels)
    inputs = check_inputs(settings, picture, [caption or None], objects=objects, **texts)
    return Asked(data=data, settings=settings, inputs=inputs, choice=choice, words=words, foil=foil)


def _sent_along(image: object) -> bytes:
    if image is None or image == "":
        raise InputError("There is no picture; send it as the file image, or as a data URI in JSON.")
    if not (isinstance(image, str) and image[:5].lower() == "data:"):
        raise InputError("The image is no data URI; send the picture itself, since no path or address is opened here.")
    data: bytes = embedded(image)["bytes"]
    return data


def _text(name: str, value: object, limits: Limits) -> str | None:
    if value is None:
        return None
    if not isinstance(value, str):
        raise InputError(f"The {name} is {shown(value)}; send a text.")
    if len(value) > limits.characters:
        raise InputError(
            f"The {name} has {len(value):,} characters, and {limits.characters:,} are taken; send a shorter one."
        )
    if "\x00" in value or any("\ud800" <= one <= "\udfff" for one in value):
        raise InputError(f"The {name} holds characters that are no text; send it again as UTF-8.")
    return value


def _objects(value: object, limits: Limits) -> list[str] | None:
    if value is None or value == "":
        return None
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, list) or len(names) > limits.characters or not all(isinstance(one, str) for one in names):
        raise InputError(f"The objects are {shown(value)}; send their names with commas between them.")
    return [one.strip() for one in names]


def _settings(
    settings: type[_T],
    names: tuple[str, ...],
    values: Mapping[str, Any],
    limits: Limits,
    calibration: Any = None,
    kind: Kind = "saliency",
) -> _T:
    given = {name: _value(settings, name, values[name]) for name in names if values.get(name) not in (None, "")}
    outcome = given.get("outcome", "auto")
    if outcome not in OUTCOMES or ":" in str(outcome):
        own = [name for name in OUTCOMES if ":" not in name]
        raise InputError(f"There is no outcome {shown(outcome)}; choose one of {', '.join(own)}.")
    for name, most in (("samples", limits.samples if settings is Settings else limits.steps), ("steps", limits.steps)):
        if given.get(name, 0) > most:
            raise InputError(f"{name} is {given[name]}, and this server takes {most} at most; send fewer.")
    if kind == "verdict":
        given |= {"verdict": True, "calibration": calibration}
    return settings(**given)


def _value(settings: type, name: str, value: Any) -> Any:
    """A value as its field has it: forms send texts."""
    read = kind_of(settings, name)
    if isinstance(value, bool) and read is not bool:
        raise InputError(f"{name} is {shown(value)}; send {_CALLED[read]}.")
    if isinstance(value, str):
        if read is bool:
            if value.lower() not in _TRUTH:
                raise InputError(f"{name} is {shown(value)}; send true or false.")
            return _TRUTH[value.lower()]
        try:
            return read(value)
        except (ValueError, OverflowError):
            raise InputError(f"{name} is {shown(cut(value))}; send {_CALLED[read]}.") from None
    if read is float and isinstance(value, int):
        return value
    if not isinstance(value, read):
        raise InputError(f"{name} is {shown(value)}; send {_CALLED[read]}.")
    return value


_CALLED = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
_TRUTH = {"true": True, "1": True, "on": True, "yes": True, "false": False, "0": False, "off": False, "no": False}
