"""The example notebook goes from a picture to a report and to figures."""

import base64
from pathlib import Path

import nbformat
from nbclient import NotebookClient

EXAMPLES = Path(__file__).parents[2] / "examples"


def test_from_picture_to_figure():
    notebook = nbformat.read(EXAMPLES / "report.ipynb", as_version=4)
    NotebookClient(notebook, timeout=300, kernel_name="python3", resources={"metadata": {"path": EXAMPLES}}).execute()
    shown = {
        cell.source.splitlines()[-1]: cell.outputs[-1].get("data", {}) for cell in notebook.cells if cell.get("outputs")
    }
    assert "<table" in shown["attribution"]["text/html"] and "sunset" in shown["attribution"]["text/html"]
    for figure in ("attribution.plot()", "maps.plot()"):
        assert base64.b64decode(shown[figure]["image/png"]).startswith(b"\x89PNG")
    written = shown["written, again == attribution"]["text/plain"]
    assert written == "(['maps.pdf', 'report.html', 'scores.pdf'], True)"
