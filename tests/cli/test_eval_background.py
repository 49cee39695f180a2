"""`copo eval background`: what it prints, writes and refuses. The numbers are tested with the library."""

import inspect
import json

import pytest
from PIL import Image

import causal_attrib
from causal_attrib.scenes import PARK, render, write_dataset
from causal_attrib_cli.eval.background import background as command


@pytest.fixture
def rows(tmp_path):
    """Two questions about the example, one of them with a description."""
    picture, masks = render(PARK)
    picture.save(tmp_path / "park.png")
    Image.fromarray(masks.any(0)).save(tmp_path / "mask.png")
    shown = {"image": "park.png", "mask": "mask.png"}
    words = {"description": "a dog and a red frisbee on the grass at noon", "spans": [[2, 5], [12, 23]]}
    first = shown | {"question": "Is there a dog in the image?", "answer": "yes"} | words
    # The wrong answer counts as right here, so that the answer that is given is wrong.
    second = shown | {"question": "Is there a cat in the image?", "answer": "yes"}
    path = tmp_path / "rows.jsonl"
    path.write_text(json.dumps(first) + "\n" + json.dumps(second) + "\n")
    return path


def test_json_has_both_arms_and_every_split(copo, rows, tmp_path):
    out, each = tmp_path / "out.json", tmp_path / "each.jsonl"
    result = copo("eval", "background", rows, "--json", "--out", out, "--per-question", each, "--bootstrap", "200")
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert json.loads(out.read_text()) == record
    assert record["benchmark"] == "background" and record["settings"]["measure"] == "gradient"
    counts = {(one["arm"], one["split"]): one["answers"] for one in record["arms"]}
    image = {split: count for (arm, split), count in counts.items() if arm == "image"}
    assert image == {"all": 2, "right": 1, "wrong": 1} and counts["text", "all"] == 1
    assert {one["split"] for one in record["image_less_text"]} >= {"all"}
    replies = [json.loads(line) for line in each.read_text().splitlines()]
    assert [(one["arm"], one["reply"]) for one in replies if one["arm"] == "image"] == [
        *[("image", "yes"), ("image", "no")]
    ]
    shares = [one["background"]["share"] for one in replies if one["arm"] == "image"]
    (everything,) = [one for one in record["arms"] if (one["arm"], one["split"]) == ("image", "all")]
    assert everything["share"]["value"] == pytest.approx(100 * sum(shares) / 2)
    for one in replies:
        assert one["density"] == pytest.approx(one["background"]["share"] / one["background"]["area"])
    assert copo("eval", "background", rows, "--json", "--bootstrap", "200").stdout == result.stdout


def test_a_table_of_a_folder_of_scenes(copo, tmp_path):
    folder = write_dataset(tmp_path / "scenes", 1, seed=3)
    result = copo("eval", "background", folder, "--measure", "gradient_x_input", "--bootstrap", "100")
    assert result.exit_code == 0, result.output
    assert "measure=gradient_x_input" in result.stdout and "100 without any preference" in result.stdout
    assert "Image less text" in result.stdout and "right" in result.stdout


def test_without_descriptions_there_is_one_arm_and_a_note(copo, rows):
    plain = rows.with_name("plain.jsonl")
    plain.write_text(rows.read_text().splitlines()[1] + "\n")
    result = copo("eval", "background", plain, "--bootstrap", "100")
    assert result.exit_code == 0 and "no text arm" in result.stderr
    assert "Image less text" not in result.stdout


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--measure", "magic"], "There is no measure 'magic'"),
        (["--bootstrap", "3"], "3 bootstrap resamples"),
        (["--seed", "-1"], "seed cannot be -1"),
        (["--out", "no-such-folder/out.json"], "no-such-folder"),
        (["--per-question", "no-such-folder/each.jsonl"], "no-such-folder"),
        (["--model", "no-such-folder/model"], "no-such-folder/model"),
    ],
)
def test_wrong_flags_are_one_sentence(refused, rows, flags, message):
    assert message in refused("eval", "background", rows, *flags)


def test_wrong_rows_are_found_before_a_model_is_loaded(refused, rows, tmp_path):
    model = ("--model", "no-such-folder/model")
    bad = json.loads(rows.read_text().splitlines()[0])
    del bad["mask"]
    rows.write_text(rows.read_text() + json.dumps(bad) + "\n")
    told = refused("eval", "background", rows, *model)
    assert "rows.jsonl line 3 has no key 'mask'" in told
    rows.write_text('{"image": 1}\nnot json\n')
    assert "line 2 is not JSON" in refused("eval", "background", rows, *model)
    assert "There is no file" in refused("eval", "background", tmp_path / "none.jsonl", *model)
    assert "is a folder, but none that `copo scenes`" in refused("eval", "background", tmp_path, *model)


def test_flags_and_the_library_agree_on_defaults():
    flags = {name: flag.default for name, flag in inspect.signature(command).parameters.items()}
    library = {name: argument.default for name, argument in inspect.signature(causal_attrib.load).parameters.items()}
    for name in flags.keys() & library.keys():
        assert flags[name] == library[name], name
