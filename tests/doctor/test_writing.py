import pytest
import torch

from causal_attrib.doctor.writing import own_words, writing
from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM


def test_what_it_writes_is_told(bundled, case):
    check = own_words(case(bundled))
    assert check.passed and check.measured >= 1 and 'It writes "' in check.detail


def test_a_model_with_nothing_to_say(clone, case):
    vlm = clone()
    with torch.no_grad():
        vlm.model.lm_head.weight.zero_()  # all ids are alike, and of those it may write the end comes first
    with pytest.raises(InputError, match="wrote no caption"):
        own_words(case(vlm))


def test_what_is_written_is_what_is_read(bundled, case):
    check = writing(case(bundled))
    assert check.passed and check.measured <= 1e-5


def test_a_model_whose_generation_goes_another_way(clone, case):
    class Contrary(VLM):
        def write(self, encoding, row, longest, noises=(None,)):
            return [tuple(reversed(ids)) for ids in super().write(encoding, row, longest, noises)]

    check = writing(case(clone(Contrary)))
    assert check.passed is False and check.measured > 1e-3
