"""Every number says what it means, in a sentence that is true of it."""

import pytest

from causal_attrib import Attribution, Token
from causal_attrib.views import explanations as meaning


def said(name, value, **others):
    token = Token(0, "dog", 1, 0, 0, 3, **{name: value}, **others)
    return meaning.sentence(Attribution("dog", [token]), token, name)


@pytest.mark.parametrize(
    ("name", "value", "part"),
    [
        ("necessity", 0.2, "falls by 0.200"),
        ("necessity", -0.2, "rises by 0.200"),
        ("necessity", -0.01, "stays about the same"),
        ("sufficiency", 0.2, "raises the outcome by 0.200"),
        ("sufficiency", 0.0, "little or not at all"),
        ("logprob", -0.6931, "probability of 50 %"),
        ("logprob", -4.6052, "probability of 1.0 %"),
        ("logprob", -14.37, "probability of 0.000057 %"),  # exp(-14.37) = 5.74e-7
        ("logprob", -50.0, "probability of 2e-20 %"),  # exp(-50) = 1.93e-22
        ("logprob", -0.001, "all but certain"),
        ("entropy", 0.0, "no alternative"),
        ("entropy", 1.0986, "between 3.0 equally likely"),
        ("entropy", 9.0, "more than a thousand"),
        ("causal_completeness", 0.1, "Rank 1 of 1"),
    ],
)
def test_sentences(name, value, part):
    assert part in said(name, value)


@pytest.mark.parametrize("name", meaning.HEADINGS)
@pytest.mark.parametrize("value", [1e308, -1e308, 0.0, 5e-324])
def test_any_number_has_a_sentence(name, value):
    assert said(name, value).endswith(".")


@pytest.mark.parametrize("name", meaning.HEADINGS)
def test_what_was_not_scored_says_so(name):
    assert said(name, None) == "Not scored."


def test_ranks_count_what_is_larger():
    tokens = [Token(at, "x", 1, at, at, at + 1, causal_completeness=value) for at, value in enumerate((0.1, 0.3, 0.1))]
    attribution = Attribution("xxx", tokens)
    ranks = [meaning.sentence(attribution, token, "causal_completeness").split()[1] for token in tokens]
    assert ranks == ["2", "1", "2"]
