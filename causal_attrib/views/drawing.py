"""What all views share: how a token is written and how strongly it is coloured.

The scale is diverging, blue - white - red, symmetric about 0 and the same for all tokens of one caption. Blue is causal
completeness. Red is for a token whose necessity is clearly negative: the outcome is better without it, which is how a
false word shows, and which completeness hides because it clips at 0.
"""

from __future__ import annotations

from collections.abc import Iterator

from causal_attrib.results.attribution import Attribution, Token

# The ends of ColorBrewer's RdBu, which stays readable for the colour-blind.
BLUE = (33, 102, 172)
RED = (178, 24, 43)

# Outcomes lie in [0, 1]; a drop smaller than this is not worth an alarm.
CLEARLY_NEGATIVE = -0.05
# A caption in which nothing matters should look like one: a scale never spans less than this.
SMALLEST_SCALE = 0.1

LEGEND = "blue: causal completeness; red and !: better without it (necessity < 0)"


def is_contradicted(token: Token) -> bool:
    """Whether the outcome is clearly better without the token."""
    return token.necessity is not None and token.necessity < CLEARLY_NEGATIVE


def colour_value(token: Token) -> float | None:
    """The number a token is coloured by: necessity if clearly negative, else causal completeness."""
    return token.necessity if is_contradicted(token) else token.causal_completeness


def scale(attribution: Attribution) -> float:
    """The value that gets the full colour."""
    values = [abs(value) for value in map(colour_value, attribution.tokens) if value is not None]
    return max([SMALLEST_SCALE, *values])


def pieces(attribution: Attribution) -> Iterator[tuple[str, Token | None]]:
    """The whole caption in order: each token with its text, and what lies between tokens with None."""
    at = 0
    for token in attribution.tokens:
        if token.char_start > at:
            yield attribution.caption[at : token.char_start], None
        yield token.text, token
        at = token.char_end
    if at < len(attribution.caption):
        yield attribution.caption[at:], None


def visible(text: str) -> str:
    """Text with a mark for every line break and control character, so that none reaches the terminal."""
    return "".join(_MARKS.get(character, character) for character in text)


_CONTROLS = [*range(0x20), *range(0x7F, 0xA0)]
_MARKS = {chr(code): chr(0x2400 + code) if code < 0x20 else "\ufffd" for code in _CONTROLS} | {"\n": "⏎", "\t": "⇥"}


def number(value: float | None, digits: int = 3) -> str:
    """A score as it is printed: fixed digits, no negative zero, a dash for None."""
    return "–" if value is None else f"{round(value, digits) + 0.0:.{digits}f}"


def with_error(value: float | None, error: float | None) -> str:
    return number(value) if error is None else f"{number(value)} ± {number(error)}"


def outcome_line(attribution: Attribution) -> str:
    """What the scores are differences of: the outcome's name, its value for the whole caption, and what it means."""
    outcome = attribution.outcome
    value = f" = {number(outcome['value'])}" if "value" in outcome else ""
    meaning = f": {outcome['meaning']}" if "meaning" in outcome else ""
    return f"{outcome.get('name', 'unknown')}{value}{meaning}"


def model_line(attribution: Attribution) -> str:
    """Which model, how it ran and what that cost."""
    model, cost = attribution.model, attribution.cost
    parts = [model.get(key) for key in ("id", "quantization", "dtype", "device")]
    if "forwards" in cost:
        parts.append(f"{cost['forwards']:,} forwards")
    if "positions" in cost:
        parts.append(f"{cost['positions']:,} positions")
    if cost.get("captions", 1) > 1:
        parts.append(f"shared by {cost['captions']} captions")
    if "seconds" in cost:
        parts.append(f"{cost['seconds']:.1f} s")
    return ", ".join(str(part) for part in parts if part) or "unknown"
