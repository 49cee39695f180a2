"""Each check of the forwards passes on a healthy model and fails on one that is broken in just that way."""

import copy
import io
from dataclasses import replace

import pytest
import torch
from PIL import Image
from rich.console import Console

from causal_attrib.doctor.case import Case
from causal_attrib.doctor.forwards import (
    USED,
    causality,
    hiding,
    image_is_seen,
    image_is_used,
    leak,
    numbers,
    padding,
)
from causal_attrib.doctor.report import Report
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import read_picture
from causal_attrib.scores.signals import take
from causal_attrib.views.examination import examination
from causal_attrib.vlm import VLM, Continuation
from tests.tiny_models import tiny


@pytest.mark.parametrize("check", [numbers, image_is_seen, causality, hiding, leak, padding])
@pytest.mark.parametrize("caption", ["a dog on the grass", "a"])
def test_a_healthy_model_passes(healthy, case, check, caption):
    assert check(case(healthy, caption)).passed


# -- numbers --


class Overflowing(VLM):
    def read(self, encoding, rows):
        readings = super().read(encoding, rows)
        readings[0][0, 0] = torch.inf
        return readings


def test_infinite_logits(clone, case):
    check = numbers(case(clone(Overflowing)))
    assert check.passed is False and "float32" in check.detail


def test_an_id_that_is_ruled_out_is_no_fault(clone, case):
    class RulesOut(VLM):
        def read(self, encoding, rows):
            readings = super().read(encoding, rows)
            for logits_TV in readings:
                logits_TV[:, self.pad_id] = -torch.inf
            return readings

    vlm = clone(RulesOut)
    assert all(check(case(vlm)).passed for check in (numbers, causality, hiding, leak, padding))


def test_nan_weights(clone, case):
    vlm = clone()
    with torch.no_grad():
        vlm.model.get_input_embeddings().weight.fill_(torch.nan)
    with pytest.raises(InputError, match="NaN"):
        numbers(case(vlm))


# -- the image --


def test_a_model_that_looks_is_not_warned_of(bundled, park):
    case = Case(bundled, read_picture(park), "a dog and a red frisbee on the grass at noon")
    check = image_is_used(case)
    evidence = take(bundled, case.encoding, ["evidence"])["evidence"]
    content = [t for t, word in enumerate(case.encoding.words) if word in (1, 4, 5, 8, 10)]
    assert check.passed and not check.warns and check.unit == "nats a token"
    assert f"{evidence[content].mean():.2f} against one colour" in check.detail
    assert USED <= check.measured <= evidence[content].mean() + 1e-4


def test_a_model_that_hardly_looks_is(bundled, park):
    """Image tokens that are next to nothing: words still move, and the picture carries nothing."""
    vlm = VLM(copy.deepcopy(bundled.model), bundled.processor, name="undertrained")
    with torch.no_grad():
        for weight in vlm.model.model.multi_modal_projector.parameters():
            weight.mul_(0.01)
    case = Case(vlm, read_picture(park), "a dog and a red frisbee on the grass at noon")
    assert image_is_seen(case).passed
    check = image_is_used(case)
    assert check.passed and check.warns and check.measured < USED and "trained too little" in check.detail
    report = Report((check,), vlm.record, {})
    assert report.passed and report.to_dict()["checks"][0]["warns"] is True
    told = Console(record=True, width=120, file=io.StringIO())
    told.print(examination(report))
    shown = told.export_text()
    assert "warning" in shown and "but see image is used" in shown


def test_a_projector_that_lets_nothing_through(clone, case):
    vlm = clone()
    with torch.no_grad():
        for parameter in vlm.model.model.multi_modal_projector.parameters():
            parameter.zero_()
    check = image_is_seen(case(vlm))
    assert check.passed is False and check.measured == 0


class ShowsNothing(VLM):
    """Its picture never reaches the model."""

    def read(self, encoding, rows):
        return super().read(replace(encoding, prompt_inputs=encoding.reference_inputs), rows)


class ShowsAlwaysTheSame(VLM):
    """A picture reaches the model, but not the user's."""

    def encode(self, image, *arguments, **named):
        return super().encode(Image.linear_gradient("L").resize((80, 60)), *arguments, **named)


@pytest.mark.parametrize("kind, said", [(ShowsNothing, "a blank one"), (ShowsAlwaysTheSame, "its negative")])
def test_a_picture_that_is_not_shown(clone, case, kind, said):
    check = image_is_seen(case(clone(kind)))
    assert check.passed is False and check.measured == 0 and said in check.detail


def test_an_effect_that_drowns_in_noise(clone, case):
    class Noisy(VLM):
        def read(self, encoding, rows):
            return [logits_TV + torch.randn_like(logits_TV) for logits_TV in super().read(encoding, rows)]

    torch.manual_seed(0)
    check = image_is_seen(case(clone(Noisy)))
    assert check.passed is False and check.tolerance > 1


# -- what comes after --


def test_a_model_that_looks_ahead(clone, case):
    vlm = clone()
    for module in vlm.model.modules():
        if hasattr(module, "is_causal"):
            module.is_causal = False
    vlm.model.config.get_text_config().is_causal = False
    check = causality(case(vlm))
    assert check.passed is False and check.measured > 0.01


def test_a_response_taken_for_a_part_of_the_prefix(case):
    """PaliGemma reads tokens of type 0 both ways."""
    healthy = tiny("paligemma")
    assert causality(case(healthy)).passed
    vlm = VLM(healthy.model, healthy.processor, name="wrong-types")
    vlm.family.per_token = {"attention_mask": 1, "token_type_ids": 0}
    check = causality(case(vlm))
    assert check.passed is False and "token types" in check.detail


class HidesNothing(VLM):
    def read(self, encoding, rows):
        return super().read(encoding, [replace(row, hidden=()) for row in rows])


class HidesTheFirstOnly(VLM):
    def read(self, encoding, rows):
        return super().read(encoding, [replace(row, hidden=row.hidden if row.hidden == (0,) else ()) for row in rows])


@pytest.mark.parametrize("kind", [HidesNothing, HidesTheFirstOnly])
def test_words_that_are_not_hidden(clone, case, kind):
    check = hiding(case(clone(kind)))
    assert check.passed is False and check.measured == 0


@pytest.mark.parametrize("kind", [HidesNothing, HidesTheFirstOnly])
def test_a_word_that_is_hidden_and_read(clone, case, kind):
    check = leak(case(clone(kind)))
    assert check.passed is False and check.measured > 1e-2 and "--mask token" in check.detail


def test_a_second_table_that_words_are_looked_up_in(case):
    """Gemma 4 is hidden from in its per-layer embeddings too; were they forgotten, it would read half of each word."""
    healthy = tiny("gemma4")
    assert leak(case(healthy)).passed
    vlm = VLM(healthy.model, healthy.processor, name="half-hidden")
    vlm.family.per_layer_embedding = None
    examined = case(vlm)
    check = leak(examined)
    assert check.passed is False and check.measured > 1e-2
    for mask in ("zero", "mean"):
        with pytest.raises(InputError, match="still reads words .* --mask token or delete"):
            examined.score(mask=mask)
    for mask in ("token", "delete"):
        assert len(examined.score(mask=mask).tokens) == len(examined.ids)


# -- rows beside each other --


class PadsInFront(VLM):
    """Padding on the left without a mask: every word sees it."""

    def read(self, encoding, rows):
        longest = max(len(row.ids) for row in rows)
        padded = []
        for row in rows:
            gap = longest - len(row.ids)
            padded.append(replace(row, ids=(self.pad_id,) * gap + row.ids, hidden=tuple(t + gap for t in row.hidden)))
        return [
            logits_TV[-len(row.ids) - 1 :] for row, logits_TV in zip(rows, super().read(encoding, padded), strict=True)
        ]


@pytest.mark.parametrize("caption", ["a dog on the grass", "a"])
def test_padding_that_leaks(clone, case, caption):
    check = padding(case(clone(PadsInFront), caption))
    assert check.passed is False and check.measured > 1e-3


def test_tolerance_in_half_precision(clone, case):
    """Rounding is allowed for, a leak is not."""
    for kind, passed in ((VLM, True), (PadsInFront, False)):
        vlm = clone(kind)
        vlm.model.to(torch.bfloat16)
        examined = case(vlm)
        assert 1e-4 < examined.equal(examined.noise_of_shapes) < 0.1
        assert padding(examined).passed is passed


def test_nothing_is_left_behind(healthy, case):
    before = healthy.read(case(healthy).encoding, [Continuation((5, 6))])[0]
    for check in (numbers, image_is_seen, causality, hiding, leak, padding):
        check(case(healthy))
    assert torch.equal(before, healthy.read(case(healthy).encoding, [Continuation((5, 6))])[0])
