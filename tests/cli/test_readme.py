"""The README shows what the command prints, and every command of README and docs is one that works as it is written."""

import json
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer

from causal_attrib.batch.run import score_file
from causal_attrib_cli.main import app

ROOT = Path(__file__).parents[2]
COMMAND = ("score", ROOT / "examples" / "park.png", "a dog and a red frisbee on the grass at sunset")
NUMBER = re.compile(r"-?\d+\.\d+")

# In a block of code, with what goes on behind a backslash.
_LINE = re.compile(r"^(?: {4})?(copo (?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
_CODE = re.compile(r"^```(?!text|python)[a-z]*\n(.*?)^```|((?:^ {4}\S.*\n(?: {4}.*\n)*)+)", re.MULTILINE | re.DOTALL)
# Why a command is read and not run.
_NOT_RUN = {
    "needs a model or data of your own": re.compile(
        r"\b(ID|ID_OR_PATH|FILE|DIR|IMAGE|OUT|SCENES)\b|photo\.jpg|--model|--image|--server|\.\.\.|rows\.jsonl|asked\.jsonl"
        r"|objects\.json|_pope_|contrasts|data\.jsonl|runs/|SLURM|--ray|worlds/|://|\{1\.\.8\}|random\.json|responses"
    ),
    "takes minutes": re.compile(r"copo (train|doctor|eval|serve|select)|--proof|--count"),
}


def words(text: str) -> list[str]:
    """All that is said but the numbers; where a line is broken depends on the terminal."""
    return re.sub(r"─+", " ", NUMBER.sub("#", text)).split()


def test_the_readme_s_example_is_the_output(copo):
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = re.search(r"```text\n(.*?)```", readme, re.DOTALL)[1]
    printed = copo(*COMMAND).stdout
    assert words(shown) == words(printed)
    without_time = [NUMBER.findall(re.sub(r"[\d.]+ s\b", "", text)) for text in (shown, printed)]
    assert [float(number) for number in without_time[0]] == pytest.approx(
        [float(number) for number in without_time[1]], abs=0.02
    )


COMMANDS = (*typer.main.get_command(app).commands, "-q", "--debug")


def written() -> dict[str, str]:
    """Each command with the file where it is first written."""
    found: dict[str, str] = {}
    for path in (ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))):
        for code in _CODE.finditer(path.read_text(encoding="utf-8")):
            for line in _LINE.findall(code[1] or code[2]):
                if line.split()[1] not in COMMANDS:
                    continue  # a sentence
                found.setdefault(re.sub(r"\s*\\\n\s*", " ", line).strip(), str(path.relative_to(ROOT)))
    return found


WRITTEN = written()
TO_RUN = [command for command in WRITTEN if not any(of.search(command) for of in _NOT_RUN.values())]


def arguments(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


@pytest.mark.parametrize("command", WRITTEN)
def test_every_command_that_is_written_can_be_read(command):
    """No flag in README and docs that the command does not have, whether it is run below or not."""
    given, group = arguments(command), typer.main.get_command(app)
    context = group.make_context("copo", [], resilient_parsing=True)
    while hasattr(group, "commands"):
        name, *given = given
        group = group.commands[name]
        own = [] if hasattr(group, "commands") else list(given)
        context = group.make_context(name, own, parent=context, resilient_parsing=True)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader of the README has at that point."""
    folder = tmp_path_factory.mktemp("reader")
    shutil.copy(ROOT / "examples" / "park.png", folder)
    rows = [{"image": "park.png", "caption": caption} for caption in ("a dog on the grass", "a cat")]
    (folder / "captions.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    import causal_attrib

    vlm = causal_attrib.load()
    for name, shard in (("base", "1/1"), ("part1", "1/2"), ("part2", "2/2")):
        score_file(folder / "captions.jsonl", folder / f"{name}.parquet", lambda: vlm, shard=shard)
    for name in ("scores", "tuned", "before", "after"):
        for part in ("parquet", "captions.parquet"):
            shutil.copy(folder / f"base.{part}", folder / f"{name}.{part}")
    return folder


@pytest.mark.parametrize("command", TO_RUN)
def test_every_command_that_needs_nothing_more_works(copo, folder, tmp_path, monkeypatch, command):
    # A folder of its own, so that no command lives on what another has left.
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / "reader"))
    result = copo(*arguments(command))
    told = result.stdout + result.stderr
    assert result.exit_code == (3 if "--fail-above" in command else 0), told
    # An example that shows nothing is none.
    assert "does not depend on the caption" not in told


def test_what_is_not_run_is_counted():
    """So that a change of the documentation that takes commands out of the test is seen."""
    reasons = {why: sum(bool(of.search(command)) for command in WRITTEN) for why, of in _NOT_RUN.items()}
    print(f"{len(WRITTEN)} commands in README and docs, {len(TO_RUN)} run; not run: {reasons}")
    assert len(TO_RUN) >= 15
