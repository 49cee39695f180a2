"""`copo scenes`: what it writes is tested with the library; here, that the command passes things on."""

import inspect

import pytest

import causal_attrib.scenes
from causal_attrib_cli.scenes import scenes as command


def test_it_writes_a_data_set(copo, tmp_path):
    folder = tmp_path / "scenes"
    result = copo("scenes", folder, "--count", "2", "--seed", "1", "--planted", "0.95", "--style", "noto")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"Wrote 2 scenes to {folder}\n")
    assert {"images", "masks", "captions.jsonl", "questions.jsonl", "objects.json"} <= {
        entry.name for entry in folder.iterdir()
    }
    assert len(list((folder / "images").iterdir())) == 2


@pytest.mark.parametrize(
    "flags",
    [
        ["--count", "-1"],
        ["--count", "1", "--planted", "2"],
        ["--count", "1", "--style", "baroque"],
        ["--count", "1", "--stickers", "no-such-folder"],
        ["--count", "1", "--size", "0"],
        ["--count", "1", "--seed", "-1"],
    ],
)
def test_what_cannot_be_is_said_in_a_sentence(refused, tmp_path, flags):
    refused("scenes", tmp_path / "scenes", *flags)
    assert not (tmp_path / "scenes").exists()


def test_a_folder_that_cannot_be_written(refused, tmp_path):
    (tmp_path / "file").write_text("")
    assert "file" in refused("scenes", tmp_path / "file", "--count", "1")


def test_flags_and_the_library_agree_on_defaults():
    library = inspect.signature(causal_attrib.scenes.write_dataset).parameters
    for name, flag in inspect.signature(command).parameters.items():
        if name in library and flag.default is not None and library[name].default is not inspect.Parameter.empty:
            assert flag.default == library[name].default, name
