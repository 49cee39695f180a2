"""Whether a saved attribution holds what its fields are: it may come from a stranger, or from a bad disk.

Fields that are not named here may hold anything, since nothing but a file is made of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from causal_attrib.io.parsing import has_half_characters, shown
from causal_attrib.results.tokens import NUMBERS

Check = Callable[[Any], bool]

# Whole numbers that every table and browser holds.
_LARGEST = 2**53


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_text_or_none(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_bool(value: Any) -> bool:
    return isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return type(value) is int and 0 <= value < _LARGEST


def _is_count_or_none(value: Any) -> bool:
    return value is None or _is_count(value)


def _is_number(value: Any) -> bool:
    """A float, or a whole number that is one; NaN and infinity have their own error (`Attribution`)."""
    return isinstance(value, float) or (type(value) is int and abs(value) < _LARGEST)


def _is_number_or_none(value: Any) -> bool:
    return value is None or _is_number(value)


def _is_share_or_none(value: Any) -> bool:
    return value is None or (_is_number(value) and (0 <= value <= 1 or value != value))


def _is_list(value: Any) -> bool:
    return isinstance(value, list)


def _is_object(value: Any) -> bool:
    return isinstance(value, dict)


def _is_object_or_none(value: Any) -> bool:
    return value is None or isinstance(value, dict)


_RECORD: dict[str, Check] = {
    "caption": _is_text,
    "prompt": _is_text_or_none,
    "question": _is_text_or_none,
    "answer": _is_text_or_none,
    "generated": _is_bool,
    **dict.fromkeys(("image", "model", "outcome", "settings", "cost", "tool"), _is_object),
    **dict.fromkeys(("verdict", "coherence", "signals", "refinement", "sampling"), _is_object_or_none),
}
_PARTS: dict[str, dict[str, Check]] = {
    "image": {
        "path": _is_text_or_none,
        "sha256": _is_text_or_none,
        "width": _is_count_or_none,
        "height": _is_count_or_none,
    },
    "model": dict.fromkeys(("id", "revision", "dtype", "device", "attn", "quantization"), _is_text_or_none),
    "outcome": {"name": _is_text, "meaning": _is_text, "value": _is_number_or_none},
    "cost": {**dict.fromkeys(("forwards", "positions", "captions"), _is_count), "seconds": _is_number},
    "tool": dict.fromkeys(("name", "version"), _is_text_or_none),
    "verdict": {
        "note": _is_text,
        "calibrated": _is_bool,
        "p_false": _is_share_or_none,
        **dict.fromkeys(("claims", "against"), _is_count_or_none),
    },
    "signals": {"columns": _is_object, "left_out": _is_object},
    "coherence": {
        "hardened": _is_object,
        "channels": _is_object,
        "tokens": _is_object,
        "aggregate": _is_number_or_none,
    },
    "sampling": {"confidence": _is_number, "method": _is_text, **dict.fromkeys(("low", "high", "draws"), _is_list)},
    "refinement": {
        "unit": _is_text,
        **dict.fromkeys(("below", "together"), _is_number_or_none),
        **dict.fromkeys(("rounds", "forwards_per_round"), _is_count),
        "parts": _is_list,
    },
}
_PART: dict[str, Check] = {
    "kind": _is_text,
    **dict.fromkeys(("first", "last", "char_start", "char_end"), _is_count),
    **dict.fromkeys(("sufficiency", "sufficiency_se", "necessity"), _is_number_or_none),
    "opened": _is_bool,
}
# What views read without a look whether it is there.
_NEEDED = {
    "verdict": ("note",),
    "signals": ("columns",),
    "coherence": ("hardened", "channels", "tokens", "aggregate"),
    "sampling": ("confidence", "low", "high", "draws"),
    "refinement": ("unit", "below", "together", "rounds", "forwards_per_round", "parts"),
}
_CHANNELS = tuple(
    f"{source}_to_{target}"
    for source, target in (
        ("image", "reasoning"),
        ("prompt", "reasoning"),
        ("reasoning", "answer"),
        ("image", "answer"),
        ("prompt", "answer"),
    )
)
_SOURCES = ("image", "prompt", "reasoning")
_TOKEN: dict[str, Check] = {
    "text": _is_text,
    "id": _is_count_or_none,
    **dict.fromkeys(("index", "word", "char_start", "char_end"), _is_count),
    **dict.fromkeys(NUMBERS, _is_number_or_none),
    "p_false": _is_share_or_none,
    "verdict": _is_text_or_none,
    "signals": _is_object_or_none,
}
_SIGNAL: dict[str, Check] = {"meaning": _is_text, "pool": lambda value: value in ("sum", "mean", "first")}


def check_record(record: Mapping[str, Any]) -> None:
    """A look at every field that tables, figures and reports are made of.

    Raises:
        ValueError: a field is none; it names the field and shows what is there.
    """
    if has_half_characters(record):
        raise ValueError("it holds half a character (a lone surrogate)")
    _check(record, _RECORD, "")
    for part, known in _PARTS.items():
        if record.get(part) is not None:
            _check(record[part], known, f"{part}.", _NEEDED.get(part, ()))
    if record.get("coherence") is not None:
        coherence = record["coherence"]
        for part in ("hardened", "channels"):
            _check(coherence[part], dict.fromkeys(_CHANNELS, _is_number_or_none), f"coherence.{part}.", _CHANNELS)
        _check(coherence["tokens"], dict.fromkeys(_SOURCES, _is_count), "coherence.tokens.", _SOURCES)
    length = len(record["caption"])
    for number, part in enumerate((record.get("refinement") or {}).get("parts", ())):
        where = f"refinement.parts[{number}]"
        if not isinstance(part, dict):
            raise ValueError(f"{where} is {shown(part)}")
        _check(part, _PART, f"{where}.", tuple(_PART))
        if not part["char_start"] <= part["char_end"] <= length:
            raise ValueError(f"{where} does not lie in the caption")
    signals = {} if record.get("signals") is None else record["signals"]["columns"]
    for name, of in signals.items():
        if not isinstance(of, dict):
            raise ValueError(f"signals.columns.{name} is {shown(of)}")
        _check(of, _SIGNAL, f"signals.columns.{name}.", tuple(_SIGNAL))
    tokens = record.get("tokens")
    if not isinstance(tokens, list):
        raise ValueError(f"tokens is {shown(tokens)}")
    for number, token in enumerate(tokens):
        if not isinstance(token, dict):
            raise ValueError(f"tokens[{number}] is {shown(token)}")
        _check(token, _TOKEN, f"tokens[{number}].", ("index", "text", "id", "word", "char_start", "char_end"))
        of_token = token.get("signals") or {}
        _check(of_token, dict.fromkeys(of_token, _is_number), f"tokens[{number}].signals.", tuple(signals))
        if not token["char_start"] <= token["char_end"] <= length:
            raise ValueError(f"tokens[{number}] does not lie in the caption")
        if token["text"] != record["caption"][token["char_start"] : token["char_end"]]:
            raise ValueError(f"tokens[{number}].text is {shown(token['text'])}, but the caption has another there")


def _check(values: Mapping[str, Any], known: Mapping[str, Check], where: str, needed: tuple[str, ...] = ()) -> None:
    for name in needed:
        if name not in values:
            raise ValueError(f"{where}{name} is missing")
    for name, is_right in known.items():
        if name in values and not is_right(values[name]):
            raise ValueError(f"{where}{name} is {shown(values[name])}")
