"""What a family finds out by itself about a model that nothing is known of."""

import pytest
import torch
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.families import choose_family
from tests.tiny_models import tiny


class OneMore:
    """A processor that gives one more input for every token."""

    def __init__(self, processor, of_each):
        self.processor, self.of_each = processor, of_each

    def __getattr__(self, name):
        return getattr(self.processor, name)

    def __call__(self, **given):
        inputs = self.processor(**given)
        inputs["places"] = self.of_each(inputs["input_ids"])
        return inputs


def places(ids):
    return torch.arange(ids.shape[1])[None]


def in_three_rows(ids):
    return torch.arange(ids.shape[1]).expand(1, 3, -1)


def marks(ids):
    return torch.where(ids > 4, 7, 0)


def pairs(ids):
    return torch.stack([ids * 0, ids * 0 + 1], dim=-1)


def extended(of_each, continuations):
    vlm = tiny("aya_vision")
    family = choose_family(vlm.model, OneMore(vlm.processor, of_each))
    inputs = family.prompt_inputs(family.converse("What is it?").before, Image.new("RGB", (60, 80)))
    return inputs, family.extend(inputs, continuations, vlm.pad_id)


@pytest.mark.parametrize("of_each", [places, in_three_rows, marks, pairs])
def test_an_input_of_the_row_goes_on_as_the_processor_would_go_on(of_each):
    inputs, batch = extended(of_each, [(11, 12, 13), (14,)])
    assert batch["input_ids"].shape[1] == inputs["input_ids"].shape[1] + 3
    longer = torch.cat([inputs["input_ids"], torch.tensor([[11, 12, 13]])], dim=1)
    assert torch.equal(batch["places"], torch.cat([of_each(longer)] * 2))


def test_an_input_that_is_as_long_as_the_row_by_chance_is_left_alone():
    length = tiny("aya_vision").encode(Image.new("RGB", (60, 80)), "What is it?", "a dog").prompt_length
    inputs, batch = extended(lambda ids: torch.zeros(1, length), [(11, 12)])
    assert inputs["places"].shape[1] == inputs["input_ids"].shape[1]
    assert batch["places"].shape == (1, length)


def test_an_input_that_goes_on_in_a_way_of_its_own_is_refused():
    with pytest.raises(InputError, match="AyaVision.* is given places for every token"):
        extended(lambda ids: torch.arange(ids.shape[1])[None] ** 2, [(11,)])


def test_a_decoder_starts_with_the_token_that_any_of_its_settings_names():
    family = tiny("t5gemma2").family
    settings = family.model.generation_config
    assert not hasattr(family.config.get_text_config(decoder=True), "decoder_start_token_id")
    before = settings.decoder_start_token_id, settings.bos_token_id
    try:
        settings.decoder_start_token_id = 9
        assert family.start_ids == [9]
        settings.decoder_start_token_id = settings.bos_token_id = None
        with pytest.raises(InputError, match="set decoder_start_token_id in its generation_config.json"):
            _ = family.start_ids
    finally:
        settings.decoder_start_token_id, settings.bos_token_id = before


def test_pictures_of_a_batch_are_numbered_row_by_row():
    """In a batch each row is read as it is alone, though transformers numbers all its pictures through."""
    vlm = tiny("hunyuan_vl")
    encoding = vlm.encode(Image.new("RGB", (60, 80), "red"), "What is it?", "a red dog")
    row = Continuation(encoding.response_ids)
    (alone,), together = vlm.read(encoding, [row]), vlm.read(encoding, [row] * 3)
    for each in together:
        torch.testing.assert_close(each, alone, atol=1e-5, rtol=0)


def test_a_model_that_leaves_out_what_is_added_to_its_logits_is_told_of(monkeypatch):
    vlm = tiny("llava_clip_llama")
    encoding = vlm.encode(Image.new("RGB", (60, 80)), "What is it?", "a red dog")
    whole = vlm.model.generate
    monkeypatch.setattr(vlm.model, "generate", lambda **given: whole(**given | {"logits_processor": None}))
    with pytest.raises(InputError, match="writes by rules of its own"):
        vlm.write(encoding, Continuation(()), 3)
