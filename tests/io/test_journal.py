"""Journals: what a kill leaves is gone on with, and what is not as it was written is told."""

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from causal_attrib.errors import InputError
from causal_attrib.io.journal import Journal
from tests.fuzz import fuzz

SETTINGS = {"input": "a", "limit": None}


@pytest.fixture
def output(tmp_path):
    return tmp_path / "out.jsonl"


def written(output, keep=True):
    journal = Journal(output, SETTINGS)
    for key, value in (("0", ["a dog"]), ("1", ["a \ud800 cat"]), ("2", [3])):
        journal.add(key, value, done=key != "2")
    journal.close(remove=not keep)
    return output.with_name(output.name + ".partial.jsonl")


def test_what_was_added_is_there_again(output):
    path = written(output)
    journal = Journal(output, SETTINGS)
    assert journal.done == {"0", "1"}
    assert (journal["0"], journal["1"], journal["2"]) == (["a dog"], ["a \ud800 cat"], [3])
    journal.add("2", [4])
    assert journal["2"] == [4] and journal["0"] == ["a dog"] and "2" in journal.done
    journal.close(remove=True)
    assert not path.exists() and list(output.parent.iterdir()) == []


def test_a_last_line_that_was_cut_short_is_forgotten(output):
    path = written(output)
    whole = path.read_bytes()
    for cut in (whole[:-1], whole[:-20], whole + b'{"key": "3"', whole + b"\0\0\0\n"):
        path.write_bytes(cut)
        journal = Journal(output, SETTINGS)
        assert journal.done == {"0", "1"}
        journal.close(remove=False)


@pytest.mark.parametrize(
    "odd",
    [
        b"null\n",
        b"[1]\n",
        b"{}\n",
        b"hello\n",
        b"\xff\n",
        b"[" * 100_000 + b"\n",
        b'{"key": 1, "done": true, "value": 1}\n',
        b'{"key": "0", "done": true, "value": ["a cow"]}\n',
        b'{"settings": {}}\n',
    ],
)
@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_line_that_is_not_as_it_was_written_is_told(output, odd, place):
    path = written(output)
    lines = path.read_bytes().splitlines(keepends=True)
    lines[place] = odd
    path.write_bytes(b"".join(lines))
    before = path.read_bytes()
    with pytest.raises(InputError, match="--fresh"):
        Journal(output, SETTINGS)
    assert path.read_bytes() == before
    Journal(output, SETTINGS, fresh=True).close(remove=True)


@pytest.mark.parametrize("change", [("a dog", "a cow"), ('"key": "0"', '"key": "7"'), ("true", "false")])
def test_an_edit_is_not_taken_for_a_result(output, change):
    path = written(output)
    text = path.read_text()
    assert change[0] in text
    path.write_text(text.replace(*change, 1))
    with pytest.raises(InputError, match=r"line 2 is not as copo wrote it; begin anew with --fresh"):
        Journal(output, SETTINGS)


def test_another_run_waits(output):
    first = Journal(output, SETTINGS)
    for fresh in (False, True):
        with pytest.raises(InputError, match="Another run is writing .*out.jsonl; wait for it"):
            Journal(output, SETTINGS, fresh=fresh)
    first.close(remove=True)
    Journal(output, SETTINGS).close(remove=True)
    assert list(output.parent.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="Windows has no such files")
@pytest.mark.parametrize("laid", ["link", "broken link", "pipe"])
def test_what_is_laid_in_its_place_is_not_followed(output, laid):
    path = output.with_name(output.name + ".partial.jsonl")
    victim = output.with_name("victim")
    if laid == "pipe":
        os.mkfifo(path)
    else:
        path.symlink_to(victim)
    if laid == "link":
        victim.write_text("mine")
    with pytest.raises(InputError, match="a link or a device; take it away"):
        Journal(output, SETTINGS, fresh=True)
    assert victim.exists() == (laid == "link") and (laid != "link" or victim.read_text() == "mine")


def test_a_full_disk_keeps_what_was_added(output, most_bytes):
    path = written(output)
    journal = Journal(output, SETTINGS)
    size = path.stat().st_size
    with (
        most_bytes(size + 10),
        pytest.raises(
            InputError,
            match=r"cannot be written .*; what is finished is kept in .*: make room and run the same command again",
        ),
    ):
        journal.add("3", "x" * 1000)
    journal.close(remove=False)
    assert path.stat().st_size == size
    again = Journal(output, SETTINGS)
    assert again.done == {"0", "1"} and "3" not in again
    again.add("3", "there is room now")
    again.close(remove=True)


@given(place=st.integers(0, 10_000), data=st.binary(min_size=1, max_size=4), cut=st.integers(0, 10_000))
@fuzz
def test_a_damaged_journal_is_gone_on_with_or_one_sentence(tmp_path, place, data, cut):
    output = tmp_path / "out.jsonl"
    path = written(output)
    whole = path.read_bytes()
    place %= len(whole)
    path.write_bytes((whole[:place] + data + whole[place + len(data) :])[: max(cut, place)])
    values = {"0": ["a dog"], "1": ["a \ud800 cat"], "2": [3]}
    try:
        journal = Journal(output, SETTINGS)
        assert all(journal[key] == values[key] for key in journal.done)
        journal.close(remove=True)
    except InputError as error:
        assert "--fresh" in str(error)
        path.unlink()
    assert json.dumps([entry.name for entry in tmp_path.iterdir()]) == "[]"
