"""What the report shows of one caption, before it is written as HTML: its units, their colours and their maps.

A unit is what can be pointed at: a token, or a whole word where scores (and maps, if any) were made by the word.
Axes: T maps, H rows, W columns.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.results.attribution import Attribution, Token
from causal_attrib.views import drawing, overlay
from causal_attrib.views import explanations as meaning
from causal_attrib.views.drawing import number

if TYPE_CHECKING:
    from causal_attrib.results.maps import Maps

# Colours come in this many steps on either side of zero: a style sheet names them all, so no style stands in the text.
LEVELS = 20
# What is less than one nat is not worth the full colour, and a probability is at most one.
_SMALLEST = 1.0
_PLAIN = (str, bool, int, float)
# A map that stays below this share of the caption's full colour is called empty.
_FAINT = 0.02

_NOTES = {
    "verdict": "underlined: the picture speaks against the word",
    "causal_completeness": "blue: causal completeness, of content words; underlined: better without it",
    "necessity": "blue: the outcome falls without it; red: better without it",
    "sufficiency": "blue: adding it raises the outcome",
    "logprob": "amber: the less likely the model found it (nats below 0)",
    "entropy": "amber: the less sure the model was (nats)",
    "evidence": "blue: the image makes the word likelier; red: less likely (nats)",
    "p_false": "amber: the more probably false",
}
# What stands at the ends of a scale: red to blue, none to blue, none to amber; of verdicts each has a colour.
_KINDS = {
    "verdict": "verdict",
    "causal_completeness": "blue",
    "logprob": "amber",
    "entropy": "amber",
    "p_false": "amber",
}
VERDICT_CLASSES = {
    "grounded": "grounded",
    "against the image": "against",
    "language prior": "prior",
    "undecided": "undecided",
}


@dataclass(frozen=True)
class Colouring:
    """How one score colours a caption.

    levels: per unit from -LEVELS to LEVELS, None for what was not scored; of verdicts 0
    classes: per unit what the style sheet colours it by
    kind:   signed, blue, amber or verdict
    limit:  the value of the full colour
    note:   the legend
    """

    levels: tuple[int | None, ...]
    classes: tuple[str, ...]
    kind: str
    limit: float
    note: str


def unit_class(level: int | None, kind: str) -> str:
    """The classes that give a unit its colour."""
    if level is None:
        return "unscored"
    if level == 0:
        return ""
    return f"{('red' if level < 0 else 'blue') if kind == 'signed' else kind} l{abs(level)}"


class ReportCaption:
    """One caption as it is shown.

    attribution: what was scored, by token or, if that is what was hidden, by word
    maps:        its maps, if there are any
    limits:      at least so much has the full colour, by score; shared by all captions of a page (`share_scales`)
    map_limit:   the same of maps
    map_of:      for each unit the place of its map, or None
    answers:     places of the maps of an answer, which no word of the caption stands for
    answer_labels: what each of those maps is called

    Raises:
        InputError: the maps are of another caption, picture or model.
    """

    def __init__(self, attribution: Attribution, maps: Maps | None) -> None:
        if maps is not None:
            _check_same(attribution, maps)
        words = [tuple(t.index for t in group) for _, group in groupby(attribution.tokens, key=lambda t: t.word)]
        by_word = attribution.settings.get("level") in ("word", "sentence", "auto") and (
            maps is None or _cover_words(maps, words)
        )
        units = words if by_word else [(token.index,) for token in attribution.tokens]
        self.attribution = attribution.words() if by_word else attribution
        self.unit = "word" if by_word else "token"
        self.limits: dict[str, float] = {}
        self.map_limit = 0.0
        self.maps = maps
        self.map_of = [None if maps is None else _smallest_map(maps, unit) for unit in units]
        self.answers = [] if maps is None else [i for i, tokens in enumerate(maps.tokens) if not tokens]
        self.answer_labels = {} if maps is None else {of: maps.labels[of] for of in self.answers}

    @cached_property
    def marks(self) -> frozenset[int]:
        """Indices of the tokens that a reader is warned of."""
        return drawing.marked(self.attribution)

    @property
    def warning(self) -> str:
        """What a reader is warned of."""
        return "better without it" if self.attribution.verdict is None else "against the image"

    @cached_property
    def colourings(self) -> dict[str, Colouring]:
        """A colouring for each score that any token has."""
        return {name: _colouring(self.attribution, name, self.limits.get(name, 0.0)) for name in self.names}

    @property
    def names(self) -> list[str]:
        """What the words can be coloured by."""
        return [name for name in meaning.SHOWN if any(getattr(t, name) is not None for t in self.attribution.tokens)]

    def record(self, cells: int) -> dict:
        """All that the page's script needs to know; its maps have at most `cells` values in all."""
        count = len(self.attribution)
        units = [
            {
                "text": self.shown(token),
                "place": f"{self.unit} {place} of {count}",
                "bad": self.warning if token.index in self.marks else "",
                "facts": [
                    {
                        "score": name,
                        "heading": meaning.SHOWN[name],
                        "value": meaning.written(token, name),
                        "means": meaning.sentence(self.attribution, token, name),
                    }
                    for name in self.colourings
                ],
                "map": of,
            }
            for place, (token, of) in enumerate(zip(self.attribution.tokens, self.map_of, strict=True), 1)
        ]
        units += [
            {"text": self.answer_labels[of], "place": "the answer", "bad": "", "facts": [], "map": of}
            for of in self.answers
        ]
        colours = {
            name: {
                "classes": colouring.classes,
                "kind": colouring.kind,
                "limit": number(colouring.limit, 2),
                "note": colouring.note,
            }
            for name, colouring in self.colourings.items()
        }
        maps = None if self.maps is None else _packed(self.maps, cells, self.map_limit)
        return {"units": units, "scores": colours, "maps": maps}

    def shown(self, token: Token) -> str:
        return drawing.visible(token.text.strip() or token.text) or "∅"


def place(row: float, column: float) -> str:
    """Where in the picture: one of nine places, from shares of its height and width.

    >>> place(0.1, 0.9), place(0.5, 0.5), place(0.5, 0.1)
    ('upper right', 'centre', 'left')
    """
    down = ("upper", "", "lower")[min(int(3 * row), 2)]
    across = ("left", "", "right")[min(int(3 * column), 2)]
    return " ".join(filter(None, (down, across or (down and "middle")))) or "centre"


def share_scales(captions: Sequence[ReportCaption]) -> None:
    """One scale for each score, and one for maps, so that the same colour is the same number all over a page."""
    for name in meaning.SHOWN:
        limit = max((_limit(caption.attribution, name) for caption in captions if name in caption.names), default=0.0)
        for caption in captions:
            caption.limits[name] = limit
    map_limit = max((overlay.full_colour(c.maps.values_THW) for c in captions if c.maps is not None), default=0.0)
    for caption in captions:
        caption.map_limit = map_limit


def _values(attribution: Attribution, name: str) -> list[float | None]:
    """The numbers that one score colours by; 0 where a verdict does."""
    if name == "causal_completeness":
        return drawing.colour_values(attribution)
    values = [getattr(token, name) for token in attribution.tokens]
    if name == "verdict":
        return [None if value is None else 0.0 for value in values]
    return [abs(value) if value is not None and _KINDS.get(name) == "amber" else value for value in values]


def _limit(attribution: Attribution, name: str) -> float:
    smallest = _SMALLEST if name in ("logprob", "entropy", "evidence", "p_false") else drawing.SMALLEST_SCALE
    return max([smallest, *(abs(value) for value in _values(attribution, name) if value is not None)])


def _colouring(attribution: Attribution, name: str, least: float) -> Colouring:
    limit, kind = max(least, _limit(attribution, name)), _KINDS.get(name, "signed")
    levels = tuple(None if value is None else round(LEVELS * (value / limit)) for value in _values(attribution, name))
    if kind == "verdict":
        named = [token.verdict for token in attribution.tokens]
        classes = tuple("unscored" if one is None else VERDICT_CLASSES.get(one, "") for one in named)
    else:
        classes = tuple(unit_class(level, kind) for level in levels)
    return Colouring(levels, classes, kind, limit, _NOTES[name])


def _check_same(attribution: Attribution, maps: Maps) -> None:
    for what, of_scores, of_maps in (
        ("caption", attribution.caption, maps.caption),
        ("picture", attribution.image.get("sha256"), maps.image.get("sha256")),
        ("model", attribution.model.get("id"), maps.model.get("id")),
    ):
        if of_scores != of_maps:
            raise InputError(
                f"The maps are of another {what} ({of_maps!r:.80}) than the scores ({of_scores!r:.80}); "
                "make both with the same."
            )
    if any(token.id is None for token in attribution.tokens):
        raise InputError("Maps are of tokens, and these scores were put together by word; leave words() out.")


def _cover_words(maps: Maps, words: list[tuple[int, ...]]) -> bool:
    """Whether no map is of a part of a word only."""
    groups = [set(tokens) for tokens in maps.tokens]
    return all(group.isdisjoint(word) or group.issuperset(word) for group in groups for word in words)


def _smallest_map(maps: Maps, unit: tuple[int, ...]) -> int | None:
    """The map of the unit, or of the smallest phrase that holds it."""
    holding = [i for i, tokens in enumerate(maps.tokens) if set(unit) <= set(tokens)]
    return min(holding, key=lambda i: len(maps.tokens[i]), default=None)


def _packed(maps: Maps, cells: int, least: float) -> dict:
    """The maps in 255 steps of their common scale, on a grid coarse enough to be mailed."""
    count, height, width = maps.values_THW.shape
    shrink = min(1.0, (cells / max(1, count * height * width)) ** 0.5)
    shown = (max(1, int(width * shrink)), max(1, int(height * shrink)))
    values_THW = np.stack(
        # BOX takes the mean of the cells that become one.
        [np.asarray(Image.fromarray(map_HW).resize(shown, Image.Resampling.BOX)) for map_HW in maps.values_THW]
        or [np.zeros((0, *shown[::-1]), np.float32)]
    )
    limit = max(least, overlay.full_colour(values_THW))
    steps_THW = np.rint(127 * (values_THW / limit)).astype(np.int8)
    return {
        "width": shown[0],
        "height": shown[1],
        "limit": limit,
        "pixel": maps.level == "pixel",
        "what": overlay.described(maps),
        "notes": [_map_note(map_HW, limit) for map_HW in values_THW],
        # Curves and the like are for a figure.
        "proofs": [{k: _told(v) for k, v in proof.items() if isinstance(v, _PLAIN)} for proof in maps.proofs],
        "data": base64.b64encode(steps_THW.tobytes()).decode(),
    }


def _map_note(map_HW: np.ndarray, limit: float) -> str:
    """The map in one sentence, for those who cannot see it."""
    if np.abs(map_HW).max() < _FAINT * limit:
        return "No part of the picture has much effect on it."
    told = []
    for kind, signed_HW in (("Speaks for it most", map_HW), ("speaks against it most", -map_HW)):
        row, column = np.unravel_index(signed_HW.argmax(), map_HW.shape)
        if signed_HW[row, column] >= _FAINT * limit:
            where = place((row + 0.5) / map_HW.shape[0], (column + 0.5) / map_HW.shape[1])
            told.append(f"{kind}: {where} ({map_HW[row, column]:.2g})")
    sentence = "; ".join(told)
    return f"{sentence[0].upper()}{sentence[1:]}."


def _told(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, float) else str(value)
