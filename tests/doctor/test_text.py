"""Words and image tokens: what fails, and what is skipped."""

import copy
from dataclasses import replace

import pytest
from tokenizers.normalizers import Replace

from causal_attrib.doctor.text import image_tokens, prompt, spans
from causal_attrib.vlm import VLM
from tests.tiny_models import tiny
from tests.tokenizers_of_kinds import TOKENIZERS


def encodes(**changes):
    """A `VLM` whose encodings are changed: each value is a function of the encoding."""

    class Changed(VLM):
        def encode(self, *arguments, **named):
            encoding = super().encode(*arguments, **named)
            return replace(encoding, **{name: change(encoding) for name, change in changes.items()})

    return Changed


# -- spans --


@pytest.mark.parametrize(
    "caption", ["a dog on the grass", "Two naïve cows, at 10°!", "ein Café 🐄 で", "a\n b\tc", "a"]
)
def test_spans_of_many_scripts(bundled, case, caption):
    for vlm in (tiny("llava_siglip_qwen2"), bundled):
        check = spans(case(vlm, caption))
        assert check.passed, check


def test_a_tokenizer_that_drops_characters(healthy, case):
    """This one takes its byte tokens for special ones, which are left out of what is decoded."""
    check = spans(case(healthy, "a naïve dog"))
    assert check.passed is False and "token 4 on" in check.detail


def test_spans_of_what_the_model_wrote(bundled, case):
    assert spans(case(bundled, None)).passed


def test_a_tokenizer_of_lower_case_that_drops_spaces(healthy, case):
    processor = copy.copy(healthy.processor)
    processor.tokenizer = TOKENIZERS["word-piece"]
    vlm = VLM(healthy.model, processor, name="lower-case")
    assert spans(case(vlm, "A Dog on the grass, at sunset")).passed


SHIFTED = {"spans": lambda e: ((0, e.spans[0][1] + 2), *((a + 2, b + 2) for a, b in e.spans[1:-1]), e.spans[-1])}
SHIFTED_WELL = {
    "spans": lambda e: tuple(
        zip([0, *(b + 1 for _, b in e.spans[:-1])], [*(b + 1 for _, b in e.spans[:-1]), e.spans[-1][1]], strict=True)
    )
}
DROPS = {"response_ids": lambda e: e.response_ids[1:], "spans": lambda e: ((0, e.spans[1][1]), *e.spans[2:])}
UNKNOWN = {"response_ids": lambda e: (3, *e.response_ids[1:])}


@pytest.mark.parametrize(
    "changes", [SHIFTED, SHIFTED_WELL, DROPS, UNKNOWN], ids=["gaps", "shifted", "drops", "unknown"]
)
def test_spans_beside_the_wrong_words(clone, case, changes):
    check = spans(case(clone(encodes(**changes))))
    assert check.passed is False and check.detail


# -- the prompt --


def test_a_prompt_that_is_asked(healthy, case):
    assert prompt(case(healthy)).passed


def test_a_tokenizer_of_words_alone(healthy, case):
    processor = copy.deepcopy(healthy.processor)
    processor.tokenizer.backend_tokenizer.normalizer = Replace(".", "")
    assert prompt(case(VLM(healthy.model, processor, name="words alone"))).passed


def test_a_template_that_drops_the_prompt(healthy, case):
    processor = copy.copy(healthy.processor)
    processor.chat_template = processor.chat_template.replace("{{ c['text'] }}", "{{ c['text'][:5] }}", 1)
    check = prompt(case(VLM(healthy.model, processor, name="deaf")))
    assert check.passed is False and "template" in check.detail


@pytest.mark.parametrize("asked", ["", "<CAPTION>"])
def test_a_model_that_is_not_asked_in_words(clone, case, asked):
    check = prompt(case(clone(encodes(prompt=lambda e: asked))))
    assert check.passed is None and check.detail


# -- image tokens --


def test_image_tokens_and_their_grid(healthy, case):
    check = image_tokens(case(healthy))
    assert check.passed and "4 x 4" in check.detail


@pytest.mark.parametrize(
    "changes",
    [
        {"positions": lambda layout: tuple(p + 1 for p in layout.positions)},
        {"positions": lambda layout: layout.positions[:-1], "boxes": lambda layout: layout.boxes[:-1]},
        {"positions": lambda layout: (), "boxes": lambda layout: (), "grid": lambda layout: None},
        {"grid": lambda layout: (4, 3)},
    ],
    ids=["shifted", "one short", "none", "wrong grid"],
)
def test_image_tokens_in_the_wrong_place(clone, case, changes):
    def change(encoding):
        return replace(encoding.layout, **{name: change(encoding.layout) for name, change in changes.items()})

    check = image_tokens(case(clone(encodes(layout=change))))
    assert check.passed is False and check.measured > 0


def test_a_model_without_placeholders(clone, case):
    def without(encoding):
        row = encoding.prompt_inputs["input_ids"]
        return encoding.prompt_inputs | {"input_ids": row[row != clone().model.config.image_token_id][None]}

    check = image_tokens(case(clone(encodes(prompt_inputs=without))))
    assert check.passed is None and "placeholders" in check.detail
