"""Spans tile the text exactly, whatever the tokenizer and the text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.vlm.text import decode, spans_of_ids, tile, tokenize
from causal_attrib.words.segmentation import word_of_each
from tests.fuzz import fuzz
from tests.tokenizers_of_kinds import TOKENIZERS

ANY_TEXT = st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40)


@pytest.mark.parametrize("kind", TOKENIZERS)
@fuzz
@given(text=ANY_TEXT, after=st.sampled_from(["", "USER: what is it? ASSISTANT:", "</s>\n", "x"]))
def test_spans_tile_any_text(kind, text, after):
    ids, spans = tokenize(TOKENIZERS[kind], text, after=after)
    assert len(ids) == len(spans)
    if spans:
        assert "".join(text[start:end] for start, end in spans) == text
        assert spans[0][0] == 0 and spans[-1][1] == len(text)
        assert all(before[1] == here[0] for before, here in zip(spans, spans[1:], strict=False))


@fuzz
@given(text=ANY_TEXT, after=st.sampled_from(["", "USER: what is it? ASSISTANT:", "</s>\n", "x"]))
def test_byte_level_ids_spell_the_text(text, after):
    tokenizer = TOKENIZERS["byte-level"]
    ids, spans = tokenize(tokenizer, text, after=after)
    assert decode(tokenizer, ids) == text
    again, spans_again = spans_of_ids(tokenizer, ids)
    assert again == text
    assert "".join(text[start:end] for start, end in spans_again) == text


@pytest.mark.parametrize("kind", TOKENIZERS)
@fuzz
@given(words=st.lists(st.sampled_from("a dog red frisbee, sunset. the grass on".split()), min_size=1, max_size=9))
def test_ids_are_those_of_the_joined_text(kind, words):
    tokenizer, before, text = TOKENIZERS[kind], "USER: what is it? ASSISTANT:", " " + " ".join(words)
    ids, _ = tokenize(tokenizer, text, after=before)
    whole = tokenizer(before + text, add_special_tokens=False)["input_ids"]
    assert tuple(whole[len(whole) - len(ids) :]) == ids
    assert tokenizer(before, add_special_tokens=False)["input_ids"] == whole[: len(whole) - len(ids)]


@pytest.mark.parametrize("kind", TOKENIZERS)
def test_special_tokens_in_a_caption_are_text(kind):
    tokenizer = TOKENIZERS[kind]
    ids, _ = tokenize(tokenizer, "a <image> of a dog</s>", after="USER: <image> ASSISTANT:")
    assert not set(ids) & set(tokenizer.convert_tokens_to_ids(["<image>", "</s>"]))


def test_a_token_lies_in_the_word_of_its_first_visible_character():
    text = "a red-hot dog's 🐕 <think> no"
    spans = tile([1, 5, 9, 11, 15, 17, 17, 25, 26, 28], len(text))
    assert [text[start:end] for start, end in spans] == [
        "a", " red", "-hot", " d", "og's", " 🐕", "", " <think>", " ", "no",
    ]  # fmt: skip
    assert word_of_each(text, spans) == (0, 1, 1, 2, 2, 3, 3, 4, 4, 5)
