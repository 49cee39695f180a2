"""The command as a whole: it answers at once, and says what it is."""

import json
import subprocess
import sys

import pytest
import typer

import causal_attrib
from causal_attrib_cli.main import app

HEAVY = ("torch", "transformers", "pandas", "numpy", "matplotlib", "PIL", "yaml")
# Runs each command in one process, and says of each how it ended and what was imported by then.
RUNS = """
import contextlib, io, json, sys
from causal_attrib_cli.main import app
for arguments in json.loads(sys.argv[1]):
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            app(arguments)
    except SystemExit as ended:
        print(json.dumps([ended.code, [name for name in json.loads(sys.argv[2]) if name in sys.modules]]))
"""


def paths(group, path=()):
    for name, command in group.commands.items():
        yield from paths(command, (*path, name)) if hasattr(command, "commands") else [(*path, name)]


def test_help_imports_nothing_heavy():
    """What makes `copo --help` answer in well under half a second."""
    asked = [["--version"], ["--help"], ["eval", "-h"], ["pope", "--help"]]
    asked += [[*path, "-h"] for path in paths(typer.main.get_command(app))]
    done = subprocess.run(
        [sys.executable, "-c", RUNS, json.dumps(asked), json.dumps(HEAVY)], capture_output=True, text=True, check=True
    )
    assert [json.loads(line) for line in done.stdout.splitlines()] == [[0, []]] * len(asked)


def test_version(copo):
    assert copo("--version").stdout == f"copo {causal_attrib.__version__}\n"


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["score"], "nothing to score"),
        (["score", "x.png", "a dog", "--no-such-flag"], "No such option"),
        (["score", "x.png", "a dog", "--samples", "many"], "Invalid value for '--samples'"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_bad_usage_is_exit_code_2(copo, arguments, said):
    result = copo(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
