"""Which earlier word moved which later word."""

import numpy as np
import pytest
import torch

import causal_attrib
from causal_attrib import InputError
from tests.conftest import FALSE, PARK


@pytest.fixture(scope="module")
def found(bundled):
    return causal_attrib.interactions(PARK, FALSE, model=bundled)


def test_they_are_what_a_forward_with_the_word_s_embedding_at_zero_loses(found, bundled):
    """By hand: one ordinary forward of transformers as it is, and one with a hook that hides "dog"."""
    encoding = bundled.encode(PARK, None, FALSE)
    dog = list(found.labels).index(" dog")
    (place,) = encoding.units("word")[dog]
    inputs, begins = by_hand(bundled, encoding)
    embed = bundled.model.get_input_embeddings()

    def read(hidden):
        def hide(_, __, output):
            output = output.clone()
            output[:, [begins + t for t in hidden]] = 0.0
            return output

        handle = embed.register_forward_hook(hide)
        try:
            with torch.no_grad():
                logits = bundled.model(**inputs).logits[0].log_softmax(-1)
        finally:
            handle.remove()
        ids = encoding.response_ids
        return np.array([logits[begins + t - 1, token].item() for t, token in enumerate(ids)])

    lost_T = read([]) - read([place])
    for v, unit in enumerate(encoding.units("word")):
        if v > dog:
            assert found.values_UV[dog, v] == pytest.approx(lost_T[list(unit)].sum(), abs=1e-4)


def by_hand(vlm, encoding):
    """What transformers is given for the whole row, and where the response begins in it."""
    chat = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": encoding.prompt}]}]
    text = vlm.processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    inputs = vlm.processor(images=encoding.picture.pixels, text=text, return_tensors="pt", add_special_tokens=False)
    response = torch.tensor([list(encoding.response_ids)])
    begins = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], response], 1)
    inputs["attention_mask"] = torch.ones_like(inputs["input_ids"])
    return inputs, begins


def test_no_word_moves_an_earlier_one(found):
    count = len(found.labels)
    earlier = np.tril(np.ones((count, count), bool))
    assert np.isnan(found.values_UV[earlier]).all() and np.isfinite(found.values_UV[~earlier]).all()


def test_engines_agree_and_tokens_add_up_to_words(bundled, found):
    plain = causal_attrib.interactions(PARK, FALSE, model=bundled, engine="plain")
    assert np.nanmax(np.abs(plain.values_UV - found.values_UV)) < 1e-4
    by_token = causal_attrib.interactions(PARK, FALSE, model=bundled, level="token")
    # "dog" is one token, and "frisbee" the three from 5 on.
    dog, frisbee = list(found.labels).index(" dog"), list(found.labels).index(" frisbee")
    row = by_token.values_UV[list(by_token.labels).index(" dog")]
    assert row[5:8].sum() == pytest.approx(found.values_UV[dog, frisbee], abs=1e-4)


def test_frame_and_plot(found):
    frame = found.to_frame()
    assert frame.index.tolist() == frame.columns.tolist() == [label.strip() for label in found.labels]
    assert found._repr_png_().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "wrong, said",
    [
        ({"mask": "delete"}, "no mask of interactions 'delete'; choose one of zero, mean"),
        ({"mask": None}, "no mask of interactions None"),
        ({"level": "sentence"}, "no level of interactions 'sentence'; choose one of token, word"),
        ({"engine": "q"}, "no engine 'q'; choose one of auto, packed, plain"),
        ({"batch_size": 0}, "batch size is 0"),
        ({"caption": 3}, "caption is 3; give a string"),
        ({"caption": ["a"]}, "caption is .* give a string"),
        ({"caption": "  "}, "caption is empty"),
        ({"prompt": 7}, "prompt is 7; give a string"),
        ({"image": "no.png"}, "There is no file no.png"),
        ({"model": "no/such/folder"}, "There is no folder no/such/folder"),
    ],
)
def test_what_is_wrong_is_one_sentence(wrong, said):
    """All but the model itself before one is loaded: with the name of none, that is not what is told."""
    with pytest.raises(InputError, match=said) as told:
        causal_attrib.interactions(**({"image": PARK, "caption": FALSE, "model": "no/such/folder"} | wrong))
    assert str(told.value).count("\n") == 0 and str(told.value).endswith(".")
