"""A model that reads hidden words in another way than by their embeddings is refused where they are hidden."""

import pytest

import causal_attrib
from causal_attrib import InputError
from tests.saliency.common import noise
from tests.tiny_models import tiny


def test_runs_of_ids_in_a_table_of_their_own_are_refused():
    vlm, told = tiny("qwen4_exp"), r"qwen4_exp still reads words that are hidden .* --mask token or delete instead"
    given = {"model": vlm, "prompt": "What is it?"}
    for mask in ("zero", "mean"):
        with pytest.raises(InputError, match=told):
            causal_attrib.score(noise(), "a red dog", mask=mask, **given)
    with pytest.raises(InputError, match=told):
        causal_attrib.interactions(noise(), "a red dog", **given)
    scored = causal_attrib.score(noise(), "a red dog", mask="delete", **given)
    assert all(token.necessity is not None for token in scored)
