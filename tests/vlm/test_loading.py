"""What is loaded, and what is refused in one sentence."""

import json
import os
import shutil
import sys

import pytest
import torch
import transformers as tf
from safetensors.torch import load_file, save_file
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.modeling_utils import ALL_ATTENTION_FUNCTIONS

import causal_attrib
from causal_attrib.errors import InputError
from causal_attrib.vlm.families.refused import REFUSED
from causal_attrib.vlm.loading import BUNDLED_FOLDER, load
from tests.conftest import PARK
from tests.tiny_models import llava_clip_llama


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    torch.manual_seed(0)
    model, processor, _ = llava_clip_llama()
    model.save_pretrained(path)
    processor.save_pretrained(path)
    return path


@pytest.fixture
def copy(folder, tmp_path):
    """A copy that a test may damage."""
    return shutil.copytree(folder, tmp_path / "copy")


def same_weights(one, other):
    one, other = one.state_dict(), other.state_dict()
    return one.keys() == other.keys() and all(torch.equal(one[name], other[name]) for name in one)


def test_local_folder(folder):
    vlm = load(str(folder), device="cpu")
    assert vlm.record == {
        "id": str(folder),
        "revision": None,
        "dtype": "float32",
        "device": "cpu",
        "attn": "sdpa",
        "quantization": None,
    }
    assert not vlm.model.training


def test_dtype_and_attention_are_as_asked(folder):
    vlm = load(str(folder), device="cpu", dtype="bfloat16", attn_implementation="eager")
    assert vlm.record["dtype"] == "bfloat16" and vlm.record["attn"] == "eager"


def test_bundled_model_is_float32_on_a_cpu(bundled):
    assert bundled.name == "bundled" and bundled.record["dtype"] == "float32"
    assert causal_attrib.load("bundled", device="cpu").name == "bundled"


def test_half_precision_checkpoints_are_float32_on_a_cpu(folder, copy):
    weights = {name: tensor.bfloat16() for name, tensor in load_file(folder / "model.safetensors").items()}
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert load(str(copy), device="cpu").record["dtype"] == "float32"
    assert load(str(copy), device_map="cpu", dtype="bfloat16").record["dtype"] == "bfloat16"


def test_sharded_weights(folder, copy):
    tf.AutoModelForImageTextToText.from_pretrained(folder).save_pretrained(copy, max_shard_size="50KB")
    (copy / "model.safetensors").unlink(missing_ok=True)
    assert len(list(copy.glob("model-*.safetensors"))) > 2
    assert same_weights(load(str(copy), device="cpu").model, load(str(folder), device="cpu").model)
    next(copy.glob("model-*.safetensors")).unlink()
    assert "holds no model that can be loaded" in refusal(str(copy))


def test_tied_weights_are_not_missing(folder, tmp_path):
    config = tf.AutoConfig.from_pretrained(folder)
    config.tie_word_embeddings = config.text_config.tie_word_embeddings = True
    tf.LlavaForConditionalGeneration(config).save_pretrained(tmp_path)
    for path in [*folder.glob("*token*"), *folder.glob("*processor*")]:
        shutil.copy(path, tmp_path)
    assert "lm_head.weight" not in load_file(tmp_path / "model.safetensors")
    model = load(str(tmp_path), device="cpu").model
    assert model.get_output_embeddings().weight is model.get_input_embeddings().weight


def test_device_map(folder):
    assert load(str(folder), device_map="auto", dtype="float32").record["device"] in ("cpu", "cuda:0", "mps:0")


@pytest.mark.parametrize("flag", ["load_in_4bit", "load_in_8bit"])
def test_quantised(folder, flag):
    pytest.importorskip("bitsandbytes")
    kept, quantised = load(str(folder), device="cpu"), load(str(folder), device="cpu", **{flag: True})
    assert quantised.model.get_memory_footprint() < kept.model.get_memory_footprint()
    assert kept.record["quantization"] is None
    assert quantised.record["quantization"] == f"bitsandbytes, {4 if '4' in flag else 8} bits"


def refusal(*args, **kwargs) -> str:
    with pytest.raises(InputError) as caught:
        load(*args, **kwargs)
    assert "\n" not in str(caught.value) and str(caught.value).endswith(".")
    return str(caught.value)


def test_folder_without_a_model(tmp_path):
    assert "holds no model" in refusal(str(tmp_path))
    (tmp_path / "config.json").write_text("{")
    assert "holds no model that can be loaded" in refusal(str(tmp_path))


def test_file_instead_of_a_folder(folder):
    assert "is a file" in refusal(str(folder / "config.json"))


def test_a_folder_has_no_revisions(folder):
    assert "leave --revision out" in refusal(str(folder), revision="main")


def test_missing_weights(folder, copy):
    (copy / "model.safetensors").unlink()
    assert "holds no model that can be loaded" in refusal(str(copy))
    weights = load_file(folder / "model.safetensors")
    save_file(dict(list(weights.items())[1:]), copy / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 of the weights" in refusal(str(copy))


def test_a_config_with_fewer_layers_than_the_weights(copy):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"]["num_hidden_layers"] = 1
    (copy / "config.json").write_text(json.dumps(config))
    said = refusal(str(copy), device="cpu")
    assert "holds 9 weights that the model of its config has no place for" in said and "layers.1." in said


@pytest.mark.parametrize(
    "key, value, said",
    [
        ("num_hidden_layers", 10_000_000, "asks for 10000000 in text_config.num_hidden_layers, but 10,000 is the most"),
        ("num_hidden_layers", "two", "num_hidden_layers"),
        ("hidden_size", -64, "holds no model that can be loaded"),
        ("rope_parameters", [1], "holds no model that can be loaded"),
        ("vocab_size", None, "holds no model that can be loaded"),
    ],
)
def test_a_config_with_nonsense(copy, key, value, said):
    config = json.loads((copy / "config.json").read_text())
    config["text_config"][key] = value
    (copy / "config.json").write_text(json.dumps(config))
    told = refusal(str(copy), device="cpu")
    assert said in told and "\n" not in told


@pytest.mark.parametrize(
    "settings",
    [
        {"image_mean": "abc"},
        {"image_mean": [0.5, 0.5]},
        {"image_mean": [None, None, None]},
        {"image_std": [[1], [2], [3]]},
        {"size": {"width": -3, "height": 5}},
        {"size": "large"},
        {"rescale_factor": "a third"},
        {"resample": 77},
        {"crop_size": {"height": [], "width": 2}},
    ],
    ids=str,
)
def test_nonsense_in_a_preprocessors_file(copy, settings):
    """It shows when the model is loaded, or with the first picture."""
    path = copy / "processor_config.json"
    config = json.loads(path.read_text())
    config["image_processor"] |= settings
    path.write_text(json.dumps(config))
    with pytest.raises(InputError) as error:
        load(str(copy), device="cpu").encode(PARK, None, "a dog")
    assert "\n" not in str(error.value)


def test_weights_that_a_model_does_without(copy):
    """Buffers that older transformers saved, and heads for other tasks."""
    weights = load_file(copy / "model.safetensors")
    layer = "model.language_model.layers.0.self_attn"
    for name in (f"{layer}.rotary_emb.inv_freq", f"{layer}.attn.masked_bias", "mtp.layers.0.mlp.up_proj.weight"):
        save_file(weights | {name: torch.zeros(4)}, copy / "model.safetensors", metadata={"format": "pt"})
        load(str(copy), device="cpu")
    save_file(weights | {"value_head.weight": torch.zeros(4)}, copy / "model.safetensors", metadata={"format": "pt"})
    assert "holds 1 weights that" in refusal(str(copy), device="cpu")


def test_generation_settings_that_contradict_one_another(folder, copy):
    """transformers would not load the model for them, and none of them is followed."""
    settings = json.loads((copy / "generation_config.json").read_text())
    (copy / "generation_config.json").write_text(json.dumps(settings | {"num_return_sequences": 2}))
    vlm, expected = load(str(copy), device="cpu"), load(str(folder), device="cpu")
    assert same_weights(vlm.model, expected.model) and vlm.end_ids == expected.end_ids


def test_weights_of_another_shape(folder, copy):
    weights = load_file(folder / "model.safetensors")
    name = next(iter(weights))
    save_file(weights | {name: torch.zeros(3, 5)}, copy / "model.safetensors", metadata={"format": "pt"})
    assert "lacks 1 of the weights" in refusal(str(copy))


def test_weights_that_do_not_fit_into_memory(copy):
    size = 4 * 10**12
    header = json.dumps({"w": {"dtype": "F32", "shape": [size // 4], "data_offsets": [0, size]}}).encode()
    with open(copy / "model.safetensors", "wb") as file:
        file.write(len(header).to_bytes(8, "little") + header)
        file.truncate(8 + len(header) + size)  # a hole: it takes no room on the disk
    said = refusal(str(copy), device="cpu")
    assert "take 4000.0 GB and cpu has" in said and "--load-in-4bit" in said
    assert "take 2000.0 GB" in refusal(str(copy), device="cpu", dtype="float16")


def test_no_memory_left_while_loading(folder, monkeypatch):
    def run_out(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory.\nTried to allocate 20.00 GiB.")

    monkeypatch.setattr(tf.AutoModelForImageTextToText, "from_pretrained", run_out)
    assert "too little memory" in refusal(str(folder), device="cpu")


@pytest.mark.parametrize("model", [tf.LlamaForCausalLM, tf.ViTForImageClassification, tf.CLIPModel])
def test_models_that_are_not_vision_language_models(tmp_path, model):
    model.config_class().save_pretrained(tmp_path)
    assert "does not turn a picture and text into text" in refusal(str(tmp_path))


@pytest.mark.parametrize("model_type", REFUSED)
def test_types_that_cannot_be_scored_say_why(tmp_path, model_type):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    said = refusal(str(tmp_path))
    assert said == (
        f"{tmp_path} is a {model_type} model, which cannot be scored: {REFUSED[model_type]}; choose another model."
    )


def test_unknown_model_type(tmp_path):
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "no_such_thing"}))
    assert "'no_such_thing', which transformers" in refusal(str(tmp_path))


def test_options(folder):
    assert "dtype" in refusal(dtype="float8")
    assert "not both" in refusal(load_in_4bit=True, load_in_8bit=True)
    assert "exclude each other" in refusal(device="cpu", device_map="auto")
    assert "no device" in refusal(device="nonsense")
    assert "no device" in refusal(device="cuda:7")
    assert "nonsense" in refusal(str(folder), device_map="nonsense")
    assert refusal(attn_implementation="magic").startswith("There is no attention kernel 'magic'; choose one of eager,")


def test_attention_that_is_not_there(folder, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # kernels might be fetched
    assert "cannot be run with --attn-implementation flash_attention_2 here (" in refusal(
        str(folder), device="cpu", attn_implementation="flash_attention_2"
    )


def test_a_kernel_that_was_registered_is_known(monkeypatch):
    monkeypatch.setitem(ALL_ATTENTION_FUNCTIONS, "ours", sdpa_attention_forward)
    assert load(attn_implementation="ours", device="cpu").record["attn"] == "ours"


@pytest.mark.parametrize(
    "package, options, said",
    [
        ("bitsandbytes", {"load_in_4bit": True}, "needs bitsandbytes: pip install 'copo[quant]'"),
        ("accelerate", {"load_in_8bit": True}, "needs accelerate: pip install 'copo[quant]'"),
        ("accelerate", {"device_map": "auto"}, "--device-map needs accelerate: pip install accelerate"),
    ],
)
def test_packages_that_are_not_there(folder, monkeypatch, package, options, said):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setitem(sys.modules, package, None)
    assert said in refusal(str(folder), **options)


# -- what could run code --


def test_pickled_weights_are_taken_when_asked_for(folder, copy):
    model = tf.AutoModelForImageTextToText.from_pretrained(folder)
    (copy / "model.safetensors").unlink()
    torch.save(model.state_dict(), copy / "pytorch_model.bin")
    assert "add --allow-pickle" in refusal(str(copy))
    assert same_weights(load(str(copy), device="cpu", allow_pickle=True).model, model)


def test_a_pickle_that_runs_code_is_refused_even_then(copy, tmp_path):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "sprung"),))

    (copy / "model.safetensors").unlink()
    torch.save({"weight": Trap()}, copy / "pytorch_model.bin")
    assert "holds no model that can be loaded" in refusal(str(copy), allow_pickle=True)
    assert not (tmp_path / "sprung").exists()


OWN_CODE = """
import pathlib
from transformers import LlavaConfig, LlavaForConditionalGeneration
pathlib.Path(r"{mark}").touch()

class OddConfig(LlavaConfig):
    model_type = "odd"

class OddModel(LlavaForConditionalGeneration):
    config_class = OddConfig
"""


@pytest.mark.parametrize("kind", ["AutoModelForImageTextToText", "AutoModelForVision2Seq", "AutoModelForCausalLM"])
def test_code_that_a_model_brings_along_runs_only_when_asked_for(folder, copy, tmp_path, monkeypatch, kind):
    monkeypatch.setattr("transformers.dynamic_module_utils.HF_MODULES_CACHE", str(tmp_path / "modules"))
    mark = tmp_path / "ran"
    (copy / "odd.py").write_text(OWN_CODE.format(mark=mark))
    config = json.loads((copy / "config.json").read_text())
    config |= {"model_type": "odd", "auto_map": {"AutoConfig": "odd.OddConfig", kind: "odd.OddModel"}}
    (copy / "config.json").write_text(json.dumps(config))
    weights = load(str(folder), device="cpu").model.state_dict()
    save_file(weights, copy / "model.safetensors", metadata={"format": "pt"})
    assert "add --trust-remote-code" in refusal(str(copy), device="cpu")
    assert not mark.exists()
    assert type(load(str(copy), device="cpu", trust_remote_code=True).model).__name__ == "OddModel"
    assert mark.exists()


# -- adapters --


@pytest.fixture
def adapter(folder, tmp_path):
    """An adapter of the model in `folder`, and the model with it on."""
    peft = pytest.importorskip("peft")
    torch.manual_seed(1)
    model = tf.AutoModelForImageTextToText.from_pretrained(folder)
    settings = peft.LoraConfig(target_modules=["q_proj", "v_proj"], init_lora_weights=False)
    adapted = peft.get_peft_model(model, settings)
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter", adapted.merge_and_unload()


def test_an_adapter_is_put_on_its_base(folder, adapter):
    path, expected = adapter
    vlm = load(str(path), device="cpu")
    assert vlm.name == str(path) and type(vlm.model) is tf.LlavaForConditionalGeneration
    assert same_weights(vlm.model, expected)
    assert not same_weights(vlm.model, load(str(folder), device="cpu").model)


def test_an_adapter_may_have_a_processor_of_its_own(folder, adapter):
    path, _ = adapter
    assert load(str(path), device="cpu").processor.patch_size == 14
    processor = tf.AutoProcessor.from_pretrained(folder)
    processor.chat_template = "a template of its own"
    processor.save_pretrained(path)
    assert load(str(path), device="cpu").processor.chat_template == "a template of its own"


def test_adapters_that_cannot_be_used(adapter, monkeypatch):
    path, _ = adapter
    described = json.loads((path / "adapter_config.json").read_text())
    (path / "adapter_config.json").write_text(json.dumps(described | {"base_model_name_or_path": "/no/such/base"}))
    assert "an adapter of /no/such/base, which cannot be loaded: There is no folder" in refusal(str(path))
    (path / "adapter_config.json").write_text(json.dumps(described))
    (path / "adapter_model.safetensors").rename(path / "adapter_model.bin")
    assert "needs --allow-pickle" in refusal(str(path), device="cpu")
    monkeypatch.setitem(sys.modules, "peft", None)
    assert "is an adapter, which needs peft: pip install peft" in refusal(str(path))


@pytest.fixture
def tied(tmp_path):
    """A folder with a model whose head is its embedding table."""
    torch.manual_seed(0)
    model, processor, _ = llava_clip_llama()
    model.config.text_config.tie_word_embeddings = model.config.tie_word_embeddings = True
    model = type(model)(model.config)
    assert model.lm_head.weight is model.get_input_embeddings().weight
    model.save_pretrained(tmp_path / "tied")
    processor.save_pretrained(tmp_path / "tied")
    return tmp_path / "tied"


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": ["q_proj", "lm_head"]},
        {"target_modules": ["q_proj", "embed_tokens"]},
        {"target_modules": ["q_proj"], "modules_to_save": ["lm_head"]},
    ],
)
def test_an_adapter_of_a_tied_layer_leaves_the_other_layer_alone(tied, tmp_path, settings):
    """Scores are those of peft's own forward, from the adapter and from the two saved as one."""
    peft = pytest.importorskip("peft")
    adapted = peft.get_peft_model(
        tf.AutoModelForImageTextToText.from_pretrained(tied), peft.LoraConfig(r=4, init_lora_weights=False, **settings)
    ).eval()
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "modules_to_save" in name:
                weight.normal_()
    adapted.save_pretrained(tmp_path / "adapter")
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        expected = adapted(input_ids=ids).logits
        loaded = load(str(tmp_path / "adapter"), device="cpu")
        torch.testing.assert_close(loaded.model(input_ids=ids).logits, expected, atol=1e-5, rtol=0)
        loaded.model.save_pretrained(tmp_path / "whole")
        loaded.processor.save_pretrained(tmp_path / "whole")
        again = load(str(tmp_path / "whole"), device="cpu")
        torch.testing.assert_close(again.model(input_ids=ids).logits, expected, atol=1e-5, rtol=0)
        assert (load(str(tied), device="cpu").model(input_ids=ids).logits - expected).abs().max() > 0.1


def test_an_adapter_of_another_model(adapter):
    """peft would only warn, and the bare model be scored under the adapter's name."""
    path, _ = adapter
    weights = load_file(path / "adapter_model.safetensors")
    renamed = {name.replace("language_model", "decoder"): weight for name, weight in weights.items()}
    save_file(renamed, path / "adapter_model.safetensors")
    said = refusal(str(path), device="cpu")
    assert "holds 8 weights that its base has no place for (such as base_model.model.model.decoder.layers.0." in said


def test_half_an_adapter(adapter):
    path, _ = adapter
    weights = load_file(path / "adapter_model.safetensors")
    save_file(
        {name: weight for name, weight in weights.items() if "q_proj" in name}, path / "adapter_model.safetensors"
    )
    said = refusal(str(path), device="cpu")
    assert "lacks 10 weights (such as base_model.model.model." in said and ".v_proj.lora_A" in said


def test_an_adapter_with_added_tokens(folder, tmp_path):
    peft = pytest.importorskip("peft")
    model = tf.AutoModelForImageTextToText.from_pretrained(folder)
    model.resize_token_embeddings(model.get_input_embeddings().num_embeddings + 4)
    settings = peft.LoraConfig(target_modules=["q_proj"], modules_to_save=["embed_tokens", "lm_head"])
    peft.get_peft_model(model, settings).save_pretrained(tmp_path / "adapter")
    path = tmp_path / "adapter" / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"base_model_name_or_path": str(folder)}))
    said = refusal(str(tmp_path / "adapter"), device="cpu")
    assert "does not fit its base" in said and "embed_tokens" in said and "resize_token_embeddings" in said


def test_the_bundled_model_built_by_name_is_that_of_transformers(bundled):
    general = causal_attrib.load(BUNDLED_FOLDER, device="cpu")
    ours, theirs = bundled.model.state_dict(), general.model.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)
    assert bundled.model.config.to_dict() == general.model.config.to_dict()
    assert bundled.model.generation_config.to_dict() == general.model.generation_config.to_dict()
    assert bundled.model.name_or_path == general.model.name_or_path
    assert bundled.record | {"id": None} == general.record | {"id": None}
    assert bundled.model.lm_head.weight is bundled.model.get_input_embeddings().weight
