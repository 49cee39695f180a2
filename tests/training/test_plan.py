"""A plan: what a recipe becomes before anything is loaded."""

import dataclasses
import json
from pathlib import Path

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.errors import InputError
from causal_attrib.scenes import write_dataset
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.arithmetic import prompts_at_once, updates, updates_per_epoch, updates_per_sampling
from causal_attrib.training.recipe.file import read_recipe, write_recipe
from causal_attrib.training.recipe.keys import PREFERENCES, Recipe
from causal_attrib.training.recipe.method import COPO, GRPO, METHODS, SymMPO, check_whole_groups
from causal_attrib.training.trainers.checkpoints import check_boundary
from tests.tiny_models import tiny
from tests.training.runs import grpo_trainer, noise_rows

EXAMPLES = Path(__file__).parents[2] / "examples" / "recipes"


@pytest.fixture(scope="module")
def scenes(tmp_path_factory):
    return str(write_dataset(tmp_path_factory.mktemp("scenes") / "three", 3, 0))


@pytest.fixture
def plan(scenes, tmp_path):
    def make(**keys):
        return make_plan(Recipe(**{"data": scenes, "output_dir": str(tmp_path / "out"), **keys}))

    return make


@pytest.mark.parametrize("name", METHODS)
def test_what_is_written_down_is_the_same_run(name, scenes, tmp_path):
    flags = {"data": scenes, "output_dir": str(tmp_path / "out"), "top_p": None if name in PREFERENCES else 0.9}
    first = make_plan(read_recipe(EXAMPLES / f"{name}.yaml", flags))
    write_recipe(tmp_path / "recipe.yaml", first.resolved, "a run")
    again = make_plan(read_recipe(tmp_path / "recipe.yaml"))
    assert (again.method, again.scoring, again.rows) == (first.method, first.scoring, first.rows)
    assert again.arguments.to_dict() == first.arguments.to_dict()
    assert again.resolved == first.resolved


def test_delta_is_symmpo_s_or_else_trl_s(plan):
    assert plan(method="symmpo", delta=0.5).method.delta == 0.5
    grpo = plan(method="grpo", delta=4.0)
    assert grpo.arguments.delta == grpo.resolved["delta"] == 4.0


def test_defaults_follow_what_is_trained(plan):
    assert plan().arguments.learning_rate == 1e-5 and plan(full=True).arguments.learning_rate == 1e-6
    assert plan(method="symmpo").arguments.beta == 0.1 and plan(method="grpo").arguments.beta == 0.0
    assert plan(method="hero").method.keep == 0.6
    assert plan(method="copo").arguments.loss_type == "grpo" and plan(loss_type="dapo").arguments.loss_type == "dapo"
    symmpo = plan(method="symmpo").arguments
    assert (symmpo.learning_rate, symmpo.num_train_epochs) == (5e-6, 2) and plan().arguments.num_train_epochs == 1


def test_a_system_prompt_stands_before_every_conversation(plan):
    rows = plan(system_prompt="Think first.").rows
    assert all(row["prompt"][0] == {"role": "system", "content": "Think first."} for row in rows)
    assert all([turn["role"] for turn in row["prompt"]] == ["system", "user"] for row in rows)


@pytest.mark.parametrize(
    ("iterations", "epochs", "per_generation"), [(1, 2.0, 2), (2, 1.0, 2), (1, 1.5, 2), (1, 1.0, 1), (1, 1.0, 3)]
)
def test_updates_are_as_many_as_trl_makes(iterations, epochs, per_generation, tmp_path):
    settings = {"max_steps": -1, "num_train_epochs": epochs, "num_iterations": iterations, "max_completion_length": 2}
    settings |= {"steps_per_generation": per_generation}
    trainer = grpo_trainer(tiny("llava_clip_llama"), noise_rows(5), tmp_path, method=GRPO(), **settings)
    trainer.train()
    assert trainer.state.global_step == updates(trainer.args, 5)


def test_prompts_and_updates_are_counted(plan):
    arguments = plan(per_device_train_batch_size=8, gradient_accumulation_steps=4, num_generations=8).arguments
    # 32 completions at once, 8 of each prompt; 25 rows make 6 batches of 4, and the last row is left out.
    assert prompts_at_once(arguments) == 4 and updates(arguments, 25) == 6
    twice = plan(others={"num_iterations": 2}, save_steps=2, num_train_epochs=1.5).arguments
    assert updates_per_sampling(twice) == 2 and updates(twice, 25) == 18
    assert updates(plan(max_steps=7).arguments, 25) == 7
    preferences = plan(
        method="symmpo", num_train_epochs=1.0, per_device_train_batch_size=2, gradient_accumulation_steps=4
    ).arguments
    assert updates(preferences, 17) == 3  # 9 batches of 2, 4 of them an update
    with pytest.raises(InputError, match="There are 3 rows, but completions of 4 prompts are sampled at once"):
        updates(arguments, 3)


def test_a_checkpoint_must_stand_between_two_samplings(plan, tmp_path):
    """Three backwards a sampling and two an update: of 25 rows that are 12 updates, and every third is a boundary."""
    settings = {"per_device_train_batch_size": 4, "gradient_accumulation_steps": 2, "num_generations": 4}
    arguments = plan(**settings, save_steps=3, others={"steps_per_generation": 3}).arguments
    assert updates_per_epoch(arguments, 25) == 12
    for done in range(1, 25):
        (tmp_path / "trainer_state.json").write_text(json.dumps({"global_step": done}))
        if done % 3 == 0:
            check_boundary(tmp_path, arguments, 12)
        else:
            with pytest.raises(InputError, match="stands between two updates of one sampling, which takes 1.5 now"):
                check_boundary(tmp_path, arguments, 12)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"outcome": "nonsense"}, "There is no outcome 'nonsense'"),
        ({"scoring_batch_size": 0}, "The batch size is 0, but it must be a whole number from 1 up, or auto"),
    ],
)
def test_what_would_only_show_behind_the_first_sampling_is_refused(keys, message, plan):
    with pytest.raises(InputError, match=message):
        plan(**keys)


@pytest.mark.parametrize(
    ("columns", "keys", "message"),
    [
        *(
            ({name: 1}, {"token_reward": "tests.training.runs:constant"}, f"row 1 has a column '{name}', a name under")
            for name in ("mask", "tokens", "logprobs")
        ),
        ({}, {"reward": ["vicrit"]}, "row 1 has the answer 'yes', which its prompt does not say; the reward vicrit is"),
        ({}, {"reward": [":f"]}, "':f' names no function of a module; give module:function"),
    ],
)
def test_rows_and_rewards_that_do_not_go_together(columns, keys, message, scenes, plan, tmp_path):
    row = {"image": f"{scenes}/images/000000.png", "prompt": "Is there a dog?", "answer": "yes"} | columns
    (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
    with pytest.raises(InputError, match=message):
        plan(data=str(tmp_path / "rows.jsonl"), **keys)


def test_a_gate_over_too_few_prompts_is_remarked_on(plan):
    """Shares by hand: 0.6 of 4 prompts are 2.4, of which ceil makes 3; of 2 they are 1.2, and both are kept."""
    small = {"method": "hero", "num_generations": 2}
    (said,) = plan(**small, per_device_train_batch_size=8, gradient_accumulation_steps=1).remarks
    assert said.startswith(
        "The gate keeps 3 of the 4 prompts that are sampled at once, 75% and not 60%; sample 5 at once"
    )
    (said,) = plan(**small, per_device_train_batch_size=4, gradient_accumulation_steps=1).remarks
    assert said.startswith(
        "The gate keeps all of the 2 prompts that are sampled at once, 100% and not 60%; sample 5 at"
    )
    assert plan(**small, per_device_train_batch_size=10, gradient_accumulation_steps=1).remarks == []
    assert plan(method="grpo").remarks == plan(method="symmpo").remarks == []


def test_yes_and_no_are_words_where_trl_wants_words(plan):
    """YAML reads them as true and false."""
    arguments = plan(others={"save_strategy": False, "log_completions": False}).arguments
    assert arguments.save_strategy == "no" and arguments.log_completions is False


def test_options_reach_trl_in_the_kind_it_wants(plan):
    """transformers refuses a penalty that is a whole number, and an option that is left empty has TRL's default."""
    arguments = plan(others={"repetition_penalty": 2, "top_k": 5.0, "top_p": None, "min_p": None}).arguments
    assert type(arguments.repetition_penalty) is float and type(arguments.top_k) is int
    assert arguments.top_p == 1.0 and arguments.min_p is None


def test_a_group_is_centred_on_one_process(plan):
    arguments = plan(per_device_train_batch_size=8, gradient_accumulation_steps=1).arguments
    check_whole_groups(COPO(center="group"), arguments)
    arguments.per_device_train_batch_size = 4  # of the 8 of a prompt: TRL takes it on two processes
    check_whole_groups(COPO(), arguments)
    with pytest.raises(InputError, match="With center group the 8 completions of a prompt must lie on one process"):
        check_whole_groups(COPO(center="group"), arguments)


def test_a_column_of_two_kinds_is_refused(scenes, plan, tmp_path):
    rows = [json.loads(line) for line in (Path(scenes) / "questions.jsonl").read_text().splitlines()[:2]]
    rows[0]["more"], rows[1]["more"] = 1, ["a"]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(InputError, match="A column has values of different kinds"):
        plan(data=str(tmp_path / "rows.jsonl"), image_root=scenes)


def test_rows_of_symmpo_have_a_contrast(plan):
    got = plan(method="symmpo")
    assert isinstance(got.method, SymMPO) and all("image_contrast" in row for row in got.rows)
    assert dataclasses.replace(got, checkpoint=None).finished is False
