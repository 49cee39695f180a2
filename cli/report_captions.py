"""`copo report scores.parquet`: a page on a file of captions, or on what changed between two."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from causal_attrib_cli import common

# Bytes of a page, above which it is told how to make a smaller one.
_LARGE = 40e6
_SUFFIXES = (".parquet", ".csv", ".jsonl", ".json")


def is_of_captions(source: str) -> bool:
    """Whether a path names scored captions: a file of a format that holds many, or a folder with their manifest."""
    from causal_attrib.results.caption_files import MANIFEST

    return source.lower().endswith(_SUFFIXES) or (Path(source) / MANIFEST).is_file()


def report_captions(sources: Sequence[str], out: str, *, limit: int | None, quiet: bool) -> None:
    """Write the page of one file, or of two."""
    from causal_attrib.errors import InputError
    from causal_attrib.io.atomic import check_writable, replace_file
    from causal_attrib.results import caption_files
    from causal_attrib.views.captions_data import count_captions
    from causal_attrib.views.captions_page import captions_page, diff_page

    if len(sources) > 2:
        raise InputError(f"There are {len(sources)} files of captions; give one, or two to see what changed.")
    if limit is not None and limit < 1:
        raise InputError(f"The limit is {limit}, but it must be 1 or more.")
    if not out.lower().endswith((".html", ".htm")):
        raise InputError(f"The page {out} is HTML; end its name in .html.")
    check_writable(out)
    counted = count_captions(caption_files.read(sources[-1]), limit)
    if not counted.total:
        raise InputError(f"{sources[-1]} has no captions, so there is nothing to show.")
    if len(sources) == 2:
        from causal_attrib.batch.diff import diff

        found = diff(*sources)
        before = {one.caption_id: _p_false(one.record) for one in caption_files.read(sources[0], tokens=False)}
        for row in counted.rows:
            first = before.get(row[0])
            row.append(None if first is None or row[3] is None else round(row[3] - first, 3))
        page = diff_page(found, counted, f"{Path(sources[0]).name} to {Path(sources[1]).name}")
    else:
        page = captions_page(counted, Path(sources[0]).name)
    data = page.encode()
    if not quiet:
        size = f"{len(data) / 1e6:.1f} MB"
        advice = "; --limit N lists fewer captions" if len(data) > _LARGE else ""
        common.tell(f"The page on {counted.total:,} captions has {size}{advice}")
    replace_file(out, data)


def _p_false(record: dict) -> float | None:
    return (record.get("verdict") or {}).get("p_false")
