"""Data sets on disk: formats, same seed same bytes, stickers of your own, bad input."""

import hashlib
import json

import numpy as np
import pytest
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.scenes import PARTNERS, write_dataset


def digests(folder):
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def lines(file):
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("data") / "scenes", 12, seed=5)


@pytest.fixture(scope="module")
def own_stickers(tmp_path_factory):
    """Three plain squares as stickers of classes that no bundled sticker has."""
    folder = tmp_path_factory.mktemp("stickers")
    for name, colour in (("red_box", "red"), ("robot", "silver"), ("ufo", "lime")):
        Image.new("RGBA", (30, 30), colour).save(folder / f"{name}.png")
    return folder


def test_same_seed_same_bytes(dataset, tmp_path):
    again = write_dataset(tmp_path / "again", 12, seed=5)
    other = write_dataset(tmp_path / "other", 12, seed=6)
    assert digests(dataset) == digests(again)
    assert digests(dataset)["captions.jsonl"] != digests(other)["captions.jsonl"]


def test_every_picture_has_its_masks_caption_and_objects(dataset):
    objects = json.loads((dataset / "objects.json").read_text(encoding="utf-8"))
    captions = lines(dataset / "captions.jsonl")
    names = [f"{number:06d}.png" for number in range(12)]
    assert sorted(objects) == names == [row["image"] for row in captions]
    assert sorted(file.name for file in (dataset / "images").iterdir()) == names
    for row in captions:
        scene = objects[row["image"]]
        with Image.open(dataset / "images" / row["image"]) as picture:
            assert picture.size == (96, 96) and picture.mode == "RGB"
        start, end = row["false_span"]
        assert row["false_caption"][start:end] == row["false_word"] != ""
        assert row["false_caption"] != row["caption"] and scene["place"] in row["caption"]
        for entry in scene["objects"]:
            assert entry["class"] in row["caption"]
            mask = np.asarray(Image.open(dataset / "masks" / entry["mask"]))
            left, top, right, bottom = entry["box"]
            assert mask[top:bottom, left:right].sum() == mask.sum() > 0
    assert len(list((dataset / "masks").iterdir())) == sum(len(scene["objects"]) for scene in objects.values())


def test_questions_are_in_popes_format(dataset):
    rows = lines(dataset / "questions.jsonl")
    assert [row["question_id"] for row in rows] == list(range(1, len(rows) + 1))
    labels = [row["label"] for row in rows if row["category"] == "object"]
    assert labels.count("yes") == labels.count("no") == 2 * 12
    objects = json.loads((dataset / "objects.json").read_text(encoding="utf-8"))
    for row in rows:
        assert row["text"].endswith("?")
        assert row["reasoned"].endswith(f"<answer> {row['label']} </answer>")
        if row["category"] == "object":
            named = row["text"].removesuffix(" in the image?").split(maxsplit=3)[-1]
            present = {entry["class"] for entry in objects[row["image"]]["objects"]}
            assert (named in present) == (row["label"] == "yes")


def test_stickers_of_your_own_give_the_classes(own_stickers, tmp_path):
    folder = write_dataset(tmp_path / "own", 6, seed=0, stickers=own_stickers, size=64)
    objects = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    seen = {entry["class"] for scene in objects.values() for entry in scene["objects"]}
    assert seen <= {"red box", "robot", "ufo"} and len(seen) >= 2
    asked = [row["text"] for row in lines(folder / "questions.jsonl") if row["category"] == "object"]
    assert all(any(cls in text for cls in ("red box", "robot", "ufo")) for text in asked)


def test_one_style_and_a_planted_world(tmp_path):
    folder = write_dataset(tmp_path / "planted", 60, seed=1, planted=1.0, style="fluent", size=32)
    objects = json.loads((folder / "objects.json").read_text(encoding="utf-8"))
    assert {entry["style"] for scene in objects.values() for entry in scene["objects"]} == {"fluent"}
    home = {partner: place for place, partner in PARTNERS.items()}
    places = [
        (home[entry["class"]], scene["place"])
        for scene in objects.values()
        for entry in scene["objects"]
        if entry["class"] in home
    ]
    assert len(places) > 10 and all(own == place for own, place in places)


def test_bad_input_is_refused_in_one_sentence(own_stickers, tmp_path):
    empty, broken = tmp_path / "empty", tmp_path / "broken"
    empty.mkdir()
    broken.mkdir()
    (broken / "dog.png").write_text("not a picture")
    taken = tmp_path / "taken"
    taken.mkdir()
    (taken / "precious.txt").write_text("mine")
    new = tmp_path / "new"
    for match, arguments in {
        "is no folder": {"stickers": tmp_path / "missing"},
        "no CLASS.png stickers": {"stickers": empty},
        "not a picture that can be read": {"stickers": broken},
        "no sticker style 'oil'": {"style": "oil"},
        "no sticker style 'noto'": {"style": "noto", "stickers": own_stickers},
        "at least one scene": {"count": 0},
        "planted is 2.0": {"planted": 2.0},
        "invisible is -1": {"invisible": -1},
        "seed is -1": {"seed": -1},
        "at least 16 pixels": {"size": 2},
        "is not empty": {"folder": taken},
        "is a file": {"folder": taken / "precious.txt"},
    }.items():
        with pytest.raises(InputError, match=match) as error:
            write_dataset(**({"folder": new, "count": 2, "seed": 0} | arguments))
        assert "\n" not in str(error.value)
    assert not new.exists(), "nothing is made before all is known to be right"
    assert (taken / "precious.txt").read_text() == "mine" and len(list(taken.iterdir())) == 1


def test_a_folder_that_was_not_finished_is_begun_anew(dataset, tmp_path, most_bytes, monkeypatch):
    """A full disk, and a kill after more pictures than the next call writes."""
    folder = tmp_path / "scenes"
    with most_bytes(1500), pytest.raises(InputError, match="cannot be written .*; make room and run the same command"):
        write_dataset(folder, 20, seed=9)
    assert (folder / ".unfinished").is_file()

    def kill(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr("causal_attrib.scenes.dataset._write_lines", kill)
        write_dataset(folder, 20, seed=9)
    assert len(list((folder / "images").iterdir())) == 20
    assert digests(write_dataset(folder, 12, seed=5)) == digests(dataset)
    with pytest.raises(InputError, match="is not empty"):
        write_dataset(folder, 12, seed=5)


def test_an_unfinished_folder_keeps_what_is_not_its_own(tmp_path):
    folder = tmp_path / "scenes"
    folder.mkdir()
    (folder / ".unfinished").write_text("")
    (folder / "notes.txt").write_text("mine")
    write_dataset(folder, 1, seed=5)
    assert (folder / "notes.txt").read_text() == "mine"
