"""Tables as text: what Python's own writers make of the same values, byte for byte."""

import csv
import io
import json
import sys

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.results import table_parsing
from causal_attrib.results.caption_tables import block_of, records_of
from causal_attrib.results.table_parsing import blocks_of_lines
from causal_attrib.results.table_texts import csv_header, csv_lines, json_lines
from tests.fuzz import fuzz
from tests.results.test_damaged import SCORED

# The csv module of Python 3.10 cannot write a NUL.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\0" if sys.version_info < (3, 11) else ""))
NUMBERS = [
    0.0,
    -0.0,
    1.0,
    -3.0,
    0.1,
    1e-4,
    9.9999e-5,
    1e-5,
    1.5e-7,
    5e-324,
    1e10,
    9999999999.5,
    1e15,
    1e16,
    123456789012345.6,
    1e22,
    1e300,
]


def by_the_standard_library(table):
    """A missing value is an empty string, as pandas writes it."""
    sink = io.StringIO(newline="")
    writer = csv.writer(sink, quoting=csv.QUOTE_NONNUMERIC, lineterminator="\n")
    writer.writerow(table.column_names)
    for row in table.to_pylist():
        writer.writerow(["" if cell is None else cell for cell in row.values()])
    return sink.getvalue().encode()


def test_every_number_is_written_as_python_writes_it():
    drawn = np.random.default_rng(0).integers(0, 2**64, 5_000, np.uint64).view(np.float64)
    usual = np.random.default_rng(0).normal(size=5_000) * 10.0 ** np.random.default_rng(1).integers(-8, 20, 5_000)
    numbers = [*NUMBERS, *drawn[np.isfinite(drawn)].tolist(), *usual.tolist(), None]
    written = bytes(csv_lines(pa.table({"x": pa.array(numbers, pa.float64())}), []))
    expected = [*map(repr, numbers[:-1]), '""', ""]
    assert [pair for pair in zip(written.decode().split("\n"), expected, strict=True) if pair[0] != pair[1]] == []


@given(
    st.lists(
        st.tuples(
            st.none() | TEXTS,
            st.none() | st.integers(-(2**63), 2**63 - 1),
            st.none() | st.floats(allow_nan=False, allow_infinity=False),
            st.none() | st.booleans(),
        )
    )
)
@fuzz(every=4)
def test_a_table_is_the_csv_of_the_standard_library(rows):
    kinds = {"text": pa.string(), "whole": pa.int64(), "number": pa.float64(), "true": pa.bool_()}
    columns = list(zip(*rows, strict=True)) or [[]] * 4
    table = pa.table(
        {name: pa.array(values, kind) for (name, kind), values in zip(kinds.items(), columns, strict=True)}
    )
    assert csv_header(table) + bytes(csv_lines(table, [])) == by_the_standard_library(table)


def test_lines_are_those_of_json_whatever_captions_have():
    """Captions with verdicts and without, with signals, none, and without tokens, side by side; and read again."""
    both = {name: {"meaning": "how much", "pool": "sum", "truer": 1} for name in ("kl", "evidence")}
    first = {**SCORED, "signals": {"columns": both, "left_out": {}}}
    first["tokens"] = [{**token, "signals": {"kl": 0.5, "evidence": -0.25}} for token in SCORED["tokens"]]
    plain = {**SCORED, "verdict": None, "signals": None, "caption_id": 'b"\n\u2028'}
    plain["tokens"] = [
        {name: token[name] for name in token if name not in ("evidence", "p_false", "verdict", "signals")}
        for token in SCORED["tokens"]
    ]
    empty = {**plain, "caption_id": "c", "tokens": [], "caption": ""}
    given = [first, plain, empty, plain | {"caption_id": "d"}]
    block = block_of(given, judged=True, signals=["kl", "evidence"])
    records = list(records_of(block))
    lines = list(json_lines(block))
    assert [line.decode() for line in lines] == [json.dumps(record, ensure_ascii=False) + "\n" for record in records]
    assert [record["tokens"] for record in records] == [one["tokens"] for one in given]
    # Column by column where all have the same, as the captions of a file have, and by Python where they have not.
    for some in (lines[:1] * 2, lines[1:], lines):
        (again,) = blocks_of_lines(some, lambda record: record)
        assert list(json_lines(again)) == some
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(table_parsing, "block_of", None)
        (again,) = blocks_of_lines(lines[:1], lambda record: record)
    assert again.tokens.equals(block.tokens.slice(0, len(first["tokens"])))
