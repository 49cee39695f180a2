"""Targets are the log-probabilities that they say they are."""

import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.vlm import Continuation
from tests.conftest import PARK
from tests.saliency.common import CAPTION, PROMPT, noise, reader_of
from tests.tiny_models import BUILDERS, tiny


def logprobs(vlm, encoding, ids):
    (logits_TV,) = vlm.read(encoding, [Continuation(tuple(ids))])
    return logits_TV[:-1].log_softmax(-1).gather(-1, torch.tensor(ids)[:, None])[:, 0]


@pytest.mark.parametrize("name", [name for name in BUILDERS if name != "deepseek_vl_hybrid"])  # refused
def test_many_pictures_in_one_forward_equal_each_read_alone(name):
    vlm = tiny(name)
    # More than the batch size of the reader, but where the processor makes thousands of patches of any picture.
    pictures = [noise(seed=seed) for seed in range(2 if name == "pix2struct" else 4)]
    reader = reader_of(vlm, pictures[0], words="dog red", foil="cat")
    with torch.no_grad():
        together_NM = reader.scores(torch.cat([reader.pixels(picture) for picture in pictures]))
    one_by_one_NM = reader.read_many([reader.pixels(picture) for picture in pictures])
    for picture, *found in zip(pictures, together_NM, one_by_one_NM, strict=True):
        encoding = vlm.encode(picture, PROMPT, CAPTION)
        expected = []
        for word, unit in zip(("dog", "red"), reader.target.tokens, strict=True):
            start = unit[0]
            with_foil = vlm.encode(picture, PROMPT, CAPTION.replace(word, "cat", 1))
            end = start + len(with_foil.response_ids) - len(encoding.response_ids) + len(unit)
            real = logprobs(vlm, encoding, encoding.response_ids)[list(unit)].sum()
            expected.append(real - logprobs(vlm, with_foil, with_foil.response_ids)[start:end].sum())
        for values_M in found:
            # T5's logits spread over tens of nats.
            torch.testing.assert_close(values_M, torch.stack(expected), atol=1e-4, rtol=1e-5)


def test_words_tokens_and_answers(bundled):
    encoding = bundled.encode(PARK, None, CAPTION, "yes", question="Is there a dog in the image?")
    words = choose_target(bundled, encoding, "word")
    assert [label.strip() for label in words.labels] == CAPTION.split()
    tokens = choose_target(bundled, encoding, "token")
    assert tokens.tokens == tuple((t,) for t in encoding.scored) and "".join(tokens.labels) == CAPTION
    assert [t for unit in words.tokens for t in unit] == list(encoding.scored)
    answer = choose_target(bundled, encoding, "answer", foil="no")
    assert answer.labels == ("yes",) and answer.tokens == ((),) and answer.name == "foil"
    assert answer.rows[0] == encoding.response_ids + encoding.cue_ids + encoding.answer_ids
    other = bundled.encode(PARK, None, CAPTION, "no", question="Is there a dog in the image?")
    assert answer.rows[1] == encoding.response_ids + encoding.cue_ids + other.answer_ids


def test_tokens_of_a_named_word(bundled):
    encoding = bundled.encode(PARK, None, CAPTION)
    by_word = choose_target(bundled, encoding, "word", "Frisbee, dog")
    assert by_word.labels == (" dog", " frisbee")
    assert choose_target(bundled, encoding, "word", ["dog"]).labels == (" dog",)
    by_token = choose_target(bundled, encoding, "token", "frisbee")
    assert tuple(t for unit in by_token.tokens for t in unit) == by_word.tokens[1]


@pytest.mark.parametrize("word, text", [("a", "one dog and a red"), ("frisbee", "a dog and a red laptop on")])
def test_a_foil_is_written_as_the_model_would(bundled, word, text):
    encoding = bundled.encode(PARK, None, CAPTION)
    foil = "one" if word == "a" else "laptop"
    target = choose_target(bundled, encoding, "word", word, foil)
    expected = bundled.encode(PARK, None, text).response_ids
    part = target.parts[0][1]
    assert target.rows[1] == expected[: len(target.rows[1])]
    assert part.sign == -1 and part.positions[-1] + 1 == len(target.rows[1])


def test_tagged_reasoning_has_an_answer(bundled):
    text = "<think> a dog on the grass </think> <answer> yes </answer>"
    encoding = bundled.encode(PARK, "Is there a dog in the image? Think first, then answer.", text)
    target = choose_target(bundled, encoding, "answer", foil="no")
    assert target.labels == ("yes",)
    assert target.rows[0][: encoding.end] == encoding.response_ids[: encoding.end]
    assert target.rows[0] != target.rows[1] and len(target.rows[0]) == len(target.rows[1])


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"of": "word", "words": "cat"}, "'cat' is not a word"),
        ({"of": "word", "words": ""}, "is not a word"),
        ({"of": "word", "words": "dog", "foil": " "}, "foil is empty"),
        ({"of": "word", "words": "dog", "foil": "dog"}, "the word itself"),
        ({"of": "word", "foil": "cat"}, "name it"),
        ({"of": "token", "words": "dog", "foil": "cat"}, "whole word"),
        ({"of": "answer"}, "no answer"),
    ],
)
def test_bad_targets(bundled, asked, message):
    encoding = bundled.encode(PARK, None, CAPTION)
    with pytest.raises(InputError, match=message):
        choose_target(bundled, encoding, **asked)
