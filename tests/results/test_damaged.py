"""Saved attributions that were changed: each loads and can be shown, or is refused in one sentence."""

import copy
import csv
import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from causal_attrib import Attribution, InputError, Token, views
from causal_attrib.results import caption_files
from causal_attrib.results.caption_files import Scored
from causal_attrib.results.caption_tables import blocks_of, records_of
from causal_attrib.results.formats import FORMATS
from causal_attrib.results.tokens import NUMBERS
from causal_attrib.views.coherence import CHANNELS
from tests.fuzz import fuzz

RECORD = Attribution(
    "a red dog",
    [
        Token(0, "a", 1, 0, 0, 1, **dict.fromkeys(NUMBERS, 0.25), verdict="grounded", signals={"kl": 0.5}),
        Token(
            1,
            " red",
            2,
            1,
            1,
            5,
            **(dict.fromkeys(NUMBERS, -0.5) | {"p_false": 0.5}),
            verdict="language prior",
            signals={"kl": 0.25},
        ),
        Token(2, " dog", 3, 2, 5, 9, **dict.fromkeys(NUMBERS), signals={"kl": 1.0}),
    ],
    image={"path": "a.png", "sha256": "00", "width": 8, "height": 6},
    prompt="What is it?",
    question="Is there a dog?",
    answer="yes",
    model={"id": "tiny", "revision": None, "dtype": "float32", "device": "cpu", "attn": "sdpa"},
    outcome={"name": "yesno", "meaning": "how much", "value": 0.5},
    settings={"mask": "zero", "level": "word", "lambda_s": 0.35},
    cost={"forwards": 9, "positions": 99, "captions": 2},
    tool={"name": "copo", "version": "0"},
    verdict={"calibrated": False, "note": "not calibrated", "thresholds": [0.1, 0.9]},
    coherence={
        "channels": dict.fromkeys(CHANNELS, 0.5),
        "hardened": dict.fromkeys(CHANNELS, 0.5),
        "aggregate": 0.5,
        "tokens": {"image": 64, "prompt": 1, "reasoning": 5},
    },
    signals={"columns": {"kl": {"meaning": "how much", "pool": "sum", "truer": 1}}, "left_out": {"glsim": "no"}},
).to_dict()
SCORED = Scored("1", {"row": 0, "rows": 1, "input": "aa", "flags": "bb"}, RECORD).to_dict()
SCORED["tokens"] = SCORED.pop("tokens")  # last, where files have them


def places(value, place=()):
    """The place of every value in a JSON value, as keys and numbers."""
    yield place
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, one in inner:
        yield from places(one, (*place, key))


def changed(record, place, value):
    """The record with something else at a place; without it for `...`."""
    record = copy.deepcopy(record)
    inside = record
    for key in place[:-1]:
        inside = inside[key]
    if value is ...:
        del inside[place[-1]]
    else:
        inside[place[-1]] = value
    return record


VALUES = [
    ...,
    None,
    True,
    "x",
    "\ud800",
    "\x1b[31m",
    "",
    -1,
    10**400,
    2**63,
    1e308,
    0.5,
    [],
    [[]],
    {},
    {"a": 1},
    [None],
]
PLACES = [place for place in places(RECORD) if place]


def look_at(attribution):
    """All that a user may do with it."""
    Console(width=120, file=io.StringIO()).print(views.table(attribution))
    attribution.to_frame()
    attribution.words()
    views.report(attribution)
    for format in ("csv", "parquet"):
        attribution.to_bytes(format)
    for token in attribution:
        if token.text.strip():
            attribution[token.index : token.index + 1]


@given(place=st.sampled_from(PLACES), value=st.sampled_from(VALUES))
@fuzz
def test_a_changed_object_can_be_shown_or_is_refused(tmp_path, place, value):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(changed(RECORD, place, value)))
    try:
        loaded = Attribution.load(path)
        look_at(loaded)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 600


@given(place=st.sampled_from([place for place in places(SCORED) if place]), value=st.sampled_from(VALUES))
@fuzz
def test_a_changed_line_of_many_can_be_shown_or_is_refused(tmp_path, place, value):
    path = tmp_path / "x.jsonl"
    path.write_text(json.dumps(changed(SCORED, place, value)) + "\n")
    try:
        (one,) = caption_files.read(path)
        look_at(Attribution.from_dict(one.record))
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 600
    # As a block it is the same, or refused as well, also where it is read column by column.
    ways = (caption_files.read_blocks, lambda path: blocks_of(one.to_dict() for one in caption_files.read(path)))
    found = []
    for way in ways:
        try:
            found.append([record for block in way(path) for record in records_of(block)])
        except InputError:
            found.append(None)
    assert found[0] == found[1]


def test_half_a_character_beside_the_scores_is_refused(tmp_path):
    assert_damaged(tmp_path / "x.jsonl", changed(SCORED, ("batch", "input"), "\ud800"))


def test_a_token_without_its_id_is_refused(tmp_path):
    assert_damaged(tmp_path / "x.jsonl", changed(SCORED, ("tokens", 2, "id"), ...))


def assert_damaged(path, record):
    path.write_text(json.dumps(record) + "\n")
    for way in (caption_files.read, caption_files.read_blocks):
        with pytest.raises(InputError, match="is no file of scored captions, or it is damaged"):
            list(way(path))


@pytest.mark.parametrize("format", FORMATS)
@given(place=st.integers(0, 100_000), data=st.binary(min_size=1, max_size=3))
@fuzz
def test_a_damaged_file_can_be_shown_or_is_refused(tmp_path, format, place, data):
    path = tmp_path / f"x.{format}"
    whole = Attribution.from_dict(RECORD).to_bytes(format)
    place %= len(whole)
    path.write_bytes(whole[:place] + data + whole[place + len(data) :])
    try:
        for loaded in Attribution.load_all(path):
            loaded.to_frame()
            views.table(loaded)
    except InputError as error:
        assert str(error).isprintable() and len(str(error)) < 600


@pytest.mark.parametrize(
    "place, value, said",
    [
        (("caption",), 3, "caption is 3"),
        (("tokens", 1, "necessity"), "high", r"tokens\[1\].necessity is 'high'"),
        (("tokens", 1, "char_end"), 99, r"tokens\[1\] does not lie in the caption"),
        (("tokens", 1), None, r"tokens\[1\] is null"),
        (("cost", "forwards"), "9", "cost.forwards is '9'"),
        (("outcome", "value"), [], r"outcome.value is \[\]"),
        (("verdict", "note"), ..., "verdict.note is missing"),
        (("coherence", "hardened", "image_to_answer"), ..., "coherence.hardened.image_to_answer is missing"),
        (("prompt",), "\ud800", "half a character"),
        (("tokens", 1, "p_false"), 1e9, r"tokens\[1\].p_false is 1000000000.0"),
        (("tokens", 1, "text"), " cat", r"tokens\[1\].text is ' cat', but the caption has another there"),
    ],
)
def test_what_is_wrong_is_named(tmp_path, place, value, said):
    path = tmp_path / "x.json"
    path.write_text(json.dumps(changed(RECORD, place, value)))
    with pytest.raises(InputError, match=f"x.json cannot be loaded.*{said}"):
        Attribution.load(path)


# -- cells of strangers -----------------------------------------------------------------------------------------------

CELLS = ["=1+1", "+1", "-1", "@a", "\t=1", "'=1", "''-1", "'a", "a=1", "", "'"]


@pytest.mark.parametrize("cell", CELLS)
def test_no_cell_is_a_formula_and_each_loads_as_it_was(tmp_path, cell):
    token = Token(0, cell, 1, 0, 0, len(cell), necessity=-0.5)
    record = Attribution(cell, [token], image={"path": cell, "sha256": "0"}).to_dict()
    path = tmp_path / "one.csv"
    Attribution.from_dict(record).save(path)
    many = tmp_path / "many.csv"
    caption_files.write(many, [Scored(cell, SCORED["batch"], record)])
    for file in (path, many):
        with file.open(newline="") as text:
            rows = list(csv.reader(text))
        assert not any(cell[:1] in ("=", "+", "@", "\t") or cell in ("-1", "-a") for row in rows for cell in row)
        assert [one.to_dict() for one in Attribution.load_all(file)] == [record]
    assert [one.caption_id for one in caption_files.read(many)] == [cell]
