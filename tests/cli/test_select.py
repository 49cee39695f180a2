"""`copo select`, `copo pairs` and `copo vicrit`: what they write is read by the trainers."""

import json

import pytest

from causal_attrib.scenes import write_dataset
from causal_attrib.training.data.reading import read_data


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return write_dataset(tmp_path_factory.mktemp("scenes") / "two", 2, 0)


@pytest.fixture(scope="module")
def questions(scenes, tmp_path_factory):
    path = tmp_path_factory.mktemp("rows") / "five.jsonl"
    path.write_text("".join((scenes / "questions.jsonl").read_text().splitlines(keepends=True)[:5]))
    return path


def test_the_share_asked_for_is_written_as_rows(copo, scenes, questions, tmp_path):
    out = tmp_path / "new" / "selected.jsonl"
    words = ("select", questions, out, "--image-root", scenes / "images", "--num-generations", "2")
    result = copo(*words, "--max-completion-length", "8", "--keep", "0.5")
    assert (result.exit_code, result.stdout) == (0, ""), result.output
    assert "Mean reward " in result.stderr and result.stderr.endswith(f"Wrote {out}\n")
    rows = read_data(questions, image_root=scenes / "images")
    kept = read_data(out)
    assert len(kept) == 3 and all(row in rows for row in kept)  # ceil(0.5 * 5), as they were
    first = out.read_bytes()
    copo(*words, "--max-completion-length", "8", "--keep", "0.5")
    assert out.read_bytes() == first


def test_a_system_prompt_is_sampled_with_and_not_written(copo, scenes, questions, tmp_path):
    out = tmp_path / "selected.jsonl"
    words = ("select", questions, out, "--image-root", scenes / "images", "--num-generations", "2", "--keep", "1")
    words += ("--max-completion-length", "2", "--reward", "tests.training.runs:ruled")
    assert "Mean reward 0.00;" in copo(*words).stderr
    said = copo(*words, "--system-prompt", "Be brief.").stderr
    assert "Mean reward 1.00;" in said and "Warning: At no prompt do the rewards differ" in said
    assert read_data(out) == read_data(questions, image_root=scenes / "images")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--keep", "0"], "The share of prompts to keep is 0.0"),
        (["--num-generations", "1"], "Rewards vary over 2 completions or more"),
        (["--max-completion-length", "0"], "from 1 to 131,072"),
        (["--reward", "nothing"], "There is no reward 'nothing'"),
        (["--reward", "objects"], "needs the column 'objects'"),
    ],
)
def test_what_cannot_be_selected(refused, scenes, tmp_path, flags, said):
    assert said in refused("select", scenes, tmp_path / "out.jsonl", *flags)
    assert not (tmp_path / "out.jsonl").exists()


def test_a_prompt_longer_than_the_model_reads(refused, scenes, tmp_path):
    row = {"image": str(scenes / "images" / "000000.png"), "prompt": "dog " * 3000, "answer": "x"}
    (tmp_path / "long.jsonl").write_text(json.dumps(row) + "\n")
    said = refused("select", tmp_path / "long.jsonl", tmp_path / "out.jsonl")
    assert "long.jsonl row 1 has a prompt of" in said and "reads at most 1024" in said


def test_where_nothing_can_be_written(refused, scenes, tmp_path):
    assert "is a folder" in refused("select", scenes, tmp_path)
    assert "cannot be written" in refused("select", scenes, "/dev/null/out.jsonl")


def test_pairs_are_plain_preferences(copo, scenes, tmp_path):
    out = tmp_path / "pairs.jsonl"
    result = copo("pairs", scenes, out)
    assert (result.exit_code, result.stderr) == (0, f"Wrote 6 pairs of 2 rows to {out}\n")
    pairs = [json.loads(line) for line in out.read_text().splitlines()]
    assert all(set(pair) == {"image", "prompt", "chosen", "rejected"} for pair in pairs)
    assert len(read_data(out, "preferences")) == 6
    # (m: yw > yl), (m: yw > yw'), (m': yw' > yw): SymMPO, methods 3.1
    first, second, third = pairs[:3]
    assert first["chosen"] == second["chosen"] == third["rejected"] and second["rejected"] == third["chosen"]
    assert first["image"] == second["image"] != third["image"]


def test_pairs_need_a_contrast(refused, questions, scenes, tmp_path):
    said = refused("pairs", questions, tmp_path / "out.jsonl", "--image-root", scenes / "images")
    assert "has no key 'chosen'" in said


def test_false_words_of_scenes_are_to_be_named(copo, scenes, tmp_path):
    out = tmp_path / "rows.jsonl"
    result = copo("vicrit", scenes, out)
    assert (result.exit_code, result.stderr) == (0, f"Wrote 2 rows to {out}\n"), result.output
    written = [json.loads(line) for line in (scenes / "captions.jsonl").read_text().splitlines()]
    for row, source in zip(read_data(out), written, strict=True):
        assert row["answer"] == source["false_word"] and source["false_caption"] in row["prompt"][0]["content"]
        assert row["image"] == str((scenes / "images" / source["image"]).resolve())


def test_an_object_of_the_lexicon_is_put_in_the_place_of_another(copo, refused, scenes, tmp_path):
    picture, captions = str(scenes / "images" / "000000.png"), ("Two dogs and a cat.", "grass", "A person by a car")
    data, out = tmp_path / "data.jsonl", tmp_path / "rows.jsonl"
    rows = [{"image": picture, "caption": caption, "objects": ["dog", "car"]} for caption in captions]
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    lexicon = tmp_path / "few.txt"
    lexicon.write_text("dog\ncat\ncar\nperson\noven\n")
    result = copo("vicrit", data, out, "--lexicon", lexicon)
    assert result.stderr == f"Wrote 2 rows to {out}; 1 captions have no word that could be changed\n", result.output
    first, second = map(json.loads, out.read_text().splitlines())
    changes = (("dogs", "persons"), ("dogs", "ovens"), ("cat", "person"), ("a cat", "an oven"))
    assert first["prompt"].split('"')[1] in {captions[0].replace(*change) for change in changes}
    # No dog, which is in the picture though the caption does not say so.
    changes = (("person", "cat"), ("A person", "An oven"), ("car", "cat"), ("a car", "an oven"))
    assert second["prompt"].split('"')[1] in {captions[2].replace(*change) for change in changes}
    assert all(row["answer"] in row["prompt"].split('"')[1] for row in (first, second))
    lexicon.write_text("boat, ship\n")
    assert "No caption of" in refused("vicrit", data, out, "--lexicon", lexicon)
