import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "pandas", "numpy", "matplotlib", "PIL")


@pytest.mark.parametrize(
    "arguments",
    [
        ["eval", "--help"],
        ["eval", "chair", "--help"],
        ["eval", "pope", "-h"],
        ["eval", "amber", "-h"],
        ["pope", "build", "-h"],
    ],
    ids=" ".join,
)
def test_help_imports_nothing_heavy(arguments):
    code = (
        "import sys; from causal_attrib_cli.main import app\n"
        f"try: app({arguments})\n"
        f"except SystemExit as end: print(end.code, [name for name in sys.modules if name in {HEAVY}])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "0 []"


def test_flags_with_underscores(copo):
    assert (
        "no file none.jsonl"
        in copo("eval", "chair", "--captions", "none.jsonl", "--objects", "x", "--group_by", "a").stderr
    )


@pytest.mark.parametrize(
    "arguments", [["eval", "chair"], ["eval", "pope"], ["eval", "amber"], ["pope", "build"]], ids=" ".join
)
def test_missing_flags_are_exit_code_2(copo, arguments):
    result = copo(*arguments)
    assert result.exit_code == 2 and "Missing option" in result.stderr
