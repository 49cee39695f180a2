"""What all views share: how a token is written and how it is coloured.

Where there are verdicts, a word has the colour of its verdict. Elsewhere the colour is causal completeness: from none
at 0 to full blue at the largest of a caption, or of all captions that are shown together. A token whose word is
contradicted has no colour of that scale but a mark: without it the outcome is clearly likelier, which is how a false
word shows, and which completeness hides because it clips at 0. Both are for content words: a function word claims
nothing that a picture could bear out, and hiding one breaks the phrase that it holds together.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from itertools import groupby

from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.results.effects import LARGE, effect_nats
from causal_attrib.words.claims import is_content

# The ends of ColorBrewer's RdBu, which stays readable for the colour-blind.
BLUE = (33, 102, 172)
RED = (178, 24, 43)
AMBER = (190, 105, 10)
GREY = (90, 95, 105)


@dataclass(frozen=True)
class Tint:
    """A colour, and how much of it is laid on white: 0 none, 1 all."""

    colour: tuple[int, int, int]
    strength: float


# Every verdict that says something of a word; "no claim" has no colour.
VERDICTS = {
    "grounded": Tint(BLUE, 0.45),
    "against the image": Tint(RED, 1.0),
    "language prior": Tint(AMBER, 0.4),
    "undecided": Tint(GREY, 0.35),
}
VERDICT_LEGEND = (
    "blue: the picture bears the word out; red, underlined and !: it speaks against it; amber: likely with and without "
    "the picture; grey: undecided"
)

# What outcomes without a unit have to drop by for an alarm; where there is one, `results.effects.LARGE` nats.
CLEARLY_NEGATIVE = -0.05
# A caption in which nothing matters should look like one: a scale never spans less than this.
SMALLEST_SCALE = 0.1

LEGEND = "blue: causal completeness; red, underlined and !: the outcome is 7 times as likely without it (-2 nats)"


def claiming(attribution: Attribution) -> frozenset[int]:
    """Indices of the tokens of content words."""
    found: set[int] = set()
    for _, tokens in groupby(attribution.tokens, key=lambda token: token.word):
        word = list(tokens)
        if is_content("".join(token.text for token in word).strip()):
            found.update(token.index for token in word)
    return frozenset(found)


def contradicted(attribution: Attribution) -> frozenset[int]:
    """Indices of the tokens of content words without which the outcome is clearly likelier."""
    claims = claiming(attribution)
    return frozenset(
        token.index for token in attribution.tokens if token.index in claims and _is_better_without(attribution, token)
    )


def marked(attribution: Attribution) -> frozenset[int]:
    """Indices of the tokens that a reader is warned of: those against the image where there are verdicts, else those
    that are contradicted."""
    if attribution.verdict is None:
        return contradicted(attribution)
    return frozenset(token.index for token in attribution.tokens if token.verdict == "against the image")


def _is_better_without(attribution: Attribution, token: Token) -> bool:
    effect = effect_nats(attribution.outcome, token.necessity)
    if effect is not None:
        return effect <= -LARGE
    return token.necessity is not None and token.necessity < CLEARLY_NEGATIVE


def colour_values(attribution: Attribution) -> list[float | None]:
    """The numbers that tokens are coloured by: causal completeness; 0 for function words and for what is marked as
    contradicted, None for what was not scored."""
    claims = claiming(attribution) - contradicted(attribution)
    return [_colour_value(token, claims) for token in attribution.tokens]


def _colour_value(token: Token, claims: Collection[int]) -> float | None:
    if token.causal_completeness is None or token.index in claims:
        return token.causal_completeness
    return 0.0


def scale(attribution: Attribution) -> float:
    """The value that gets the full colour."""
    values = [abs(value) for value in colour_values(attribution) if value is not None]
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


def sampling_line(sampling: dict) -> str:
    """How many completions sufficiency was read from, and how wide its interval is at most.

    >>> sampling_line({"confidence": 0.95, "low": [0.0, None], "high": [0.25, None], "draws": [8, None]})
    '8 completions per prefix; sufficiency is known to 0.25 at 95 %, however long was drawn'
    """
    draws = [count for count in sampling["draws"] if count is not None]
    widths = [high - low for low, high in zip(sampling["low"], sampling["high"], strict=True) if low is not None]
    if not draws:
        return "none"
    count = f"{min(draws)}" if min(draws) == max(draws) else f"{min(draws)} to {max(draws)}"
    known = f"known to {number(max(widths), 2)} at {100 * sampling['confidence']:.0f} %"
    return f"{count} completions per prefix; sufficiency is {known}, however long was drawn"


def caption_line(attribution: Attribution) -> str:
    """The verdict on the whole caption."""
    verdict = attribution.verdict or {}
    return (
        f"false with a probability of {100 * verdict['p_false']:.0f} %: "
        f"{verdict['against']} of {verdict['claims']} words that claim something are against the image"
    )


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
