"""Signals held against the hallucinations of a model, in one call: `evaluate`."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from causal_attrib.choices import MOST_DRAWN, MOST_TOKENS, BatchSize, check_batch_size, check_count, check_seed
from causal_attrib.errors import InputError
from causal_attrib.evaluation.chair import ground_truth
from causal_attrib.evaluation.chair.benchmark import check_truth
from causal_attrib.evaluation.chair.prompts import of_pictures
from causal_attrib.evaluation.detection import combining, figure, ranking, spans
from causal_attrib.evaluation.detection.columns import (
    ASKED,
    BASE_RATE,
    CONSISTENCY,
    CONTROLS,
    COPO,
    COPO_OUTCOMES,
    NAMING,
    PROBE,
    VIEWS,
    chosen,
    known,
)
from causal_attrib.evaluation.detection.planting import planted_pairs
from causal_attrib.evaluation.detection.pooling import PooledScores, groups_of, pooled_scores
from causal_attrib.evaluation.detection.texts import Pictured, has_labels, read_described, read_spans
from causal_attrib.evaluation.intervals import Estimate, by_cluster, check_draws, estimate, few_notes, share
from causal_attrib.evaluation.results import FileName, Result, columns, frame, loaded
from causal_attrib.io.atomic import check_writable, replacing
from causal_attrib.io.failures import reason_of
from causal_attrib.io.journal import Journal, digest
from causal_attrib.io.journalled import REASON, finish, outcomes_of
from causal_attrib.io.json_files import check_rows, json_line
from causal_attrib.io.pictures import read_picture
from causal_attrib.words.claims import is_content
from causal_attrib.words.lexicon import read_lexicon
from causal_attrib.words.matcher import Matcher

if TYPE_CHECKING:
    import pandas as pd

    from causal_attrib.evaluation.detection.measuring import Measurer
    from causal_attrib.vlm import VLM

COMBINATION, WITH_BASE_RATE, SELECTED = "combination", "combination + base rate", "selected"
# Signals that are drawn.
_DRAWN = 4
# Thresholds that F1_IoU is tried at.
_THRESHOLDS = 20


@dataclass(frozen=True)
class SignalScores:
    """One signal.

    kind:   "signal", "control" (known without looking at the picture) or "fitted" (cross-validated by image)
    cost:   forwards beside the caption's own
    auroc, auprc, fpr95: over all units; the others are AUROCs: of the first mention of each word in a caption, without
            the commonest word, within the same word, and within the same place of the same caption text (of several
            pictures); and of lies that were put into given captions
    ece:    of what is fitted
    f1_iou: of captions with labelled spans, at a threshold that was chosen on other images
    """

    signal: str
    kind: str
    means: str
    cost: str
    auroc: Estimate
    auprc: Estimate
    fpr95: Estimate
    first: Estimate
    without_commonest: Estimate
    within_word: Estimate
    within_text: Estimate
    planted: Estimate
    ece: Estimate
    f1_iou: Estimate


@dataclass(frozen=True)
class DetectionResult(Result):
    """How well each signal tells hallucinated units from true ones.

    signals:    the numbers, the largest AUROC first
    pooled:     the same signals over claims, sentences and captions
    counts:     captions, images, units, hallucinated, the commonest word with its share, how many units stand in the
                same place of the same text as one of another truth, and how many pairs lies were planted in
    comparisons: how many AUROCs were looked at
    selection:  what forward selection adds, and what each fold of the nested cross-validation chose
    spearman:   rank correlation of every pair of signals
    units:      a row for each unit: image, caption, word, whether it is hallucinated, and every signal
    """

    benchmark: ClassVar[str] = "detection"

    signals: list[SignalScores]
    pooled: list[PooledScores]
    counts: dict[str, Any]
    comparisons: int
    selection: dict[str, Any]
    spearman: dict[str, dict[str, float | None]]
    units: pd.DataFrame
    fitted: FileName | None
    model_name: str

    def numbers(self) -> dict[str, object]:
        names = ("signals", "pooled", "counts", "comparisons", "selection", "spearman", "fitted")
        return {name: getattr(self, name) for name in names}

    def to_frame(self) -> pd.DataFrame:
        """A row for each signal."""
        return frame(columns(one) for one in self.signals)


def evaluate(
    model: str | VLM | Callable[[], VLM] | None = None,
    *,
    images: FileName | None = None,
    instances: FileName | None = None,
    objects: FileName | None = None,
    references: FileName | None = None,
    unknown_images: str = "error",
    captions: FileName | None = None,
    prompt: str | None = None,
    samples: int = 0,
    planted: FileName | None = None,
    signals: str | Sequence[str] = "all",
    max_new_tokens: int = 256,
    batch_size: BatchSize = "auto",
    save: FileName | None = None,
    fresh: bool = False,
    fit: FileName | None = None,
    curves: FileName | None = None,
    resamples: int = 1000,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> DetectionResult:
    """Which signal tells the words that a model hallucinated from true ones?

    Args:
        model: an id or folder, a loaded model, or what loads one; None: the small one in the package.
        images: folder of the pictures.
        instances, objects, references, unknown_images: what is in them, as for CHAIR.
        captions: rows with image and caption; None: the model describes the pictures. With spans, tags or lists of true
            and false words they need no ground truth.
        prompt: what the model was asked; None: a description.
        samples: captions of each picture to draw at temperature 1 beside the greedy one.
        planted: true captions of the pictures, COCO's or rows with image and caption, to put lies into: what finds
            those is told beside what finds the model's own.
        signals: names, or "all", which leaves out those that the model does not have.
        max_new_tokens: of a caption.
        save: JSON Lines of the captions and the signals of their units; a run that ended early is gone on with.
        fresh: forget what a run before has finished.
        fit: write a calibration of verdicts that was fitted on these units to this file.
        curves: draw ROC and PR curves and the reliability of the combination to this file.
        resamples, seed: of the bootstrap over images; the seed is that of drawn captions too.
        progress: called with the number of pictures done, and of all.

    Raises:
        InputError: files that cannot be read or written, values that cannot be, captions in which nothing, or
            everything, is hallucinated, or pictures that failed.
    """
    names, may_lack = chosen(signals)
    check_draws(resamples=resamples, seed=seed)
    check_seed(seed)
    check_batch_size(batch_size)
    _check(captions, images, objects, instances, samples, max_new_tokens)
    if save is not None:
        check_rows(save, "Captions and signals")
    if curves is not None:
        figure.check_curves(curves)
    if fit is not None:
        if not os.fspath(fit).endswith(".json"):
            raise InputError(f"A calibration is JSON; end {fit} in .json.")
        check_writable(fit)

    matcher = Matcher(read_lexicon(), "repaired")
    pictured, truth, warnings = _read(captions, images, objects, instances, references, unknown_images, matcher)
    if planted is not None and truth is None:
        raise InputError("Lies are put in the place of objects; give --objects or --instances with --planted.")
    pairs = [] if planted is None or truth is None else planted_pairs(planted, pictured, truth, matcher, seed)
    names, left_out = _without(names, truth, captions, pictured, samples, may_lack)
    warnings += left_out
    # Only now, since it imports torch: what is wrong above is told without it.
    from causal_attrib.evaluation.detection.measuring import Measurer

    load = functools.cache(lambda: loaded(model))
    measurer = Measurer(
        names,
        may_lack,
        truth,
        matcher,
        prompt=prompt,
        samples=samples,
        longest=max_new_tokens,
        rows=batch_size if isinstance(batch_size, int) else 8,
        seed=seed,
        batch_size=batch_size,
    )
    everything = _measure(measurer, [*pictured, *pairs], load, save, fresh, progress)
    found, of_pairs = everything[: len(pictured)], everything[len(pictured) :]
    lacking = {name: reason for one in everything for name, reason in one["lacking"].items()}
    warnings += [f"{', '.join(of)} left out: {reason}" for reason, of in _by_reason(lacking).items()]
    if save is not None:
        _write(save, pictured, found)
    table = _table(pictured, found)
    words = captions is not None and truth is None
    units, scored = _units(table, [name for name in names if name not in lacking])
    draws = {"resamples": resamples, "seed": seed}
    commonest = Counter(units.class_N.tolist()).most_common(1)[0][0]
    lies = _lies(pairs, of_pairs, scored)
    measured, pooled, selection, p_N = _scores(
        units, scored, table, commonest, lies, draws, found, samples, words=words
    )
    counts = {
        "captions": sum(len(one["captions"]) for one in found),
        "images": len(np.unique(units.image_N)),
        "units": len(units.false_N),
        "hallucinated": int(units.false_N.sum()),
        "commonest": commonest,
        "commonest_units": int((units.class_N == commonest).sum()),
        "commonest_true": float((~units.false_N[units.class_N == commonest]).mean()),
        "text_matched": int(_text_matched(units, table).sum()),
        "planted_pairs": len(pairs),
    }
    if not selection:
        warnings.append(
            "nothing was fitted: that needs five images, and false and true words in any four fifths of them."
        )
    warnings += few_notes(counts["images"])
    vlm = load() if fit is not None else None
    if fit is not None and vlm is not None:
        _fit(fit, vlm, pictured, found, images if captions is None else captions, seed, batch_size)
    if curves is not None:
        best = [one.signal for one in measured if one.kind != "fitted"][:_DRAWN]
        drawn = {name: scored[name] for name in best} | ({COMBINATION: p_N} if p_N is not None else {})
        figure.draw(curves, units.false_N, drawn, p_N)
    settings = {
        "model": found[0].get("model"),
        "images": images,
        "captions": captions,
        "objects": objects,
        "instances": instances,
        "references": references,
        "planted": planted,
        "prompt": prompt,
        "samples": samples,
        "signals": list(scored),
        "max_new_tokens": max_new_tokens,
        "units": "words" if words else "mentions",
        "folds": combining.FOLDS,
        "bootstrap": resamples,
        "seed": seed,
    }
    correlated = dict(units.features)
    if BASE_RATE in scored:
        correlated[BASE_RATE] = -scored[BASE_RATE]
    return DetectionResult(
        settings,
        warnings,
        measured,
        pooled,
        counts,
        sum(
            of.value is not None
            for one in measured
            for of in (one.auroc, one.first, one.without_commonest, one.within_word, one.within_text, one.planted)
        )
        + sum(of.value is not None for one in pooled for of in (one.max, one.mean)),
        selection,
        combining.spearman(correlated),
        table.drop(columns=["hidden"], errors="ignore"),
        fit,
        str((found[0].get("model") or {}).get("id", "")),
    )


def _check(
    captions: FileName | None,
    images: FileName | None,
    objects: FileName | None,
    instances: FileName | None,
    samples: int,
    longest: int,
) -> None:
    if captions is None and images is None:
        raise InputError("There is nothing to describe; give --images DIR, or --captions FILE.")
    if captions is not None and samples:
        raise InputError("--drawn-captions lets the model draw some and --captions has some; leave one of them out.")
    check_count("The number of samples", samples, MOST_DRAWN, 0)
    check_count("The number of new tokens", longest, MOST_TOKENS)


def _read(
    captions: FileName | None,
    images: FileName | None,
    objects: FileName | None,
    instances: FileName | None,
    references: FileName | None,
    unknown_images: str,
    matcher: Matcher,
) -> tuple[list[Pictured], dict[str, frozenset[str]] | None, list[str]]:
    """The pictures with their captions, what is in them, and what is to be said of both."""
    given = objects is not None or instances is not None
    if captions is not None and not given:
        if not has_labels(captions):
            raise InputError(
                f"{captions} does not say which words are hallucinated; give --objects or --instances too, or 'spans', "
                "tags, or 'true' and 'false' in its rows."
            )
        pictured, notes = read_spans(captions, images)
        return pictured, None, notes
    check_truth(objects, instances, references, unknown_images)
    if objects is not None:
        truth = ground_truth.truth_of_objects(objects, matcher.lexicon)
    else:
        assert instances is not None
        truth = ground_truth.truth_of_coco(instances, references, matcher)
    notes = []
    if instances is not None and references is None:
        notes.append("without --references, objects that only the reference captions name count as hallucinated.")
    if captions is not None:
        return read_described(captions, images, truth), truth, notes
    assert images is not None
    prompts = of_pictures(images, truth, skip_unknown=unknown_images == "skip")
    return [Pictured(one.row["image_id"], one.image) for one in prompts], truth, notes


def _without(
    names: list[str],
    truth: Mapping[str, frozenset[str]] | None,
    captions: FileName | None,
    pictured: Sequence[Pictured],
    samples: int,
    may_lack: bool,
) -> tuple[list[str], list[str]]:
    """The signals that these captions can have, and what is to be said of the others."""
    reasons: dict[str, str] = {}
    drawn = [sum(given.sample > 0 for given in one.captions) for one in pictured] if captions is not None else [samples]
    if min(drawn) < 2:
        reasons[CONSISTENCY] = "it needs two or more sampled captions of each picture; add --drawn-captions 5."
    if truth is None:
        reasons |= dict.fromkeys(
            (*ASKED, *NAMING, VIEWS, CONSISTENCY),
            "it asks for objects, and these labels are of words; give --objects or --instances.",
        )
    if len(pictured) < 2:
        others = [name for name in names if name.endswith("_other")]
        reasons |= dict.fromkeys(others, "it needs another picture, and there is one only.")
    gone = {name: reason for name, reason in reasons.items() if name in names}
    if gone and not may_lack:
        name, reason = next(iter(gone.items()))
        raise InputError(f"There is no signal {name} here: {reason}")
    notes = [f"{', '.join(of)} left out: {reason}" for reason, of in _by_reason(gone).items()]
    return [name for name in names if name not in gone], notes


def _by_reason(reasons: Mapping[str, str]) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for name, reason in reasons.items():
        grouped.setdefault(reason, []).append(name)
    return grouped


def _measure(
    measurer: Measurer,
    pictured: Sequence[Pictured],
    load: Callable[[], VLM],
    save: FileName | None,
    fresh: bool,
    progress: Callable[[int, int], None] | None,
) -> list[dict]:
    """What was found of each picture.

    Raises:
        InputError: some failed, after all others are done.
    """
    failed: list[tuple[str, str]] = []
    needs_other = any(name.endswith("_other") for name in measurer.names)

    def work(vlm: VLM, group: Sequence[int]) -> list[dict]:
        (place,) = group
        try:
            other = None
            if needs_other:
                other = read_picture(pictured[(place + 1) % len(pictured)].picture).pixels
            found = measurer.measure(vlm, pictured[place], other)
        except Exception as error:
            return [{REASON: reason_of(error)}]
        return [{**found, "lacking": dict(measurer.lacking), "model": vlm.record}]

    def fail(place: int, reason: str) -> None:
        failed.append((pictured[place].image, reason))

    groups = {str(place): [place] for place in range(len(pictured))}
    if save is None:
        vlm, found = load(), []
        for place in range(len(pictured)):
            found += work(vlm, [place])
            if REASON in found[-1]:
                fail(place, found[-1][REASON])
            if progress is not None:
                progress(place + 1, len(pictured))
    else:
        settings = {
            "pictures": digest(
                [[one.image, str(one.picture)[:200], [asdict(of) for of in one.captions]] for one in pictured]
            ),
            "truth": digest({image: sorted(of) for image, of in sorted((measurer.truth or {}).items())}),
            "signals": list(measurer.names),
            "prompt": measurer.prompt,
            "samples": measurer.samples,
            "longest": measurer.longest,
            "rows": measurer.rows,
            "seed": measurer.seed,
        }
        with Journal(save, settings, fresh=fresh) as journal:
            finish(journal, groups, load, work, on_failure=fail, progress=progress)
            found = [outcomes_of(journal, key)[0] for key in groups]
    if failed:
        image, reason = failed[0]
        kept = "" if save is None else f"; the others are kept for the next run with --save {save}"
        raise InputError(
            f"{len(failed)} of {len(pictured)} pictures failed, first {image}: {reason.rstrip('.')}{kept}."
        )
    return found


def _write(save: FileName, pictured: Sequence[Pictured], found: Sequence[dict]) -> None:
    """A row for each caption; then the journal is no longer needed."""
    from causal_attrib.io.journal import forget

    with replacing(save) as file:
        for one, of in zip(pictured, found, strict=True):
            for caption in of["captions"]:
                units = [{name: value for name, value in unit.items() if name != "hidden"} for unit in caption["units"]]
                file.write(json_line({"image": one.image, **caption, "units": units}))
    forget(save)


def _table(pictured: Sequence[Pictured], found: Sequence[dict]) -> pd.DataFrame:
    """A row for each unit."""
    import pandas as pd

    rows, number = [], 0
    for one, of in zip(pictured, found, strict=True):
        for caption in of["captions"]:
            for unit in caption["units"]:
                row = {name: value for name, value in unit.items() if name != "signals"}
                about = {"image": one.image, "caption": number, "sample": caption["sample"], "text": caption["caption"]}
                rows.append({**about, **row, **unit["signals"]})
            number += 1
    if not rows:
        raise InputError("The captions name no object of COCO's 80; there is nothing to tell apart.")
    return pd.DataFrame(rows)


def _units(table: pd.DataFrame, names: Sequence[str]) -> tuple[combining.Units, dict[str, np.ndarray]]:
    """What is ranked, and each signal's score, higher where a unit is more likely hallucinated."""
    table["claims"] = [is_content(word) for word in table.word]
    of = table[table.claims]
    false_N = of["false"].to_numpy(dtype=bool)
    if not 0 < false_N.sum() < len(false_N):
        which = "none of them" if not false_N.any() else "each of them"
        raise InputError(
            f"The captions name {len(false_N)} things and {which} is hallucinated, so that there is nothing to tell "
            "apart; take more or other pictures, or draw captions with --drawn-captions."
        )
    images = {image: place for place, image in enumerate(dict.fromkeys(of.image))}
    features = {name: of[name].to_numpy(dtype=float) for name in names if name not in (BASE_RATE, PROBE)}
    units = combining.Units(features, false_N, of.image.map(images).to_numpy(), of.node.to_numpy(dtype=str))
    about = known()
    scored = {name: -about[name].truer * values for name, values in features.items()}
    if BASE_RATE in names:
        scored[BASE_RATE] = -combining.base_rate(units)
    if PROBE in names and combining.enough(units):
        from causal_attrib.evaluation.detection.measuring import unpacked

        scored[PROBE] = combining.probed(np.stack([unpacked(text) for text in of.hidden]), units)
    return units, scored


def _text_matched(units: combining.Units, table: pd.DataFrame) -> np.ndarray:
    """Which units stand in the same place of the same text as another one, of another picture, of the other truth."""
    of = table[table.claims]
    places = of.groupby(["text", "start"])["false"]
    return ((places.transform("any") & ~places.transform("all")).to_numpy(dtype=bool)) & (len(units.false_N) > 0)


def _lies(
    pairs: Sequence[Pictured], found: Sequence[dict], scored: Mapping[str, np.ndarray]
) -> tuple[combining.Units, dict[str, np.ndarray]] | None:
    """Units and scores of captions with and without a planted lie, of the signals that these have too."""
    if not pairs:
        return None
    table = _table(pairs, found)
    names = [name for name in scored if name in table and not table[name].isna().any() or name == BASE_RATE]
    return _units(table, names)


def _scores(
    units: combining.Units,
    scored: Mapping[str, np.ndarray],
    table: pd.DataFrame,
    commonest: str,
    lies: tuple[combining.Units, dict[str, np.ndarray]] | None,
    draws: dict[str, int],
    found: Sequence[dict],
    samples: int,
    *,
    words: bool,
) -> tuple[list[SignalScores], list[PooledScores], dict[str, Any], np.ndarray | None]:
    about, cost = known(), _copo_cost(found)
    first_N = table["first"][table.claims].to_numpy(dtype=bool)
    selection: dict[str, Any] = {}
    fits: dict[str, np.ndarray] = {}
    alone = [name for name in units.features if name not in CONTROLS]
    if combining.enough(units) and alone:
        fits[COMBINATION] = combining.judged(units, alone)
        fits[WITH_BASE_RATE] = combining.judged(units, [*alone, BASE_RATE])
        fits[SELECTED], per_fold = combining.nested(units, [*alone, BASE_RATE])
        selection = {"steps": combining.selected(units, [*alone, BASE_RATE]), "per_fold": per_fold}
    means = {
        COMBINATION: f"logistic regression on {len(alone)} signals",
        WITH_BASE_RATE: "the same and how often the word is true in other images",
        SELECTED: "the same on those that forward selection chose in the other folds",
    }

    of = table[table.claims]
    text_N = (of.text + "\0" + of.start.astype(str)).to_numpy(dtype=str)

    def intervals(
        metrics: Sequence[str], score_N: np.ndarray, some_N: np.ndarray, class_N: np.ndarray = units.class_N
    ) -> dict[str, Estimate]:
        some = units[some_N]
        return ranking.intervals(
            metrics,
            some.false_N,
            score_N[some_N],
            some.image_N,
            class_N=class_N[some_N],
            resamples=draws["resamples"],
            seed=draws["seed"],
        )

    everything_N, matched_N = np.ones(len(units.false_N), dtype=bool), _text_matched(units, table)
    groups = groups_of(of, units.image_N)
    measured, pooled = [], []
    for name, score_N in (*scored.items(), *fits.items()):
        is_fit = name in fits
        kind = "fitted" if is_fit or name == PROBE else "control" if name in CONTROLS else "signal"
        ends = intervals(["auroc", "auprc", "fpr95"], score_N, everything_N)
        within = Estimate(None)
        if name != BASE_RATE:  # one number for a word, but for the images that it is taken from
            within = intervals(["within"], score_N, everything_N)["within"]
        planted = Estimate(None)
        if lies is not None and name in lies[1]:
            of_lies, lie_N = lies[0], lies[1][name]
            planted = ranking.intervals(
                ["auroc"],
                of_lies.false_N,
                lie_N,
                of_lies.image_N,
                resamples=draws["resamples"],
                seed=draws["seed"],
            )["auroc"]
        pooled += [pooled_scores(name, score_N, of_level, draws) for of_level in groups]
        paid = str(samples or "") + " captions" if name == CONSISTENCY else cost.get(name, "")
        measured.append(
            SignalScores(
                signal=name,
                kind=kind,
                means=means[name] if is_fit else about[name].means,
                cost=paid.strip() or ("fitted" if is_fit else about[name].cost),
                **ends,
                first=intervals(["auroc"], score_N, first_N)["auroc"],
                without_commonest=intervals(["auroc"], score_N, units.class_N != commonest)["auroc"],
                within_word=within,
                within_text=Estimate(None)
                if name == BASE_RATE
                else intervals(["within"], score_N, matched_N, text_N)["within"],
                planted=planted,
                ece=combining.calibration(score_N, units, **draws) if is_fit or name == PROBE else Estimate(None),
                f1_iou=_f1_iou(table, name, draws) if words and name in units.features else Estimate(None),
            )
        )
    measured.sort(key=lambda one: -(one.auroc.value or 0.0))
    order = {one.signal: place for place, one in enumerate(measured)}
    pooled.sort(key=lambda one: order[one.signal])
    return measured, pooled, selection, fits.get(COMBINATION)


def _copo_cost(found: Sequence[dict]) -> dict[str, str]:
    """What COPO's scores read for a caption, on average, in forwards over it."""
    costs: dict[str, list[float]] = {}
    for one in found:
        for caption in one["captions"]:
            for name, value in caption["cost"].items():
                costs.setdefault(name, []).append(value)
    mean = {name: f"{np.mean(values):.1f}" for name, values in costs.items()}
    return {f"{name}{end}": mean[f"copo{end}"] for name in COPO for end in COPO_OUTCOMES if f"copo{end}" in mean}


def _f1_iou(table: pd.DataFrame, name: str, draws: dict[str, int]) -> Estimate:
    """Words at or above a threshold are marked; each fold's threshold is the best on the other folds."""
    scores = -known()[name].truer * table[name].to_numpy(dtype=float)
    of_caption = [np.flatnonzero(table.caption.to_numpy() == number) for number in dict.fromkeys(table.caption)]
    false_N = table["false"].to_numpy(dtype=bool)
    of_caption = [places for places in of_caption if false_N[places].any()]
    if not of_caption:
        return Estimate(None)
    images = [table.image.iloc[places[0]] for places in of_caption]
    number_of = {image: number for number, image in enumerate(dict.fromkeys(images))}
    fold_C = np.array([number_of[image] % combining.FOLDS for image in images])
    thresholds = np.unique(np.quantile(scores, np.linspace(0, 1, _THRESHOLDS + 1)))
    f1_CH = np.array(
        [
            [
                spans.f1_iou(spans.runs(scores[places] >= threshold), spans.runs(false_N[places]))
                for threshold in thresholds
            ]
            for places in of_caption
        ]
    )
    if len(number_of) < 2:
        return Estimate(None)
    value_C = np.empty(len(of_caption))
    for fold in np.unique(fold_C):
        held_C = fold_C == fold
        value_C[held_C] = f1_CH[held_C, f1_CH[~held_C].mean(0).argmax()]
    sums_CK = by_cluster(images, np.column_stack([value_C, np.ones(len(value_C))]))
    return estimate(sums_CK, {"f1": share(0, 1)}, **draws)["f1"]


def _fit(
    fit: FileName,
    vlm: VLM,
    pictured: Sequence[Pictured],
    found: Sequence[dict],
    source: FileName | None,
    seed: int,
    batch_size: BatchSize,
) -> None:
    """Score the captions and write a calibration of verdicts that is fitted on their units."""
    from causal_attrib.evaluation.verdict.fit import fit as fitted
    from causal_attrib.evaluation.verdict.labelled import Labelled
    from causal_attrib.evaluation.verdict.scores import judge
    from causal_attrib.scores.verdict import model_of, write_calibration

    labelled = []
    for one, of in zip(pictured, found, strict=True):
        picture = os.fspath(one.picture) if isinstance(one.picture, os.PathLike) else one.picture
        for caption in of["captions"]:
            labels = tuple((unit["start"], unit["stop"], "labelled", unit["false"]) for unit in caption["units"])
            if labels:
                labelled.append(Labelled(one.image, picture, caption["caption"], labels))
    words = judge(labelled, vlm, level="token", batch_size=batch_size)
    data = f"captions of {len(pictured)} pictures, {source}"
    calibration, _ = fitted(words, model=model_of(vlm.record), level="token", data=data, seed=seed)
    write_calibration(fit, [calibration])
