"""Scored captions as two tables, one with a row per caption and one with a row per token, of which a block has some.

What is asked of captions stands in columns (`_LIFTED`). The rest of each object, such as the model and the settings, is
alike for many captions and stands as JSON in `about`; there null is written in place of what has a column.

Columns are built once for a block, never caption by caption.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import itertools
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import parse_json
from causal_attrib.results.tokens import COLUMNS, FIELDS, NUMBERS, VERDICT_COLUMNS, signal_column

if TYPE_CHECKING:
    import pyarrow as pa

    from causal_attrib.results.attribution import Attribution

# Of the two tables. Version 1 was one table, whose `about` in the first row of each caption held all but the tokens.
VERSION = 2
# Captions of a block: of a row group of a parquet file, which is read at once.
AT_ONCE = 512

# Columns of the table of captions by where their value stands in the object of a caption.
_LIFTED: dict[str, tuple[type, tuple[str, ...]]] = {
    "caption_id": (str, ("caption_id",)),
    "row": (int, ("batch", "row")),
    "image": (str, ("image", "path")),
    "sha256": (str, ("image", "sha256")),
    "width": (int, ("image", "width")),
    "height": (int, ("image", "height")),
    "caption": (str, ("caption",)),
    "prompt": (str, ("prompt",)),
    "question": (str, ("question",)),
    "answer": (str, ("answer",)),
    "generated": (bool, ("generated",)),
    "outcome": (str, ("outcome", "name")),
    "value": (float, ("outcome", "value")),
    "p_false": (float, ("verdict", "p_false")),
    "claims": (int, ("verdict", "claims")),
    "against": (int, ("verdict", "against")),
    "calibrated": (bool, ("verdict", "calibrated")),
}
# Whole numbers that every table and browser holds.
_LARGEST = 2**53
# How many tokens and words the caption has; its rows in the other table are the next so many.
_COUNTS = {"tokens": int, "words": int}
CAPTION_COLUMNS: dict[str, type] = {
    **{name: kind for name, (kind, _) in _LIFTED.items()},
    **_COUNTS,
    "about": str,
    "version": int,
    "score_id": str,
}
# What the first files of this version lack.
_ADDED = ("score_id",)
STRINGS = tuple(name for name, kind in CAPTION_COLUMNS.items() if kind is str)
_WHOLE = ("index", "id", "word", "char_start", "char_end")
_TOKEN_KINDS: dict[str, type] = (
    dict.fromkeys(_WHOLE, int) | dict.fromkeys(NUMBERS, float) | {"text": str, "verdict": str}
)


@dataclass(frozen=True)
class Block:
    """Some captions, and their tokens in the same order."""

    captions: pa.Table
    tokens: pa.Table

    def __len__(self) -> int:
        return self.captions.num_rows


def token_columns(tokens: Sequence[dict], names: Sequence[str]) -> dict[str, list]:
    """The tokens of an object in columns, which take a third of the room and the time as JSON."""
    return {name: [token.get(name) for token in tokens] for name in names}


def packed_tokens(tokens: Sequence[dict], names: Sequence[str]) -> dict[str, list | str]:
    """The same for a journal: columns of scores are their bytes in base64, which are read in a tenth of the time.

    Raises:
        InputError: a score is NaN, which is how a missing one is packed.
    """
    import numpy as np

    plain = token_columns(tokens, names)
    columns: dict[str, list | str] = {**plain}
    for name in NUMBERS:
        if name in plain:
            values = plain[name]
            numbers = np.array([math.nan if value is None else value for value in values], "<f8")
            if np.isnan(numbers).sum() > values.count(None):
                raise _no_score(name)
            columns[name] = base64.b64encode(numbers.tobytes()).decode()
    return columns


def _unpacked(column: list | str) -> list:
    """A column of `packed_tokens` or `token_columns` as values."""
    import numpy as np

    if isinstance(column, list):
        return column
    numbers = np.frombuffer(base64.b64decode(column, validate=True), "<f8")
    values = numbers.tolist()
    return [None if value != value else value for value in values] if np.isnan(numbers).any() else values


def attribution_of(record: dict) -> Attribution:
    """The attribution of an object whose tokens may be in columns."""
    from causal_attrib.results.attribution import Attribution

    tokens = record["tokens"]
    if isinstance(tokens, dict):
        columns = zip(*map(_unpacked, tokens.values()), strict=True)
        tokens = [dict(zip(tokens, values, strict=True)) for values in columns]
    return Attribution.from_dict({**record, "tokens": tokens})


def blocks_of(records: Iterable[dict], size: int = AT_ONCE) -> Iterator[Block]:
    """Objects of captions (`Scored.to_dict`) in blocks; one without rows if there are none.

    `tokens` of an object is a list of objects, or what `token_columns` or `packed_tokens` made of it.
    """
    records = iter(records)
    some = list(itertools.islice(records, size))
    judged, signals = columns_of(some)
    yield block_of(some, judged=judged, signals=signals)
    while some := list(itertools.islice(records, size)):
        yield block_of(some, judged=judged, signals=signals)


def columns_of(records: Sequence[dict]) -> tuple[bool, tuple[str, ...]]:
    """Whether tokens bear verdicts, and the signals they have. A file has the columns of its first block: all its
    captions are scored alike."""
    judged = any(record.get("verdict") is not None for record in records)
    return judged, tuple(dict.fromkeys(name for record in records for name in _signals(record)))


def block_of(records: Sequence[dict], *, judged: bool, signals: Sequence[str] = ()) -> Block:
    """The block of these objects.

    Args:
        judged: whether tokens bear verdicts.
        signals: that tokens have, each of which is a column.

    Raises:
        InputError: a number is NaN or infinite.
    """
    import pyarrow as pa

    names = FIELDS if judged else COLUMNS
    of_token: dict[str, list] = {name: [] for name in names}
    of_signal: dict[str, list] = {signal_column(name): [] for name in signals}
    counts = []
    for record in records:
        tokens = record["tokens"]
        if not isinstance(tokens, dict):
            tokens = token_columns(tokens, (*names, "signals") if signals else names)
        counts.append(len(tokens["index"]))
        for name, values in of_token.items():
            values += _unpacked(tokens[name]) if name in tokens else [None] * counts[-1]
        for name in signals:
            of_all = tokens.get("signals") or [None] * counts[-1]
            of_signal[signal_column(name)] += [(one or {}).get(name) for one in of_all]
    schema = token_schema(judged, signals)
    columns = [pa.array(values, schema.field(name).type) for name, values in (of_token | of_signal).items()]
    return assembled(records, columns, counts, judged=judged, signals=signals)


def assembled(
    records: Sequence[dict], columns: Sequence[pa.Array], counts: Sequence[int], *, judged: bool, signals: Sequence[str]
) -> Block:
    """The block of these objects, whose tokens are in columns.

    Args:
        columns: all of `token_schema` behind `caption_id` and `image`.
        counts: of the tokens of each object.

    Raises:
        InputError: a number is NaN or infinite.
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    schema = token_schema(judged, signals)
    for name, column in zip(schema.names[2:], columns, strict=True):
        if pa.types.is_floating(column.type) and pc.any(pc.invert(pc.is_finite(column))).as_py():
            raise _no_score(name)
    words = iter(columns[schema.names.index("word") - 2].to_pylist())
    rows: dict[str, list] = {name: [] for name in CAPTION_COLUMNS if name not in _ADDED}
    for record, count in zip(records, counts, strict=True):
        for name, value in _caption_row(record).items():
            rows[name].append(value)
        rows["tokens"].append(count)
        rows["words"].append(len({*itertools.islice(words, count)}))
    captions = pa.table({name: pa.array(values, _arrow(CAPTION_COLUMNS[name])) for name, values in rows.items()})
    place_N = np.repeat(np.arange(len(records)), counts)
    beside = [captions.column(name).take(place_N) for name in schema.names[:2]]
    return with_score_ids(Block(captions, pa.table([*beside, *columns], schema=schema)))


def _no_score(name: str) -> InputError:
    return InputError(f"The {name} of a token is NaN or infinite, which is no score: score again.")


def with_score_ids(block: Block) -> Block:
    """The block with the column `score_id` in both tables, unless it has them.

    It is the same for equal numbers, model and settings of a caption, so that runs and merges write equal files; in
    another run of the caption it is another one.

    Raises:
        ValueError: the tables do not belong together.
    """
    import numpy as np
    import pyarrow as pa

    if "score_id" in block.captions.column_names:
        return block
    starts = starts_of(block)
    numbers = [
        column.fill_null(math.nan).to_numpy() for column in block.tokens.columns if pa.types.is_floating(column.type)
    ]
    numbers_NF = np.ascontiguousarray(np.stack(numbers, axis=1), "<f8")
    told = [block.captions.column(name).to_pylist() for name in ("caption_id", "about")]
    ids = []
    for start, end, *of_caption in zip(starts, starts[1:], *told, strict=False):
        digest = hashlib.sha256("\0".join(of_caption).encode())
        digest.update(numbers_NF[start:end].tobytes())
        ids.append(f"s{digest.hexdigest()[:15]}")  # with a letter, so that no reader takes it for a number
    of_captions = pa.array(ids, pa.string())
    place_N = np.repeat(np.arange(len(ids)), np.diff(starts))
    captions, tokens = (
        table.append_column("score_id", column).replace_schema_metadata(metadata()).combine_chunks()
        for table, column in ((block.captions, of_captions), (block.tokens, of_captions.take(place_N)))
    )
    return Block(captions, tokens)


def records_of(block: Block) -> Iterator[dict]:
    """The objects that a block was made of.

    Raises:
        ValueError: the tables do not belong together.
    """
    tokens = {name: block.tokens.column(name).to_pylist() for name in block.tokens.column_names}
    starts = starts_of(block)
    records = list(records_without_tokens(block))
    for place, (record, (names, of_signals)) in enumerate(zip(records, token_names(records, block), strict=True)):
        some = slice(starts[place], starts[place + 1])
        columns = [tokens[name][some] for name in names]
        record["tokens"] = [dict(zip(names, values, strict=True)) for values in zip(*columns, strict=True)]
        signals = {name: tokens[signal_column(name)][some] for name in of_signals}
        for at, token in enumerate(record["tokens"] if signals else ()):
            token["signals"] = {name: values[at] for name, values in signals.items()}
        yield record


def records_without_tokens(block: Block) -> Iterator[dict]:
    """The objects of the captions of a block."""
    return captions_of(block.captions.to_pylist())


def token_names(records: Iterable[dict], block: Block) -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """What is said of the tokens of each caption, and the signals that they have, in the order of its object.

    Raises:
        ValueError: a column is missing.
    """
    there = block.tokens.column_names

    @functools.cache
    def names_of(judged: bool, signals: tuple[str, ...]) -> tuple[str, ...]:
        needed = [*(VERDICT_COLUMNS if judged else ()), *map(signal_column, signals)]
        if missing := [name for name in needed if name not in there]:
            raise ValueError(f"there is no column {missing[0]}")
        return tuple(name for name in there if name in COLUMNS or (judged and name in VERDICT_COLUMNS))

    for record in records:
        signals = tuple(_signals(record))
        yield names_of(record.get("verdict") is not None, signals), signals


def captions_of(rows: Iterable[dict]) -> Iterator[dict]:
    """The objects without their tokens, of rows of the table of captions."""
    return map(_filled, rows)


def joined(slices: Sequence[tuple[Block, int, int]], starts: Mapping[int, Sequence[int]]) -> Block:
    """One block of rows `first` to `last` (exclusive) of several.

    Args:
        starts: by the id of a block, where the tokens of each of its captions begin, and where the last ones end.
    """
    import pyarrow as pa

    captions = [block.captions.slice(first, last - first) for block, first, last in slices]
    tokens = []
    for block, first, last in slices:
        at = starts[id(block)]
        tokens.append(block.tokens.slice(at[first], at[last] - at[first]))
    return Block(
        *(pa.concat_tables(tables, promote_options="default").combine_chunks() for tables in (captions, tokens))
    )


def starts_of(block: Block) -> list[int]:
    """Where the tokens of each caption begin, and where the last ones end.

    Raises:
        ValueError: the tables do not belong together.
    """
    import numpy as np

    counts = block.captions.column("tokens").to_pylist()
    starts = [0, *itertools.accumulate(counts)]
    if min(counts, default=0) < 0 or starts[-1] != block.tokens.num_rows:
        raise ValueError("there are more or fewer tokens than the captions have")
    owner = np.repeat(np.arange(len(counts)), counts)
    names = [{"caption_id", "score_id"}.intersection(table.column_names) for table in (block.captions, block.tokens)]
    if names[0] != names[1] or any(
        not block.captions.column(name).take(owner).equals(block.tokens.column(name)) for name in names[0]
    ):
        raise ValueError("the tokens are not those of the captions")
    return starts


def check_version(version: object, path: object) -> None:
    """Raises InputError for tables that a later version wrote."""
    if version != VERSION:
        raise InputError(
            f"{path} has tables of version {version}, and this version of copo reads 1 and {VERSION}: update copo."
        )


def check_columns(captions: Sequence[str], tokens: Sequence[str]) -> None:
    """Raises ValueError where a column is missing that every table has."""
    missing = {*CAPTION_COLUMNS}.difference(captions, _ADDED) | {"caption_id", *COLUMNS}.difference(tokens)
    if missing:
        raise ValueError(f"there is no column {min(missing)}")


def check_finite(block: Block) -> None:
    """Raises ValueError for NaN and infinity, which no table of ours holds: what is missing is null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    for table in (block.captions, block.tokens):
        for name, column in zip(table.column_names, table.columns, strict=True):
            if pa.types.is_floating(column.type) and pc.any(pc.invert(pc.is_finite(column))).as_py():
                raise ValueError(f"{name} is NaN or infinite")


def _caption_row(record: dict) -> dict[str, Any]:
    """The columns of a caption, and the rest as JSON."""
    row: dict[str, Any] = {}
    about = {name: value for name, value in record.items() if name not in ("caption_id", "tokens")}
    for name, (kind, path) in _LIFTED.items():
        inside: Any = record
        for key in path[:-1]:
            inside = inside.get(key)
            inside = inside if isinstance(inside, dict) else {}
        value: Any = inside.get(path[-1])
        if kind is float and type(value) is int and abs(value) < _LARGEST:
            value = float(value)
        # What is of another kind stays where it is; so does an empty string, which is none in a CSV file.
        row[name] = None
        if type(value) is not kind or value == "" or (isinstance(value, int) and abs(value) >= _LARGEST):
            continue
        if isinstance(value, float) and not math.isfinite(value):
            raise InputError(f"The {'.'.join(path)} of a caption is {value}, which is no score: score again.")
        row[name] = value
        if len(path) == 1 and path[0] in about:
            about[path[0]] = None
        elif len(path) == 2:
            # Another dictionary each time: the caller's stays as it is.
            about[path[0]] = {**about[path[0]], path[1]: None}
    row |= {name: row[name] or "" for name in ("caption_id", "image")}
    row["about"] = _json(about)
    row["version"] = VERSION
    return row


def _filled(row: dict[str, Any]) -> dict[str, Any]:
    """The object of a caption without its tokens."""
    record = {"caption_id": row["caption_id"] or "", **_parsed(row["about"])}
    for name, (_, path) in _LIFTED.items():
        value = row[name]
        if value is None or value == "" or name == "caption_id":
            continue
        if len(path) == 1:
            if record.get(path[0], ...) is None:
                record[path[0]] = value
        else:
            inside = record.get(path[0])
            if isinstance(inside, dict) and inside.get(path[1], ...) is None:
                record[path[0]] = {**inside, path[1]: value}
    return record


@functools.lru_cache(maxsize=64)
def _parsed(about: str) -> dict:
    parsed = parse_json(about)
    if not isinstance(parsed, dict):
        raise ValueError("about is no object")
    return parsed


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def _arrow(kind: type) -> pa.DataType:
    import pyarrow as pa

    return {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}[kind]


def token_schema(judged: bool, signals: Sequence[str]) -> pa.Schema:
    """Of the table of tokens, without what was added later."""
    import pyarrow as pa

    columns = [("caption_id", pa.string()), ("image", pa.string())]
    columns += [(name, _arrow(_TOKEN_KINDS[name])) for name in (FIELDS if judged else COLUMNS)]
    return pa.schema([*columns, *((signal_column(name), pa.float64()) for name in signals)], metadata())


def _signals(record: dict) -> Sequence[str]:
    """Names of the signals that the tokens of an object have."""
    return tuple((record.get("signals") or {}).get("columns", ()))


def metadata() -> dict[str, str]:
    """Of the schema of both tables."""
    return {"copo_tables": str(VERSION)}
