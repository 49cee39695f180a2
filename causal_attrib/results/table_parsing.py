"""Text of many captions as tables: JSON Lines and CSV as `table_texts` writes them, read by Arrow column by column.

A line of JSON that is another's, but is one of captions all the same, is read by Python, which also says what is wrong
with one that is none.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from causal_attrib.io.parsing import PARSER_ERRORS, parse_json
from causal_attrib.results.caption_tables import (
    AT_ONCE,
    CAPTION_COLUMNS,
    STRINGS,
    Block,
    assembled,
    block_of,
    check_columns,
    check_finite,
    columns_of,
    metadata,
    token_schema,
)
from causal_attrib.results.formats import OF_STRANGERS, plain_cell
from causal_attrib.results.tokens import COLUMNS, signal_column

if TYPE_CHECKING:
    import pyarrow as pa

# Between a caption's own keys and its tokens. No string holds this, in which a quote is written as \\".
_TOKENS = b', "tokens": ['
# Of a token; `id` of a whole word is null.
_NEEDED = tuple(name for name in COLUMNS[: COLUMNS.index("logprob")] if name != "id")
# Bytes of a CSV file that are read at once: more than one row has.
_AT_ONCE = 2**23
# Whole numbers that every table and browser holds.
_LARGEST = 2**53


# -- JSON Lines -------------------------------------------------------------------------------------------------------


def blocks_of_lines(lines: Iterable[bytes], checked: Callable[[dict], dict]) -> Iterator[Block]:
    """The captions in blocks, as `caption_tables.blocks_of` makes them.

    Args:
        checked: the object of a caption as it is, after a look whether it is one.

    Raises:
        ValueError, KeyError, ArrowException: a line is no caption.
    """
    lines = iter(lines)
    columns: tuple[bool, tuple[str, ...]] | None = None
    while (some := list(itertools.islice(lines, AT_ONCE))) or columns is None:
        heads = _heads(some, checked)
        records = [checked(parse_json(line.decode())) for line in some] if heads is None else heads
        columns = columns or columns_of(records)
        judged, signals = columns
        block = None if heads is None or not some else _block_of_lines(some, heads, judged, signals)
        if block is None and heads is not None:
            records = [checked(parse_json(line.decode())) for line in some]
        yield block or block_of(records, judged=judged, signals=signals)


def _heads(lines: Sequence[bytes], checked: Callable[[dict], dict]) -> list[dict] | None:
    """The objects without their tokens; None if a line is not as we write it."""
    try:
        ends = [line.rindex(_TOKENS) for line in lines]
        return [
            checked({**parse_json((line[:end] + b"}").decode()), "tokens": []})
            for line, end in zip(lines, ends, strict=True)
        ]
    except PARSER_ERRORS:
        return None


def _block_of_lines(
    lines: Sequence[bytes], heads: Sequence[dict], judged: bool, signals: Sequence[str]
) -> Block | None:
    """The block of these lines; None if Arrow does not find in them what should be there."""
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.json as pj

    kinds = [
        (field.name, field.type) for field in token_schema(judged, ()) if field.name not in ("caption_id", "image")
    ]
    if signals:
        kinds.append(("signals", pa.struct([(name, pa.float64()) for name in signals])))
    data = b"".join(b"{" + line[line.rindex(_TOKENS) + 2 :] for line in lines)
    schema = pa.schema([("tokens", pa.list_(pa.struct(kinds)))])
    try:
        table = pj.read_json(
            BytesIO(data),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(data) + 1),
            parse_options=pj.ParseOptions(explicit_schema=schema, unexpected_field_behavior="error"),
        )
        table.validate(full=True)  # texts may be no UTF-8
    except pa.ArrowException:
        return None
    lists = table.column("tokens").combine_chunks()
    tokens = lists.flatten()
    if len(lists) != len(heads) or lists.null_count or tokens.null_count:
        return None
    counts = pc.list_value_length(lists).to_pylist()
    columns = {name: tokens.field(name) for name, _ in kinds}
    if signals:
        of_signals = columns.pop("signals")
        each = {signal_column(name): of_signals.field(name) for name in signals}
        if of_signals.null_count or any(column.null_count for column in each.values()):
            return None
        columns |= each
    if any(columns[name].null_count for name in _NEEDED) or not _fits(columns, counts, heads):
        return None
    # Arrow takes a key that is not there for null. No string holds this, as its quotes would be escaped.
    if columns["id"].null_count and data.count(b'"id": ') != len(tokens):
        return None
    return assembled(heads, list(columns.values()), counts, judged=judged, signals=signals)


def _fits(columns: dict[str, pa.Array], counts: Sequence[int], heads: Sequence[dict]) -> bool:
    """Whether the tokens are slices of their captions, and numbers what they may be."""
    import pyarrow.compute as pc

    shares = columns.get("p_false")
    if shares is not None and pc.any(pc.invert(pc.and_(pc.greater_equal(shares, 0), pc.less_equal(shares, 1)))).as_py():
        return False
    for name, column in columns.items():
        least = 0 if name in ("index", "id", "word") else -_LARGEST
        if name not in ("text", "verdict"):
            # Above, whole numbers are none that a float holds, and Python tells them from floats.
            ends = pc.min_max(column)
            if any(end.is_valid and not least <= end.as_py() < _LARGEST for end in ends.values()):
                return False
    slices = zip(*(columns[name].to_pylist() for name in ("text", "char_start", "char_end")), strict=True)
    for head, count in zip(heads, counts, strict=True):
        caption = head["caption"]
        length = len(caption)
        for text, start, end in itertools.islice(slices, count):
            if not 0 <= start <= end <= length or caption[start:end] != text:
                return False
    return True


# -- CSV --------------------------------------------------------------------------------------------------------------


def csv_blocks(tokens: Path, captions: Path) -> Iterator[Block]:
    """The two tables in blocks, as they stand.

    Raises:
        ValueError, ArrowException: they are damaged, or do not belong together.
    """
    of_captions, of_tokens = _CsvRows(captions), _CsvRows(tokens)
    check_columns(of_captions.names, of_tokens.names)
    first = True
    while len(table := of_captions.take(AT_ONCE)) or first:
        counts = table.column("tokens").to_pylist()
        if min(counts, default=0) < 0:
            raise ValueError("a caption has less than no tokens")
        block = Block(table, of_tokens.take(sum(counts)))
        check_finite(block)
        yield block
        first = False
    if len(of_tokens.take(1)):
        raise ValueError("there are more tokens than the captions have")


class _CsvRows:
    """The rows of a CSV file, some at a time."""

    def __init__(self, path: Path):
        import pyarrow as pa
        import pyarrow.csv as pc

        with path.open("rb") as file:
            head = file.readline()
        self.names: list[str] = pc.read_csv(BytesIO(head)).column_names
        if len({*self.names}) < len(self.names):
            raise ValueError("a column stands there twice")
        known = {**{field.name: field.type for field in token_schema(True, ())}, **_caption_kinds()}
        # What else there is are signals.
        self._schema = pa.schema([(name, known.get(name, pa.float64())) for name in self.names], metadata())
        options = pc.ConvertOptions(
            column_types=self._schema,
            null_values=[""],
            strings_can_be_null=True,
            quoted_strings_can_be_null=True,
            true_values=["True"],
            false_values=["False"],
        )
        self._batches: Any = pc.open_csv(
            path,
            read_options=pc.ReadOptions(use_threads=False, block_size=_AT_ONCE),
            parse_options=pc.ParseOptions(newlines_in_values=True),
            convert_options=options,
        )
        self._waiting = self._schema.empty_table()

    def take(self, count: int) -> pa.Table:
        """The next so many rows; fewer where there are no more."""
        import pyarrow as pa

        while len(self._waiting) < count:
            try:
                batch = self._batches.read_next_batch()
            except StopIteration:
                break
            self._waiting = pa.concat_tables([self._waiting, pa.Table.from_batches([_plain(batch, self._schema)])])
        taken = self._waiting.slice(0, count).combine_chunks()
        self._waiting = self._waiting.slice(count)
        return taken


def _plain(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Strings as they were, without the ' before what a spreadsheet would run."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = []
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if name in OF_STRANGERS + STRINGS:
            coded = column.dictionary_encode()
            plain = pa.array(map(plain_cell, coded.dictionary.to_pylist()), pa.string())
            column = plain.take(coded.indices)
        # An empty string is none; these are never none.
        columns.append(pc.fill_null(column, "") if name in OF_STRANGERS else column)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _caption_kinds() -> dict[str, pa.DataType]:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), float: pa.float64(), bool: pa.bool_()}
    return {name: kinds[kind] for name, kind in CAPTION_COLUMNS.items()}
