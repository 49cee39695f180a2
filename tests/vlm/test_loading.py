"""What is loaded, and what is refused in one sentence."""

import json
import shutil

import pytest
import torch
import transformers as tf

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.vlm.loading import load
from tests.tiny_models import llava_clip_llama


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model, processor, _ = llava_clip_llama()
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


def test_local_folder(folder):
    vlm = load(str(folder), device="cpu")
    assert vlm.record == {
        "id": str(folder),
        "revision": None,
        "dtype": "float32",
        "device": "cpu",
        "attn": "sdpa",
    }
    assert not vlm.model.training


def test_dtype_and_attention_are_as_asked(folder):
    vlm = load(str(folder), device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert vlm.record["dtype"] == "bfloat16" and vlm.record["attn"] == "eager"


def test_bundled_model_is_float32_on_a_cpu(bundled):
    assert bundled.name == "bundled" and bundled.record["dtype"] == "float32"
    assert causal_attrib.load("bundled", device="cpu").name == "bundled"


def refusal(*args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_no_such_model(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    assert "no such model could be fetched" in refusal("nobody/no-such-model")


def test_folder_without_a_model(tmp_path):
    assert "holds no model" in refusal(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "holds no model that can be loaded" in refusal(str(tmp_path))


def test_file_instead_of_a_folder(folder):
    assert "is a file" in refusal(str(folder / "config.json"))


def test_missing_weights(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    (copy / "model.safetensors").unlink()
    assert "holds no model that can be loaded" in refusal(str(copy))
    from safetensors.torch import load_file, save_file

    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), copy / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 of the weights" in refusal(str(copy))


def test_pickled_weights_are_refused(folder, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(folder, copy)
    model = tf.AutoModelForImageTextToText.from_pretrained(folder)
    (copy / "model.safetensors").unlink()
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    assert "safetensors" in refusal(str(copy))


def test_text_only_model(tmp_path):
    config = tf.LlamaConfig(
        vocab_size=16, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=1
    )
    tf.LlamaForCausalLM(config).save_pretrained(tmp_path)
    assert "does not turn a picture and text into text" in refusal(str(tmp_path))


def test_unknown_model_type(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_thing"}))
    assert "no_such_thing" in refusal(str(tmp_path))


def test_options():
    assert "dtype" in refusal(dtype="float8")
    assert "not both" in refusal(load_in_4bit=True, load_in_8bit=True)
    assert "exclude each other" in refusal(device="cpu", device_map="auto")
    assert "no device" in refusal(device="nonsense")
    assert "no device" in refusal(device="cuda:7")
