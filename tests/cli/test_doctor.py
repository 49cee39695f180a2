"""`copo doctor`: what goes where, and with which exit code."""

import json
import logging
from pathlib import Path

import pytest

import causal_attrib
from causal_attrib import doctor
from causal_attrib.doctor import Check, Report

ROOT = Path(__file__).parents[2]
NAMES = (
    *("environment", "spans", "prompt", "image tokens", "numbers", "image is seen", "image is used", "causality"),
    *("hiding", "leak", "padding", "deterministic", "precision", "own words", "writing", "engines"),
)
HEALTHY = Report(
    (Check("numbers", True, "Fine.", 0.5, "at most", 2.0, "nats"), Check("engines", None, "None.")), {}, {}
)
SICK = Report((Check("numbers", False, "Try --dtype float32.", float("nan"), "at most", 2.0, "nats"),), {}, {})


@pytest.fixture
def finds(monkeypatch):
    """Let the examination find something; what it was asked is returned."""

    def examination(report):
        seen = {}

        def examine(vlm, image, caption, **named):
            seen.update(model=vlm.name, picture=image, caption=caption, **named)
            return report

        monkeypatch.setattr(doctor, "examine", examine)
        return seen

    return examination


def test_the_bundled_model(copo):
    result = copo("doctor", "--json")
    assert result.exit_code == 0, result.output
    assert result.stderr == ""
    record = json.loads(result.stdout)
    assert (record["schema"], record["passed"], record["model"]["id"]) == (1, True, "bundled")
    assert record["tool"] == {"name": "copo", "version": causal_attrib.__version__}
    results = {check["name"]: check["passed"] for check in record["checks"]}
    assert tuple(results) == NAMES and all(results[name] for name in NAMES if name != "engines")
    assert {"name", "passed", "measured", "tolerance", "unit", "detail"} <= record["checks"][0].keys()


def test_every_check_is_in_the_document():
    document = (ROOT / "docs" / "doctor.md").read_text(encoding="utf-8")
    table = [line.split("`")[1] for line in document.splitlines() if line.startswith("| `")]
    assert tuple(table) == NAMES


def test_a_table_by_default(copo, finds):
    asked = finds(HEALTHY)
    result = copo("doctor")
    assert (result.exit_code, result.stderr) == (0, "")
    assert all(word in result.stdout for word in ("numbers", "ok", "0.5", "≤ 2 nats", "Fine.", "skipped", "trusted"))
    assert "\x1b" not in result.stdout
    assert asked["caption"] == "a dog and a red frisbee on the grass at noon" and asked["seed"] == 0


def test_a_failed_check_is_exit_code_1(copo, finds):
    finds(SICK)
    table, record = copo("doctor"), copo("doctor", "--json")
    assert (table.exit_code, record.exit_code) == (1, 1)
    assert "FAILED" in table.stdout and "Try --dtype float32." in table.stdout and "mend that" in table.stdout
    assert json.loads(record.stdout)["checks"][0]["measured"] is None
    assert table.stderr == record.stderr == ""


def test_a_picture_and_a_caption_of_one_s_own(copo, finds, picture):
    asked = finds(HEALTHY)
    copo("doctor", "--image", picture, "--caption", "a dog", "--seed", "3")
    assert (asked["picture"].path, asked["caption"], asked["seed"]) == (str(picture), "a dog", 3)
    copo("doctor", "--image", picture)
    assert asked["caption"] is None, "the model writes one"


def test_every_model_flag_reaches_the_library(copo, finds, monkeypatch):
    finds(HEALTHY)
    seen = {}
    load = causal_attrib.load
    monkeypatch.setattr(causal_attrib, "load", lambda model, **named: seen.update(named, model=model) or load())
    result = copo(
        "doctor", "--model", "m", "--revision", "r", "--dtype", "float16", "--device", "cpu", "--device_map", "d"
    )
    assert result.exit_code == 0, result.output
    expected = {"model": "m", "revision": "r", "dtype": "float16", "device": "cpu", "device_map": "d"}
    assert expected.items() <= seen.items()


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--image", "no-such.png"], "no-such.png"),
        (["--caption", " "], "empty"),
        (["--seed", "-1"], "-1"),
        (["--model", "tests"], "tests"),
        (["--dtype", "int8"], "int8"),
    ],
)
def test_bad_input_is_exit_code_2(refused, flags, said):
    assert said in refused("doctor", *flags)


def test_tracebacks_of_checks_with_debug_only(copo, monkeypatch, caplog):
    monkeypatch.setattr(causal_attrib.VLM, "read", lambda *_: 1 / 0)
    result = copo("doctor", "--json")
    assert result.exit_code == 1 and result.stderr == ""
    assert "ZeroDivisionError (division by zero)." in result.stdout
    assert not caplog.records
    copo("doctor", "--json", "--debug")
    assert "test_doctor.py" in caplog.text
    logging.getLogger("causal_attrib.doctor").setLevel(logging.NOTSET)


def test_a_broken_package_is_told_before_the_model_is_loaded(copo, monkeypatch):
    broken = Check("environment", False, "torchvision cannot be imported.")
    monkeypatch.setattr(doctor, "environment", lambda: broken)
    result = copo("doctor", "--model", "tests")
    assert result.exit_code == 2
    assert result.stderr.startswith("Warning: torchvision cannot be imported.\nError: ")
