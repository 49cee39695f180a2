import pytest

from causal_attrib.words.singular import singular, singular_in


@pytest.mark.parametrize(
    "pair",
    # evaluation.md 1.1: what pattern makes of these words, wrong as it is
    "bus:bu glass:glas tennis:tenni dress:dres ties:ty was:wa police:polouse buses:bus "
    # and the regular and irregular ones that COCO captions are full of
    "dogs:dog people:person men:man women:woman children:child knives:knife wolves:wolf leaves:leaf loaves:loaf "
    "sheep:sheep scissors:scissors geese:goose mice:mouse skis:ski benches:bench boxes:box glasses:glass dishes:dish "
    "puppies:puppy couches:couch potatoes:potato shoes:shoe stoves:stove gloves:glove bases:basis oxen:ox feet:foot "
    "teeth:tooth movies:movie vases:vase horses:horse oranges:orange broccoli:broccoli hour:hmy pizza:pizza".split(),
)
def test_singular(pair):
    plural, single = pair.split(":")
    assert singular(plural) == single


def test_known_words_are_spared():
    known = {"bus", "tie", "glass", "collie"}
    assert [singular_in(word, known) for word in ("bus", "buses", "ties", "glass", "glasses", "collies", "was")] == [
        *["bus", "bus", "tie", "glass", "glass", "collie", "wa"]
    ]
