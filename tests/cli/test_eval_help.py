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
        ["eval", "background", "-h"],
        ["eval", "degradation", "-h"],
        ["eval", "detection", "-h"],
        ["eval", "faithfulness", "-h"],
        ["eval", "verdict", "-h"],
        ["pope", "build", "-h"],
        ["score", "-h"],
        ["diff", "-h"],
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
    ("arguments", "told"),
    [
        (["eval", "chair"], "ground truth is one of"),
        (["eval", "chair", "--objects", "o.json"], "give --captions FILE, or --model"),
        (["eval", "pope"], "Missing option"),
        (["eval", "amber"], "Missing option"),
        (["eval", "amber", "--annotations", "a.json"], "give --responses FILE, or --model"),
        (["pope", "build"], "Missing option"),
    ],
)
def test_missing_flags_are_exit_code_2(copo, arguments, told):
    result = copo(*arguments)
    assert result.exit_code == 2 and told in result.stderr
