import numpy as np
import pytest

from causal_attrib.training.scoring.units import choose_units

TEXT = "<think> a horse and a cake on the water, so there is a cake. </think> <answer> yes </answer>"


@pytest.fixture
def encoding(bundled, park):
    return bundled.encode(park, "Is there a cake? Think first, then answer.", TEXT)


def texts(encoding, units):
    return ["".join(encoding.response[slice(*encoding.spans[t])] for t in unit) for unit in units]


def test_spans_end_at_punctuation_and_tile_the_reasoning(encoding):
    spans = choose_units(encoding, level="span")
    assert texts(encoding, spans) == [" a horse and a cake on the water,", " so there is a cake."]
    assert [t for span in spans for t in span] == list(encoding.scored)


def test_content_words_are_those_that_may_speak_of_the_picture(encoding):
    words = texts(encoding, choose_units(encoding, level="word", subset="content"))
    assert [word.strip() for word in words] == ["horse", "cake", "water", "cake"]


def test_the_most_uncertain_units_are_taken_in_the_order_of_the_text(encoding):
    entropy_T = np.zeros(len(encoding.response_ids))
    words = encoding.units("word")
    entropy_T[[words[7][0], words[1][0], words[4][-1]]] = 3.0, 2.0, 1.0
    share = 3 / len(words)
    assert choose_units(encoding, entropy_T, level="word", subset="entropy", share=share) == (
        words[1],
        words[4],
        words[7],
    )
    assert len(choose_units(encoding, entropy_T, subset="entropy", share=1.0)) == len(encoding.scored)
