"""A second call of `load` gives the model of the first, unless it would be another one."""

import gc
import json
import shutil

import pytest
import torch

import causal_attrib
from causal_attrib.vlm import loading
from tests.conftest import PARK


@pytest.fixture
def folder(tmp_path):
    """A copy that a test may change."""
    return str(shutil.copytree(loading.BUNDLED_FOLDER, tmp_path / "model"))


def test_the_same_arguments_give_the_same_object(folder):
    first = causal_attrib.load(folder, device="cpu")
    assert causal_attrib.load(folder, device="cpu") is first
    assert causal_attrib.load(folder, device="cpu", attn_implementation="eager") is not first
    assert causal_attrib.load(folder, device="cpu", anew=True) is not first
    assert causal_attrib.load(device="cpu") is causal_attrib.load("bundled", device="cpu")
    causal_attrib.score(PARK, "a dog", model=first)
    assert causal_attrib.load(folder, device="cpu") is first


def test_a_model_or_folder_that_changed_is_loaded_again(folder):
    first = causal_attrib.load(folder, device="cpu")
    weight = next(first.model.parameters())
    with torch.no_grad():
        weight.add_(1.0)
    second = causal_attrib.load(folder, device="cpu")
    assert second is not first and not torch.equal(next(second.model.parameters()), weight)
    second.model.train()
    third = causal_attrib.load(folder, device="cpu")
    assert third is not second and not third.model.training
    (loading.Path(folder) / "notes.txt").write_text("trained on")
    assert causal_attrib.load(folder, device="cpu") is not third


def test_an_adapter_is_loaded_once_too(folder, tmp_path):
    peft = pytest.importorskip("peft")
    settings = peft.LoraConfig(r=2, target_modules=["q_proj"], init_lora_weights=False)
    peft.get_peft_model(loading.load(folder, device="cpu").model, settings).save_pretrained(tmp_path / "adapter")
    described = tmp_path / "adapter" / "adapter_config.json"
    described.write_text(json.dumps(json.loads(described.read_text()) | {"base_model_name_or_path": folder}))
    first = causal_attrib.load(tmp_path / "adapter", device="cpu")
    assert causal_attrib.load(str(tmp_path / "adapter"), device="cpu") is first
    assert causal_attrib.load(tmp_path / "adapter", device="cpu", anew=True) is not first
    # Its base is as much of it as the adapter.
    (loading.Path(folder) / "notes.txt").write_text("trained on")
    second = causal_attrib.load(tmp_path / "adapter", device="cpu")
    assert second is not first
    (tmp_path / "adapter" / "notes.txt").write_text("trained on")
    assert causal_attrib.load(tmp_path / "adapter", device="cpu") is not second


def test_who_lets_go_of_a_model_frees_it(folder):
    from weakref import ref

    held = ref(causal_attrib.load(folder, device="cpu"))
    gc.collect()
    assert held() is None


def test_a_small_model_has_no_bar(folder, capsys):
    causal_attrib.load(folder, device="cpu", anew=True)
    assert capsys.readouterr().err == ""
