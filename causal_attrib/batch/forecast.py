"""What scoring a file would take, measured on two of its groups before anything is written."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from causal_attrib.batch.caption_rows import groups_of, read_captions, shard_of
from causal_attrib.batch.scorer import Scorer
from causal_attrib.batch.workers import count_of
from causal_attrib.errors import InputError
from causal_attrib.io.journalled import REASON
from causal_attrib.io.pictures import pixel_limit
from causal_attrib.results import caption_files
from causal_attrib.results.caption_tables import blocks_of

if TYPE_CHECKING:
    from causal_attrib.vlm import VLM


@dataclass(frozen=True)
class Forecast:
    """What a run takes, as far as two groups tell.

    captions: that it is to score
    measured: captions that were scored for this, in `seconds`, after others had warmed the model up
    failed:   of the captions that were tried, those that failed
    workers:  that share the work, each as fast as the one that was measured
    on_gpu:   whether a GPU was at work
    bytes_each: of the output for a caption; None where it is not known where it goes
    """

    captions: int
    measured: int
    seconds: float
    failed: int
    workers: int
    on_gpu: bool
    bytes_each: float | None

    @property
    def per_second(self) -> float:
        """Captions a second of all workers."""
        return self.workers * self.measured / self.seconds

    @property
    def hours(self) -> float:
        return self.captions / self.per_second / 3600

    def told(self) -> str:
        """In a few lines."""
        spent = f"{self.hours * self.workers:.3g} {'GPU-hours' if self.on_gpu else 'worker-hours'}"
        lines = [
            f"{self.captions:,} captions to score; measured on {self.measured}, {self.failed} of those tried failed",
            f"{self.per_second:.3g} captions a second by {self.workers} worker{'s' if self.workers > 1 else ''}, "
            "each as fast as the one that was measured",
            f"about {self.hours:.3g} hours, {spent}",
        ]
        if self.bytes_each is not None:
            lines.append(f"about {self.captions * self.bytes_each / 1e6:,.1f} MB of output")
        return "\n".join(lines)


def measure(
    source: str | os.PathLike,
    output: str | os.PathLike | None,
    load: Callable[[], VLM],
    *,
    asked: dict | None = None,
    scoring: dict | None = None,
    model: dict | None = None,
    limit: int | None = None,
    shard: str = "1/1",
    workers: int | str = 1,
    fetch: bool = False,
) -> Forecast:
    """Score the first caption, which warms the model up, and then two groups: the first, and one from the middle.

    Arguments as in `batch.run.score_file`.

    Raises:
        InputError: what is wrong with the input or the settings, or no caption could be scored.
    """
    asked, scoring = asked or {}, scoring or {}
    count = count_of(workers, model or {})
    if output is not None:
        caption_files.format_of(output)
    given = read_captions(source, limit=limit)
    groups = shard_of(groups_of(given.rows[:limit], asked), shard)
    if not groups:
        raise InputError(f"The shard {shard} has no captions; there are fewer groups than shards.")
    batch = {"input": given.sha256, "rows": len(given.rows), "flags": ""}
    scorer = Scorer(load, asked=asked, batch=batch, fetch=fetch or given.fetches, max_pixels=pixel_limit(), **scoring)
    chosen = [groups[0]] if len(groups) == 1 else [groups[0], groups[len(groups) // 2]]
    scorer.score(groups[0][:1])
    began = time.perf_counter()
    outcomes = [outcome for group in chosen for outcome in scorer.score(group)]
    seconds = time.perf_counter() - began
    done = [outcome for outcome in outcomes if REASON not in outcome]
    if not done:
        raise InputError(f"None of {len(outcomes)} captions can be scored; the first says: {outcomes[0][REASON]}")
    return Forecast(
        captions=sum(map(len, groups)),
        measured=len(done),
        seconds=seconds,
        failed=len(outcomes) - len(done),
        workers=count,
        on_gpu=str(scorer.record["device"]).startswith("cuda"),
        bytes_each=None if output is None else _bytes_each(output, done),
    )


def _bytes_each(output: str | os.PathLike, done: list[dict]) -> float:
    """Bytes that a caption takes: what a file of them has above a file without any."""
    with tempfile.TemporaryDirectory() as name:
        folder = caption_files.is_folder(output)
        sizes = []
        for number, some in enumerate(([], done)):
            path = Path(name) / f"{number}{'.parquet' if folder else Path(output).suffix}"
            caption_files.write_blocks(path, blocks_of(some))
            sizes.append(sum(file.stat().st_size for file in caption_files.files_at(path)))
    return (sizes[1] - sizes[0]) / len(done)
