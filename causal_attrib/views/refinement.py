"""A refinement as words: the sentences in a table, and what is said of those that were not opened."""

from __future__ import annotations

from causal_attrib.results.attribution import Attribution
from causal_attrib.results.effects import effect_nats
from causal_attrib.views.drawing import number, visible

HEADINGS = ("sentence", "sufficiency", "necessity", "effect", "opened")
# Characters of a sentence that a row shows.
_SHOWN = 60


def rows(attribution: Attribution) -> list[tuple[str, ...]]:
    """A row per sentence, or per group of them where it was not opened: text, scores, and whether it was opened."""
    refinement = attribution.refinement or {"parts": []}
    return [
        (
            _short(attribution.caption[part["char_start"] : part["char_end"]]),
            number(part["sufficiency"]),
            number(part["necessity"]),
            number(effect_nats(attribution.outcome, part["necessity"]), 1),
            "yes" if part["opened"] else "no",
        )
        for part in refinement["parts"]
        if part["kind"] == "sentence" or (part["kind"] == "sentences" and not part["opened"])
    ]


def leaves_out(attribution: Attribution) -> bool:
    """Whether a refinement leaves words without a score: of parts that were not opened, or that were not asked for."""
    refinement = attribution.refinement or {"below": None}
    return refinement["below"] is not None or attribution.settings.get("tokens", "all") != "all"


def note(refinement: dict) -> str:
    """What the words without a score amount to.

    >>> note({"below": None, "together": None, "unit": "nats"})
    'every sentence was opened'
    >>> note({"below": 0.25, "together": 0.5, "unit": "nats"})
    'what was not opened has an effect of 0.25 nats at most, each part hidden as a whole; all of it together 0.50'
    """
    if refinement["below"] is None:
        return "every sentence was opened"
    of = "nats" if refinement["unit"] == "nats" else "of the outcome"
    together = "" if refinement["together"] is None else f"; all of it together {number(refinement['together'], 2)}"
    return (
        f"what was not opened has an effect of {number(refinement['below'], 2)} {of} at most, each part hidden as a "
        f"whole{together}"
    )


def _short(text: str) -> str:
    text = visible(text.strip())
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"
