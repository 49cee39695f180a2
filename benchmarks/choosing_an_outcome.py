"""Which outcome finds a false word best? The evidence behind `--outcome auto`.

Each caption of an unseen scene has exactly one false content word (class, colour, place or time), or `--lies` of them.
Every score ranks the content words of all captions by how false they look; reported is the AUROC of false against true
ones, with a 95 % bootstrap interval over scenes.

    python benchmarks/choosing_an_outcome.py                 # 400 scenes, table on stdout
    python benchmarks/choosing_an_outcome.py --scenes 120 --lies 2 --text-scenes 0
    python benchmarks/choosing_an_outcome.py --text-scenes 0 --against blur
"""

from __future__ import annotations

import argparse
import json
import time

import numpy as np
import pandas as pd
import torch
from scipy.stats import bootstrap, rankdata

import causal_attrib
from causal_attrib import scenes
from causal_attrib.scenes.language import falsify_words, object_question
from causal_attrib.scores import logprob_and_entropy
from causal_attrib.views.drawing import contradicted
from causal_attrib.vlm import VLM, Continuation

# Scenes the bundled model has never seen: training uses small seeds.
SEED = 20_261_121
GRADED = ("grounding", "yesno", "likelihood")
OF_TEXT = ("objects", "match")
SCORES = ("necessity", "sufficiency", "causal_completeness")


def false_captions(count: int, lies: int = 1, seed: int = SEED):
    """Scenes with a caption each, its content words, the false ones among them, and a question about the scene."""
    rng = np.random.default_rng(seed)
    for number in range(count):
        scene = scenes.sample_scene(rng)
        text, words, false = falsify_words(scene, rng, lies)
        question = object_question(scene, rng, answer=bool(rng.integers(2)))
        yield number, scene, text, words, false, question


def baselines(vlm: VLM, picture, text: str) -> pd.DataFrame:
    """Per token: log-probability with and without the picture, entropy. What needs no intervention."""
    encoding = vlm.encode(picture, None, text)
    ids = encoding.response_ids
    (seen_TV,), (unseen_TV,) = (
        vlm.read(encoding, [Continuation(ids, reference=reference)]) for reference in (False, True)
    )
    logprob, entropy = logprob_and_entropy(seen_TV[:-1], ids)
    prior, _ = logprob_and_entropy(unseen_TV[:-1], ids)
    return pd.DataFrame({"word": encoding.words, "logprob": logprob, "gain": logprob - prior, "entropy": entropy})


def rows_of_scene(vlm: VLM, item, outcomes, mask: str, against: str) -> list[dict]:
    """How false each content word looks (higher is more false), by every score."""
    number, scene, text, words, false, question = item
    picture, _ = scenes.render(scene)
    by_word = baselines(vlm, picture, text).groupby("word")
    looks_false = {
        "-logprob": -by_word.logprob.sum(),
        "entropy": by_word.entropy.mean(),
        "-(logprob with image - without)": -by_word.gain.sum(),
    }
    for outcome in outcomes:
        asks = outcome in ("likelihood", "match")
        attribution = causal_attrib.score(
            picture,
            text,
            outcome=outcome,
            against=against if outcome == "grounding" else "colour",
            samples=0,
            question=question.text if asks else None,
            answer=question.answer if asks else None,
            objects=[sticker.cls for sticker in scene.objects] if outcome == "objects" else None,
            model=vlm,
            level="word",
            mask=mask,
            batch_size=8,
        )
        tokens = attribution.to_frame()
        first = tokens.groupby("word").first()
        for score in SCORES:
            looks_false[f"{outcome} {score}"] = -first[score]
    word_at = _word_at(text, tokens)
    return [
        {"scene": number, "kind": word.kind, "false": word in false}
        | {name: float(values[word_at[word.start]]) for name, values in looks_false.items()}
        for word in words
    ]


def _word_at(text: str, tokens: pd.DataFrame) -> dict[int, int]:
    """The number of the word by where each of its tokens begins (first visible character)."""
    pieces = [(token, text[token.char_start : token.char_end]) for token in tokens.itertuples()]
    return {token.char_start + len(piece) - len(piece.lstrip()): token.word for token, piece in pieces}


def marks_of_scene(vlm: VLM, item) -> list[dict]:
    """Which words the terminal marks as contradicted with default settings, and which are false."""
    number, scene, text, words, false, _ = item
    picture, _ = scenes.render(scene)
    attribution = causal_attrib.score(picture, text, model=vlm, batch_size=8)
    marks = contradicted(attribution)
    tokens = attribution.to_frame().assign(marked=[token.index in marks for token in attribution])
    marked = tokens.groupby("word").marked.any()
    word_at = _word_at(text, tokens)
    kinds = {word_at[word.start]: "false" if word in false else "true content" for word in words}
    return [{"scene": number, "kind": kinds.get(word, "function"), "marked": hit} for word, hit in marked.items()]


def auroc(false: np.ndarray, score: np.ndarray) -> float:
    """Probability that a false word gets a higher score than a true one, ties counted half."""
    ranks = rankdata(score)
    positives = false.sum()
    return (ranks[false].sum() - positives * (positives + 1) / 2) / (positives * (len(false) - positives))


def with_interval(rows: pd.DataFrame, score: str) -> dict:
    """AUROC and its 95 % percentile interval over scenes."""
    groups = [(group["false"].to_numpy(), group[score].to_numpy()) for _, group in rows.groupby("scene")]

    def statistic(chosen):
        false, values = zip(*(groups[int(i)] for i in chosen), strict=True)
        return auroc(np.concatenate(false), np.concatenate(values))

    indices = np.arange(len(groups))
    interval = bootstrap(
        (indices,), statistic, vectorized=False, n_resamples=1000, method="percentile", rng=np.random.default_rng(0)
    ).confidence_interval
    by_kind = {kind: auroc(part["false"].to_numpy(), part[score].to_numpy()) for kind, part in rows.groupby("kind")}
    return {"score": score, "auroc": statistic(indices), "low": interval.low, "high": interval.high, **by_kind}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--scenes", type=int, default=400)
    parser.add_argument("--lies", type=int, default=1, help="false words per caption")
    parser.add_argument("--text-scenes", type=int, default=100, help="scenes for outcomes that judge text (slow)")
    parser.add_argument("--mask", default="zero")
    parser.add_argument("--against", default="colour", help="what grounding holds the picture against")
    parser.add_argument("--model", default=None)
    parser.add_argument("--json")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    vlm = causal_attrib.load(arguments.model, device="cpu")

    results = []
    for outcomes, count in ((GRADED, arguments.scenes), (OF_TEXT, arguments.text_scenes)):
        if not count:
            continue
        began = time.process_time()
        rows = pd.DataFrame(
            [
                row
                for item in false_captions(count, arguments.lies)
                for row in rows_of_scene(vlm, item, outcomes, arguments.mask, arguments.against)
            ]
        )
        seconds = time.process_time() - began
        named = [name for name in rows.columns[3:] if outcomes == GRADED or any(o in name for o in OF_TEXT)]
        results += [with_interval(rows, name) | {"scenes": count} for name in named]
        print(f"{count} scenes, {len(rows)} content words, {seconds:.0f} s of CPU time for {', '.join(outcomes)}")
    table = pd.DataFrame(results).sort_values("auroc", ascending=False)
    print(table.to_string(index=False, float_format="{:.4f}".format))
    marks = pd.DataFrame(
        [row for item in false_captions(arguments.scenes, arguments.lies) for row in marks_of_scene(vlm, item)]
    )
    print("\nmarked ! by default, share of words by kind:")
    print(marks.groupby("kind").marked.agg(["mean", "count"]).to_string(float_format="{:.3f}".format))
    if arguments.json:
        with open(arguments.json, "w") as file:
            json.dump(table.to_dict("records"), file, indent=1)


if __name__ == "__main__":
    main()
