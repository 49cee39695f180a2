"""What a model says to many pictures: the same as one at a time, in a file that outlives a kill."""

import json
import multiprocessing
import os
import signal
import time

import pytest
from PIL import Image

from causal_attrib import InputError
from causal_attrib.evaluation import replies
from causal_attrib.evaluation.prompts import Folder, Prompt
from causal_attrib.evaluation.replies import write_replies
from causal_attrib.io.failures import failures_path
from causal_attrib.vlm.text import decode
from tests.tiny_models import tiny

QUESTIONS = (None, "Is there a dog in the image?", "Is there a frisbee in the image?", "Where is it?")
SETTINGS = {"key": "answer", "longest": 12, "batch_size": 2}


def untouched():
    raise AssertionError("the model was loaded")


@pytest.fixture(scope="module")
def folder(tmp_path_factory, park):
    folder = tmp_path_factory.mktemp("pictures")
    for number, size in enumerate(((96, 96), (64, 96), (96, 96))):
        Image.open(park).convert("RGB").rotate(90 * number).resize(size).save(folder / f"{number}.png")
    return folder


@pytest.fixture(scope="module")
def asks(folder):
    pictures = Folder(folder).pictures
    return [Prompt(path, prompt, {"id": f"{path.name} {prompt}"}) for path in pictures for prompt in QUESTIONS]


@pytest.fixture(scope="module")
def whole(asks, bundled, tmp_path_factory):
    output = tmp_path_factory.mktemp("whole") / "said.jsonl"
    assert write_replies(asks, output, lambda: bundled, **SETTINGS) == []
    assert list(output.parent.iterdir()) == [output]
    return output.read_bytes()


def one_at_a_time(vlm, ask, longest):
    (ids,) = vlm.write_together([vlm.ask(ask.image, ask.prompt)], longest)
    return decode(vlm.tokenizer, ids).strip()


def test_the_same_as_one_at_a_time(asks, whole, bundled):
    said = [json.loads(line) for line in whole.splitlines()]
    assert said == [{**ask.row, "answer": one_at_a_time(bundled, ask, 12)} for ask in asks]
    assert {row["answer"] for row in said} >= {"yes", "no"}  # it answers what it is asked


def test_a_caption_is_that_of_describe(asks, bundled, park):
    ids = bundled.describe(asks[0].image)
    assert decode(bundled.tokenizer, ids).strip() == one_at_a_time(bundled, asks[0], 256)


@pytest.mark.parametrize("name", ["qwen2_vl", "llava_next", "blip", "git", "florence2"])
def test_other_architectures_too(name, asks, tmp_path):
    """Pictures of two sizes and prompts of several lengths: what is alike goes together, whatever the architecture."""
    vlm, output = tiny(name), tmp_path / "said.jsonl"
    assert write_replies(asks, output, lambda: vlm, key="answer", longest=4, batch_size=4) == []
    said = [json.loads(line)["answer"] for line in output.read_text().splitlines()]
    assert said == [one_at_a_time(vlm, ask, 4) for ask in asks]


@pytest.mark.parametrize("lines", [1, 2, 3])
def test_a_run_that_was_killed_goes_on(asks, whole, bundled, tmp_path, monkeypatch, lines):
    monkeypatch.setattr(replies, "_WINDOW", 1)  # more pieces, for more moments
    output, journal = tmp_path / "said.jsonl", tmp_path / "said.jsonl.partial.jsonl"
    process = multiprocessing.get_context("fork").Process(
        target=write_replies, args=(asks, output, lambda: bundled), kwargs=SETTINGS
    )
    process.start()
    while not journal.exists() or journal.read_bytes().count(b"\n") < lines:
        time.sleep(0.002)
    os.kill(process.pid, signal.SIGKILL)
    process.join()
    assert process.exitcode == -signal.SIGKILL and not output.exists()
    write_replies(asks, output, lambda: bundled, **SETTINGS)
    assert output.read_bytes() == whole
    assert list(tmp_path.iterdir()) == [output]


def test_pictures_that_cannot_be_read_are_told_and_tried_again(folder, bundled, tmp_path):
    pictures = [tmp_path / name for name in ("a.png", "b.png")]
    for path in pictures:
        path.write_bytes((folder / "0.png").read_bytes())
    pictures[1].write_bytes(b"damaged")
    asks, output, told = [Prompt(path, None, {"image": path.name}) for path in pictures], tmp_path / "said.jsonl", []
    settings = {"key": "caption", "longest": 4}
    failures = write_replies(asks, output, lambda: bundled, on_failure=told.append, **settings)
    assert told == failures and [failure.image for failure in failures] == [str(pictures[1])]
    assert [json.loads(line)["image"] for line in output.read_text().splitlines()] == ["a.png"]
    pictures[1].write_bytes(pictures[0].read_bytes())
    assert write_replies(asks, output, lambda: bundled, **settings) == []
    assert len(output.read_text().splitlines()) == 2 and not failures_path(output).exists()


@pytest.mark.parametrize(
    ("change", "told"),
    [({"longest": 0}, "new tokens"), ({"batch_size": 0}, "batch size"), ({"batch_size": "many"}, "batch size")],
)
def test_what_is_wrong_is_told_before_the_model_is_loaded(asks, tmp_path, change, told):
    with pytest.raises(InputError, match=told):
        write_replies(asks, tmp_path / "said.jsonl", untouched, **SETTINGS | change)


def test_files_that_are_wrong(asks, tmp_path):
    with pytest.raises(InputError, match="JSON Lines"):
        write_replies(asks, tmp_path / "said.csv", untouched, **SETTINGS)
    with pytest.raises(InputError, match="1 pictures are not there"):
        write_replies([Prompt(tmp_path / "none.png", None, {})], tmp_path / "said.jsonl", untouched, **SETTINGS)
    with pytest.raises(InputError, match="no folder"):
        Folder(tmp_path / "none")
    with pytest.raises(InputError, match="no picture"):
        Folder(tmp_path)
