"""A folder of scenes as training rows."""

import json

import pytest

from causal_attrib.errors import InputError
from causal_attrib.scenes import write_dataset
from causal_attrib.training.data.reading import read_data


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("scenes") / "six", 6, 0)


def test_questions_are_asked_to_be_thought_about(folder):
    rows = read_data(folder)
    asked = [json.loads(line) for line in (folder / "questions.jsonl").read_text().splitlines()]
    assert len(rows) == len(asked)
    for row, question in zip(rows, asked, strict=True):
        assert row["image"] == str((folder / "images" / question["image"]).resolve())
        assert row["prompt"][0]["content"] == f"{question['text']} Think first, then answer."
        assert row["answer"] == question["label"]


def test_captions_are_held_against_those_of_the_scene_most_alike(folder):
    rows = read_data(folder, "contrasts")
    captions = {row["image"]: row["chosen"][0]["content"] for row in rows}
    for row in rows:
        own, other = captions[row["image"]], row["chosen_contrast"][0]["content"]
        assert captions[row["image_contrast"]] == other != own
        assert row["rejected"][0]["content"] != own

        def likeness(caption, own=own):
            shared, every = set(own.split()) & set(caption.split()), set(own.split()) | set(caption.split())
            return len(shared) / len(every)

        assert likeness(other) == max(likeness(caption) for caption in captions.values() if caption != own)


def test_another_folder_is_refused(tmp_path):
    with pytest.raises(InputError, match="is a folder, but none that `copo scenes`"):
        read_data(tmp_path)


def test_one_caption_has_no_contrast(tmp_path):
    write_dataset(tmp_path / "one", 1, 0)
    with pytest.raises(InputError, match="has one caption only"):
        read_data(tmp_path / "one", "contrasts")
