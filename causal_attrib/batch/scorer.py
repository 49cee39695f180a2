"""Scores blocks of captions with one loaded model: in this process, in worker processes, or as an actor of Ray Data."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, TypeVar

from causal_attrib.batch.caption_rows import CaptionRow, caption_rows, groups_of
from causal_attrib.errors import InputError
from causal_attrib.io.failures import reason_of
from causal_attrib.io.journalled import REASON
from causal_attrib.io.parsing import one_line
from causal_attrib.io.pictures import Picture, read_picture
from causal_attrib.io.remote import fetching
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.caption_files import Scored
from causal_attrib.results.caption_tables import block_of, blocks_of, packed_tokens
from causal_attrib.scores.inputs import calibration_of
from causal_attrib.scores.settings import Settings

if TYPE_CHECKING:
    import pyarrow as pa

    from causal_attrib.engine import Engine
    from causal_attrib.scores.caption_task import CaptionTask
    from causal_attrib.vlm import VLM

Key = TypeVar("Key")
ASKED = ("prompt", "question", "answer", "objects")
# Pictures read at a time for the next group, which is mostly waiting for a disk or a network.
_READERS = 8


class Scorer:
    """A loaded model and what captions are scored with. Groups of captions are scored together, see `score`.

    For Ray Data, which makes one in each actor:

        ray.data.read_parquet("captions.parquet").map_batches(
            causal_attrib.batch.Scorer,
            fn_constructor_kwargs={"model": "llava-hf/llava-1.5-7b-hf", "verdict": True},
            batch_size=64, concurrency=8, num_gpus=1,
        )

    The columns of a batch are those of the rows of a file (docs/batch.md). What comes back has a row per caption: the
    columns of the table of captions, `scores` with an object per token, and `failed`, the reason why a row has none.

    Args:
        model: a loaded `VLM`, a folder or hub id, None for the bundled model, or a function that loads one.
        loading: keywords of `causal_attrib.load`.
        asked: prompt, question, answer and objects of rows that lack them.
        batch: what each object says of the batch it was part of (`caption_files.Scored`), besides its row.
        strict: let through errors that no row is to blame for, to see where they come from.
        fetch: fetch pictures that rows name by address (https://, s3://, ...), see `io.remote`.
        max_pixels: largest width times height of a picture that is read.
        scoring: keywords of `causal_attrib.score`: outcome, mask, ...

    Raises:
        InputError: settings that cannot be, or a model that cannot be loaded.
    """

    def __init__(
        self,
        model: str | VLM | Callable[[], VLM] | None = None,
        *,
        loading: Mapping[str, Any] | None = None,
        asked: Mapping[str, Any] | None = None,
        batch: Mapping[str, Any] | None = None,
        strict: bool = False,
        fetch: bool = False,
        max_pixels: int | None = None,
        **scoring: Any,
    ):
        self.settings = Settings(**scoring)
        self.asked, self.batch, self.strict = dict(asked or {}), dict(batch or {}), strict
        self._fetch, self._max_pixels = fetch, max_pixels
        self._calibration = calibration_of(self.settings)
        from causal_attrib.vlm import VLM, load

        if callable(model):
            self.vlm = model()
        else:
            self.vlm = model if isinstance(model, VLM) else load(model, **(loading or {}))
        self._engine: Engine | None = None

    @property
    def record(self) -> dict:
        """What results say of the model."""
        return self.vlm.record

    def score_groups(self, groups: Mapping[Key, Sequence[CaptionRow]]) -> Iterator[tuple[Key, list[dict]]]:
        """`score` of each group; the pictures of the next one are read meanwhile."""
        with ThreadPoolExecutor(_READERS, thread_name_prefix="copo-pictures") as readers:
            waiting = iter(groups.items())
            ahead = next(waiting, None)
            pictures = self._begun(readers, ahead[1] if ahead else ())
            # What is there by now stays meanwhile. Trees of many small objects would have the collector look through
            # all of it again and again, which took a tenth of the time.
            gc.freeze()
            try:
                while ahead is not None:
                    (key, group), of_group = ahead, pictures
                    ahead = next(waiting, None)
                    pictures = self._begun(readers, ahead[1] if ahead else ())
                    yield key, self.score(group, of_group)
            finally:
                gc.unfreeze()
                for one in pictures.values():
                    one.cancel()

    def score(self, group: Sequence[CaptionRow], pictures: Mapping[str, Future[Picture]] | None = None) -> list[dict]:
        """For each row of a group its scored caption, or the `reason` why there is none.

        Numbers do not depend on groups that were scored before.

        Args:
            pictures: those of the group, by name, that are being read; None reads them now.
        """
        # Here, where there is a model: what is wrong with a file is told without torch.
        from causal_attrib.scores.caption_task import make_task
        from causal_attrib.scores.known_pictures import knows

        outcomes: dict[int, dict] = {}
        tasks: dict[int, CaptionTask] = {}
        known: dict[str, bool] = {}
        read: dict[str, Picture] = {}
        with self.vlm.remembering_pictures():
            for row in group:
                if row.fault is not None:
                    outcomes[row.number] = {REASON: row.fault}
                    continue
                given = {name: getattr(row, name) for name in ASKED if getattr(row, name) is not None}
                try:
                    if row.image not in read:
                        found = (pictures or {}).get(row.image)
                        read[row.image] = self._picture(row.picture) if found is None else found.result()
                    picture = read[row.image]
                    if row.image not in known:
                        known[row.image] = knows(self.vlm, picture.pixels)
                    tasks[row.number] = make_task(
                        self.vlm,
                        self.settings,
                        picture,
                        row.caption,
                        calibration=self._calibration,
                        known=known[row.image],
                        **{**self.asked, **given},
                    )
                except Exception as error:
                    outcomes[row.number] = self._reason(error)
        left = [row for row in group if row.number in tasks]
        try:
            attributions = self._run(list(tasks.values()))
            outcomes |= {row.number: self._scored(row, one) for row, one in zip(left, attributions, strict=True)}
        except Exception:
            # One of them is to blame; it does not stop the others.
            self._engine = None
            for row in left:
                try:
                    outcomes[row.number] = self._scored(row, *self._run([tasks[row.number]]))
                except Exception as error:
                    self._engine = None
                    outcomes[row.number] = self._reason(error)
        return [outcomes[row.number] for row in group]

    def __call__(self, batch: Any) -> pa.Table:
        """Score a batch of Ray Data: a dictionary of arrays, a pandas frame or an Arrow table of rows."""
        rows = caption_rows(_rows_of(batch), "the batch")
        outcomes: dict[int, dict] = {}
        groups = {index: group for index, group in enumerate(groups_of(rows, self.asked))}
        for index, found in self.score_groups(groups):
            outcomes.update(zip((row.number for row in groups[index]), found, strict=True))
        return _table(rows, [outcomes[row.number] for row in rows], judged=self.settings.verdict)

    def _picture(self, source: Any) -> Picture:
        with fetching(self._fetch):
            return read_picture(source, max_pixels=self._max_pixels)

    def _begun(self, readers: ThreadPoolExecutor, group: Sequence[CaptionRow]) -> dict[str, Future[Picture]]:
        """The pictures of a group, by name, being read."""
        sources = {row.image: row.picture for row in group if row.fault is None}
        return {name: readers.submit(self._picture, source) for name, source in sources.items()}

    def _run(self, tasks: Sequence[CaptionTask]) -> list[Attribution]:
        if not tasks:
            return []
        from causal_attrib.engine import choose_engine
        from causal_attrib.scores.caption_task import run_tasks

        several = len({(task.encoding.picture.sha256, task.encoding.prompt) for task in tasks}) > 1
        first = tasks[0].encoding
        engine = choose_engine(self.settings.engine, self.vlm, first, self.settings.batch_size, several=several)
        engine.adopt(self._engine)
        self._engine = engine
        return run_tasks(engine, tasks)

    def _scored(self, row: CaptionRow, attribution: Attribution) -> dict:
        record = attribution.to_dict()
        del record["cost"]["seconds"]
        names = attribution.columns if attribution.signals is None else (*attribution.columns, "signals")
        record["tokens"] = packed_tokens(record["tokens"], names)
        return Scored(row.caption_id, {"row": row.number, **self.batch}, record).to_dict()

    def _reason(self, error: Exception) -> dict:
        if self.strict and not isinstance(error, InputError):
            raise error
        return {REASON: reason_of(error)}


def _rows_of(batch: Any) -> list[dict[str, Any]]:
    import numpy as np

    if hasattr(batch, "to_pylist"):
        return batch.to_pylist()
    columns = {str(name): batch[name] for name in (batch.columns if hasattr(batch, "columns") else batch)}

    def plain(value: Any) -> Any:
        if isinstance(value, np.generic):
            value = value.item()
        if isinstance(value, float) and value != value:
            return None  # pandas' empty cell
        return value.tolist() if isinstance(value, np.ndarray) and value.ndim == 1 else value

    return [dict(zip(columns, map(plain, values), strict=True)) for values in zip(*columns.values(), strict=True)]


def _table(rows: Sequence[CaptionRow], outcomes: Sequence[dict], *, judged: bool) -> pa.Table:
    """A row per caption, those that failed among them."""
    import pyarrow as pa

    done = [outcome for outcome in outcomes if REASON not in outcome]
    (block,) = blocks_of(done, size=max(len(done), 1)) if done else [block_of([], judged=judged)]
    names = [name for name in block.tokens.column_names if name not in ("caption_id", "image", "score_id")]
    kinds = pa.struct([(name, block.tokens.schema.field(name).type) for name in names])
    per_token = pa.StructArray.from_arrays(
        [block.tokens.column(name).combine_chunks() for name in names], fields=list(kinds)
    )
    ends = [0]
    for count in block.captions.column("tokens").to_pylist():
        ends.append(ends[-1] + count)
    scores = pa.ListArray.from_arrays(pa.array(ends, pa.int32()), per_token)
    place = iter(range(len(done)))
    taken = pa.array([None if REASON in outcome else next(place) for outcome in outcomes], pa.int64())
    table = block.captions.append_column("scores", scores).take(taken)
    for name, values in (
        ("caption_id", [row.caption_id for row in rows]),
        ("row", [row.number for row in rows]),
        ("image", [row.image for row in rows]),
    ):
        at = table.column_names.index(name)
        table = table.set_column(at, table.schema.field(name), pa.array(values, table.schema.field(name).type))
    reasons = [one_line(outcome[REASON]) if REASON in outcome else None for outcome in outcomes]
    return table.append_column("failed", pa.array(reasons, pa.string()))
