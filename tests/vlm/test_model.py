"""What `VLM.read` gives equals a call of the transformers model written out by hand."""

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.vlm import Row
from tests.tiny_models import BUILDERS, tiny

PICTURE = Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80, 3), dtype=np.uint8))
CAPTION = "a dog and a red frisbee on the grass"


def by_hand(vlm, encoding, ids, image, hidden=(), fill=0.0):
    """Processor and model as in the transformers documentation, embeddings edited through `inputs_embeds`."""
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": encoding.prompt}]}]
    text = vlm.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = vlm.processor(text=text, images=image, return_tensors="pt", add_special_tokens=False)
    input_ids = torch.cat([inputs["input_ids"], torch.tensor([ids])], dim=1)
    embeds = vlm.model.get_input_embeddings()(input_ids).detach().clone()
    for index in hidden:
        embeds[0, inputs["input_ids"].shape[1] + index] = fill
    # The image features are put in by hand too, since the model finds their places by `input_ids` only.
    pixels = {name: value for name, value in inputs.items() if name.startswith("pixel")}
    features = vlm.model.get_image_features(**pixels).pooler_output
    embeds[input_ids == vlm.model.config.image_token_id] = torch.cat(list(features)).reshape(-1, embeds.shape[-1])
    with torch.no_grad():
        logits = vlm.model(inputs_embeds=embeds, attention_mask=torch.ones_like(input_ids)).logits
    return logits[0, inputs["input_ids"].shape[1] - 1 :]


@pytest.fixture(params=BUILDERS)
def vlm(request):
    return tiny(request.param)


def test_reading_equals_a_call_by_hand(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    (logits,) = vlm.read(encoding, [Row(encoding.response_ids)])
    expected = by_hand(vlm, encoding, encoding.response_ids, PICTURE)
    torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


def test_neutral_reading_equals_a_call_with_a_picture_of_one_colour(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    (logits,) = vlm.read(encoding, [Row(encoding.response_ids, neutral=True)])
    grey = Image.new("RGB", PICTURE.size, vlm.neutral_colour)
    torch.testing.assert_close(logits, by_hand(vlm, encoding, encoding.response_ids, grey), atol=1e-5, rtol=0)
    (seen,) = vlm.read(encoding, [Row(encoding.response_ids)])
    assert (logits - seen).abs().max() > 1e-3, "the model does not see the picture"


@pytest.mark.parametrize("fill", ["zero", "mean"])
def test_hidden_tokens_equal_edited_embeddings(vlm, fill):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    (logits,) = vlm.read(encoding, [Row(encoding.response_ids, (1, 3), fill)])
    embed = vlm.model.get_input_embeddings()
    value = 0.0 if fill == "zero" else embed.weight.detach().mean(0)
    torch.testing.assert_close(
        logits, by_hand(vlm, encoding, encoding.response_ids, PICTURE, (1, 3), value), atol=1e-5, rtol=0
    )
    assert not embed._forward_hooks, "the model must be left as it was found"


def test_rows_of_a_batch_do_not_touch_each_other(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    ids = encoding.response_ids
    rows = [Row(ids), Row(ids[:2]), Row(ids, (0,)), Row(()), Row(ids[:5], (1,), "mean")]
    for alone, together in zip([vlm.read(encoding, [row])[0] for row in rows], vlm.read(encoding, rows), strict=True):
        torch.testing.assert_close(alone, together, atol=1e-5, rtol=0)


@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_kernels_agree(vlm, attention):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    (reference,) = vlm.read(encoding, [Row(encoding.response_ids, (2,))])
    before = vlm.model.config._attn_implementation
    vlm.model.set_attn_implementation(attention)
    try:
        (logits,) = vlm.read(encoding, [Row(encoding.response_ids, (2,))])
    finally:
        vlm.model.set_attn_implementation(before)
    torch.testing.assert_close(logits, reference, atol=1e-5, rtol=0)


def test_greedy_writing_equals_generate(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    (written,) = vlm.write(encoding, Row(()), 8)
    expected = vlm.model.generate(
        **encoding.prompt_inputs,
        max_new_tokens=8,
        do_sample=False,
        pad_token_id=vlm.pad_id,
        suppress_tokens=vlm.unwritable_ids,
    )[0, encoding.prompt_length :].tolist()
    if vlm.tokenizer.eos_token_id in expected:
        expected = expected[: expected.index(vlm.tokenizer.eos_token_id)]
    assert list(written) == expected


def test_writing_behind_hidden_tokens_is_greedy_on_what_is_read(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    ids = encoding.response_ids[:4]
    (written,) = vlm.write(encoding, Row(ids, (1,)), 4)
    for count in range(len(written)):
        (logits,) = vlm.read(encoding, [Row(ids + written[:count], (1,))])
        logits[-1, vlm.unwritable_ids] = -torch.inf
        assert logits[-1].argmax().item() == written[count]


def test_image_tokens_are_found(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    ids = encoding.prompt_inputs["input_ids"][0]
    assert [i for i, token in enumerate(ids.tolist()) if token == vlm.model.config.image_token_id] == list(
        encoding.image_positions
    )


def test_nan_weights_are_said(vlm):
    encoding = vlm.encode(PICTURE, "What is it?", CAPTION)
    row_D = vlm.model.get_input_embeddings().weight[encoding.response_ids[0]]
    good_D = row_D.detach().clone()
    with torch.no_grad():
        row_D.fill_(torch.nan)
    try:
        with pytest.raises(InputError, match="NaN"):
            vlm.read(encoding, [Row(encoding.response_ids)])
    finally:
        with torch.no_grad():
            row_D.copy_(good_D)
