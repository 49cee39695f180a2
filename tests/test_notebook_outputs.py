"""The committed notebooks carry outputs that are read where nothing runs, as on GitHub."""

from pathlib import Path

import nbformat
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.name)
def test_outputs_are_there_and_are_light(path):
    notebook = nbformat.read(path, as_version=4)
    codes = [cell for cell in notebook.cells if cell.cell_type == "code"]
    kinds = {kind for cell in codes for output in cell.outputs for kind in output.get("data", {})}
    assert "text/html" in kinds and all(cell.execution_count for cell in codes)
    assert not [output for cell in codes for output in cell.outputs if output.output_type in ("stream", "error")]
    html = "".join(output.data.get("text/html", "") for cell in codes for output in cell.outputs if "data" in output)
    assert "<iframe" not in html and "<script" not in html
    assert path.stat().st_size < 600_000
