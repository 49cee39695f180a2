from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.words.treebank import lowered, sentences, tokenize


def words(text):
    return [token.text for token in tokenize(text)]


def test_a_period_is_cut_off_at_the_end_of_each_sentence():
    # Without sentences "chair. The" keeps "chair.", which moves CHAIR_s by up to 2.7 points (evaluation.md 1.1).
    assert words("A chair. The end.") == ["a", "chair", ".", "the", "end", "."]
    assert words('He said "stop." Then left') == ["he", "said", '"', "stop.", '"', "then", "left"]
    assert words("(A cup.)") == ["(", "a", "cup", ".", ")"]


def test_what_treebank_keeps_together():
    assert words("a hot-dog at 5:30 for 1,000 w/o salt") == [
        "a",
        "hot-dog",
        "at",
        "5:30",
        "for",
        "1,000",
        "w/o",
        "salt",
    ]


def test_clitics_and_contractions():
    assert words("dogs' bowls, the cat's: they'll, isn't, cannot") == [
        *["dogs", "'", "bowls", ",", "the", "cat", "'s", ":", "they", "'ll", ",", "is", "n't", ",", "can", "not"]
    ]


def test_quotes_and_ellipses():
    assert words("a “red” bus... and 'tis") == ["a", "“", "red", "”", "bus", "...", "and", "'", "tis"]


@given(st.text())
def test_tokens_are_the_text_without_its_spaces(text):
    tokens = tokenize(text)
    low = lowered(text)
    assert len(low) == len(text)
    assert all(low[token.start : token.end] == token.text for token in tokens)
    assert "".join(token.text for token in tokens) == "".join(low.split())
    assert [token.start for token in tokens] == sorted(token.start for token in tokens)


@given(st.text(alphabet="ab .!?\n"))
def test_sentences_are_the_text_without_the_spaces_between(text):
    spans = sentences(text)
    assert all(text[start:end] for start, end in spans)
    covered = {place for start, end in spans for place in range(start, end)}
    assert all(text[place].isspace() for place in range(len(text)) if place not in covered)
