"""What an adapter's config says of where it belongs, and that every way to load it finds that."""

import copy
import json

import pytest
import torch
from transformers import GPT2Config, GPT2LMHeadModel

pytest.importorskip("peft", reason="peft is not installed (extra `train`)")

import causal_attrib
from causal_attrib import InputError
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.run import build
from causal_attrib.training.trainers.lora import check_layers, finish_adapter, lora_config
from causal_attrib.vlm.loading import BUNDLED_FOLDER, without_weights
from tests.tiny_models import tiny


@pytest.fixture
def saved(bundled, tmp_path):
    """An adapter of the bundled model that changes it, saved by peft."""
    from peft import get_peft_model

    adapted = get_peft_model(copy.deepcopy(bundled.model), lora_config(rank=2))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:  # zero at first, so that an adapter changes nothing
            torch.nn.init.normal_(weight, std=0.05)
    adapted.save_pretrained(tmp_path)
    return adapted, tmp_path


def test_the_base_is_a_name_that_is_found_on_every_machine(saved, bundled):
    adapted, folder = saved
    before = json.loads((folder / "adapter_config.json").read_text())
    assert before["base_model_name_or_path"] == BUNDLED_FOLDER
    finish_adapter(folder)
    after = json.loads((folder / "adapter_config.json").read_text())
    assert after["base_model_name_or_path"] == "bundled"
    assert after["target_modules"] == sorted(before["target_modules"]) and len(after["target_modules"]) > 1
    changed = ("base_model_name_or_path", "target_modules")
    assert all(after[name] == value for name, value in before.items() if name not in changed)

    # By us, by peft on a base that is at hand, and as transformers puts it on a model.
    from peft import PeftModel

    by_peft = PeftModel.from_pretrained(copy.deepcopy(bundled.model), folder)
    by_transformers = copy.deepcopy(bundled.model)
    by_transformers.load_adapter(str(folder))
    ids = torch.tensor([[5, 6, 7, 8]])
    with torch.no_grad():
        wanted = adapted(input_ids=ids).logits
        assert not torch.allclose(bundled.model(input_ids=ids).logits, wanted, atol=1e-2)
        for model in (causal_attrib.load(str(folder), device="cpu").model, by_peft, by_transformers):
            assert torch.allclose(model(input_ids=ids).logits, wanted, atol=1e-4)


def test_another_base_and_a_whole_model_stay_as_they_are(tmp_path):
    finish_adapter(tmp_path)
    assert list(tmp_path.iterdir()) == []
    config = {"base_model_name_or_path": "llava-hf/llava-1.5-7b-hf", "target_modules": "all-linear"}
    (tmp_path / "adapter_config.json").write_text(json.dumps(config))
    finish_adapter(tmp_path)
    assert json.loads((tmp_path / "adapter_config.json").read_text()) == config


@pytest.mark.parametrize("key", ["lora_targets", "modules_to_save"])
@pytest.mark.parametrize("name", ["nonsense", "", "proj", "["])
def test_names_of_no_layer_are_refused(bundled, key, name):
    check_layers(bundled.model, **{key: ["q_proj", "linear_1"]})
    with pytest.raises(InputError, match=f"{key} names '.*', and no part of .* such as \\w+") as error:
        check_layers(bundled.model, **{key: ["q_proj", name]})
    told = str(error.value).rpartition("such as ")[2].rstrip(".").split(", ")
    for one in told:
        check_layers(bundled.model, **{key: [one]})


@pytest.mark.parametrize(
    ("targets", "whole", "said"),
    [
        (["q_proj", "fc1"], None, "which the vision tower alone has, .* with its place, such as .*vision_tower.*fc1"),
        (["lm_head"], None, "'lm_head', the head over the vocabulary, where TRL takes no adapter"),
        (["layers"], None, "'layers', and a ModuleList takes no adapter; name layers, such as "),
        (["input_layernorm"], None, "and a LlamaRMSNorm takes no adapter"),
        (["act_fn"], None, "and a SiLU[a-zA-Z]* takes no adapter"),
        (["q_proj"], ["q_proj"], "'q_proj', which modules_to_save trains whole; leave it out of one of them"),
        (["linear_1"], ["multi_modal_projector"], "'linear_1', which modules_to_save trains whole"),
        (None, ["multi_modal_projector", "linear_1"], "'multi_modal_projector' and 'linear_1', which is a part of it"),
        (None, ["linear_1", "multi_modal_projector"], "'multi_modal_projector' and 'linear_1', which is a part of it"),
        (None, ["model"], "modules_to_save names model, which leaves no layer for adapters; train the whole model by"),
        (
            None,
            ["layers"],
            "'layers', and a ModuleList cannot be trained by itself; name a part that has",
        ),
        (None, ["act_fn"], "'act_fn', and a SiLU[a-zA-Z]* cannot be trained by itself"),
    ],
)
def test_names_that_no_adapter_goes_on_are_refused(bundled, targets, whole, said):
    """peft would end with a dump of the model, or train without them."""
    with pytest.raises(InputError, match=said):
        check_layers(bundled.model, lora_targets=targets, modules_to_save=whole)


def test_what_is_named_and_fits_passes(bundled):
    check_layers(bundled.model, lora_targets=["q_proj", "embed_tokens"], modules_to_save=["multi_modal_projector"])
    place = next(path for path, _ in bundled.model.named_modules() if path.endswith("fc1"))
    check_layers(bundled.model, lora_targets=[place])


def test_layers_of_gpt2_are_linear_ones_too():
    """peft puts adapters on them, though they are no `nn.Linear`."""
    model = GPT2LMHeadModel(GPT2Config(vocab_size=8, n_embd=8, n_layer=1, n_head=1, n_positions=8))
    check_layers(model)
    check_layers(model, modules_to_save=["wpe"])
    with pytest.raises(InputError, match="modules_to_save names transformer, which leaves no layer for adapters"):
        check_layers(model, modules_to_save=["transformer"])


def test_a_layer_of_the_tower_takes_no_other_of_it_along(bundled):
    from peft import get_peft_model

    targets = ["q_proj", "vision_tower.encoder.layers.0.mlp.fc1"]
    check_layers(bundled.model, lora_targets=targets)
    adapted = get_peft_model(copy.deepcopy(bundled.model), lora_config(2, targets=targets))
    has = {name for name, weight in adapted.named_parameters() if weight.requires_grad and "vision" in name}
    assert len(has) == 2 and all("layers.0.mlp.fc1" in name for name in has)


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen2_5_vl", "idefics3", "gemma3"])
def test_the_modules_of_a_config_are_those_of_the_model(name, tmp_path):
    vlm = tiny(name)
    vlm.model.config.save_pretrained(tmp_path)
    empty = without_weights(str(tmp_path))
    assert [path for path, _ in empty.named_modules()] == [path for path, _ in vlm.model.named_modules()]
    assert all(weight.is_meta for weight in empty.parameters())


def test_layers_are_looked_for_before_the_weights_are_read(tmp_path):
    tiny("llava_clip_llama").model.config.save_pretrained(tmp_path / "model")
    rows = [{"prompt": "what is it?", "answer": "a dog"}] * 8
    (tmp_path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    here = {"model": str(tmp_path / "model"), "data": str(tmp_path / "rows.jsonl"), "output_dir": str(tmp_path / "out")}
    read = []
    plan = make_plan(Recipe(method="grpo", lora_targets=("q_porj",), **here))
    with pytest.raises(InputError, match="lora_targets names 'q_porj', and no part of .* such as q_proj"):
        build(plan, lambda *_, **__: read.append(True))
    assert not read
