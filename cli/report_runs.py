"""`copo report RUN [RUN ..]`: training runs side by side."""

from __future__ import annotations

from collections.abc import Sequence


def report_runs(folders: Sequence[str], out: str) -> None:
    """Write a page on the training runs in these folders."""
    from causal_attrib.errors import InputError
    from causal_attrib.io.atomic import check_writable, replace_file
    from causal_attrib.views.training_log import read_run
    from causal_attrib.views.training_page import page

    if not out.lower().endswith((".html", ".htm")):
        raise InputError(f"The page {out} is HTML; end its name in .html.")
    check_writable(out)
    replace_file(out, page([read_run(folder) for folder in folders]).encode())
