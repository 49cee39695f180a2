"""From a picture to the units of its captions, with every signal of each: what the journal keeps of a picture."""

from __future__ import annotations

import base64
import copy
import math
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from causal_attrib.choices import BatchSize
from causal_attrib.engine.gumbel import GumbelNoise
from causal_attrib.errors import InputError
from causal_attrib.evaluation.detection.columns import ASKED, CONSISTENCY, COPO, COPO_OUTCOMES, NAMING, PROBE, VIEWS
from causal_attrib.evaluation.detection.texts import Given, Pictured, Unit, mentions_of, tokens_at
from causal_attrib.io.pictures import Picture, read_picture
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.effects import effect_nats
from causal_attrib.scores import score
from causal_attrib.scores.signals import SIGNALS, Readings
from causal_attrib.scores.signals.asking import ask
from causal_attrib.scores.signals.choice import pooled
from causal_attrib.scores.signals.image_logit import image_logit_views
from causal_attrib.scores.signals.naming import Namer
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.words.matcher import Matcher


@dataclass
class Measurer:
    """Writes captions and measures their units.

    names:    of the signals
    may_lack: whether a signal that the model does not have is left out; `lacking` then says why
    truth:    what is in each image; None where the captions' units are given
    samples:  captions to draw beside the greedy one
    """

    names: Sequence[str]
    may_lack: bool
    truth: Mapping[str, frozenset[str]] | None
    matcher: Matcher
    prompt: str | None = None
    samples: int = 0
    longest: int = 256
    rows: int = 8
    seed: int = 0
    batch_size: BatchSize = "auto"
    lacking: dict[str, str] = field(default_factory=dict)
    _namer: Namer | None = None

    def measure(self, vlm: VLM, pictured: Pictured, other: Image.Image | None) -> dict:
        """The `captions` of a picture as JSON holds them, each with its `units`.

        Args:
            other: the picture that signals with "_other" hold it against.
        """
        picture = read_picture(pictured.picture)
        captions = []
        for given, encoding in self._encoded(vlm, picture, pictured):
            units = given.units
            if units is None:
                assert self.truth is not None
                units = mentions_of(encoding.response, self.truth[pictured.image], self.matcher)
            captions.append((given, encoding, units))
        asked: dict[str, tuple[float, float]] = {}
        again = self._again(vlm, pictured, captions)
        named = [(given.sample, {unit.node for unit in units}) for given, _, units in captions]
        found = []
        # What is drawn twice is measured once.
        measured: dict[tuple[int, ...], tuple[list[dict], dict[str, float]]] = {}
        for place, (given, encoding, units) in enumerate(captions):
            if given.units is None and encoding.response_ids in measured:
                rows, cost = copy.deepcopy(measured[encoding.response_ids])
            else:
                rows, cost = self._rows(vlm, picture, encoding, units, other)
                measured[encoding.response_ids] = copy.deepcopy((rows, cost))
            for row in rows:
                self._asked(vlm, picture, asked, row)
                row["signals"] |= again.get(row["node"], {})
                self._consistency(row, [nodes for at, (sample, nodes) in enumerate(named) if sample and at != place])
                self._check(pictured, row)
            found.append({"sample": given.sample, "caption": encoding.response, "cost": cost, "units": rows})
        return {"captions": found}

    def _rows(
        self, vlm: VLM, picture: Picture, encoding: Encoding, units: Sequence[Unit], other: Image.Image | None
    ) -> tuple[list[dict], dict[str, float]]:
        """Units as JSON holds them, with the signals that the caption alone gives, and what these cost."""
        rows: list[dict] = [
            {
                "start": unit.start,
                "stop": unit.stop,
                "word": unit.word,
                "node": unit.node,
                "false": unit.is_false,
                "first": unit.node not in {before.node for before in units[:number]},
                "signals": {},
            }
            for number, unit in enumerate(units)
        ]
        if not units:
            return rows, {}
        cost = self._signals(vlm, encoding, units, rows, other)
        return rows, cost | self._copo(vlm, picture, encoding, units, rows)

    def _encoded(self, vlm: VLM, picture: Picture, pictured: Pictured) -> Iterator[tuple[Given, Encoding]]:
        """The captions of a picture, written first if there are none. One without a word is left out."""
        for given in pictured.captions:
            prompt = self.prompt if given.prompt is None else given.prompt
            yield given, vlm.encode(picture, prompt, given.text)
        if pictured.captions:
            return
        (ids,) = vlm.write_together([vlm.ask(picture, self.prompt)], self.longest)
        greedy = vlm.encode(picture, self.prompt, ids)
        yield Given(greedy.response), greedy
        # Every image has draws of its own, whatever is done before it.
        stream = zlib.crc32(pictured.image.encode())
        noises = [GumbelNoise(self.seed, stream, k) for k in range(self.samples)]
        for first in range(0, self.samples, self.rows):
            written = vlm.write(greedy, Continuation(()), self.longest, noises[first : first + self.rows])
            for number, drawn in enumerate(written, first + 1):
                try:
                    encoding = vlm.encode(picture, self.prompt, drawn)
                except InputError:
                    continue  # of an empty caption nothing can be said
                yield Given(encoding.response, number), encoding

    def _signals(
        self, vlm: VLM, encoding: Encoding, units: Sequence[Unit], rows: Sequence[dict], other: Image.Image | None
    ) -> dict[str, float]:
        readings = Readings(vlm, encoding, seed=self.seed, other=other)
        tokens = [tokens_at(encoding.spans, unit.start, unit.stop) for unit in units]
        for name in self.names:
            if name in SIGNALS and name not in self.lacking:
                try:
                    values_T = SIGNALS[name].read(readings)
                except InputError as error:
                    self._lacks(name, error)
                    continue
                for row, of_unit in zip(rows, tokens, strict=True):
                    row["signals"][name] = pooled(values_T, of_unit, SIGNALS[name].pool)
        if PROBE in self.names and PROBE not in self.lacking:
            try:
                hidden_LPD, predicts_T = readings.hidden_LPD, readings.predicts_T
            except InputError as error:
                self._lacks(PROBE, error)
            else:
                for row, of_unit in zip(rows, tokens, strict=True):
                    states = hidden_LPD[[len(hidden_LPD) // 2, -1], predicts_T[of_unit[0]]]
                    row["hidden"] = packed(states.flatten().cpu().numpy())
        return {"signals": float(readings.forwards)}

    def _copo(
        self, vlm: VLM, picture: Picture, encoding: Encoding, units: Sequence[Unit], rows: Sequence[dict]
    ) -> dict[str, float]:
        cost = {}
        for suffix, (against, words) in COPO_OUTCOMES.items():
            names = [name for name in COPO if f"{name}{suffix}" in self.names]
            if not names:
                continue
            attribution = score(
                picture,
                encoding.response_ids,
                model=vlm,
                prompt=encoding.prompt,
                outcome="grounding",
                against=against,
                outcome_words=words,
                level="word",
                batch_size=self.batch_size,
            )
            for row, unit in zip(rows, units, strict=True):
                of_unit = _copo_of(attribution, tokens_at(encoding.spans, unit.start, unit.stop))
                row["signals"] |= {f"{name}{suffix}": of_unit[name] for name in names}
            # Packed forwards are of many rows: what they read, in forwards over the caption.
            whole = encoding.prompt_length + len(encoding.response_ids)
            cost[f"copo{suffix}"] = attribution.cost["positions"] / whole
        return cost

    def _asked(self, vlm: VLM, picture: Picture, asked: dict[str, tuple[float, float]], row: dict) -> None:
        names = [name for name in ASKED if name in self.names and name not in self.lacking]
        if not names:
            return
        if row["node"] not in asked:
            try:
                asked[row["node"]] = ask(vlm, picture, row["node"])
            except InputError as error:
                for name in names:
                    self._lacks(name, error)
                return
        shown, unseen = asked[row["node"]]
        row["signals"] |= {
            name: value for name, value in zip(ASKED, (shown, shown - unseen), strict=True) if name in names
        }

    def _again(
        self, vlm: VLM, pictured: Pictured, captions: Sequence[tuple[Given, Encoding, Sequence[Unit]]]
    ) -> dict[str, dict[str, float]]:
        """What views of the picture say of each object that its captions name."""
        names = [name for name in (*NAMING, VIEWS) if name in self.names and name not in self.lacking]
        objects = sorted({unit.node for _, _, units in captions for unit in units})
        if not names or not objects:
            return {}
        if self._namer is None:
            self._namer = Namer(vlm, self.matcher, self.longest, self.seed)
        encoding = captions[0][1]
        found: dict[str, dict[str, float]] = {one: {} for one in objects}
        if set(NAMING) & set(names):
            for one, (seen, unseen) in self._namer.measure(encoding, objects, pictured.image).items():
                found[one] |= dict(zip(NAMING, (seen, seen - unseen), strict=True))
        if VIEWS in names:
            try:
                logits = image_logit_views(vlm, encoding, objects, self._namer.tokens_of)
            except InputError as error:
                self._lacks(VIEWS, error)
            else:
                for one, value in logits.items():
                    found[one][VIEWS] = value
        return {one: {name: of[name] for name in names if name in of} for one, of in found.items()}

    def _consistency(self, row: dict, others: Sequence[set[str]]) -> None:
        if CONSISTENCY in self.names and others:
            row["signals"][CONSISTENCY] = sum(row["node"] in nodes for nodes in others) / len(others)

    def _lacks(self, name: str, error: InputError) -> None:
        if not self.may_lack:
            raise error
        self.lacking[name] = str(error)

    def _check(self, pictured: Pictured, row: dict) -> None:
        for name, value in row["signals"].items():
            if not math.isfinite(value):
                raise InputError(
                    f"The signal {name} of {row['word']!r} in a caption of {pictured.image} is {value}; leave out the "
                    "signal, or this caption, which may have a token that the model rules out."
                )


def _copo_of(attribution: Attribution, tokens: Sequence[int]) -> dict[str, float]:
    """Means over the tokens of a unit; what is not scored (an answer behind reasoning) is worth nothing."""
    of = [attribution.tokens[place] for place in tokens]
    values = {
        name: float(np.mean([getattr(token, name) or 0.0 for token in of]))
        for name in ("sufficiency", "necessity", "causal_completeness")
    }
    return values | {"effect": effect_nats(attribution.outcome, values["necessity"]) or 0.0}


def packed(values_D: np.ndarray) -> str:
    """Numbers as text, half precision, which is finer than what a probe reads."""
    return base64.b64encode(np.clip(values_D, -65504, 65504).astype("<f2").tobytes()).decode()


def unpacked(text: str) -> np.ndarray:
    """
    >>> unpacked(packed(np.array([0.5, -2.0])))
    array([ 0.5, -2. ])
    """
    return np.frombuffer(base64.b64decode(text), "<f2").astype(float)
