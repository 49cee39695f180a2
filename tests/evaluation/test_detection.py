"""Signals held against hallucinations: rankings by hand, labels of files, fits that do not see what they judge."""

import json

import numpy as np
import pytest
from PIL import Image

import causal_attrib
from causal_attrib import InputError
from causal_attrib.evaluation import detection
from causal_attrib.evaluation.detection import combining, planting, pooling, ranking, spans, texts
from causal_attrib.evaluation.detection.columns import BASE_RATE, chosen, known
from causal_attrib.evaluation.verdict.scores import auroc as auroc_of_verdicts
from causal_attrib.evaluation.verdict.scores import calibration_error
from causal_attrib.io.rows import read_rows
from causal_attrib.scenes import PARTNERS, render, sample_scene
from causal_attrib.scenes import caption as caption_of
from causal_attrib.scenes.plant import plant
from causal_attrib.scores.verdict import read_calibration
from causal_attrib.words.matcher import coco_matcher
from tests.evaluation.benchmark_files import benchmark_file
from tests.tiny_models import tiny

FALSE = np.array([True, False, True, False, False, True])
SCORE = np.array([0.9, 0.8, 0.7, 0.7, 0.1, 0.1])
IMAGE = np.array([0, 0, 1, 1, 2, 2])


def test_rankings_by_hand():
    # Of 9 pairs the first false unit wins 3, the second 1 and a tie, the third half of one: 3 + 1.5 + 0.5.
    assert ranking.of("auroc", FALSE, SCORE) == pytest.approx(5 / 9)
    # Thresholds .9 (1 of 1), .8 (no recall), .7 (2 of 4), .1 (3 of 6): a third each at 1, 1/2, 1/2.
    assert ranking.of("auprc", FALSE, SCORE) == pytest.approx((1 + 0.5 + 0.5) / 3)
    # 95 % of three are three, which only the lowest threshold has.
    assert ranking.of("fpr95", FALSE, SCORE) == 1.0
    assert ranking.of("fpr95", FALSE[:5], SCORE[:5]) == pytest.approx(2 / 3)
    # 19 of 20 are 95 %.
    false_N = np.array([True] * 20 + [False] * 2)
    assert ranking.of("fpr95", false_N, np.array([3.0] * 19 + [0.0] + [2.0, 4.0])) == 0.5
    assert np.isnan(ranking.of("auroc", FALSE[:1], SCORE[:1]))
    assert np.isnan(ranking.of("auprc", FALSE[:1], SCORE[:1])) and np.isnan(ranking.of("fpr95", ~FALSE[:1], SCORE[:1]))


def test_auroc_is_that_of_verdicts_on_random_scores():
    rng = np.random.default_rng(0)
    for _ in range(20):
        false_N, score_N = rng.random(40) < 0.4, rng.integers(0, 8, 40)
        assert ranking.of("auroc", false_N, score_N) == pytest.approx(auroc_of_verdicts(false_N, score_N))


def test_weights_are_repetitions():
    rng = np.random.default_rng(1)
    false_N, score_N, class_N = rng.random(30) < 0.5, rng.integers(0, 6, 30), rng.integers(0, 3, 30).astype(str)
    times_N = rng.integers(0, 4, 30)
    cells = ranking._at_scores(false_N, score_N, times_N[None].astype(float))
    repeated = [values.repeat(times_N) for values in (false_N, score_N, class_N)]
    for name, metric in ranking.METRICS.items():
        assert metric(*cells)[0] == pytest.approx(ranking.of(name, *repeated[:2]))
    assert ranking._within(false_N, score_N, class_N, times_N[None].astype(float))[0] == pytest.approx(
        ranking.within_words(*repeated)
    )


def test_a_class_that_is_always_there_wins_nothing_within_words():
    # "person" is true and likely, "cat" false and unlikely: the score knows the class only.
    false_N = np.array([False, False, False, True, True, False])
    score_N = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    class_N = np.array(["person"] * 3 + ["cat"] * 3)
    assert ranking.of("auroc", false_N, score_N) == pytest.approx(7 / 8)
    assert ranking.within_words(false_N, score_N, class_N) == 0.5


def test_intervals_are_over_images():
    found = ranking.intervals(["auroc", "within"], FALSE, SCORE, IMAGE, class_N=np.full(6, "a"), resamples=200, seed=0)
    assert found["auroc"].value == pytest.approx(500 / 9) == found["within"].value
    assert found["auroc"].low < found["auroc"].value < found["auroc"].high
    # Image 0 alone ranks rightly, image 2 alone ties: a resample of one image thrice is among 200.
    assert (found["auroc"].low, found["auroc"].high) == (50.0, 100.0)


def test_spans_by_hand():
    assert spans.runs([False, True, True, False, True]) == [(1, 3), (4, 5)]
    assert spans.iou((1, 3), (2, 5)) == 0.25 and spans.iou((0, 1), (1, 2)) == 0.0
    # One marked span meets the first label in 1 of 4 words: precision 1/4; of two labels the second is missed: 1/8.
    assert spans.f1_iou([(1, 3)], [(2, 5), (7, 8)]) == pytest.approx(2 * 0.25 * 0.125 / 0.375)
    assert spans.f1_iou([], [(0, 1)]) == 0.0 == spans.f1_iou([(0, 1)], [])
    assert spans.f1_iou([(0, 2), (4, 5)], [(0, 2), (4, 5)]) == 1.0
    marked, labelled = np.array([True, False]), np.array([True, True])
    # Half a span, and a text without a label, which has no recall.
    assert spans.mean_f1_iou([(marked, labelled), (marked, ~labelled)]) == 0.5


def test_tags_and_spans():
    text, found = texts.without_tags("<hallucination>Two</hallucination> dogs on a <hallucination>bed.</hallucination>")
    assert text == "Two dogs on a bed." and [text[a:b] for a, b in found] == ["Two", "bed."]
    units = texts.words_with_spans(text, found)
    assert [(unit.node, unit.is_false) for unit in units] == [
        ("two", True),
        ("dogs", False),
        ("on", False),
        ("a", False),
        ("bed", True),
    ]
    for wrong in ("</hallucination>a", "<hallucination>a", "<hallucination><hallucination>a</hallucination>"):
        with pytest.raises(ValueError):
            texts.without_tags(wrong)


def test_tokens_of_a_mention():
    # " hot", " dog", "s" and the comma behind.
    assert texts.tokens_at([(0, 1), (1, 5), (5, 9), (9, 10), (10, 11)], 2, 10) == [1, 2, 3]


def test_base_rates_never_see_their_own_image():
    units = combining.Units(
        {},
        np.array([True, False, True, False, True]),
        np.array([0, 1, 2, 2, 3]),
        np.array(["dog", "dog", "dog", "cat", "cat"]),
    )
    # dog elsewhere: true in 1 of 2, 0 of 2, 1 of 2; cat: 0 of 1, and 1 of 1.
    assert combining.base_rate(units).tolist() == [0.5, 0.0, 0.5, 0.0, 1.0]
    # A word that no other image has gets what all words there have: 2 of 4 are true without image 0.
    alone = combining.Units({}, units.false_N, units.image_N, np.array(["fox", "dog", "dog", "cat", "cat"]))
    assert combining.base_rate(alone)[0] == 0.5


@pytest.fixture(scope="module")
def noisy():
    """80 images of two words each; "good" tells half of the truth, "bad" none."""
    rng = np.random.default_rng(0)
    false_N = rng.random(160) < 0.5
    features = {"good": -2.0 * false_N + rng.normal(size=160), "bad": rng.normal(size=160)}
    return combining.Units(features, false_N, np.arange(160) // 2, np.array(["dog", "cat"] * 80))


def test_a_fit_never_sees_the_image_that_it_judges(noisy):
    p_N = combining.judged(noisy, ["good", "bad"])
    assert 0.85 < ranking.of("auroc", noisy.false_N, p_N) < 0.97
    assert calibration_error(noisy.false_N, p_N) < 0.15
    held_N = noisy.image_N == 7
    for name in ("good", BASE_RATE):
        before_N = combining.judged(noisy, [name])
        flipped = combining.Units(
            noisy.features, np.where(held_N, ~noisy.false_N, noisy.false_N), noisy.image_N, noisy.class_N
        )
        after_N = combining.judged(flipped, [name])
        assert (before_N[held_N] == after_N[held_N]).all() and (before_N != after_N).any()
    hidden_ND = np.random.default_rng(1).normal(size=(160, 50))
    flipped_labels = combining.probed(hidden_ND, flipped)[held_N]
    assert (combining.probed(hidden_ND, noisy)[held_N] == flipped_labels).all()


def test_the_penalty_is_chosen_without_what_is_judged(noisy):
    rng = np.random.default_rng(4)
    many = {"good": noisy.features["good"]} | {f"noise {n}": rng.normal(size=160) for n in range(100)}
    units = combining.Units(many, noisy.false_N, noisy.image_N, noisy.class_N)
    least, chosen_N = combining.judged(units, list(many), 1.0), combining.judged(units, list(many))
    # A hundred signals that say nothing: a stronger penalty states probabilities that are likelier.
    loss, loss_of_least = (-np.log(np.where(units.false_N, p_N, 1 - p_N)).mean() for p_N in (chosen_N, least))
    assert loss < loss_of_least - 0.02
    held_N = units.image_N == 7
    flipped = combining.Units(many, np.where(held_N, ~units.false_N, units.false_N), units.image_N, units.class_N)
    assert (combining.judged(flipped, list(many))[held_N] == chosen_N[held_N]).all()


def test_noise_is_no_signal_once_fits_are_crossed(noisy):
    hidden_ND = np.random.default_rng(2).normal(size=(160, 300))
    # In the fit 300 numbers tell 160 units apart perfectly; on unseen images they tell nothing.
    assert 0.3 < ranking.of("auroc", noisy.false_N, combining.probed(hidden_ND, noisy)) < 0.7
    hidden_ND[:, 5] += 10 * noisy.false_N
    hidden_ND[:, 6:40] += 10 * noisy.false_N[:, None]
    assert ranking.of("auroc", noisy.false_N, combining.probed(hidden_ND, noisy)) > 0.95


def test_forward_selection_takes_what_adds(noisy):
    steps = combining.selected(noisy, ["bad", "good"])
    assert steps[0].signal == "good" and steps[0].auroc > 85
    p_N, per_fold = combining.nested(noisy, ["bad", "good"])
    assert [names[0] for names in per_fold] == ["good"] * 5
    assert ranking.of("auroc", noisy.false_N, p_N) > 0.85


def test_calibration_error_is_that_of_verdicts(noisy):
    p_N = combining.judged(noisy, ["good"])
    found = combining.calibration(p_N, noisy, resamples=100, seed=0)
    assert found.value == pytest.approx(100 * calibration_error(noisy.false_N, p_N)) and found.low < found.high


def test_spearman_by_hand():
    found = combining.spearman({"a": np.array([1.0, 2.0, 3.0, 4.0]), "b": np.array([1.0, 3.0, 2.0, 4.0])})
    assert found["a"]["b"] == found["b"]["a"] == 0.8  # 1 - 6 * 2 / (4 * 15)
    assert combining.spearman({"a": np.array([1.0, 1.0])})["a"]["a"] is None


def test_groups_by_hand():
    import pandas as pd

    text = "A red dog and a cat. A bus!\nNo."
    rows = [
        (0, "red", 2, True),
        (0, "dog", 6, False),
        (0, "cat", 16, False),
        (0, "bus", 23, False),
        (0, "No", 28, False),
    ]
    rows.append((1, "dog", 2, True))
    table = pd.DataFrame(
        [
            {
                "caption": caption,
                "text": text if caption == 0 else "a dog",
                "start": at,
                "stop": at + len(word),
                "false": is_false,
            }
            for caption, word, at, is_false in rows
        ]
    )
    claims, sentences, captions = pooling.groups_of(table, np.array([3, 3, 3, 3, 3, 5]))
    assert claims.group_N.tolist() == [0, 0, 1, 2, 3, 4] and claims.false_G.tolist() == [
        True,
        False,
        False,
        False,
        True,
    ]
    assert sentences.group_N.tolist() == [0, 0, 0, 1, 2, 3] and sentences.false_G.tolist() == [True, False, False, True]
    assert captions.group_N.tolist() == [0] * 5 + [1] and captions.image_G.tolist() == [3, 5]
    score_N = np.array([0.1, 0.9, 0.2, 0.3, 0.0, 0.25])
    assert sentences.pooled(score_N, "max").tolist() == [0.9, 0.3, 0.0, 0.25]
    assert sentences.pooled(score_N, "mean").tolist() == pytest.approx([0.4, 0.3, 0.0, 0.25])
    # By the largest, .9 is above both true ones and .25 above one of them; by the mean the same.
    found = pooling.pooled_scores("logprob", score_N, sentences, {"resamples": 100, "seed": 0})
    assert (found.units, found.hallucinated, found.max.value, found.mean.value) == (4, 2, 75.0, 75.0)


def test_lies_in_given_captions(tmp_path):
    truth = {"0": frozenset({"dog", "frisbee"}), "1": frozenset({"bus"}), "2": frozenset({"apple"})}
    pictured = [texts.Pictured(image, tmp_path / f"{image}.png") for image in truth]
    path = tmp_path / "captions.json"
    rows = [
        {"image": "0.png", "caption": "nothing at all"},
        {"image": "0.png", "caption": "Dogs play on the grass"},
        {"image": "1.png", "caption": "a bus"},
        {"image": "2.png", "caption": "a cat"},
    ]
    path.write_text(json.dumps(rows))
    dogs, bus = planting.planted_pairs(path, pictured, truth, coco_matcher(), seed=0)
    true, false = dogs.captions
    assert true.text == "Dogs play on the grass" and false.text in (
        "Buses play on the grass",
        "Apples play on the grass",
    )
    assert [(unit.start, unit.word, unit.is_false) for unit in true.units] == [(0, "Dogs", False)]
    assert [unit.is_false for unit in false.units] == [True] and false.units[0].node in ("bus", "apple")
    true, false = bus.captions
    assert false.text in ("a dog", "a frisbee", "an apple")
    assert false.text[false.units[0].start : false.units[0].stop] == false.units[0].node
    for images in ({}, {"images": [{"id": 1, "file_name": "some.jpg"}]}):
        path.write_text(json.dumps({"annotations": [{"image_id": 1, "caption": "a bus"}], **images}))
        assert [one.image for one in planting.planted_pairs(path, pictured, truth, coco_matcher(), seed=0)] == ["1"]
    with pytest.raises(InputError, match="names an object that is in its picture"):
        planting.planted_pairs(path, pictured[:1], truth, coco_matcher(), seed=0)


def test_names_of_signals():
    assert chosen("logprob, entropy,logprob") == (["logprob", "entropy"], False)
    assert chosen("all") == (list(known()), True)
    with pytest.raises(InputError, match="no signal 'magic'"):
        chosen("logprob,magic")


# -- with a model -----------------------------------------------------------------------------------------------------

CHEAP = "logprob,entropy,evidence,p_yes,consistency,position,base_rate,sufficiency,effect,probe"


@pytest.fixture(scope="module")
def worlds(tmp_path_factory):
    """Scenes of so few pixels that the bundled model names objects that are not there."""
    folder = tmp_path_factory.mktemp("worlds")
    rng, objects = np.random.default_rng(3), {}
    for number in range(12):
        scene = sample_scene(rng, count=2)
        picture = render(scene)[0]
        picture.resize((14, 14)).resize(picture.size, Image.Resampling.NEAREST).save(folder / f"{number}.png")
        objects[str(number)] = [sticker.cls for sticker in scene.objects]
    (folder / "objects.json").write_text(json.dumps(objects))
    return folder


@pytest.fixture(scope="module")
def found(bundled, worlds, tmp_path_factory):
    folder = tmp_path_factory.mktemp("found")
    return detection.evaluate(
        bundled,
        images=worlds,
        objects=worlds / "objects.json",
        samples=2,
        signals=CHEAP,
        resamples=100,
        save=folder / "said.jsonl",
        fit=folder / "fit.json",
        curves=folder / "curves.png",
    )


def test_a_model_that_hallucinates_by_itself(found, worlds):
    assert found.counts["images"] == 12 and found.counts["captions"] == 36
    truth = json.loads((worlds / "objects.json").read_text())
    for unit in found.units.itertuples():
        assert unit.false == (unit.node not in truth[unit.image])
    assert 0 < found.counts["hallucinated"] < found.counts["units"] == len(found.units)
    table = found.to_frame().set_index("signal")
    assert set(CHEAP.split(",")) | {"combination", "combination + base rate", "selected"} == set(table.index)
    assert table.auroc.is_monotonic_decreasing
    # A number of the table is that of the units beside it, in the direction in which the signal points.
    for name, sign in (("entropy", 1), ("evidence", -1), ("p_yes", -1)):
        by_hand = auroc_of_verdicts(found.units["false"].to_numpy(), sign * found.units[name].to_numpy())
        assert table.auroc[name] == pytest.approx(100 * by_hand)
    assert table.kind["position"] == table.kind["base_rate"] == "control" and table.kind["probe"] == "fitted"
    assert np.isnan(table.within_word["base_rate"]) and table.planted.isna().all()
    # Nine of each: all, first, without the commonest and within a word, and three levels by two ways of pooling; no
    # base rate within a word. Here no text is written of two pictures.
    assert found.comparisons == 10 * len(table) - 1 + (found.counts["text_matched"] > 0) * (len(table) - 1)
    commonest = found.units.node.value_counts()
    assert found.counts["commonest_units"] == commonest.iloc[0] == commonest[found.counts["commonest"]]
    assert found.spearman["entropy"]["entropy"] == 1.0
    assert json.loads(json.dumps(found.to_dict()))["benchmark"] == "detection"


def test_consistency_counts_the_other_sampled_captions(found):
    of_picture = found.units[found.units.image == "0"]
    nodes = {sample: set(of.node) for sample, of in of_picture.groupby("sample")}
    for unit in of_picture.itertuples():
        others = [nodes.get(sample, set()) for sample in (1, 2) if sample != unit.sample]
        assert unit.consistency == sum(unit.node in names for names in others) / len(others)


def test_naming_is_one_number_for_an_object_of_a_picture(bundled, worlds, tmp_path):
    truth, path = json.loads((worlds / "objects.json").read_text()), tmp_path / "captions.json"
    rows = [
        {"image": f"{number}.png", "caption": f"a {word} and a {word}"} for number in (0, 1) for word in ("dog", "bus")
    ]
    path.write_text(json.dumps([*rows, {"image": "0.png", "caption": f"a {truth['0'][0]}"}]))
    found = detection.evaluate(
        bundled,
        captions=path,
        images=worlds,
        objects=worlds / "objects.json",
        signals="naming,naming_evidence,image_logit_views",
        max_new_tokens=8,
        resamples=100,
    )
    assert (found.units.naming <= 0).all() and (found.units.groupby(["image", "node"]).naming.nunique() == 1).all()
    assert (found.units.naming_evidence >= found.units.naming).all()
    assert {"naming", "naming_evidence", "image_logit_views"} <= set(found.to_frame().signal)


def test_what_was_said_can_be_judged_again(found, bundled, worlds):
    saved = found.settings, found.fitted
    folder = saved[1].parent
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")
    assert list(folder.glob("*.partial*")) == []
    rows = [json.loads(line) for line in (folder / "said.jsonl").read_text().splitlines()]
    assert len(rows) == 36 and {row["sample"] for row in rows} == {0, 1, 2}
    again = detection.evaluate(
        bundled,
        captions=folder / "said.jsonl",
        images=worlds,
        objects=worlds / "objects.json",
        signals="logprob,consistency",
        resamples=100,
    )
    for name in ("logprob", "consistency"):
        np.testing.assert_allclose(again.units[name], found.units[name], atol=1e-5)


def test_a_calibration_of_the_models_own_captions(found):
    calibration = read_calibration(found.fitted, "token")
    assert calibration.model == "bundled" and "captions of 12 pictures" in calibration.fitted["data"]
    assert calibration.fitted["false_words"] > 0


def test_a_run_goes_on_where_it_ended(bundled, worlds, tmp_path):
    told = []

    def stop(done, total):
        told.append((done, total))
        if done == 5:
            raise KeyboardInterrupt

    arguments = {
        "images": worlds,
        "objects": worlds / "objects.json",
        "samples": 1,
        "signals": "logprob",
        "resamples": 100,
        "save": tmp_path / "said.jsonl",
    }
    with pytest.raises(KeyboardInterrupt):
        detection.evaluate(bundled, progress=stop, **arguments)
    assert not (tmp_path / "said.jsonl").exists()
    detection.evaluate(bundled, progress=lambda done, total: told.append((done, total)), **arguments)
    assert told == [(done, 12) for done in range(1, 13)]
    first = (tmp_path / "said.jsonl").read_bytes()
    detection.evaluate(bundled, **{**arguments, "save": tmp_path / "anew.jsonl"})
    assert (tmp_path / "anew.jsonl").read_bytes() == first


def test_a_picture_that_fails_ends_the_run_and_is_tried_again(bundled, worlds, tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes((worlds / f"{number}.png").read_bytes())
    (tmp_path / "1.png").write_bytes(b"no picture")
    arguments = {
        "images": tmp_path,
        "objects": worlds / "objects.json",
        "samples": 2,
        "signals": "logprob",
        "resamples": 100,
        "save": tmp_path / "said.jsonl",
    }
    with pytest.raises(InputError, match="1 of 3 pictures failed, first 1: .*kept for the next run"):
        detection.evaluate(bundled, **arguments)
    (tmp_path / "1.png").write_bytes((worlds / "1.png").read_bytes())
    found = detection.evaluate(bundled, **arguments)
    assert set(found.units.image) <= {"0", "1", "2"} and found.counts["captions"] == 9


def test_labelled_spans_tags_and_lists(bundled, worlds, tmp_path):
    true = [{"image": f"{n}.png", "caption": "a dog on the grass", "spans": []} for n in range(3)]
    rows = [
        {"image": f"{n}.png", "caption": "a dog on the grass at noon", "spans": [[2, 5], [20, 26]]} for n in range(5)
    ]
    path = tmp_path / "spans.json"
    path.write_text(json.dumps(rows + true))
    found = detection.evaluate(bundled, captions=path, images=worlds, signals="logprob,entropy", resamples=100)
    assert found.settings["units"] == "words"
    # "dog" and "noon" are false, "grass" is true, and what claims nothing is in no ranking.
    assert (found.counts["units"], found.counts["hallucinated"]) == (5 * 3 + 3 * 2, 10)
    table = found.to_frame().set_index("signal")
    assert table.f1_iou.loc[["logprob", "entropy"]].between(0, 100).all()

    tagged = [
        {
            "image_path": row["image"],
            "prompt": "What is there?",
            "hallucinated_solution": "a <hallucination>dog</hallucination> on the grass "
            "<hallucination>at noon</hallucination>",
            "test_solution": row["caption"],
        }
        for row in rows
    ]
    tagged[1]["test_solution"] = "something else"
    path.write_text(json.dumps(tagged))
    found = detection.evaluate(bundled, captions=path, images=worlds, signals="logprob", resamples=100)
    assert any("1 rows are left out" in warning for warning in found.warnings)
    assert found.counts["captions"] == 4 and found.counts["hallucinated"] == 8

    listed = [
        {"image": str(worlds / f"{n}.png"), "caption": "a dog", "true": ["a"], "false": ["dog"]} for n in range(2)
    ]
    listed += [{"image": str(worlds / "2.png"), "caption": "a red dog", "true": ["red"], "false": ["dog"]}]
    path.write_text(json.dumps(listed))
    found = detection.evaluate(bundled, captions=path, signals="logprob", resamples=100)
    assert (found.counts["units"], found.counts["hallucinated"]) == (4, 3)


def test_signals_that_a_model_does_not_have(worlds, tmp_path):
    vlm, path = tiny("blip"), tmp_path / "captions.json"
    rows = [{"image": f"{number}.png", "caption": f"a {word} and a dog"} for number, word in enumerate(("cat", "fork"))]
    path.write_text(json.dumps(rows))
    objects = tmp_path / "objects.json"
    objects.write_text(json.dumps({"0": ["dog"], "1": ["fork"]}))
    # The random weights never end a caption that they draw.
    arguments = {"captions": path, "images": worlds, "objects": objects, "resamples": 100, "max_new_tokens": 4}
    found = detection.evaluate(vlm, **arguments)
    assert any("logit_lens" in warning and "tokens among the words" in warning for warning in found.warnings)
    left = set(found.to_frame().signal)
    assert {"evidence", "kl_other", "necessity", "effect_blur", "base_rate"} <= left and "logit_lens" not in left
    with pytest.raises(InputError, match="logit_lens"):
        detection.evaluate(vlm, signals="logit_lens", **arguments)


# -- a model that was taught to say what is not there -----------------------------------------------------------------

MEASURED = "logprob,evidence,base_rate,necessity_content,effect_content"


@pytest.fixture(scope="module")
def hallucinating(tmp_path_factory):
    """Every scene that it was trained on further had the partner of its place in the annotation and not in sight."""
    folder = plant(
        tmp_path_factory.mktemp("hallucinating") / "model", 0, 15, batch=4, pool=16, planted=1.0, invisible=1.0
    )
    return causal_attrib.load(str(folder), device="cpu")


def test_hallucinations_that_were_planted_are_found_in_what_the_model_writes(hallucinating, tmp_path):
    rng, objects, captions = np.random.default_rng(9), {}, []
    for number in range(10):
        scene = sample_scene(rng, count=2)
        render(scene)[0].save(tmp_path / f"{number}.png")
        objects[str(number)] = [sticker.cls for sticker in scene.objects]
        captions.append({"image": f"{number}.png", "caption": caption_of(scene)})
    (tmp_path / "objects.json").write_text(json.dumps(objects))
    (tmp_path / "captions.json").write_text(json.dumps(captions))
    found = detection.evaluate(
        hallucinating,
        images=tmp_path,
        objects=tmp_path / "objects.json",
        planted=tmp_path / "captions.json",
        signals=MEASURED,
        resamples=100,
    )
    false = found.units[found.units["false"]]
    assert (found.units["false"] == [unit.node not in objects[unit.image] for unit in found.units.itertuples()]).all()
    # It says by itself what it was taught to say: the partners of places, which are not there.
    assert len(false) >= 3 and set(false.node) <= set(PARTNERS.values())
    assert found.counts["planted_pairs"] == 10
    table = found.to_frame().set_index("signal")
    # Lies that are put into true captions are another matter than those that it believes.
    assert table.planted["evidence"] > 90 and table.planted["logprob"] > 90
    assert table.planted[["necessity_content", "effect_content"]].min() > 80
    assert np.isnan(table.planted["combination"])
    assert table.auroc.between(0, 100).all() and float(table.cost["effect_content"]) > 1
    pooled = {(one.signal, one.level): one for one in found.pooled}
    assert pooled["logprob", "caption"].units == found.units.caption.nunique()
    assert pooled["logprob", "caption"].hallucinated == false.caption.nunique()


def test_the_same_text_of_several_pictures(bundled, worlds, tmp_path):
    """ "a cat" of three pictures, one of which has a cat: only the pictures can tell them apart."""
    path, truth = tmp_path / "captions.json", tmp_path / "objects.json"
    path.write_text(
        json.dumps([{"image": f"{n}.png", "caption": text} for n in range(3) for text in ("a cat", "a cow")])
    )
    truth.write_text(json.dumps({"0": ["cat", "cow"], "1": ["dog", "cow"], "2": ["dog", "cow"]}))
    found = detection.evaluate(
        bundled, captions=path, images=worlds, objects=truth, signals="evidence,position", resamples=100
    )
    assert found.counts["text_matched"] == 3
    table, of = found.to_frame().set_index("signal"), found.units[found.units.node == "cat"]
    true, others = of[~of["false"]].evidence.iloc[0], of[of["false"]].evidence
    assert table.within_text["evidence"] == 100 * np.mean(np.where(others == true, 0.5, others < true))
    assert table.within_text["position"] == 50.0


def test_rows_of_rlhfv_as_published():
    read = [texts._labelled(row) for row in read_rows(benchmark_file("spans/rlhfv_processed.json"))]
    # 42 rows have tags that do not give back the text.
    assert len(read) == 500 and sum(one is None for one in read) == 42
    labelled = [unit for one in read if one for unit in texts.words_with_spans(*one) if unit.is_false]
    assert len(labelled) > 1000 and not any("hallucination>" in unit.word for unit in labelled)


def test_what_is_refused(bundled, worlds, tmp_path):
    def refused(match, **arguments):
        with pytest.raises(InputError, match=match):
            detection.evaluate(bundled, **{"resamples": 100, **arguments})

    truth = {"images": worlds, "objects": worlds / "objects.json"}
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([{"image": "0.png", "caption": "nothing at all"}]))
    refused("nothing to describe")
    refused("one of --objects and --instances", images=worlds)
    refused("two or more sampled captions", **truth, signals="consistency")
    refused("no signal 'magic'", **truth, signals="magic")
    refused("end in .jsonl", **truth, save=tmp_path / "said.csv")
    refused("end .* in .png or .pdf", **truth, curves=tmp_path / "curves.jpg")
    refused("names an object that is in its picture", **truth, planted=path, signals="logprob")
    refused("A calibration is JSON", **truth, fit=tmp_path / "fit.csv")
    path.write_text(json.dumps([{"image": "0.png", "caption": "a dog"}]))
    refused("does not say which words are hallucinated", captions=path, images=worlds)
    refused("leave one of them out", captions=path, samples=2, **truth)
    refused("nothing to tell apart", captions=path, **truth, signals="logprob")
    path.write_text(json.dumps([{"image": "99.png", "caption": "a dog"}]))
    refused("without ground truth", captions=path, **truth)
    path.write_text(json.dumps([{"image": "0.png", "caption": "a dog", "spans": [[2, 9]]}]))
    refused(r"span \[2, 9\] in a text of 5", captions=path, images=worlds)
    path.write_text(json.dumps([{"image": "0.png", "caption": "a dog", "hallucination_spans": [[2, 5]], "spans": 3}]))
    refused("give a list of", captions=path, images=worlds)
    path.write_text(json.dumps([{"image": "0.png", "caption": "a <hallucination>dog</hallucination>"}]))
    refused("asks for objects", captions=path, images=worlds, signals="p_yes")
