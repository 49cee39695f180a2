"""What is refused before torch is imported: names, numbers, files that are not there."""

import dataclasses
import math
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.errors import InputError
from causal_attrib.training.recipe import check
from causal_attrib.training.recipe.check import check_recipe
from causal_attrib.training.recipe.file import read_recipe
from causal_attrib.training.recipe.keys import LOSSES, Recipe

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
        ({"data": None}, "There is no data to train on"),
        ({"data": "gone.jsonl"}, "There is no file gone.jsonl; check the path."),
        ({"eval_file": "gone.jsonl"}, "There is no file gone.jsonl"),
    ],
)
def test_a_slip_is_one_sentence(keys, said):
    with pytest.raises(InputError) as error:
        check_recipe(Recipe(**{"data": HERE} | keys))
    assert said in str(error.value) and "\n" not in str(error.value) and str(error.value)[-1] in ".?"


def test_what_is_right_passes():
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

    for name, read in check._settings_of_trl().items():
        assert read == {field.name for field in dataclasses.fields(getattr(trl, name))}


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
