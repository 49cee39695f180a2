import pytest

from causal_attrib.errors import InputError
from causal_attrib.evaluation.yesno import PARSERS, Reply, parse, says_yes
from tests.evaluation.benchmark_files import load

YES, NO, UNDECIDED = True, False, None


@pytest.mark.parametrize(
    "text, official, words, exact, first",
    # The official column and "Yes." of the exact one: evaluation.md 1.2.
    [
        ("", YES, UNDECIDED, UNDECIDED, UNDECIDED),
        ("I cannot tell", YES, UNDECIDED, UNDECIDED, UNDECIDED),
        ("There isn't a dog", YES, UNDECIDED, UNDECIDED, UNDECIDED),
        ("NO", YES, NO, NO, NO),
        ("no\n", YES, NO, NO, NO),
        ("Yes, no doubt", NO, UNDECIDED, UNDECIDED, YES),
        ("Yes.", YES, YES, UNDECIDED, YES),
        (" yes ", YES, YES, YES, YES),
        ("No, there is not.", NO, NO, UNDECIDED, NO),
        ("There is a dog. No cat.", YES, NO, UNDECIDED, UNDECIDED),
        ("Noted, yes", YES, YES, UNDECIDED, UNDECIDED),
    ],
)
def test_what_each_parser_makes_of_a_reply(text, official, words, exact, first):
    said = [parse(Reply(text), parser) for parser in ("official", "words", "exact", "first-token")]
    assert said == [official, words, exact, first]


def test_log_probabilities():
    assert [parse(Reply(logprobs=pair), "logprob") for pair in ((-1.0, -2.0), (-2.0, -1.0), (-1.0, -1.0))] == [
        *[True, False, None]
    ]


def test_a_default_is_told_from_a_yes():
    assert [says_yes(text) for text in ("YES!", "It is", "no, yes", "yesterday")] == [True, False, True, False]


def test_what_a_parser_needs():
    with pytest.raises(InputError, match="f line 3 has no 'logprob_yes'"):
        parse(Reply("yes", where="f line 3"), "logprob")
    with pytest.raises(InputError, match="f line 3 has no text"):
        parse(Reply(logprobs=(-1.0, -2.0), where="f line 3"), "words")
    with pytest.raises(InputError, match=", ".join(PARSERS)):
        parse(Reply("yes"), "best")


def test_real_replies():
    # evaluation.md 1.4: word-level extraction decides 205 of the 254 sample rows.
    rows = load("hallusionbench/HallusionBench_result_sample.json")
    said = [parse(Reply(row["model_prediction"]), "words") for row in rows]
    assert len(said) == 254 and sum(one is not None for one in said) == 205
