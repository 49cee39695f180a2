"""What is refused before torch is imported: names, numbers, files that are not there."""

import dataclasses
import math
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.check import check_recipe
from causal_attrib.training.recipe.file import read_recipe
from causal_attrib.training.recipe.keys import LOSSES, LOSSES_OF_DPO, Recipe
from causal_attrib.training.recipe.trl_options import CHOICES, RANGES, kind_of, kinds_in, options_of_trl, read_option

HERE = str(Path(__file__).parent)
# Ten of ten of ten ..., which would be a thousand million values.
LAUGHS = "a0: &a0 [1]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10))


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        ({"learning_rate": math.nan}, "The key 'learning_rate' of the recipe is nan; give a number."),
        ({"temperature": 0.0}, "The key 'temperature' of the recipe is 0.0; give a number from 0.001 up."),
        ({"temperature": math.inf}, "The key 'temperature' of the recipe is inf; give a number."),
        ({"weights": [0.7, math.nan, 0.1, 0.1], "method": "cepo"}, "The key 'weights' of the recipe is nan"),
        ({"others": {"top_p": math.nan}}, "The key 'top_p' of the recipe is nan"),
        ({"others": {"generation_kwargs": {"top_k": -math.inf}}}, "The key 'generation_kwargs' of the recipe is -inf"),
        ({"max_steps": 10**400}, "The key 'max_steps' of the recipe is a number of more than 18 digits"),
        ({"seed": -1}, "The key 'seed' of the recipe is -1; give a number from 0 to 4294967295."),
        ({"num_generations": 1}, "The key 'num_generations' of the recipe is 1; give a number from 2 to 10000."),
        ({"per_device_train_batch_size": 0}, "'per_device_train_batch_size' of the recipe is 0; give a number from 1"),
        ({"method": "ppo"}, "There is no method 'ppo'"),
        ({"lambda_s": 1.5}, "lambda_s is 1.5, but it must be a number from 0 to 1"),
        ({"reward": ["nice"]}, "There is no reward 'nice'; choose one of match, likeness"),
        ({"others": {"lamda_s": 1}}, "There is no key 'lamda_s' in a recipe; did you mean 'lambda_s'?"),
        ({"others": {"max_length": 10}}, "copo takes no key 'max_length'"),
        ({"method": "symmpo", "others": {"num_iterations": 2}}, "symmpo takes no key 'num_iterations'"),
        ({"loss_type": "gspo"}, "gspo is no loss_type but a ratio of whole sequences; set importance_sampling_level"),
        ({"method": "papo", "loss_type": "vespo"}, "papo adds to the loss, which goes with loss_type grpo, bnpo,"),
        ({"token_reward": "mine"}, "The token_reward 'mine' names no function; give module:function."),
        ({"token_reward": "mine:f", "method": "symmpo"}, "symmpo has no advantages, to which a token_reward"),
        ({"loss_type": "ppo"}, f"There is no loss_type 'ppo'; choose one of {', '.join(LOSSES)}."),
        ({"others": {"importance_sampling_level": "word"}}, "There is no importance_sampling_level 'word'"),
        (
            {"others": {"resume_from_checkpoint": "gone"}},
            "resume_from_checkpoint is not read; go on with a run by --res",
        ),
        ({"max_steps": 0}, "'max_steps' of the recipe is 0; give 1 or more, or -1 to go by num_train_epochs."),
        ({"num_train_epochs": 0.0}, "'num_train_epochs' of the recipe is 0, which is no training; give a number above"),
        ({"beta": -1.0}, "The key 'beta' of the recipe is -1.0; give a number from 0 to 1000."),
        ({"method": "dpo", "beta": 0.0}, "The key 'beta' of the recipe is 0, and dpo learns nothing; give more."),
        ({"method": "grpo", "delta": -5.0}, "The key 'delta' of the recipe is -5.0; give a number above 0."),
        ({"learning_rate": 1e20}, "The key 'learning_rate' of the recipe is 1e+20; give a number from 0 to 1."),
        ({"lora_dropout": 1.0}, "'lora_dropout' of the recipe is 1.0; give a number from 0 up and below 1."),
        (
            {"method": "cepo", "draws": 10**9},
            "The number of draws is 1000000000, but it must be a whole number",
        ),
        ({"method": "pgpo", "boost": 1e300}, "boost is 1e+300, but it must be a number from 0 to 1000"),
        ({"method": "dpo", "loss_type": "foo"}, f"no loss_type 'foo'; choose one of {', '.join(LOSSES_OF_DPO)}."),
        ({"reward": []}, "The key 'reward' of the recipe names no reward; give match, likeness,"),
        ({"reward_weights": [0.0]}, "The reward_weights are all 0, so that no reward counts; give one that is not."),
        ({"lora_targets": []}, "lora_targets names no layer; name some, such as q_proj and v_proj, or leave it out."),
        ({"data": None}, "There is no data to train on"),
        ({"data": "gone.jsonl"}, "There is no file gone.jsonl; check the path."),
        ({"eval_file": "gone.jsonl"}, "There is no file gone.jsonl"),
    ],
)
def test_a_slip_is_one_sentence(keys, said):
    with pytest.raises(InputError) as error:
        check_recipe(Recipe(**{"data": HERE} | keys))
    assert said in str(error.value) and "\n" not in str(error.value) and str(error.value)[-1] in ".?"


@pytest.mark.parametrize(
    ("keys", "said"),
    [
        (
            {"method": "pgpo", "patch_share": 0.5},
            "patch_share is of spoil: patches, and spoil is none; leave out",
        ),
        ({"method": "papo", "spoil": "blur", "patch_size": 7}, "patch_size is of spoil: patches, and spoil is blur"),
        (
            {"method": "vppo", "spoil": "colour", "patch_share": 0.5},
            "patch_share is of spoil: patches, and spoil is",
        ),
        ({"method": "vppo", "patch_share": 0.0}, "patch_share is 0, so that nothing of the picture is spoilt; give a"),
        ({"method": "papo", "patch_share": 0.0}, "patch_share is 0, so that nothing of the picture is spoilt; give a"),
        ({"share": 0.2}, "share is of subset: entropy, and subset is all; leave out share, or change subset."),
        ({"share": 0.2, "subset": "content"}, "share is of subset: entropy, and subset is content"),
        (
            {"eval_steps": 5},
            "eval_steps is of evaluations, and there is no eval_file; give one",
        ),
        ({"others": {"eval_strategy": "steps"}}, "eval_strategy is of evaluations, and there is no eval_file"),
        ({"modules_to_save": []}, "modules_to_save names no part of the model; name some, or leave it out."),
        ({"lora_targets": ["q_proj, v_proj"]}, "lora_targets has 'q_proj, v_proj' as one name; give a list, such as ["),
        ({"lora_targets": ["all-linear"]}, "lora_targets takes no all-linear; leave it out, and adapters go on every"),
        (
            {"others": {"optim_target_modules": ["q_proj"]}},
            "optim_target_modules is of the optimizers galore and",
        ),
        ({"others": {"optim": "galore_adamw"}}, "galore_adamw is for layers that are named; give optim_target_modules"),
        (
            {"others": {"do_train": False}},
            "The key do_train is read by scripts of transformers alone, and has no",
        ),
        (
            {"others": {"entropy_target": 0.3}},
            "entropy_target has no effect but with use_adaptive_entropy: yes;",
        ),
        ({"others": {"sapo_temperature_pos": 1.2}}, "sapo_temperature_pos has no effect but with loss_type: sapo; set"),
        ({"others": {"label_smoothing_factor": 0.1}}, "label_smoothing_factor has no effect on these losses; leave it"),
        ({"others": {"dataloader_persistent_workers": True}}, "keeps workers, and there are none; set dataloader_num"),
        ({"others": {"remove_unused_columns": True}}, "remove_unused_columns would remove columns that rewards and"),
    ],
)
def test_what_would_have_no_effect_is_refused(keys, said):
    with pytest.raises(InputError) as error:
        check_recipe(Recipe(**{"data": HERE} | keys))
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("num_iterations", 0, "is 0; give a whole number from 1 up."),
        ("steps_per_generation", 1.5, "is 1.5; give a whole number from 1 up."),
        ("top_p", "a", "is 'a'; give a number above 0 and at most 1."),
        ("top_p", 5, "is 5; give a number above 0 and at most 1."),
        ("top_p", 0, "is 0; give a number above 0 and at most 1."),
        ("top_p", [0.9], "is [0.9]; give a number above 0 and at most 1."),
        ("top_k", -3, "is -3; give a whole number from 0 up."),
        ("min_p", 2, "is 2; give a number from 0 to 1."),
        ("epsilon", "high", "is 'high'; give a number from 0 to 1."),
        ("epsilon", -1, "is -1; give a number from 0 to 1."),
        ("max_grad_norm", "a", "is 'a'; give a number from 0 up."),
        ("max_grad_norm", -1, "is -1; give a number from 0 up."),
        ("repetition_penalty", 0, "is 0; give a number above 0."),
        ("top_entropy_quantile", 2, "is 2; give a number from 0 to 1."),
        ("adam_beta1", 1, "is 1; give a number from 0 up and below 1."),
        ("mask_truncated_completions", "maybe", "is 'maybe'; give true or false."),
        ("torch_compile", "oui", "is 'oui'; give true or false."),
        ("pad_to_multiple_of", 0, "is 0; give a whole number from 1 up, or auto."),
        ("pad_to_multiple_of", "foo", "is 'foo'; give a whole number from 1 up, or auto."),
        ("chat_template_kwargs", 3, "is 3; give keys with values, such as {name: value}."),
        ("chat_template_kwargs", "foo", "is 'foo'; give keys with values, such as {name: value}."),
        ("optim_args", "foo", "is 'foo'; give names with values, such as rank=128,scale=2."),
        ("run_name", [1], "is [1]; give text."),
    ],
)
def test_options_of_trl_are_of_their_kind_and_range(name, value, said):
    with pytest.raises(InputError) as error:
        check_recipe(Recipe(data=HERE, output_dir="nowhere", others={name: value}))
    assert str(error.value) == f"The key {name!r} of the recipe {said}"


def test_options_within_others_are_looked_at_too():
    with pytest.raises(InputError, match="The key 'top_p' of the recipe is 5; give a number above 0 and at most 1"):
        check_recipe(Recipe(data=HERE, output_dir="nowhere", others={"generation_kwargs": {"top_p": 5}}))


@pytest.mark.parametrize(
    ("name", "value", "told"),
    [
        ("repetition_penalty", 2, 2.0),  # transformers refuses the whole number
        ("top_k", 5.0, 5),
        ("top_p", "0.9", 0.9),
        ("disable_dropout", 1, True),
        ("pad_to_multiple_of", "auto", "auto"),
        ("pad_to_multiple_of", "8", 8),
        ("scale_rewards", False, False),
        ("save_strategy", False, "no"),
        ("include_num_input_tokens_seen", "all", "all"),
        ("label_names", "answer", ["answer"]),
        ("chat_template_kwargs", '{"a": 1}', '{"a": 1}'),
        ("fsdp_config", "fsdp.json", "fsdp.json"),
        ("generation_kwargs", {"repetition_penalty": 2, "eos": 3}, {"repetition_penalty": 2.0, "eos": 3}),
        ("run_name", 3, "3"),
        ("max_grad_norm", 0, 0.0),  # none
        ("min_p", None, None),
    ],
)
def test_what_trl_takes_in_several_kinds_passes(name, value, told):
    check_recipe(Recipe(data=HERE, output_dir="nowhere", others={name: value}))
    read = read_option(name, value, options_of_trl()["GRPOConfig"][name])
    assert read == told and type(read) is type(told)


def test_ranges_and_words_are_of_options_that_there_are_and_hold_their_defaults():
    import trl

    seen = set()
    for name, kinds in options_of_trl().items():
        defaults = {field.name: field.default for field in dataclasses.fields(getattr(trl, name))}
        for option in {*RANGES, *CHOICES} & set(kinds):
            seen.add(option)
            read_option(option, defaults[option], kinds[option])
    assert seen == {*RANGES, *CHOICES}


def test_losses_of_dpo_are_those_of_trl():
    source = (Path(find_spec("trl").origin).parent / "trainer" / "dpo_trainer.py").read_text()
    assert re.findall(r'if loss_type == "(\w+)":', source) == list(LOSSES_OF_DPO)


def test_what_is_right_passes():
    passing = (
        {"max_steps": 3, "num_train_epochs": 0.0},
        {"loss_type": "cispo", "others": {"epsilon": 4, "epsilon_high": 5}},
        {"use_vllm": True, "others": {"top_k": -1}},
        {"reward_weights": [0.0], "token_reward": "my:own"},
        {"subset": "entropy", "share": 0.2},
        {"method": "pgpo", "spoil": "patches", "patch_share": 0.5},
        {"method": "symmpo", "delta": -1.0, "reward": []},
        {"method": "dpo", "beta": 0.0, "loss_type": "sft"},
        {"loss_type": "sapo", "others": {"sapo_temperature_pos": 1.2}},
        {"others": {"use_adaptive_entropy": True, "entropy_target": 0.3}},
    )
    for keys in passing:
        assert check_recipe(Recipe(data=HERE, output_dir="nowhere", **keys)) is None
    assert check_recipe(Recipe(data=HERE, output_dir="nowhere")) is None
    # The power mean with an infinite exponent is the maximum.
    assert check_recipe(Recipe(method="cepo", p=math.inf, data=HERE, output_dir="nowhere")) is None
    more = {"importance_sampling_level": "sequence", "top_p": 0.9, "save_strategy": False}
    assert check_recipe(Recipe(loss_type="luspo", data=HERE, output_dir="nowhere", others=more)) is None


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("loss_type", "ipo"),
        ("label_smoothing", 0.1),
        ("f_divergence_type", "js_divergence"),
        ("use_weighting", True),
        ("ld_alpha", 0.5),
        ("discopop_tau", 0.1),
        ("loss_weights", [1.0]),
        ("truncation_mode", "keep_end"),
    ],
)
def test_settings_of_dpo_that_symmpo_does_not_read_are_refused(name, value):
    recipe = read_recipe(None, {"method": "symmpo", "data": HERE, "output_dir": "nowhere", name: value})
    with pytest.raises(
        InputError, match=f"symmpo has a loss of its own, on which '{name}' has no effect; leave it out"
    ):
        check_recipe(recipe)


def test_trl_s_settings_are_read_from_its_source_as_they_are():
    import trl

    for name, read in options_of_trl().items():
        fields = {field.name: kind_of(field) for field in dataclasses.fields(getattr(trl, name))}
        assert {option: kinds_in(kind) for option, kind in read.items()} == {
            option: kinds_in(kind) for option, kind in fields.items()
        }
        # Those whose values no recipe can hold are left to TRL.
        assert [option for option, kind in read.items() if not kinds_in(kind) - {"None"}] == ["parallelism_config"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("top_p: &a [*a]", "is nested too deeply for a recipe, or refers to itself"),
        ("a: &a {b: *a}", "is nested too deeply for a recipe, or refers to itself"),
        ("a: " + "[" * 5000, "is nested too deeply"),
        (LAUGHS, "is nested too deeply"),
        ("max_steps: " + "9" * 5000, "holds a value that cannot be read (Exceeds the limit"),
        ("learning_rate: " + "9" * 400, "'learning_rate' of the recipe is inf"),
        ("max_steps: .nan", "'max_steps' of the recipe is nan; give a number"),
        ("max_steps: .inf", "'max_steps' of the recipe is inf; give a whole number"),
        ("when: 2020-99-99", "holds a value that cannot be read"),
        ("method: " + str(["x" * 50] * 50), "...; give text."),
    ],
)
def test_a_hostile_file_is_one_short_sentence(text, said, tmp_path):
    path = tmp_path / "recipe.yaml"
    path.write_text(text)
    with pytest.raises(InputError) as error:
        check_recipe(read_recipe(path, {"data": HERE}))
    told = str(error.value).replace(str(path), "")
    assert said in told and "\n" not in told and len(told) < 200


def test_no_slip_waits_for_torch():
    """In a process of its own: here torch has been imported."""
    slips = (
        ["--method", "ppo"],
        ["--method", "hero", "--lambda-s", "1"],
        ["--lambda-s", "3"],
        ["--lamda-s", "1"],
        ["--reward", "nice"],
        ["--data", "gone.jsonl"],
        ["--loss-type", "gspo"],
        ["--num-iterations", "0"],
        ["--top-p=a"],
        ["--max-steps", "0"],
        ["--resume", "gone"],
        ["--config", "gone.yaml"],
    )
    code = (
        "import sys; from typer.testing import CliRunner; from causal_attrib_cli.main import app\n"
        f"done = [CliRunner().invoke(app, ['train', '--data', {HERE!r}, *words]) for words in {slips!r}]\n"
        "print([result.exit_code for result in done], 'torch' in sys.modules, 'transformers' in sys.modules)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == f"{[2] * len(slips)} False False"
