import numpy as np
import pytest
from scipy.stats import binomtest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.pope import scores as pope
from causal_attrib.evaluation.pope.questions import Question, pair, read_questions, read_replies
from causal_attrib.evaluation.pope.scores import JudgedAnswer
from causal_attrib.evaluation.yesno import Reply
from tests.evaluation.benchmark_files import benchmark_file, load

SPLITS = [f"pope/coco_pope_{name}.json" for name in ("random", "popular", "adversarial")]


def judged(tp, fp, tn, fn, wrong=0, per_image=6):
    """Questions with these outcomes; `wrong` ones to answer with no are undecided."""
    outcomes = [(True, True)] * tp + [(False, True)] * fp + [(False, False)] * tn + [(True, False)] * fn
    outcomes += [(False, None)] * wrong
    return [
        JudgedAnswer(Question(str(number), f"image {number // per_image}", f"question {number}", label), said)
        for number, (label, said) in enumerate(outcomes)
    ]


def test_a_real_run():
    # evaluation.md 1.2: LLaVA issue 626, the old random split of 2,910 questions
    scores = pope.score(judged(1183, 31, 1379, 317), resamples=100)
    assert (scores.tp, scores.fp, scores.tn, scores.fn) == (1183, 31, 1379, 317)
    assert scores.accuracy.value / 100 == pytest.approx(0.8804123711340206, rel=1e-15)
    assert scores.precision.value / 100 == pytest.approx(0.9744645799011532, rel=1e-15)
    assert scores.recall.value / 100 == pytest.approx(0.7886666666666666, rel=1e-15)
    assert scores.f1.value / 100 == pytest.approx(0.8717759764185703, rel=1e-15)
    assert round(scores.yes_ratio.value / 100, 5) == 0.41718


def test_llavas_mean_of_three():
    # evaluation.md 1.2: F1 of .8718, .8629 and .8450 make 85.99; TP/10000 is F1 where TP + (FP + FN) / 2 is 10000
    splits = [judged(tp, 10000 - tp, 0, 10000 - tp) for tp in (8718, 8629, 8450)]
    assert [pope.score(split, resamples=100).f1.value for split in splits] == pytest.approx([87.18, 86.29, 84.50])
    mean = pope.mean_f1(splits, resamples=100)
    assert mean.value == pytest.approx(85.99) and mean.low < mean.value < mean.high


def real(name, reply):
    questions = read_questions(benchmark_file(name))
    return pope.judge([(question, Reply(reply(question))) for question in questions])


def test_models_that_see_nothing():
    always_yes = pope.score(real(SPLITS[0], lambda question: "Yes"), resamples=100)
    assert (always_yes.accuracy.value, always_yes.recall.value, always_yes.yes_ratio.value) == (50, 100, 100)
    always_no = pope.score(real(SPLITS[0], lambda question: "No"), resamples=100)
    assert (always_no.precision.value, always_no.f1.value) == (None, 0)  # the script divides by zero


def test_splits_share_their_positives():
    # evaluation.md 1.2: 9,000 pooled rows hold 5,127 distinct questions
    pooled = [one for name in SPLITS for one in real(name, lambda question: "yes")]
    distinct, accuracy = pope.distinct_accuracy(pooled, resamples=100)
    positives = len({(one.question.image, one.question.text) for one in pooled if one.question.label})
    assert (len(pooled), distinct, positives) == (9000, 5127, 1500)
    assert accuracy.value == pytest.approx(100 * 1500 / 5127)


def test_labels_agree_with_the_chair_ground_truth():
    # evaluation.md 1.2: all 9,000 rows
    truth = load("chair/coco2014_objects.json.gz")
    for name in SPLITS:
        for question in read_questions(benchmark_file(name)):
            asked = (
                question.text.removeprefix("Is there a ").removeprefix("Is there an ").removesuffix(" in the image?")
            )
            assert question.label == (asked in truth[question.image])


def test_real_replies():
    # evaluation.md 1.4: 205 of 254 rows decided, aAcc 51.6
    questions = read_questions(benchmark_file("hallusionbench/HallusionBench.json"))
    replies = read_replies(benchmark_file("hallusionbench/HallusionBench_result_sample.json"))
    judged = pope.judge(pair(questions, replies, skip_unanswered=True), parser="words")
    scores = pope.score(judged, resamples=100)
    assert (scores.questions, scores.undecided, round(scores.accuracy.value, 1)) == (254, 49, 51.6)
    by_figure = {}
    for one in judged:
        if "figure" in dict(one.question.groups):
            by_figure.setdefault(dict(one.question.groups)["figure"], []).append(one.right)
    assert scores.groups["figure"].value == pytest.approx(100 * np.mean([all(right) for right in by_figure.values()]))


def test_what_an_undecided_reply_counts_as():
    question, reply = Question("1", "a", "?", False), Reply("perhaps", where="a line 1")
    said = {
        policy: pope.judge([(question, reply)], parser="words", undecided=policy)[0].said
        for policy in ("yes", "no", "wrong")
    }
    assert said == {"yes": True, "no": False, "wrong": None}
    with pytest.raises(InputError, match="a line 1 says neither yes nor no to the parser words: 'perhaps'"):
        pope.judge([(question, reply)], parser="words", undecided="error")
    with pytest.raises(InputError, match="yes, no, wrong, error"):
        pope.judge([(question, reply)], undecided="maybe")


def test_wrong_lowers_accuracy_and_leaves_precision_and_recall():
    without = pope.score(judged(6, 2, 5, 3), resamples=100)
    with_wrong = pope.score(judged(6, 2, 5, 3, wrong=4), resamples=100)
    assert with_wrong.accuracy.value == pytest.approx(100 * 11 / 20)
    assert with_wrong.yes_ratio.value == pytest.approx(100 * 8 / 20)
    for metric in ("precision", "recall", "f1"):
        assert getattr(with_wrong, metric).value == getattr(without, metric).value


def test_chatty_replies_to_an_exact_parser_are_no_yeses():
    # evaluation.md 1.2: lmms-eval's issue 356 shows accuracy 0.0 beside a yes ratio of 0.5, taken from the labels
    questions = [Question(str(number), "a", "?", number % 2 == 0) for number in range(4)]
    scores = pope.score(pope.judge([(q, Reply("Yes, it is.")) for q in questions], parser="exact"), resamples=100)
    assert (scores.accuracy.value, scores.yes_ratio.value, scores.undecided) == (0, 0, 4)


def test_yes_by_default_is_counted():
    pairs = [(Question("1", "a", "?", True), Reply(text)) for text in ("It is there", "Yes", "No")]
    assert [one.default for one in pope.judge(pairs)] == [True, False, False]


def test_both_questions_of_an_image_right():
    # Fu et al. (2023): accuracy+ of MME
    outcomes = [("a", True, True), ("a", False, False), ("b", True, True), ("b", False, True)]
    pairs = [
        JudgedAnswer(Question(str(number), image, "?", label, (("image", image),)), said)
        for number, (image, label, said) in enumerate(outcomes)
    ]
    scores = pope.score(pairs, resamples=100)
    assert (scores.accuracy.value, scores.groups["image"].value) == (75, 50)
    assert pope.score(pairs[:3], resamples=100).groups == {}  # not every image has two questions


def test_two_systems_on_the_same_questions():
    questions = [Question(str(number), f"image {number // 2}", "?", True) for number in range(40)]
    first = [JudgedAnswer(question, number < 30) for number, question in enumerate(questions)]
    second = [JudgedAnswer(question, number >= 18) for number, question in enumerate(questions)]
    found = pope.difference(first, second, resamples=500)
    assert (found.only_first, found.only_second) == (18, 10)
    assert found.accuracy.value == pytest.approx(100 * 8 / 40)
    assert found.p_value == pytest.approx(binomtest(10, 28).pvalue)
    same = pope.difference(first, first, resamples=100)
    # All 20 images agree, of which Clopper & Pearson's 97.5 % limit is 1 - .025^(1/20) = .16843.
    assert (same.accuracy.low, same.accuracy.value, same.accuracy.high) == pytest.approx((-16.843, 0, 16.843), abs=1e-3)
    assert same.p_value == 1
    with pytest.raises(InputError, match="same questions"):
        pope.difference(first, second[1:])
