"""Tables of captions as text, JSON Lines and CSV: made column by column, the digits being those that Python writes."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from causal_attrib.results.caption_tables import Block, records_without_tokens, starts_of, token_names
from causal_attrib.results.formats import escaped_cell
from causal_attrib.results.tokens import signal_column

if TYPE_CHECKING:
    import pyarrow as pa

# Between these Arrow writes a number that is not whole as `repr` does; elsewhere they differ in when they write an
# exponent, and how.
_PLAIN = (1e-4, 1e10)


def json_lines(block: Block) -> Iterator[bytes]:
    """The line of each caption: what `json.dumps` makes of its object (`caption_tables.records_of`).

    Raises:
        ValueError: the tables do not belong together.
    """
    starts = starts_of(block)
    heads = list(records_without_tokens(block))
    # Captions whose tokens have the same keys, of which a block has but one kind as a rule.
    kinds = list(token_names(heads, block))
    for kind, some in itertools.groupby(range(len(heads)), key=kinds.__getitem__):
        places = list(some)
        first, last = starts[places[0]], starts[places[-1] + 1]
        ends, texts = _joined(_token_pieces(block.tokens.slice(first, last - first), *kind))
        for place in places:
            tokens = texts[ends[starts[place] - first] : ends[starts[place + 1] - first]]
            # Each token has a comma before it.
            yield b"".join((_json(heads[place])[:-1].encode(), b', "tokens": [', tokens[2:], b"]}\n"))


def csv_header(table: pa.Table) -> bytes:
    """The first line."""
    return (",".join(map(_quoted, table.column_names)) + "\n").encode()


def csv_lines(table: pa.Table, strangers: Sequence[str]) -> memoryview:
    """The lines of a table: strings in quotes, numbers without, and what is missing as an empty string.

    Args:
        strangers: columns whose cells have a ' before what a spreadsheet would run as a formula.
    """
    pieces: list[pa.Array | str] = []
    for name in table.column_names:

        def cell(value: str, name: str = name) -> str:
            return _quoted(escaped_cell(value) if name in strangers else value)

        pieces += [_texts(table.column(name), cell), ","]
    pieces[-1] = "\n"
    return _joined(pieces, missing='""')[1]


def _token_pieces(tokens: pa.Table, names: Sequence[str], signals: Sequence[str]) -> list[pa.Array | str]:
    """What a token is made of as JSON, with a comma before it."""
    pieces: list[pa.Array | str] = []
    for place, name in enumerate(names):
        pieces += [f"{', ' if place else ', {'}{_json(name)}: ", _texts(tokens.column(name), _json)]
    for place, name in enumerate(signals):
        before = ", " if place else f'{", " if names else ", {"}"signals": {{'
        pieces += [f"{before}{_json(name)}: ", _texts(tokens.column(signal_column(name)), _json)]
    return [*pieces, "}}" if signals else "}"]


def _texts(column: pa.ChunkedArray, of_string: Callable[[str], str]) -> pa.Array:
    """The values of a column as text, null where there is none."""
    import pyarrow as pa

    values = column.combine_chunks()
    if pa.types.is_floating(values.type):
        return _float_texts(values)
    if pa.types.is_boolean(values.type):
        return _each(values.cast(pa.string()), str.capitalize)
    if pa.types.is_integer(values.type):
        return values.cast(pa.large_string())
    return _each(values, of_string)


def _each(strings: pa.Array, of_string: Callable[[str], str]) -> pa.Array:
    """What a function makes of each string; each different one is given to it once."""
    import pyarrow as pa

    coded = strings.dictionary_encode()
    made = pa.array([of_string(value) for value in coded.dictionary.to_pylist()], pa.large_string())
    return made.take(coded.indices)


def _float_texts(values: pa.Array) -> pa.Array:
    """Numbers as `repr` writes them, with the fewest digits that are read as the same number."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = values.cast(pa.large_string())
    numbers = values.to_numpy(zero_copy_only=False)  # NaN is null
    sizes = np.abs(numbers)
    own = (sizes < _PLAIN[0]) | (sizes >= _PLAIN[1]) | (sizes == np.floor(sizes))
    if own.any():
        texts = pc.replace_with_mask(texts, pa.array(own), pa.array(map(repr, numbers[own].tolist()), texts.type))
    return texts


def _joined(pieces: Sequence[pa.Array | str], missing: str = "null") -> tuple[Any, memoryview]:
    """The pieces of all rows behind each other, and where each row begins, the end of the last among them."""
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    scalars = [pa.scalar(piece, pa.large_string()) if isinstance(piece, str) else piece for piece in pieces]
    rows = pc.binary_join_element_wise(
        *scalars, pa.scalar("", pa.large_string()), null_handling="replace", null_replacement=missing
    )
    _, ends, data = rows.buffers()
    of_rows = np.frombuffer(ends, np.int64)[: len(rows) + 1] if len(rows) else np.zeros(1, np.int64)
    return of_rows, memoryview(data)[: of_rows[-1]] if len(rows) else memoryview(b"")


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _json(value: object) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False)
