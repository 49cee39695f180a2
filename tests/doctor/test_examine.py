"""The examination as a whole."""

import json

import pytest
import torch

from causal_attrib.doctor import Check, Report, examine
from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM
from tests.doctor.conftest import CAPTION, PICTURE
from tests.tiny_models import tiny

NAMES = (
    *("environment", "spans", "prompt", "image tokens", "numbers", "image is seen", "image is used", "causality"),
    *("hiding", "leak", "padding", "deterministic", "precision", "own words", "writing", "engines"),
)


def results(report: Report) -> dict[str, bool | None]:
    return {check.name: check.passed for check in report.checks}


@pytest.mark.parametrize("name", ["llava_clip_llama", "llava_siglip_qwen2", "idefics3"])
def test_healthy_models(name):
    report = examine(tiny(name), PICTURE, CAPTION)
    assert tuple(results(report)) == NAMES
    assert report.passed, [check for check in report.checks if check.passed is False]
    assert all(check.detail for check in report.checks)


def test_a_check_that_raises_has_failed_and_the_others_go_on(clone):
    class NeverReads(VLM):
        def read(self, encoding, rows):
            raise RuntimeError("the tensor\nwas odd")

    report = examine(clone(NeverReads), PICTURE, CAPTION)
    assert tuple(results(report)) == NAMES
    good = {"environment", "spans", "prompt", "image tokens", "own words"}
    assert {name for name, passed in results(report).items() if passed} == good
    assert {check.detail for check in report.checks if check.passed is False} == {"RuntimeError (the tensor)."}
    assert not report.passed


def test_a_model_that_cannot_even_encode(clone):
    class NeverEncodes(VLM):
        def encode(self, *arguments, **named):
            raise KeyError("pixel_values")

    report = examine(clone(NeverEncodes), PICTURE, CAPTION)
    assert tuple(results(report)) == NAMES
    assert results(report)["environment"] and results(report)["spans"] is False


def test_nan_weights(clone):
    vlm = clone()
    with torch.no_grad():
        vlm.model.get_input_embeddings().weight.fill_(torch.nan)
    report = examine(vlm, PICTURE, CAPTION)
    (check,) = [check for check in report.checks if check.name == "numbers"]
    assert check.passed is False and "NaN" in check.detail


@pytest.mark.parametrize(
    "arguments, said",
    [
        (("no-such.png", CAPTION), "no file"),
        ((PICTURE, " "), "empty"),
        ((PICTURE, "word " * 3000), "at most"),
    ],
)
def test_bad_input_is_the_user_s(healthy, arguments, said):
    with pytest.raises(InputError, match=said):
        examine(healthy, *arguments)


def test_a_negative_seed(healthy):
    with pytest.raises(InputError, match="-1"):
        examine(healthy, PICTURE, CAPTION, seed=-1)


def test_progress(healthy):
    seen = []
    examine(healthy, PICTURE, "a", progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, len(NAMES)) for done in range(1, len(NAMES) + 1)]


def test_the_record(healthy):
    checks = (
        Check("a", True, "fine", 1.0, "at most", 2.0, "nats"),
        Check("b", None, "none"),
        Check("c", False, "bad", float("inf"), "at most", 0.5),
    )
    record = Report(checks, healthy.record, {"name": "copo", "version": "1"}).to_dict()
    assert json.loads(json.dumps(record, allow_nan=False)) == record
    assert list(record) == ["schema", "model", "passed", "checks", "tool"]
    assert [check["passed"] for check in record["checks"]] == [True, None, False] and not record["passed"]
    assert record["checks"][2]["measured"] is None
    assert Report(checks[:2], {}, {}).passed
