"""What a dry run says a run will take, against what it takes."""

import statistics

import pytest

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.scenes import write_dataset
from causal_attrib.training.dry_run import dry_run
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.run import build
from tests.tiny_models import tiny
from tests.training.runs import SMALL


def test_the_estimate_is_near_what_updates_take_from_the_second_on(tmp_path):
    vlm = tiny("llava_clip_llama")
    vlm.model.save_pretrained(tmp_path / "model")
    vlm.processor.save_pretrained(tmp_path / "model")
    scenes = write_dataset(tmp_path / "scenes", 4, 0)
    keys = SMALL | {"max_completion_length": 8, "max_steps": 4, "reward": ["tests.training.runs:slow"]}
    recipe = Recipe(
        method="grpo", model=str(tmp_path / "model"), data=str(scenes), output_dir=str(tmp_path / "out"), **keys
    )
    found = dry_run(make_plan(recipe))
    # Loading, the check of the loss, and a checkpoint at each update beside the last.
    assert found.total == found.seconds * 4 + found.once and found.once > 0
    assert [name for name, *_ in found.phases][-1] == "save the model"
    assert found.once >= 5 * found.phases[-1][1]
    assert list((tmp_path / "out").iterdir()) == []

    plan = make_plan(recipe)
    plan.arguments.save_strategy = "no"
    trainer = build(plan)
    trainer.train()
    lines = [line for line in trainer.state.log_history if "loss" in line][1:]
    took = statistics.median(sum(line[key] for key in line if key.startswith("seconds/")) for line in lines)
    assert found.seconds == pytest.approx(took, rel=0.25)


def test_its_batches_are_the_run_s_own_rows(tmp_path):
    """Two rows over and over would share what the prompts of a run do not."""
    from causal_attrib.training.dry_run import _small

    scenes = write_dataset(tmp_path / "scenes", 4, 0)
    keys = SMALL | {"per_device_train_batch_size": 6}
    plan = make_plan(Recipe(method="grpo", data=str(scenes), output_dir=str(tmp_path / "out"), **keys))
    small, _ = _small(plan, str(tmp_path / "dry"))
    assert small.rows == plan.rows[:6] and len({str(row["prompt"]) for row in small.rows}) > 2
