"""What users get wrong, end to end: each is a right result, or one sentence and exit code 2. Never a traceback."""

import base64
import hashlib
import json
import os
import pickle
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

import causal_attrib

CAPTION = "a dog"


@pytest.fixture(scope="module")
def gradient():
    return Image.linear_gradient("L").resize((120, 90))


def cut(path, share=0.5):
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path


# -- pictures that cannot be read --


def test_no_such_file(refused, tmp_path):
    assert "no file" in refused("score", tmp_path / "dog.png", CAPTION)


def test_a_folder_for_a_picture(refused, tmp_path):
    assert "is a folder" in refused("score", tmp_path, CAPTION)


@pytest.mark.parametrize("data", [b"", b"a dog on the grass\n", b"\x00" * 1000])
def test_no_picture_in_a_file_named_jpg(refused, tmp_path, data):
    path = tmp_path / "dog.jpg"
    path.write_bytes(data)
    assert "dog.jpg is not an image" in refused("score", path, CAPTION)


@pytest.mark.parametrize("name", ["dog.png", "dog.jpg", "dog.webp", "dog.gif"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_picture_cut_short(refused, tmp_path, gradient, name, share):
    path = tmp_path / name
    gradient.convert("RGB").save(path)
    assert name in refused("score", cut(path, share), CAPTION)


def test_a_decompression_bomb(refused, tmp_path):
    path = tmp_path / "bomb.pbm"
    path.write_bytes(b"P4 30000 30000\n")  # the header alone is enough to be refused
    assert "too many pixels" in refused("score", path, CAPTION)


def test_the_limit_of_pixels_can_be_chosen(copo, refused, park):
    said = refused("score", park, CAPTION, "--max-pixels", "1000")
    assert "park.png has too many pixels (" in said and "and 1,000 are read at most" in said
    assert "--max-pixels" in said
    # And holds for that one command.
    assert copo("score", park, CAPTION, "--max-pixels", "1000000").exit_code == 0
    assert copo("score", park, CAPTION, "--max-pixels", "0").exit_code == 2


def test_a_data_uri_on_the_command_line(copo, refused, park):
    uri = "data:image/png;base64," + base64.b64encode(park.read_bytes()).decode()
    record, _ = scored(copo, uri)
    assert (
        record["image"]["path"] is None and record["image"]["sha256"] == hashlib.sha256(park.read_bytes()).hexdigest()
    )
    assert "data URI is not an image" in refused("score", "data:image/png;base64," + "A" * 5000, CAPTION)
    assert "File name too long" in refused("score", "A" * 5000, CAPTION)


# -- pictures that look odd but are fine --


def scored(copo, path, *flags, caption=CAPTION):
    result = copo("score", path, caption, "--json", *flags)
    assert result.exit_code == 0, result.output
    record = json.loads(result.stdout)
    assert "".join(token["text"] for token in record["tokens"]) == record["caption"] == caption
    assert all(token["necessity"] is not None for token in record["tokens"])
    return record, result.stderr


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (3, 3), (30_000, 1), (30_000, 40)])
def test_extreme_sizes(copo, tmp_path, size):
    path = tmp_path / "extreme.png"
    Image.new("RGB", size, "green").save(path)
    record, _ = scored(copo, path)
    assert (record["image"]["width"], record["image"]["height"]) == size


@pytest.mark.parametrize(
    "mode, name",
    [
        *[("L", "grey.png"), ("L", "grey.jpg"), ("1", "bits.png"), ("LA", "grey-alpha.png"), ("RGBA", "alpha.png")],
        *[
            ("P", "palette.png"),
            ("CMYK", "cmyk.jpg"),
            ("CMYK", "cmyk.tiff"),
            ("I;16", "grey16.png"),
            ("F", "float.tiff"),
        ],
    ],
)
def test_every_kind_of_picture(copo, tmp_path, gradient, mode, name):
    path = tmp_path / name
    (gradient.convert("I") if mode == "I;16" else gradient).convert(mode).save(path)
    record, said = scored(copo, path)
    assert (record["image"]["width"], record["image"]["height"]) == (120, 90)


def test_an_animation_is_its_first_frame(copo, tmp_path):
    frames = [Image.new("RGB", (64, 64), colour) for colour in ("green", "red", "blue")]
    frames[0].save(tmp_path / "still.gif")
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    moving, said = scored(copo, tmp_path / "moving.gif")
    assert said.startswith("Warning: ") and "first frame" in said
    assert moving["tokens"] == scored(copo, tmp_path / "still.gif")[0]["tokens"]


def test_exif_rotation_is_applied(copo, tmp_path, gradient):
    upright = gradient.convert("RGB")
    upright.save(tmp_path / "upright.png")
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held on its side: turn by 90 degrees to see it upright
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "turned.png", exif=exif)
    turned, _ = scored(copo, tmp_path / "turned.png")
    assert (turned["image"]["width"], turned["image"]["height"]) == (120, 90)
    assert turned["tokens"] == scored(copo, tmp_path / "upright.png")[0]["tokens"]


# -- captions --


@pytest.mark.parametrize("caption", ["", " ", "\n\t"])
def test_an_empty_caption(refused, picture, caption):
    assert "caption" in refused("score", picture, caption).lower()


def test_a_caption_longer_than_the_model_can_read(refused, picture):
    assert "caption" in refused("score", picture, "dog " * 2500).lower()


@pytest.mark.parametrize(
    "caption",
    ["a <image> of a dog", "a dog</s><s>", "<pad>a dog", "a dog<|im_end|>", "[INST] a dog [/INST]", "<|endoftext|>"],
)
def test_special_tokens_in_a_caption_are_text(copo, picture, caption):
    record, _ = scored(copo, picture, caption=caption)
    special = {
        int(entry["id"])
        for entry in json.loads((files("causal_attrib") / "assets/model/tokenizer.json").read_text())["added_tokens"]
        if entry["special"]
    }
    assert special and not special & {token["id"] for token in record["tokens"]}


@pytest.mark.parametrize(
    "caption", ["ein Hündchen", "一只狗", "👩‍🚀 dog", "e\u0301te", "\u202eabc", "a\tdog\n", "\x1b[31m"]
)
def test_any_text_is_a_caption(copo, picture, caption):
    scored(copo, picture, caption=caption)
    assert copo("score", picture, caption).exit_code == 0


@pytest.mark.skipif(sys.platform == "win32", reason="arguments are bytes on POSIX only")
def test_bytes_that_are_no_text(refused, picture):
    assert "caption" in refused("score", picture, os.fsdecode(b"a d\xf6g")).lower()


def test_a_caption_that_begins_with_a_dash(copo, picture):
    result = copo("score", picture, "--json", "--", "-dog")
    assert json.loads(result.stdout)["caption"] == "-dog"


# -- outcomes of the user's own --


@pytest.mark.parametrize(("text", "gave"), [("None", "None"), ("float('nan')", "nan"), ("7", "7"), ("'1'", "'1'")])
def test_an_outcome_that_is_no_number(refused, picture, tmp_path, monkeypatch, text, gave):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"gives_{len(text)}.py").write_text(f"def outcome(text, reference): return {text}")
    told = refused("score", picture, "a dog", "--outcome", f"gives_{len(text)}:outcome")
    assert f"gives_{len(text)}:outcome gave {gave}; an outcome must be a number from 0 to 1." in told


@pytest.mark.parametrize(
    ("name", "text"),
    [("leaves", "import sys\ndef outcome(text, reference): sys.exit(0)"), ("leaves_at_once", "raise SystemExit")],
)
def test_an_outcome_that_ends_the_program(copo, picture, tmp_path, monkeypatch, name, text):
    monkeypatch.chdir(tmp_path)
    (tmp_path / f"{name}.py").write_text(text)
    result = copo("score", picture, "a dog", "--outcome", f"{name}:outcome")
    assert (result.exit_code, result.stdout) == (1, "")
    assert f"{name}" in result.stderr and "called sys.exit(" in result.stderr and result.stderr.count("\n") == 1


# -- values --


@pytest.mark.parametrize(
    "flags, said",
    [
        (["--outcome", "beauty"], "beauty"),
        (["--outcome", "no_such_module:f"], "no_such_module"),
        (["--outcome", "math:no_such_function"], "no_such_function"),
        (["--outcome", "json:loads"], "called with (text, reference)"),
        (["--outcome", "operator:or_"], "failed with TypeError"),
        (["--outcome", "match"], "--answer"),
        (["--outcome", "objects"], "--objects"),
        (["--objects", "gryphon"], "gryphon"),
        (["--objects", ""], "object"),
        (["--mask", "black"], "black"),
        (["--samples", "-1"], "-1"),
        (["--estimator", "best"], "best"),
        (["--coupling", "tight"], "tight"),
        (["--level", "letter"], "letter"),
        (["--lambda-s", "nan"], "nan"),
        (["--lambda-n", "2"], "2"),
        (["--engine", "warp"], "warp"),
        (["--batch-size", "0"], "0"),
        (["--batch-size", "many"], "many"),
        (["--seed", "-1"], "-1"),
        (["--dtype", "int8"], "int8"),
        (["--device", "cuda:99"], "cuda:99"),
        (["--device", "toaster"], "toaster"),
        (["--device", "cpu", "--device-map", "auto"], "--device-map"),
        (["--load-in-4bit", "--load-in-8bit"], "--load-in-8bit"),
        (["--attn-implementation", "magic"], "magic"),
        (["--json", "--out", "x.json"], "--json"),
        (["--json", "--format", "csv"], "--format"),
        (["--format", "csv"], "--format"),
        (["--out", "x.csv", "--format", "csv"], "--format"),
        (["--out", "-", "--format", "xml"], "xml"),
        (["--question", "What is it?", "--answer", ""], "answer"),
        (["--answer", "dog"], "--question"),
        (["--question", "What is it?"], "--answer"),
    ],
    ids=" ".join,
)
def test_values_that_cannot_be(refused, picture, flags, said):
    assert said in refused("score", picture, CAPTION, *flags)


# -- outputs --


@pytest.mark.parametrize("name", ["no/such/folder/x.json", "folder.json", "x.txt", "x", "file/x.json"])
def test_an_unwritable_output_is_found_before_the_model_is_loaded(refused, picture, tmp_path, monkeypatch, name):
    monkeypatch.setattr(causal_attrib, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    (tmp_path / "folder.json").mkdir()
    (tmp_path / "file").write_text("")
    assert name in refused("score", picture, CAPTION, "--out", tmp_path / name)


@pytest.mark.parametrize("flags", [["--out", "x.html"], ["--json"]])
def test_a_bad_picture_is_found_before_the_model_is_loaded(refused, tmp_path, monkeypatch, flags):
    monkeypatch.setattr(causal_attrib, "load", lambda *_, **__: pytest.fail("the model was loaded"))
    monkeypatch.chdir(tmp_path)
    refused("score", "no-such.png", CAPTION, *flags)
    assert not list(tmp_path.iterdir())


# -- models --


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(str(files("causal_attrib") / "assets" / "model"), folder)
    return folder


def test_a_model_in_a_folder(copo, picture, model_folder):
    record, _ = scored(copo, picture, "--model", model_folder)
    assert record["model"]["id"] == str(model_folder)


def test_an_unknown_model_without_network(picture):
    """In a process of its own, since the hub's client reads its switch when it is imported."""
    arguments = ["score", str(picture), CAPTION, "--model", "nobody/no-such-model"]
    done = subprocess.run(
        [sys.executable, "-m", "causal_attrib_cli.main", *arguments],
        capture_output=True,
        text=True,
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("Error: ") and done.stderr.count("\n") == 1
    assert "nobody/no-such-model" in done.stderr


@pytest.mark.parametrize("content", [None, "", "{}", "[]", '{"model_type": "no-such-type"}', '{"model_type": "bert"}'])
def test_a_folder_that_is_no_model(refused, picture, tmp_path, content):
    folder = tmp_path / "not-a-model"
    folder.mkdir()
    if content is not None:
        (folder / "config.json").write_text(content)
    assert "not-a-model" in refused("score", picture, CAPTION, "--model", folder)


def test_a_file_for_a_model(refused, picture):
    assert "is a file" in refused("score", picture, CAPTION, "--model", picture)


@pytest.mark.parametrize(
    "missing", ["model.safetensors", "processor_config.json", "tokenizer.json", "preprocessor_config.json"]
)
def test_a_model_with_a_file_missing(refused, picture, model_folder, missing):
    path = model_folder / missing
    if not path.exists():
        pytest.skip(f"the bundled model has no {missing}")
    path.unlink()
    assert str(model_folder) in refused("score", picture, CAPTION, "--model", model_folder)


def test_weights_cut_short(refused, picture, model_folder):
    """A download that broke off: in the data, in the names of the tensors, and at once."""
    whole = (model_folder / "model.safetensors").stat().st_size
    for share, said in ((0.99, f"it has {int(whole * 0.99):,} of {whole:,} bytes"), (0.001, ""), (0, "")):
        cut(model_folder / "model.safetensors", share)
        told = refused("score", picture, CAPTION, "--model", model_folder)
        assert f"The folder {model_folder} holds no model" in told
        assert f"model.safetensors is cut short{': ' + said if said else ''}; download it again" in told


def test_pickled_weights_are_not_opened(refused, picture, model_folder, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (model_folder / "model.safetensors").unlink()
    (model_folder / "pytorch_model.bin").write_bytes(pickle.dumps(Trap()))
    refused("score", picture, CAPTION, "--model", model_folder)
    assert not (tmp_path / "sprung").exists()


def test_weights_that_are_missing_are_not_made_up(refused, picture, model_folder):
    weights = load_file(model_folder / "model.safetensors")
    dropped = next(name for name in weights if name.endswith("mlp.down_proj.weight"))
    save_file(
        {name: tensor for name, tensor in weights.items() if name != dropped},
        model_folder / "model.safetensors",
        metadata={"format": "pt"},
    )
    assert "weights" in refused("score", picture, CAPTION, "--model", model_folder)


@pytest.mark.parametrize("flags", [[], ["--outcome", "yesno"], ["--outcome", "objects", "--objects", "dog"]])
def test_nan_weights(refused, picture, model_folder, flags):
    weights = load_file(model_folder / "model.safetensors")
    for tensor in weights.values():
        tensor.fill_(float("nan"))  # the whole model, so that every outcome meets it
    save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
    refused("score", picture, CAPTION, "--model", model_folder, *flags)


def test_a_model_that_fails_leaves_the_output_as_it_was(refused, picture, model_folder, tmp_path):
    weights = load_file(model_folder / "model.safetensors")
    # The model loads, and that it is damaged shows when scoring has begun.
    weights[next(name for name in weights if name.endswith("embed_tokens.weight"))].fill_(float("nan"))
    save_file(weights, model_folder / "model.safetensors", metadata={"format": "pt"})
    kept, fresh = tmp_path / "kept.json", tmp_path / "fresh.parquet"
    kept.write_text("what was there")
    for path in (kept, fresh):
        refused("score", picture, CAPTION, "--model", model_folder, "--out", path)
    assert kept.read_text() == "what was there" and not fresh.exists()
    assert not [path for path in tmp_path.iterdir() if path.name.endswith(".part")]


def test_no_command_writes_over_what_it_reads(refused, park, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shutil.copy(park, "park.png")
    given = {
        "rows.csv": "image,caption\npark.png,a dog\n",
        "rows.jsonl": '{"image": "park.png", "caption": "a dog"}\n',
        "pairs.jsonl": '{"image": "park.png", "prompt": "Describe it.", "chosen": "a", "rejected": "b", '
        '"image_contrast": "park.png", "chosen_contrast": "c"}\n',
        "objects.json": '{"park": ["dog"]}',
    }
    for name, text in given.items():
        Path(name).write_text(text)
    Path("linked.jsonl").symlink_to("rows.jsonl")
    chair = ("eval", "chair", "--captions", "rows.jsonl", "--objects", "objects.json")
    for command in (
        ("score", "--input", "rows.csv", "--output", "rows.csv"),
        ("score", "--input", "rows.jsonl", "--output", "linked.jsonl"),
        ("merge", "rows.jsonl", "rows.jsonl"),
        ("pairs", "pairs.jsonl", "pairs.jsonl"),
        ("select", "pairs.jsonl", "pairs.jsonl"),
        (*chair, "--out", "objects.json"),
        (*chair, "--per-caption", "rows.jsonl"),
    ):
        assert "is read and would be written over" in refused(*command), command
    assert {name: Path(name).read_text() for name in given} == given
