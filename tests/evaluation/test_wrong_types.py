"""Values of types that no argument has are told in one sentence, before anything slow."""

import math

import pytest

import causal_attrib
from causal_attrib import InputError
from causal_attrib.evaluation import background, chair, degradation, detection, faithfulness, pope, verdict
from causal_attrib.scenes import PARK, render

CAPTION, REASONED = "a dog", "<think> a dog </think> <answer> yes </answer>"
SCORE = [
    ({"model": 5}, "A model cannot be 5"),
    ({"model": "a" * 5000}, "There is no folder"),
    ({"caption": b"a dog"}, "give a string, or the ids"),
    ({"caption": [10**30]}, "give a string, or the ids"),
    ({"objects": 5}, "give a list of their names"),
    ({"objects": [5]}, "give a list of their names"),
    ({"objects": ["zebu"], "outcome": "objects"}, "no object of the COCO vocabulary"),
    ({"outcome": None}, "There is no outcome None"),
    ({"calibration": 5, "verdict": True}, "A calibration cannot be 5"),
    ({"verdict": "yes"}, "verdict is 'yes', but it is True or False"),
    ({"coherence": 1}, "coherence is 1, but it is True or False"),
    ({"caption": "\0"}, "unseen characters; give the words"),
    ({"caption": "\u200b\ufeff \u2060"}, "unseen characters; give the words"),
    ({"caption": "<image>\n<|image_pad|>"}, "unseen characters; give the words"),
    ({"question": "is it?", "answer": "\u200b"}, "unseen characters; give the answer"),
]
SALIENCY = [
    ({"regions": 5}, "Regions cannot be 5"),
    ({"words": 5}, "The words are 5"),
    ({"words": [5]}, "The words are"),
    ({"words": "dog", "foil": 5}, "The foil is 5"),
    ({"method": "gradient", "smooth": "a"}, "smooth is 'a'"),
    ({"method": "smoothgrad", "noise": None}, "noise is None"),
    ({"method": "regions", "smallest": "a"}, "smallest regions is a"),
]
EVALUATIONS = [
    (lambda: detection.evaluate(captions=5), "A file cannot be 5"),
    (lambda: detection.evaluate(captions="x", signals=5), "The signals are 5"),
    (lambda: degradation.evaluate(scenes="a"), "The number of scenes is 'a'"),
    (lambda: degradation.evaluate(5), "A file cannot be 5"),
    (lambda: degradation.evaluate(reasoning=5), "asks for reasoning"),
    (lambda: degradation.evaluate(scenes=2, model=5), "A model cannot be 5"),
    (lambda: faithfulness.evaluate([]), "The methods are []"),
    (lambda: faithfulness.evaluate(steps="a"), "The number of steps is 'a'"),
    (lambda: background.evaluate(5), "A file cannot be 5"),
    (lambda: verdict.evaluate(5), "A file cannot be 5"),
    (lambda: verdict.evaluate("x.jsonl", scenes=3), "--scenes renders pictures and --captions has some"),
    (lambda: verdict.evaluate(wordings="no"), "wordings is 'no'"),
    (lambda: verdict.evaluate(resamples=math.nan), "give whole numbers"),
    (lambda: chair.evaluate(5, objects="x"), "A file cannot be 5"),
    (lambda: chair.evaluate("x", objects="x", group_by=5), "The keys to group by are 5"),
    (lambda: pope.evaluate(5), "Files cannot be 5"),
    (lambda: pope.evaluate([]), "There are no questions"),
]


@pytest.fixture(scope="module")
def picture():
    return render(PARK, size=64)[0]


@pytest.mark.parametrize("given, said", SCORE)
def test_score(bundled, picture, given, said):
    asked = {"model": bundled, "caption": CAPTION, **given}
    with pytest.raises(InputError) as told:
        causal_attrib.score(picture, asked.pop("caption"), **asked)
    assert said in str(told.value) and "\n" not in str(told.value)


@pytest.mark.parametrize("given, said", SALIENCY)
def test_saliency(bundled, picture, given, said):
    with pytest.raises(InputError) as told:
        causal_attrib.saliency(picture, CAPTION, model=bundled, **given)
    assert said in str(told.value)


@pytest.mark.parametrize("given, said", [({"draws": 10**12}, "from 1 to 10,000"), ({"draws": "a"}, "draws is 'a'")])
def test_coherence(bundled, picture, given, said):
    with pytest.raises(InputError) as told:
        causal_attrib.coherence(picture, REASONED, model=bundled, **given)
    assert said in str(told.value)


def test_prove(bundled, picture):
    with pytest.raises(InputError, match="Maps cannot be 5"):
        causal_attrib.prove(5, picture, CAPTION, model=bundled)


@pytest.mark.parametrize("call, said", EVALUATIONS)
def test_evaluations(call, said):
    with pytest.raises(InputError) as told:
        call()
    assert said in str(told.value)


def test_a_thin_picture_is_stretched_with_a_warning(bundled, picture):
    with pytest.warns(UserWarning, match="6500 x 20 pixels.*in other proportions"):
        bundled.encode(picture.resize((6500, 20)), None, CAPTION)
