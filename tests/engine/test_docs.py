"""The drawing of the mask in docs/engine.md is what its code prints."""

import contextlib
import io
import re
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_the_mask_in_the_documentation_is_the_mask(monkeypatch):
    monkeypatch.chdir(ROOT)
    code, drawing = re.search(
        r"```python\n(.*?)```\n\n```text\n(.*?)```", Path("docs/engine.md").read_text(), re.S
    ).groups()
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(code, "docs/engine.md", "exec"), {})
    assert printed.getvalue() == drawing
