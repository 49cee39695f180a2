"""`copo saliency` on the bundled model: what it leaves where, and what it refuses."""

import inspect
import json
import os
import re

import numpy as np
import pytest
from PIL import Image

import causal_attrib
from causal_attrib import Attribution, Maps
from causal_attrib.scenes import PARK as SCENE
from causal_attrib.scenes import render
from causal_attrib_cli.saliency import saliency as command

CAPTION = "a dog and a red frisbee on the grass at noon"


@pytest.fixture
def dog_mask(tmp_path, park):
    """Mask of the example's dog, as a PNG file of its size."""
    _, masks = render(SCENE, size=Image.open(park).width)
    (dog_HW,) = (mask for mask, sticker in zip(masks, SCENE.objects, strict=True) if sticker.cls == "dog")
    path = tmp_path / "mask.png"
    Image.fromarray(dog_HW.astype(np.uint8) * 255).save(path)
    return path


def test_a_folder_of_maps_held_against_a_mask(copo, park, dog_mask, tmp_path):
    out = tmp_path / "maps"
    flags = ("--token", "dog", "--token", "frisbee", "--object-mask", dog_mask)
    result = copo("saliency", park, CAPTION, *flags, "--out", out)
    assert result.exit_code == 0, result.output
    assert sorted(path.name for path in out.iterdir()) == [
        "01-dog.png",
        "02-frisbee.png",
        "maps.safetensors",
        "saliency.json",
        "sheet.png",
    ]
    maps = Maps.load(out / "maps.safetensors")
    assert [label.strip() for label in maps.labels] == ["dog", "frisbee"]
    record = json.loads((out / "saliency.json").read_text())
    assert record["schema"] == 1 and record["caption"] == CAPTION and record["method"] == "occlusion"
    for t, entry in enumerate(record["maps"]):
        assert entry["highest"] == pytest.approx(maps.values_THW[t].max())
        x, y = entry["highest_at"]
        row, column = np.unravel_index(maps.values_THW[t].argmax(), maps.values_THW[t].shape)
        assert (int(y * maps.values_THW.shape[1]), int(x * maps.values_THW.shape[2])) == (row, column)
        assert Image.open(out / entry["overlay"]).size == Image.open(park).size
    # The dog lies in the lower left of the example.
    assert re.search(r"dog +[\d.]+ +lower left", result.stdout)
    assert "Wrote 5 files" in result.stderr
    dog, frisbee = record["maps"]
    assert dog["hit"] is True and frisbee["hit"] is False and 0 < dog["area"] < 0.3
    assert dog["mass_above_area"] == pytest.approx(dog["mass"] - dog["area"]) and dog["mass_above_area"] > 0.2
    assert "on the object" in result.stdout and re.search(r"dog .*yes", result.stdout)


def test_the_same_command_twice_gives_the_same_bytes(copo, park, tmp_path):
    for out in ("one", "two"):
        copo("saliency", park, "a dog", "--method", "gradient_x_input", "--out", tmp_path / out)
    one, two = ({path.name: path.read_bytes() for path in (tmp_path / out).iterdir()} for out in ("one", "two"))
    assert one == two and len(one) == 5


def test_the_report_shows_the_maps(copo, park, tmp_path):
    page = tmp_path / "report.html"
    result = copo(
        *("saliency", park, "a dog", "--token", "dog", "--regions", "grid:2"),
        *("--out", tmp_path / "maps", "--html", page),
    )
    assert result.exit_code == 0, result.output
    assert Attribution.load(page).caption == "a dog"
    assert "occlusion" in page.read_text().lower()


def test_each_map_with_its_proof(copo, tmp_path):
    picture, page, out = tmp_path / "park.png", tmp_path / "report.html", tmp_path / "maps"
    render(SCENE)[0].save(picture)
    asked = ("saliency", picture, CAPTION, "--token", "dog", "--token", "and", "--regions", "grid:2")
    result = copo(*asked, "--proof", "--out", out, "--html", page)
    assert result.exit_code == 0, result.output
    proofs = Maps.load(out / "maps.safetensors").proofs
    record = json.loads((out / "saliency.json").read_text())
    assert [entry["proof"] for entry in record["maps"]] == list(proofs)
    # The dog lies in one of the four parts; "and" follows from the words before it.
    dog, linking = (line for line in result.stdout.splitlines() if "beat" in line)
    assert "beats chance" in dog and proofs[0]["verdict"] == "beats chance"
    assert "does not beat chance" in linking and proofs[1]["verdict"] == "does not beat chance"
    for proof in proofs:
        assert f" {proof['p']:.2f} " in result.stdout
    assert f"{proofs[0]['insertion']:.2f}" in dog and f"{proofs[0]['sign_disagreement']:.0%}" in dog
    assert re.search(r"The proof puts about \d+ rows through the model", result.stderr)
    assert "does not beat chance" in page.read_text() and "edges_deletion" in page.read_text()


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--token", "zebra"], "zebra"),
        (["--method", "magic"], "magic"),
        (["--of", "letter"], "letter"),
        (["--object-mask", "missing.png"], "There is no mask missing.png"),
        (["--method", "attention"], "eager"),
        (["--html", "report.txt"], "report.txt"),
    ],
)
def test_bad_input_is_one_sentence(copo, park, tmp_path, flags, message):
    out = tmp_path / "maps"
    result = copo("saliency", park, "a dog", *flags, "--out", out)
    assert result.exit_code == 2
    assert message in result.stderr and result.stderr.startswith("Error: ") and result.stderr.count("\n") == 1
    assert not out.exists()


def test_a_folder_that_cannot_be_made(copo, park, tmp_path):
    (tmp_path / "file").write_text("")
    result = copo("saliency", park, "a dog", "--regions", "grid:2", "--out", tmp_path / "file" / "maps")
    assert result.exit_code == 2 and "cannot be made" in result.stderr


@pytest.mark.parametrize("out", ["file", "file/maps", "closed", "closed/maps"])
def test_a_folder_that_cannot_be_written_is_told_before_the_model_is_loaded(copo, park, tmp_path, out):
    (tmp_path / "file").write_text("")
    (tmp_path / "closed").mkdir(mode=0o500)
    if out.startswith("closed") and os.access(tmp_path / "closed", os.W_OK):
        pytest.skip("this user may write everywhere")
    result = copo("saliency", park, "a dog", "--model", tmp_path / "no model", "--out", tmp_path / out)
    assert result.exit_code == 2 and result.stderr.count("\n") == 1
    assert f"The folder {tmp_path / out} cannot be" in result.stderr


def test_flags_and_the_library_agree_on_defaults():
    flags = {name: flag.default for name, flag in inspect.signature(command).parameters.items()}
    library = {
        name: argument.default for name, argument in inspect.signature(causal_attrib.saliency).parameters.items()
    }
    shared = flags.keys() & library.keys() - {"image", "model", "caption"}
    assert {name: flags[name] for name in shared} == {name: library[name] for name in shared}
    assert {"method", "level", "baseline", "regions", "foil", "of", "samples", "seed"} <= shared


@pytest.mark.parametrize("kind", ["jpg", "gif", "grey.png", "rgba.png"])
def test_pictures_of_any_format(copo, park, tmp_path, kind):
    file, opened = tmp_path / f"picture.{kind}", Image.open(park).convert("RGB")
    shown = {"grey.png": opened.convert("L"), "rgba.png": opened.convert("RGBA")}.get(kind, opened)
    shown.save(file)
    result = copo(
        "saliency", file, "a dog", "--token", "dog", "--method", "gradient_x_input", "--out", tmp_path / "out"
    )
    assert result.exit_code == 0, result.output
    assert Image.open(tmp_path / "out" / "sheet.png").width > 512
    assert Image.open(tmp_path / "out" / "01-dog.png").size == opened.size


def test_overlays_of_an_earlier_call_are_removed_and_other_files_left(copo, park, tmp_path):
    out, flags = tmp_path / "out", ("--method", "gradient_x_input", "--out", tmp_path / "out")
    copo("saliency", park, "a dog", "--token", "dog", *flags)
    (out / "notes.png").write_text("mine")
    copo("saliency", park, "a dog", "--token", "a", *flags)
    assert sorted(path.name for path in out.glob("*.png")) == ["01-a.png", "notes.png", "sheet.png"]
