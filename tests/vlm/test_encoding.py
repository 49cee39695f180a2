"""Where prompt, response, cue and answer lie, and what is refused."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.vlm.text import decode
from tests.conftest import FALSE, PARK
from tests.fuzz import fuzz
from tests.tiny_models import tiny

QUESTION = "Is there a dog in the image?"


def test_prompt_and_response_are_what_the_chat_template_writes(bundled):
    encoding = bundled.encode(PARK, response=FALSE)
    ids = encoding.prompt_inputs["input_ids"][0].tolist() + list(encoding.response_ids)
    text = bundled.tokenizer.decode(ids)
    chat = [
        {"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Describe this image."}]},
        {"role": "assistant", "content": [{"type": "text", "text": FALSE}]},
    ]
    written = bundled.processor.apply_chat_template(chat, tokenize=False).removesuffix("</s>")
    assert text.replace("<image>" * 64, "<image>") == written
    assert not encoding.answers_a_question
    assert encoding.grid == (8, 8) and len(encoding.image_positions) == 64


def test_a_picture_that_the_processor_refuses():
    """Qwen takes sides of 200 to 1 at most, and what is 32 pixels high may be 6400 wide."""
    vlm = tiny("qwen2_vl")
    refused = "The processor of .* takes no picture of 6500 x 32 pixels .*200.*; crop it or scale it"
    with pytest.raises(InputError, match=refused):
        vlm.encode(Image.new("RGB", (6500, 20)), None, "a dog")
    with pytest.raises(InputError, match=refused):
        vlm.ask(Image.new("RGB", (6500, 32)))
    assert vlm.encode(Image.new("RGB", (6300, 20)), None, "a dog").picture.pixels.size == (6300, 20)


def test_second_question_makes_a_second_turn(bundled):
    encoding = bundled.encode(PARK, response=FALSE, question=QUESTION, answer="yes")
    assert bundled.tokenizer.decode(encoding.cue_ids) == f"</s>USER: {QUESTION} ASSISTANT:"
    assert decode(bundled.tokenizer, encoding.answer_ids) == " yes"
    assert encoding.scored == range(len(encoding.response_ids))


def test_tagged_reasoning_is_scored_and_tags_are_not(bundled):
    text = "<think> a dog on the grass </think> <answer> yes </answer>"
    encoding = bundled.encode(PARK, response=text, question=QUESTION)
    scored = "".join(text[slice(*encoding.spans[t])] for t in encoding.scored)
    assert scored == " a dog on the grass"
    assert decode(bundled.tokenizer, encoding.cue_ids) == " </think> <answer>"
    assert decode(bundled.tokenizer, encoding.answer_ids) == " yes"
    assert encoding.prompt == QUESTION and encoding.answer == "yes"


def test_reference_answer_replaces_the_responses_own(bundled):
    text = "<think> a dog on the grass </think> <answer> yes </answer>"
    encoding = bundled.encode(PARK, response=text, question=QUESTION, answer="no")
    assert decode(bundled.tokenizer, encoding.answer_ids) == " no"


def test_words_are_units(bundled):
    encoding = bundled.encode(PARK, response="a red frisbee")
    units = encoding.units("word")
    assert ["".join(encoding.response[slice(*encoding.spans[t])] for t in unit) for unit in units] == [
        "a",
        " red",
        " frisbee",
    ]
    assert len(units[2]) > 1, "frisbee should be several tokens"
    assert encoding.units("token") == tuple((t,) for t in range(len(encoding.response_ids)))


def test_ids_are_kept_as_they_were_written(bundled):
    # " dog" spelt in single letters: not the ids that tokenizing the text again would give.
    ids = tuple(bundled.tokenizer.convert_tokens_to_ids(list("Ġdog")))
    encoding = bundled.encode(PARK, response=ids)
    assert encoding.response_ids == ids
    assert encoding.response == "dog"
    assert encoding.spans == ((0, 0), (0, 1), (1, 2), (2, 3))


@fuzz
@given(text=st.text(alphabet=st.characters(exclude_categories=("Cs",)), min_size=1, max_size=40))
def test_spans_tile_any_caption(bundled, text):
    # A text of control characters alone is refused like an empty one.
    if not any(unicodedata.category(one)[0] in "LNPSM" for one in text) or "final answer" in text:
        return
    encoding = bundled.encode(PARK, response=text)
    assert "".join(text[start:end] for start, end in encoding.spans) == text
    again = bundled.encode(PARK, response=encoding.response_ids)
    assert again.response == text
    assert "".join(text[start:end] for start, end in again.spans) == text


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ({"response": " \n"}, "caption is empty"),
        ({"response": "a \udcff dog"}, "not valid Unicode"),
        ({"response": FALSE, "prompt": "Look <image> here"}, "special token <image>"),
        ({"response": FALSE, "answer": "yes"}, "needs its question"),
        ({"response": FALSE, "question": QUESTION}, "needs its reference answer"),
        ({"response": FALSE, "question": QUESTION, "answer": " "}, "answer is empty"),
        ({"response": "a dog " * 1700}, "reads at most"),
        ({"response": "<think> </think> <answer> yes </answer>", "question": QUESTION}, "no reasoning"),
    ],
)
def test_refusals_are_one_sentence(bundled, call, said):
    with pytest.raises(InputError, match=said) as refusal:
        bundled.encode(PARK, **call)
    assert "\n" not in str(refusal.value)
