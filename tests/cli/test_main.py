"""The command as a whole: it answers at once, and says what it is."""

import json
import subprocess
import sys

import pytest

import causal_attrib

HEAVY = ("torch", "transformers", "pandas", "numpy", "matplotlib", "PIL")


def run(*arguments):
    command = [sys.executable, "-m", "causal_attrib_cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True)


@pytest.mark.parametrize("arguments", [["--help"], ["score", "--help"], ["scenes", "--help"], ["--version"]])
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


def test_env(copo):
    facts = json.loads(copo("env", "--json").stdout)
    assert facts["copo"] == causal_attrib.__version__
    assert list(facts)[:4] == ["copo", "python", "platform", "torch"]
    assert {"transformers", "captum", "trl", "bitsandbytes", "torchvision"} <= facts.keys()
    assert facts["devices"][0].startswith("cpu")
    lines = copo("env").stdout.splitlines()
    assert [line.split()[0] for line in lines] == list(facts)


@pytest.mark.parametrize(
    "arguments, said",
    [
        (["score"], "Missing argument 'IMAGE'"),
        (["score", "x.png", "a dog", "--no-such-flag"], "No such option"),
        (["score", "x.png", "a dog", "--samples", "many"], "Invalid value for '--samples'"),
        (["paint"], "No such command 'paint'"),
    ],
)
def test_bad_usage_is_exit_code_2(copo, arguments, said):
    result = copo(*arguments)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.replace("│", " ").split())
