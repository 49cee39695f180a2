"""Rounding beside the effects that are looked at."""

import copy

import torch

from causal_attrib.doctor.precision import in_precision, precision
from causal_attrib.vlm import VLM, Continuation


def halved(vlm) -> VLM:
    return type(vlm)(copy.deepcopy(vlm.model).to(torch.bfloat16), vlm.processor, name=vlm.name)


def test_float32_is_fine_and_the_cost_of_bfloat16_is_told(healthy, case):
    check = precision(case(healthy))
    assert check.passed and check.measured < 1e-2
    assert "bfloat16 would move it by" in check.detail


def test_half_precision_is_held_against_float32(healthy, case):
    check = precision(case(halved(healthy)))
    assert check.passed and 1e-4 < check.measured < 0.5


def test_rounding_as_large_as_the_effects(healthy, case):
    vlm = halved(healthy)
    with torch.no_grad():
        for parameter in vlm.model.model.multi_modal_projector.parameters():
            parameter.mul_(2**-8)  # the picture is hardly seen, so little depends on any word
    check = precision(case(vlm))
    assert check.passed is False and "--dtype float32" in check.detail


def test_a_caption_on_which_nothing_has_an_effect(clone, case):
    vlm = clone()
    with torch.no_grad():
        for parameter in vlm.model.model.multi_modal_projector.parameters():
            parameter.zero_()
    check = precision(case(vlm))
    assert check.passed is False and check.to_dict()["measured"] is None


def test_float32_does_not_fail_for_what_bfloat16_cannot(clone, case):
    class NotInHalf(VLM):
        def read(self, encoding, rows):
            if self.model.dtype == torch.bfloat16:
                raise RuntimeError("not implemented for 'BFloat16'")
            return super().read(encoding, rows)

    check = precision(case(clone(NotInHalf)))
    assert check.passed and "cannot be scored in bfloat16" in check.detail


def test_quantised_weights_are_not_copied(healthy, case):
    vlm = halved(healthy)
    vlm.model.config.quantization_config = {"load_in_4bit": True}
    check = precision(case(vlm))
    assert check.passed is None and "quantised" in check.detail


def test_a_model_that_does_not_fit_twice(healthy, case, monkeypatch):
    monkeypatch.setattr("causal_attrib.doctor.precision._free_bytes", lambda device: 1000)
    check = precision(case(halved(healthy)))
    assert check.passed is None and "free" in check.detail
    check = precision(case(healthy))
    assert check.passed and "bfloat16" not in check.detail


def test_the_model_in_another_precision_is_another_model(healthy, case):
    encoding = case(healthy).encoding
    before = healthy.read(encoding, [Continuation(encoding.response_ids)])[0]
    half = in_precision(healthy, torch.bfloat16)
    assert half.model.dtype == torch.bfloat16 and healthy.model.dtype == torch.float32
    assert all(b.dtype == torch.float32 for name, b in half.model.named_buffers() if name.endswith("inv_freq"))
    assert torch.equal(before, healthy.read(encoding, [Continuation(encoding.response_ids)])[0])
