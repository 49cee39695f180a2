"""The README shows what the command prints, and every command of README and docs is one that works as it is written; so
are the scripts and the names of Python that they tell of."""

import ast
import json
import re
import shlex
import shutil
from pathlib import Path

import click
import pytest
import typer

from causal_attrib import Attribution
from causal_attrib.batch.run import score_file
from causal_attrib_cli.main import app

ROOT = Path(__file__).parents[2]
COMMAND = ("score", ROOT / "examples" / "park.png", "a dog and a red frisbee on the grass at sunset")
NUMBER = re.compile(r"-?\d+\.\d+")

PAGES = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in (
        *(ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "photo_bench" / "README.md"),
        *sorted((ROOT / "docs").rglob("*.md")),
    )
}
# In a block of code, with what goes on behind a backslash; and within a sentence.
_LINE = re.compile(r"^(?: {4})?(copo (?:[^\n]*\\\n)*[^\n]*)$", re.MULTILINE)
_CODE = re.compile(r"^```(?!text|python)[a-z]*\n(.*?)^```|((?:^ {4}\S.*\n(?: {4}.*\n)*)+)", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"`(copo [a-z][^`\n]*)`")
# Why a command is read and not run.
_NOT_RUN = {
    "needs a model or data of your own": re.compile(
        r"\b(ID|ID_OR_PATH|FILE|DIR|IMAGE|OUT|SCENES)\b|photo\.jpg|--model|--image|--server|\.\.\.|rows\.jsonl|asked\.jsonl"
        r"|objects\.json|_pope_|contrasts|data\.jsonl|runs/|SLURM|--ray|worlds/|://|\{1\.\.8\}|random\.json|responses"
    ),
    "begins workers, which import torch anew and are tested with the library": re.compile(r"--workers"),
    "takes minutes": re.compile(r"copo (train|doctor|eval|serve|select)|--proof|--count"),
}


def words(text: str) -> list[str]:
    """All that is said but the numbers; where a line is broken depends on the terminal."""
    return re.sub(r"─+", " ", NUMBER.sub("#", text)).split()


def test_the_readme_s_example_is_the_output(copo):
    shown = re.search(r"```text\n(.*?)```", PAGES["README.md"], re.DOTALL)[1]
    printed = copo(*COMMAND).stdout
    assert words(shown) == words(printed)
    without_time = [NUMBER.findall(re.sub(r"[\d.]+ s\b", "", text)) for text in (shown, printed)]
    assert [float(number) for number in without_time[0]] == pytest.approx(
        [float(number) for number in without_time[1]], abs=0.02
    )


COMMANDS = (*typer.main.get_command(app).commands, "-q", "--debug")


def written() -> dict[str, str]:
    """Each command of a block of code with the page where it is first written."""
    found: dict[str, str] = {}
    for page, text in PAGES.items():
        for code in _CODE.finditer(text):
            for line in _LINE.findall(code[1] or code[2]):
                if line.split()[1] not in COMMANDS:
                    continue  # a sentence
                found.setdefault(re.sub(r"\s*\\\n\s*", " ", line).strip(), page)
    return found


WRITTEN = written()
TO_RUN = [command for command in WRITTEN if not any(of.search(command) for of in _NOT_RUN.values())]


def arguments(command: str) -> list[str]:
    return shlex.split(command, comments=True)[1:]


def test_every_command_that_is_written_can_be_read():
    """No flag in README and docs that the command does not have, whether it is run below or not."""
    within = {line.replace("...", ""): page for page, text in PAGES.items() for line in _INLINE.findall(text)}
    unread, whole = [], typer.main.get_command(app)
    for command, page in (within | WRITTEN).items():
        given, group = arguments(command), whole
        context = group.make_context("copo", [], resilient_parsing=True)
        try:
            while hasattr(group, "commands") and given:
                name, *given = given
                group = group.commands[name]
                own = [] if hasattr(group, "commands") else list(given)
                context = group.make_context(name, own, parent=context, resilient_parsing=True)
        except (typer.BadParameter, click.UsageError, KeyError) as error:
            unread.append((page, command, repr(error)))
    assert not unread


def test_the_page_of_commands_has_each():
    commands = typer.main.get_command(app).commands
    assert [name for name in commands if f"\ncopo {name} " not in PAGES["docs/commands.md"]] == []
    assert [name for name in commands["eval"].commands if name not in PAGES["docs/commands.md"]] == []


def test_scripts_and_files_that_pages_name_are_there():
    """With the flags that they are shown with."""
    missing = []
    for page, text in PAGES.items():
        for path in re.findall(r"\b(?:tests|benchmarks|causal_attrib|cli|examples|site)/[\w./-]*\w", text):
            if not (ROOT / path).exists() and path != "benchmarks/results/history.jsonl":  # which `make bench` makes
                missing.append((page, path))
        for module, name, rest in re.findall(r"python (-m )?([\w./]+)([^\n`]*)", re.sub(r"\\\n\s*", " ", text)):
            path = ROOT / (name.replace(".", "/") + ".py" if module else name)
            if name == "pytest":
                continue
            files = sorted(path.glob("*.py")) if path.is_dir() else [path] if path.is_file() else []
            script = "".join(file.read_text(encoding="utf-8") for file in files)
            flags = re.findall(r"(?<!\S)--([a-z-]+)", rest)
            missing += [(page, name, flag) for flag in ["", *flags] if not script or flag not in script]
    assert not missing


def names_in(module: str) -> set[str]:
    """What a module of the package binds at its top, or names in a text (a lazy import); nothing is imported."""
    place = ROOT / module.replace(".", "/")
    file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
    if not file.is_file():
        return set()
    found = {path.stem for path in place.glob("*")} if place.is_dir() else set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        match node:
            case ast.FunctionDef() | ast.ClassDef():
                found.add(node.name)
            case ast.Import() | ast.ImportFrom():
                found |= {alias.asname or alias.name for alias in node.names}
            case ast.Constant(value=str()):
                found.add(node.value)
    return found


def test_names_of_python_that_pages_import_are_there():
    missing = []
    for page, text in PAGES.items():
        for module, names in re.findall(r"^\s*from (causal_attrib[\w.]*) import ([\w, ]+)$", text, re.MULTILINE):
            missing += [(page, module, name) for name in names.split(", ") if name not in names_in(module)]
        for name in re.findall(r"^::: (causal_attrib[\w.]+)$", text, re.MULTILINE):
            module, _, last = name.rpartition(".")
            if not names_in(name) and last not in names_in(module):
                missing.append((page, name))
    assert not missing


def test_the_readme_s_python_runs(folder, tmp_path, monkeypatch):
    monkeypatch.chdir(shutil.copytree(folder, tmp_path / "reader"))
    names = {}
    for code in re.findall(r"```python\n(.*?)```", PAGES["README.md"], re.DOTALL):
        exec(code, names)
    assert Attribution.load("scores.parquet") == names["attribution"] and len(names["attribution"]) == 13


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What a reader of the README has at that point."""
    folder = tmp_path_factory.mktemp("reader")
    (folder / "examples").mkdir()
    for place in (folder, folder / "examples"):
        shutil.copy(ROOT / "examples" / "park.png", place)
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
