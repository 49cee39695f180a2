"""The facts about the authors' script that evaluation.md 1.1 lists, one by one."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from causal_attrib.errors import InputError
from causal_attrib.words.lexicon import Lexicon, read_lexicon
from causal_attrib.words.matcher import Matcher
from causal_attrib.words.treebank import tokenize
from tests.evaluation.benchmark_files import benchmark_file


@pytest.fixture(scope="module")
def original():
    return read_lexicon(benchmark_file("chair/synonyms.txt"))


@pytest.fixture(params=["official", "repaired"])
def matcher(request, original):
    return Matcher(original, request.param)


def nodes(matcher, caption):
    return [mention.node for mention in matcher.mentions(caption)]


def test_the_original_file(original):
    assert len(original.nodes) == 80 and len(original.as_written()) == 403


def test_bus_is_never_counted_by_the_script(original):
    caption = "a bus, an airbus and a minibus beside two buses"
    assert nodes(Matcher(original, "official"), caption) == ["bus"]
    assert nodes(Matcher(original, "repaired"), caption) == ["bus", "airplane", "bus", "bus"]


def test_words_behind_two_spaces_and_capitals(original):
    caption = "a cheesecake, a motor bike and an iPhone"
    assert nodes(Matcher(original, "official"), caption) == []
    assert nodes(Matcher(original, "repaired"), caption) == ["cake", "motorcycle", "cell phone"]


def test_what_the_rules_can_never_match(original):
    official = Matcher(original, "official")
    assert sorted(official.unmatched) == ["airbus", "bus", "cheesecake", "iphone", "minibus", "motor bike"]
    assert official.count_unmatched(["A bus and a bus.", "buses; airbus"]) == {"bus": 2, "airbus": 1}
    assert Matcher(original, "repaired").unmatched == ()


@pytest.mark.parametrize("rules", ["official", "repaired"])
def test_the_built_in_lexicon_has_all_classes(rules, original):
    built_in = read_lexicon()
    assert set(built_in.nodes) == set(original.nodes)
    matcher = Matcher(built_in, rules)
    found = {node for node in built_in.nodes if node in nodes(matcher, f"a {node}")}
    assert set(built_in.nodes) - found == ({"bus"} if rules == "official" else set())


def test_pairs_are_merged(matcher):
    assert nodes(matcher, "a hot dog, a teddy bear, wine glasses, cell phones, traffic lights") == [
        *["hot dog", "teddy bear", "wine glass", "cell phone", "traffic light"]
    ]
    assert nodes(matcher, "the home plate and the train tracks") == []
    assert nodes(matcher, "a baby elephant, an adult bear, a passenger train, a bow tie, a toilet seat") == [
        *["elephant", "bear", "train", "tie", "toilet"]
    ]
    assert nodes(matcher, "a baby on a train") == ["person", "train"]


def test_a_seat_is_no_chair_where_there_is_a_toilet(matcher):
    assert nodes(matcher, "a seat") == ["chair"]
    assert nodes(matcher, "the seat of the toilet") == ["toilet"]


def test_places_are_right_after_a_dropped_seat(matcher):
    caption = "The seat of a toilet near two hot dogs and a cat"  # the script's places are off here
    tokens = tokenize(caption)
    found = [
        (caption[mention.start : mention.stop], " ".join(token.text for token in tokens[mention.first : mention.end]))
        for mention in matcher.mentions(caption)
    ]
    assert found == [("toilet", "toilet"), ("hot dogs", "hot dogs"), ("cat", "cat")]


def test_phrases_of_any_length_under_repaired_rules():
    lexicon = Lexicon("own", (("oven", "stove", "stove top oven"), ("glove", "catcher's mitt")))
    found = Matcher(lexicon, "repaired").mentions("a stove top oven and a catcher's mitt")
    assert [(mention.word, mention.node) for mention in found] == [
        ("stove top oven", "oven"),
        ("catcher's mitt", "glove"),
    ]
    assert nodes(Matcher(lexicon, "official"), "a stove top oven") == ["oven", "oven"]


@settings(deadline=None)
@given(text=st.lists(st.sampled_from("hot dog dogs toilet seat wine glass bus . ' -".split()) | st.text(max_size=4)))
def test_any_text_has_mentions_in_place(text):
    caption = " ".join(text)
    for rules in ("official", "repaired"):
        mentions = Matcher(read_lexicon(), rules).mentions(caption)
        places = [place for mention in mentions for place in (mention.start, mention.stop)]
        assert places == sorted(places) and all(mention.start < mention.stop for mention in mentions)
        assert all(mention.node in read_lexicon().nodes for mention in mentions)


def test_read_counts_merged_tokens_with_punctuation(matcher):
    assert matcher.read("Two hot dogs.")[1] == 3


def test_unknown_rules(original):
    with pytest.raises(InputError, match="official, repaired"):
        Matcher(original, "best")


@pytest.mark.parametrize("text", ["", "\n\n"])
def test_an_empty_synonyms_file(tmp_path, text):
    (tmp_path / "words.txt").write_text(text)
    with pytest.raises(InputError, match="synonyms file"):
        read_lexicon(tmp_path / "words.txt")
