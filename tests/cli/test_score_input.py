"""`copo score --input`: flags reach the library, failures and resumption are told, one caption and many do not mix."""

import json
import multiprocessing
import os
import signal
import time
from dataclasses import replace

import pandas as pd
import pytest

import causal_attrib
from causal_attrib import Attribution
from causal_attrib.batch import caption_rows as batch
from causal_attrib.scenes import PARK, render
from causal_attrib_cli import score_run

ROWS = [
    {"image": "a.png", "caption": "a dog"},
    {"image": "b.png", "caption": "a cat", "id": "cat"},
    {"image": "c.png", "caption": "a red bus"},
]


@pytest.fixture
def folder(tmp_path):
    for seed, name in enumerate("abc"):
        render(replace(PARK, seed=seed))[0].save(tmp_path / f"{name}.png")
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in ROWS))
    return tmp_path


def many(folder, output="scores.parquet"):
    return "score", "--input", folder / "rows.jsonl", "--out", folder / output


def test_a_table_of_all_tokens(copo, folder):
    result = copo(*many(folder))
    output = folder / "scores.parquet"
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"Wrote 3 captions to {output}\n")
    frame = pd.read_parquet(output)
    assert frame.groupby("caption_id", sort=False)["text"].sum().to_dict() == {
        "1": "a dog",
        "cat": "a cat",
        "3": "a red bus",
    }
    assert not list(folder.glob("scores.parquet.*"))


def test_flags_reach_every_row(copo, folder):
    flags = ("--mask", "mean", "--level", "word", "--lambda-s", "0.5", "--batch-size", "4", "--engine", "plain")
    result = copo(*many(folder, "scores.jsonl"), *flags, "--prompt", "Where is it?", "--limit", "1", "--quiet")
    assert (result.exit_code, result.stderr) == (0, "")
    [one] = Attribution.load_all(folder / "scores.jsonl")
    assert one.prompt == "Where is it?"
    assert {"mask": "mean", "level": "word", "lambda_s": 0.5, "batch_size": 4, "engine": "plain"}.items() <= (
        one.settings.items()
    )


def test_without_a_caption_the_model_writes_one(copo, folder, bundled):
    (folder / "rows.jsonl").write_text('{"image": "a.png"}\n')
    assert copo(*many(folder, "scores.csv")).exit_code == 0
    [one] = Attribution.load_all(folder / "scores.csv")
    assert one.generated and one.caption.strip()


def test_failures_are_told_and_the_others_kept(copo, folder, monkeypatch):
    monkeypatch.setattr(batch, "MOST_TOGETHER", 1)
    (folder / "b.png").write_bytes(b"damaged")
    result = copo(*many(folder))
    assert result.exit_code == 1
    first, second, third = result.stderr.splitlines()
    assert first.startswith(f"{folder / 'rows.jsonl'} line 2 failed: ") and "not an image" in first
    assert second == f"Wrote 2 captions to {folder / 'scores.parquet'}"
    assert third == f"1 rows failed; they are listed in {folder / 'scores.parquet.failed.jsonl'}."
    render(PARK)[0].save(folder / "b.png")
    result = copo(*many(folder))
    assert result.exit_code == 0
    assert result.stderr == f"Wrote 3 captions to {folder / 'scores.parquet'}, 2 of them by an earlier run\n"


def test_a_killed_command_is_gone_on_with(copo, folder):
    """In a process of its own, forked since torch is slow to import: kill -9 when the first captions are finished."""
    output, journal = folder / "scores.parquet", folder / "scores.parquet.partial.jsonl"
    rows = [{"image": f"{name}.png", "caption": f"a dog {n}"} for n in range(batch.MOST_TOGETHER) for name in "abc"]
    (folder / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert copo(*many(folder)).exit_code == 0
    both = (output, folder / "scores.captions.parquet")
    whole = [table.read_bytes() for table in both]
    for table in both:
        table.unlink()
    process = multiprocessing.get_context("fork").Process(target=copo, args=many(folder))
    process.start()
    while process.is_alive() and (not journal.exists() or journal.read_bytes().count(b"\n") < 3):
        time.sleep(0.005)
    process.kill()
    process.join()
    assert process.exitcode == -signal.SIGKILL and not output.exists()
    result = copo(*many(folder))
    assert (result.exit_code, "of them by an earlier run" in result.stderr) == (0, True)
    assert [table.read_bytes() for table in both] == whole and not journal.exists()


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("score",), "nothing to score"),
        (("score", "a.png", "a dog", "--shard", "1/2"), "--shard is for a file of captions"),
        (("score", "a.png", "--fresh"), "--fresh is for a file of captions"),
        (("score", "a.png", "--input", "rows.jsonl", "--output", "x.csv"), "IMAGE is for one caption"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--json"), "--json is for one caption"),
        (("score", "--input", "rows.jsonl"), "add --out"),
        (("score", "--input", "none.jsonl", "--output", "x.csv"), "no file none.jsonl"),
        (("score", "--input", "none.csv", "--output", "x.csv"), "There is no file none.csv"),
        (("score", "--input", "rows.jsonl", "--output", "x.html"), "names no format"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--limit", "0"), "limit is 0"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--shard", "0/2"), "shard cannot be '0/2'"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--mask", "gone"), "gone"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--shard", ""), "shard cannot be ''"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--summary", "x.csv"), "written over by another"),
        (
            ("score", "--input", "rows.jsonl", "--out", "x.csv", "--summary", "x.captions.csv"),
            "written over by another",
        ),
        (("score", "--input", "rows.jsonl", "--output", "x.captions.csv"), "is the name of the table of captions"),
        (("score", "--input", "rows.jsonl", "--dry-run", "--summary", "x.csv"), "leave --summary, --fail-above and"),
        (("score", "--input", "rows.jsonl", "--dry-run", "--metrics", "x.prom"), "leave --summary, --fail-above and"),
        (("score", "--input", "rows.jsonl", "--dry-run", "--ray"), "not on a Ray cluster; leave --ray out"),
        (("score", "--input", "rows.jsonl", "--dry-run", "--fresh"), "leave --fresh out"),
        (("score", "--input", "rows.jsonl", "--output", "x.csv", "--metrics", "x.txt"), "end the name in .prom"),
        (("score", "a.png", "a dog", "--server", "http://[::1"), "The server is 'http://[::1'; give its address"),
        (("score", "a.png", "a dog", "--server", "http://a:99999"), "give its address"),
        (("score", "a.png", "a dog", "--server", "http://a:9", "--token", "a\nb"), "no header can hold"),
        (("vicrit", "rows.jsonl", "--out", "x.jsonl", "--seed", "-1"), "-1"),
    ],
)
def test_bad_input_is_told_before_the_model_is_loaded(refused, folder, monkeypatch, arguments, told):
    monkeypatch.chdir(folder)
    monkeypatch.setattr("causal_attrib.load", None)
    assert told in refused(*arguments)
    assert not list(folder.glob("x.*"))


@pytest.mark.parametrize(
    ("name", "data", "told"),
    [
        ("rows.jsonl", b'{"image": "a.png"}\n{"image": ', "line 2 is not JSON"),
        ("rows.jsonl", b"", "is empty"),
        ("rows.jsonl", b"[1]", "should be an object"),
        ("rows.csv", b"image,caption\n", "is empty"),
        ("rows.csv", b"picture\na.png\n", "rows.csv line 2 has no key 'image'"),
        ("rows.csv", b"image\n\xff\n", "is not UTF-8 text"),
        ("rows.parquet", b"PAR1", "is no Parquet file that can be read"),
    ],
)
def test_files_that_are_damaged(refused, tmp_path, monkeypatch, name, data, told):
    monkeypatch.setattr("causal_attrib.load", None)
    (tmp_path / name).write_bytes(data)
    assert told in refused("score", "--input", tmp_path / name, "--output", tmp_path / "x.csv")


def test_ctrl_c_says_how_to_go_on(copo, folder, monkeypatch):
    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("causal_attrib.batch.scorer.Scorer.score", stop)
        result = copo(*many(folder))
    assert (result.exit_code, result.stdout) == (130, "")
    assert result.stderr == "Stopped. What is finished is kept; the same command goes on from there.\n"
    assert copo(*many(folder)).exit_code == 0


def test_one_caption_to_a_device(copo, folder):
    result = copo("score", folder / "a.png", "a dog", "--out", "/dev/null")
    assert (result.exit_code, result.stdout) == (0, "") and "Wrote /dev/null" in result.stderr
    assert not os.path.isfile("/dev/null")


@pytest.mark.parametrize("format", ["csv", "parquet"])
def test_signals_of_many_captions(copo, picture, tmp_path, format):
    rows, output = tmp_path / "rows.jsonl", tmp_path / f"scores.{format}"
    rows.write_text("".join(json.dumps({"image": str(picture), "caption": one}) + "\n" for one in ("a dog", "a cat")))
    result = copo("score", "--input", rows, "--output", output, "--signals", "kl,rank,evidence")
    assert result.exit_code == 0, result.output
    loaded = Attribution.load_all(output)
    alone = causal_attrib.score(picture, "a cat", signals=["kl", "rank", "evidence"])
    for name in ("kl", "rank", "evidence"):
        assert [token.signals[name] for token in loaded[1]] == pytest.approx(
            [token.signals[name] for token in alone], abs=1e-4
        )
    assert loaded[0].signal_names == ("kl", "rank", "evidence")


def test_a_dry_run_says_what_all_would_take_and_writes_nothing(copo, folder):
    before = sorted(folder.iterdir())
    result = copo(*many(folder, "scores.csv"), "--dry-run", "--workers", "2", "--log-json")
    assert result.exit_code == 0, result.output
    told = json.loads(result.stderr)
    assert (told["event"], told["captions"], told["workers"]) == ("forecast", 3, 2)
    assert told["hours"] == pytest.approx(3 / told["per_second"] / 3600)
    captions, rate, hours, size = result.stdout.splitlines()
    assert captions == "3 captions to score; measured on 3, 0 of those tried failed"
    assert "captions a second by 2 workers" in rate and "worker-hours" in hours and "MB of output" in size
    assert sorted(folder.iterdir()) == before


def test_a_log_in_json_and_metrics(copo, folder):
    (folder / "b.png").write_bytes(b"damaged")
    result = copo(*many(folder), "--log-json", "--metrics", folder / "copo.prom")
    assert result.exit_code == 1
    lines = [line for line in (folder / "copo.prom").read_text().splitlines() if not line.startswith("#")]
    label = f'{{output="{folder / "scores.parquet"}"}}'
    values = {name.removesuffix(label): float(value) for name, value in (line.split() for line in lines)}
    assert values.pop("copo_seconds") > 0 and values.pop("copo_captions_per_second") >= 0
    assert values == {"copo_captions": 3, "copo_captions_done": 3, "copo_captions_failed": 1, "copo_finished": 1}
    failed, done = (json.loads(line) for line in result.stderr.splitlines()[:2])
    assert (failed["event"], failed["id"], failed["row"]) == ("failed", "cat", 1) and failed["time"].endswith("+00:00")
    assert (done["event"], done["captions"], done["failed"]) == ("done", 2, 1)


def test_lines_of_progress_off_a_terminal(capsys, monkeypatch):
    """One at most every 30 s, with what the pace since the first says of the rest."""
    now = [0.0]
    monkeypatch.setattr(score_run.time, "monotonic", lambda: now[0])
    lines = score_run.Lines(as_json=False)
    with lines.watch(quiet=False) as note:
        for seconds, done in ((10.0, 100), (20.0, 200), (35.0, 350), (40.0, 400), (70.0, 700)):
            now[0] = seconds
            note(done, 100_000)
    assert capsys.readouterr().err.splitlines() == [
        "350 of 100,000 captions, 10 a second, 2.8 h left, 0 failed",
        "700 of 100,000 captions, 10 a second, 2.8 h left, 0 failed",
    ]
    # What comes first says nothing of the pace.
    with score_run.Lines(as_json=False).watch(quiet=False) as note:
        now[0] = 200.0
        note(5, 5)
    assert capsys.readouterr().err == "5 of 5 captions, 0 failed\n"


def test_a_folder_of_parts(copo, folder):
    output = f"{folder}/scores/"
    assert copo("score", "--input", folder / "rows.jsonl", "--output", output).exit_code == 0
    assert [one.caption for one in Attribution.load_all(folder / "scores")] == [row["caption"] for row in ROWS]
    assert not list(folder.glob("*.partial.jsonl"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--workers", "0"), "number of workers is 0"),
        (("--workers", "some"), "number of workers is 'some'"),
        (("--workers", "2", "--device", "cuda:1"), "leave --device out"),
    ],
)
def test_workers_that_cannot_be(refused, folder, flags, told):
    assert told in refused(*many(folder), *flags)


@pytest.mark.parametrize("flag", [("--ray",), ("--workers", "2"), ("--fetch",), ("--dry-run",), ("--log-json",)])
def test_flags_of_many_need_many(refused, folder, flag):
    assert f"{flag[0]} is for a file of captions" in refused("score", folder / "a.png", "a dog", *flag)
