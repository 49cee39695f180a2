"""`copo score` on the bundled model: what goes where, and what it says while at it."""

import inspect
import io
import json
import re
from pathlib import Path

import matplotlib
import pandas as pd
import pytest

import causal_attrib
from causal_attrib import Attribution
from causal_attrib.results.formats import FORMATS
from causal_attrib.scores import scoring
from causal_attrib_cli import common
from causal_attrib_cli.score import score as command

CAPTION = "a dog"


def test_a_table_by_default(copo, picture):
    result = copo("score", picture, CAPTION)
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("a dog\n")
    assert "necessity" in result.stdout and "outcome" in result.stdout and "forwards" in result.stdout
    assert "\x1b" not in result.stdout
    assert result.stderr == ""


@pytest.mark.parametrize("flags", [["--json"], ["--out", "-"], ["--out", "-", "--format", "json"]])
def test_json_on_stdout(copo, picture, flags):
    result = copo("score", picture, CAPTION, *flags)
    record = json.loads(result.stdout)
    assert record["schema"] == 1
    assert record["caption"] == "".join(token["text"] for token in record["tokens"]) == CAPTION
    assert record["image"]["path"] == str(picture) and record["image"]["width"] == 96
    assert result.stderr == ""


@pytest.mark.parametrize("format", FORMATS)
def test_files_and_pipes_hold_the_same(copo, picture, tmp_path, format):
    path = tmp_path / f"scores.{format}"
    result = copo("score", picture, CAPTION, "--out", path)
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"Wrote {path}\n")
    piped = copo("score", picture, CAPTION, "--out", "-", "--format", format)
    copy = tmp_path / f"piped.{format}"
    copy.write_bytes(piped.stdout_bytes)
    saved, again = Attribution.load(path), Attribution.load(copy)
    assert {**saved.to_dict(), "cost": None} == {**again.to_dict(), "cost": None}
    assert list(tmp_path.iterdir()) in ([path, copy], [copy, path])


def test_several_captions_of_an_image_stand_beside_each_other(copo, picture, tmp_path):
    captions = ["a dog", "a cat on the grass", "a dog and a cat"]
    also = ["--also", captions[1], "--also", captions[2]]
    for name in ("scores.jsonl", "report.html"):
        assert copo("score", picture, captions[0], *also, "--out", tmp_path / name).exit_code == 0
        loaded = Attribution.load_all(tmp_path / name)
        assert [one.caption for one in loaded] == captions
        alone = causal_attrib.score(picture, captions[2])
        assert loaded[2].to_frame().necessity.tolist() == pytest.approx(alone.to_frame().necessity.tolist(), abs=1e-5)
    printed = copo("score", picture, captions[0], *also).stdout
    assert [line for line in printed.splitlines() if line in captions] == captions


@pytest.mark.parametrize("output", [["--json"], ["--out", "scores.csv"]])
def test_not_every_format_has_room_for_several_captions(copo, picture, output):
    result = copo("score", picture, "a dog", "--also", "a cat", *output)
    assert result.exit_code == 2 and "choose one of these" in result.stderr


def test_the_same_command_twice_gives_the_same_bytes(copo, picture):
    flags = ("--json", "--outcome", "objects", "--objects", "dog", "--samples", "1", "--seed", "3")
    first, second = (re.sub(r'"seconds": [\d.]+', "", copo("score", picture, CAPTION, *flags).stdout) for _ in range(2))
    assert first == second != ""


def test_underscores_and_the_names_of_trl(copo, picture):
    dashes = copo("score", picture, CAPTION, "--json", "--batch-size", "2", "--lambda-s", "0.5", "-m", "bundled")
    others = copo(
        *("score", picture, CAPTION, "--json", "--batch_size", "2", "--lambda_s=0.5", "--model_name_or_path", "bundled")
    )
    assert dashes.exit_code == 0, dashes.output
    assert json.loads(dashes.stdout)["tokens"] == json.loads(others.stdout)["tokens"]
    assert json.loads(others.stdout)["settings"]["lambda_s"] == 0.5


def test_flags_and_the_library_agree_on_defaults():
    flags = {name: flag.default for name, flag in inspect.signature(command).parameters.items()}
    for function in (causal_attrib.score, causal_attrib.load):
        library = {name: argument.default for name, argument in inspect.signature(function).parameters.items()}
        for name in flags.keys() & library.keys() - {"image"}:
            assert flags[name] == library[name], name


def test_every_option_reaches_the_library(copo, picture, monkeypatch):
    seen = {}
    load = causal_attrib.load

    def loaded(model, **options):
        seen.update(options)
        return load(model, device="cpu")

    monkeypatch.setattr(causal_attrib, "load", loaded)
    result = copo(
        *("score", picture, CAPTION, "--prompt", "P", "--question", "Q", "--answer", "A", "--objects", "dog, cat"),
        *("--outcome", "yesno", "--mask", "mean", "--samples", "3", "--estimator", "mean_gain", "--coupling", "gumbel"),
        *(
            "--level",
            "word",
            "--tokens",
            "3",
            "--lambda-s",
            "0.1",
            "--lambda-n",
            "0.2",
            "--engine",
            "plain",
            "--batch-size",
            "5",
        ),
        *("--seed", "7", "--dtype", "float32", "--device", "cpu", "--attn-implementation", "eager"),
        *("--allow-pickle", "--trust-remote-code", "--json"),
    )
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert (record["prompt"], record["question"], record["answer"]) == ("P", "Q", "A")
    assert record["outcome"]["name"] == "yesno"
    assert record["settings"] == {
        **{
            "against": "colour",
            "mask": "mean",
            "samples": 3,
            "precision": 0.02,
            "estimator": "mean_gain",
            "coupling": "gumbel",
        },
        **{
            "level": "word",
            "tokens": "3",
            "lambda_s": 0.1,
            "lambda_n": 0.2,
            "engine": "plain",
            "batch_size": 5,
            "seed": 7,
        },
    }
    assert seen == {
        **{"dtype": "float32", "device": "cpu", "attn_implementation": "eager", "revision": None},
        **{"device_map": None, "load_in_4bit": False, "load_in_8bit": False},
        **{"allow_pickle": True, "trust_remote_code": True},
    }
    of_objects = copo("score", picture, CAPTION, "--objects", "dog, cat", "--json")
    assert json.loads(of_objects.stdout)["outcome"]["objects"] == ["cat", "dog"]


def test_a_caption_of_the_model_is_announced(copo, picture, monkeypatch):
    monkeypatch.setattr(scoring, "score_inputs", lambda *_, **__: [Attribution("a cow", [], generated=True)])
    assert copo("score", picture).stderr == 'No caption was given, so the model wrote one: "a cow"\n'
    assert copo("score", picture, "--quiet").stderr == ""


def test_our_warnings_are_one_line_and_those_of_others_are_silent(copo, picture, monkeypatch):
    def warn(*_, **__):
        import warnings

        warnings.warn_explicit("mind the gap", UserWarning, "score.py", 1, module="causal_attrib.scores.scoring")
        warnings.warn_explicit("an old call", DeprecationWarning, "other.py", 1, module="transformers.other")
        return [Attribution("a dog", [])]

    monkeypatch.setattr(scoring, "score_inputs", warn)
    assert copo("score", picture, CAPTION).stderr == "Warning: mind the gap\n"
    assert copo("score", picture, CAPTION, "--quiet").stderr == ""


def test_a_fault_of_ours_is_one_sentence_and_exit_code_1(copo, picture, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("the tensor\nwas odd")

    monkeypatch.setattr(scoring, "score_inputs", fail)
    result = copo("score", picture, CAPTION)
    assert result.exit_code == 1
    assert result.stderr == "Error: RuntimeError (the tensor); run again with --debug to see where.\n"
    debug = copo("score", picture, CAPTION, "--debug")
    assert debug.exit_code == 1
    assert "in fail" in debug.stderr and debug.stderr.endswith("Error: RuntimeError (the tensor); see above where.\n")


def test_a_fault_that_is_announced_in_its_first_line_is_told_from_its_second(copo, picture, monkeypatch):
    def fail(*_, **__):
        raise RuntimeError("No trl because of the following error:\nNo module named 'peft'\nand more")

    monkeypatch.setattr(scoring, "score_inputs", fail)
    told = copo("score", picture, CAPTION).stderr
    assert "(No trl because of the following error: No module named 'peft');" in told


def test_bad_input_has_a_traceback_with_debug_only(copo, picture):
    plain, debug = copo("score", "no-such.png", CAPTION), copo("score", "no-such.png", CAPTION, "--debug")
    assert plain.exit_code == debug.exit_code == 2
    assert "Traceback" not in plain.stderr and "Traceback" in debug.stderr and debug.stderr.endswith(plain.stderr)


def test_csv_goes_through_a_pipe_into_pandas(copo, picture):
    frame = pd.read_csv(
        io.BytesIO(copo("score", picture, CAPTION, "--out", "-", "--format", "csv").stdout_bytes), comment="#"
    )
    assert "".join(frame["text"]) == CAPTION


def test_long_work_is_announced(copo, picture, monkeypatch):
    assert "interventions" not in copo("score", picture, CAPTION).stderr
    monkeypatch.setattr(common, "LONG", 0.0)
    result = copo("score", picture, CAPTION)
    assert re.search(r"\d+ interventions, at most [\d,]+ positions, about \d+ s\n", result.stderr)
    assert "interventions" not in copo("score", picture, CAPTION, "--quiet").stderr


def test_a_photograph_is_nothing_for_the_bundled_model(copo, park):
    photograph = Path(matplotlib.get_data_path()) / "sample_data" / "grace_hopper.jpg"
    said = "this picture does not look like one, so that its scores may mean little"
    assert copo("score", photograph, "a dog", "--also", "a cat").stderr.count(said) == 1
    assert said not in copo("score", park, "a dog").stderr


def test_signals_are_columns_of_the_table_and_of_every_file(copo, picture, tmp_path):
    told = copo("score", picture, CAPTION, "--signals", "kl,logit_lens,evidence")
    assert told.exit_code == 0, told.output
    assert re.search(r"kl +logit\s+lens|logit", told.stdout) and "evidence" in told.stdout and told.stderr == ""
    path = tmp_path / "scores.csv"
    result = copo("score", picture, CAPTION, "--signals", "all", "--out", path)
    assert (
        "Left out: evidence_other, prior_other, kl_other, k3_other, since that takes another picture" in result.stderr
    )
    frame = pd.read_csv(path, comment="#", float_precision="round_trip")
    assert {"kl", "signal_evidence", "attention_ratio", "k3_patches"} <= set(frame.columns)
    assert Attribution.load(path).to_frame().kl.tolist() == frame.kl.tolist()
