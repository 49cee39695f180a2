"""What needs no model needs no torch, which takes seconds to import."""

import json
import subprocess
import sys

import pytest

CODE = """
import sys
from causal_attrib_cli.main import app
try:
    app({arguments!r})
except SystemExit as end:
    assert not end.code, end.code
assert "torch" not in sys.modules and "pandas" not in sys.modules
"""


def test_scores_of_files_need_no_torch():
    code = "import sys; from causal_attrib.evaluation.{0} import evaluate; print('torch' in sys.modules)"
    for name in ("chair", "pope", "amber"):
        done = subprocess.run([sys.executable, "-c", code.format(name)], capture_output=True, text=True, check=True)
        assert done.stdout == "False\n"


@pytest.mark.parametrize(
    ("name", "files"),
    [
        ("chair", {"captions": [{"image": "1", "caption": "a dog"}], "objects": [{"image": "1", "objects": ["dog"]}]}),
        (
            "pope",
            {
                "questions": [{"question_id": 1, "image": "1.jpg", "text": "Is there a dog?", "label": "yes"}],
                "answers": [{"question_id": 1, "answer": "Yes"}],
            },
        ),
        (
            "amber",
            {
                "annotations": [{"id": 1, "type": "discriminative-relation", "truth": "yes"}],
                "responses": [{"id": 1, "response": "Yes"}],
            },
        ),
    ],
)
def test_the_commands_on_given_texts_import_no_torch(name, files, tmp_path):
    arguments = ["eval", name, "--json"]
    for flag, rows in files.items():
        (tmp_path / flag).write_text(json.dumps(rows))
        arguments += [f"--{flag}", str(tmp_path / flag)]
    done = subprocess.run([sys.executable, "-c", CODE.format(arguments=arguments)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["benchmark"] == name


@pytest.mark.parametrize("name", ["verdict", "degradation", "faithfulness", "background"])
def test_draws_that_cannot_be_are_told_before_torch_is_imported(name):
    code = """
import sys
from causal_attrib_cli.main import app
try:
    app({arguments!r})
except SystemExit as end:
    assert end.code == 2 and "torch" not in sys.modules
"""
    arguments = ["eval", name, *(["worlds"] if name == "background" else []), "--bootstrap", "9" * 20]
    done = subprocess.run([sys.executable, "-c", code.format(arguments=arguments)], capture_output=True, text=True)
    assert done.returncode == 0 and "More than 100,000 bootstrap resamples" in done.stderr, done.stderr
