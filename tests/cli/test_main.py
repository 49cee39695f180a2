"""The command as a whole: it answers at once, and says what it is."""

import subprocess
import sys

import pytest

import causal_attrib

HEAVY = ("torch", "transformers", "pandas", "numpy", "matplotlib", "PIL")


def run(*arguments):
    command = [sys.executable, "-m", "causal_attrib_cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["score", "--help"], ["scenes", "--help"], ["doctor", "--help"], ["train", "--help"], ["--version"]],
)
def test_help_imports_nothing_heavy(arguments):
    """What makes `copo --help` answer in well under half a second."""
    code = (
        "import sys; from causal_attrib_cli.main import app\n"
        f"try: app({arguments})\n"
        "except SystemExit: print([name for name in sys.modules if name in %r])" % (HEAVY,)
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


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
