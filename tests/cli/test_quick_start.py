"""The quick start of docs/training.md, also on docs/commands.md, each command as it is written, with flags behind it
that make it cheap; and what it leaves behind."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import yaml

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

ROOT = Path(__file__).parents[2]
CHEAP = {
    "scenes": ["--count", "4"],
    "train": "--max-steps 1 --save-steps 1 --max-completion-length 24 --per-device-train-batch-size 4 "
    "--gradient-accumulation-steps 1".split(),
    "score": ["--level", "word"],
    "diff": ["--bootstrap", "100"],
}


def commands(text, begin):
    """The lines of the block of code that begins so, without what is said about them."""
    (block,) = (block for block in re.findall(r"```\n(.*?)```", text, re.DOTALL) if block.startswith(begin))
    return [shlex.split(line, comments=True)[1:] for line in block.splitlines()]


@pytest.fixture(scope="module")
def ran(tmp_path_factory):
    """The folder of a clone in which the quick start was run."""
    from typer.testing import CliRunner

    from causal_attrib_cli.main import app

    folder = tmp_path_factory.mktemp("clone")
    shutil.copytree(ROOT / "examples", folder / "examples")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for words in commands((ROOT / "docs" / "training.md").read_text("utf-8"), "copo scenes"):
            result = CliRunner(env={"COLUMNS": None}).invoke(app, words + CHEAP.get(words[0], []))
            assert result.exit_code == 0, (words, result.output)
    return folder


def test_it_ends_in_what_changed(ran):
    assert {"worlds", "before.parquet", "after.parquet", "runs", "report.html"} <= {path.name for path in ran.iterdir()}
    assert (ran / "runs" / "copo" / "curves.png").read_bytes().startswith(b"\x89PNG")
    page = (ran / "runs" / "copo" / "training.html").read_text("utf-8")
    assert "seconds between" not in page and "Completions over time" in page and "update 1 ·" in page
    assert "<title>copo</title>" in (ran / "report.html").read_text("utf-8")


def test_the_page_of_commands_says_the_same():
    """Of the commands of the quick start those that the page has are the same."""
    page = (ROOT / "docs" / "commands.md").read_text("utf-8")
    for words in commands((ROOT / "docs" / "training.md").read_text("utf-8"), "copo scenes"):
        if words[0] == "train" and len(words) == 3:
            assert f"copo {shlex.join(words)} " in page
    assert page.index("copo scenes worlds/") < page.index("copo train --config")


def test_its_model_card_is_true(ran, monkeypatch):
    card = (ran / "runs" / "copo" / "README.md").read_text("utf-8")
    _, front, text = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "peft",
        "pipeline_tag": "image-text-to-text",
        "tags": ["copo", "trl", "lora"],
    }
    assert text.lstrip().startswith("# copo\n")
    assert "An adapter (LoRA, rank 16) of the model that comes with COPO (`bundled`)" in text
    assert "1 of 1 updates" in text and "arXiv 2508.04182" in text and "eprint        = {2508.04182}" in text
    rows = sum(1 for _ in (ran / "worlds" / "questions.jsonl").open())
    assert f"`worlds`, {rows} rows with 4 pictures" in text
    logged = json.loads((ran / "runs" / "copo" / "trainer_state.json").read_text())["log_history"][0]
    assert f"| reward | {logged['reward']:.3f} | {logged['reward']:.3f} | 1 |" in text
    assert str(ran) not in card  # no path of a machine travels with the model
    recipe = yaml.safe_load(re.search(r"```yaml\n(.*?)```", text, re.DOTALL)[1])
    assert (recipe["data"], recipe["method"], recipe["lambda_s"]) == ("worlds", "copo", 0.35)
    # The code in it loads the model, whose adapter changes what comes out.
    monkeypatch.chdir(ran / "runs")
    names = {}
    exec(re.search(r"```python\n(.*?)```", text, re.DOTALL)[1], names)
    assert names["model"].peft_config["default"].r == 16 and names["processor"] is names["base"].processor


def test_every_checkpoint_has_a_card(ran):
    card = (ran / "runs" / "copo" / "checkpoint-1" / "README.md").read_text("utf-8")
    assert "1 of 1 updates" in card and "fine-tuned version of" not in card
