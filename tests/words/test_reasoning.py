"""Where a response reasons and where it answers."""

import time

import pytest

from causal_attrib.vlm.encode import _reasoning_tokens
from causal_attrib.words.reasoning import answer_of, is_cut_off, split_response


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("<think> a dog </think> <answer> yes </answer>", " a dog", "yes"),
        ("<reasoning>a\nb</reasoning>\n<answer>yes</answer>", "a\nb", "yes"),
        ("<think> a dog </think> yes", " a dog", "yes"),
        ("<think>a dog.</think>\n\nIt is a dog.\nYes.", "a dog.", "It is a dog.\nYes."),
        ("<think> a dog </think> <answer> yes", " a dog", "yes"),
        ("<think> a dog </think>", " a dog", ""),
        ("Well. <think> a dog </think> <answer> yes </answer> Bye.", " a dog", "yes"),
        ("<think> a </think> <answer> b </answer> <answer> c </answer>", " a", "b"),
        ("a dog <answer> yes </answer>", "a dog", "yes"),
        ("<think> a dog <answer> yes </answer>", " a dog", "yes"),
        ("a dog <finalanswer>B</finalanswer>", "a dog", "B"),
        ("a dog finalanswer> B", "a dog", "B"),
        ("I see two dogs. The final answer is two.", "I see two dogs.", "two"),
        ("Two dogs.\n\n**Final Answer:** two", "Two dogs.", "two"),
        ("Two dogs.\n\n### Final answer: **two**.", "Two dogs.", "two"),
    ],
)
def test_marked_answers(text, reasoning, answer):
    parts = split_response(text)
    assert (text[parts.start : parts.end], parts.answer) == (reasoning, answer)
    assert text[parts.end :].startswith(parts.cue + parts.answer)
    assert answer_of(text) == answer
    assert split_response(text, ends_in_answer=True) == parts
    assert not is_cut_off(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a dog",
        "a dog. a cat.",
        "<answer> yes </answer>",
        "**Final Answer:** B",
        "The final answer is two",
        "<think> a",
    ],
)
def test_captions(text):
    assert split_response(text) is None
    assert answer_of(text) == text.strip()


@pytest.mark.parametrize(
    ("text", "reasoning", "answer"),
    [
        ("There is a cake. So yes.", "There is a cake.", "So yes."),
        ("It has four legs\nA dog\n", "It has four legs", "A dog"),
        ("Legs! \n\n It is 3.5 m long. 3.5", "Legs! \n\n It is 3.5 m long.", "3.5"),
    ],
)
def test_last_sentence(text, reasoning, answer):
    parts = split_response(text, ends_in_answer=True)
    assert (text[parts.start : parts.end], parts.answer) == (reasoning, answer)
    assert text[parts.end :].startswith(parts.cue + parts.answer)


@pytest.mark.parametrize("text", ["", "yes", "It is 3.5 m long.", "A dog.\n"])
def test_one_sentence_is_no_reasoning(text):
    assert split_response(text, ends_in_answer=True) is None


@pytest.mark.parametrize(("text", "cut"), [("<think> a", True), ("x <reasoning>", True), ("a </think>", False)])
def test_thoughts_without_end(text, cut):
    assert is_cut_off(text) is cut


@pytest.mark.parametrize("piece", ["a dog. ", "<think> ", "<answer ", "final answer ", " ", "\n", "*"])
def test_long_texts_take_no_longer_than_they_are(piece):
    began = time.process_time()
    for text in (piece * (20_000 // len(piece)), "a" + piece * (20_000 // len(piece)) + "a"):
        split_response(text, ends_in_answer=True)
    assert time.process_time() - began < 1  # it takes some milliseconds, and a minute where it goes by the square


def spans(*tokens: str) -> tuple:
    """Spans that tile the text of these tokens."""
    ends = [sum(map(len, tokens[: count + 1])) for count in range(len(tokens))]
    return tuple(zip([0, *ends], ends, strict=False))


@pytest.mark.parametrize(
    ("tokens", "scored"),
    [
        (["<think>", " a", " dog", " </", "think>", " yes"], [" a", " dog"]),
        (["<think>", "a", " dog", ".</", "think>", "yes"], ["a", " dog"]),  # ".</" is one token in many vocabularies
        (["<think", ">a", " dog", ".", "</think>", "yes"], [" dog", "."]),
        (["<think>", "a", " dog", ".\n", "</think>", "yes"], ["a", " dog", ".\n"]),
        (["<think>", "a", " dog", ".", "\n", "</think>", "yes"], ["a", " dog", "."]),
        (["<think>", "a", "🐕", "", "", "</think>", "yes"], ["a", "🐕", "", ""]),
        (["<think>", ".</", "think>", "yes"], []),
    ],
)
def test_tokens_that_reach_into_a_tag_are_not_scored(tokens, scored):
    start, end = _reasoning_tokens(spans(*tokens), split_response("".join(tokens)))
    assert tokens[start:end] == scored
