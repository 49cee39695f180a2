"""The example notebooks run from top to bottom, and say what their text promises."""

from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("name", ["score.ipynb"])
def test_notebook_runs(name):
    notebook = nbformat.read(EXAMPLES / name, as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}).execute()
    outputs = {
        cell.source.splitlines()[-1]: cell.outputs[-1].get("data", {}) for cell in notebook.cells if cell.get("outputs")
    }
    assert "text/html" in outputs["attribution"] and "sunset" in outputs["attribution"]["text/html"]
    assert outputs["worst.text"]["text/plain"] == "' sunset'"
    assert outputs["again == attribution"]["text/plain"] == "True"
