"""Which checkpoint a run goes on from, whenever it was killed."""

import json
import re
from dataclasses import replace

import pytest

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.trainers.checkpoints import (
    check_free,
    check_goes_on,
    check_kind,
    find_checkpoint,
    last_checkpoint,
)


def checkpoint(folder, step, state='{"global_step": 1}'):
    path = folder / f"checkpoint-{step}"
    path.mkdir()
    (path / "adapter_config.json").write_text('{"r": 16}')
    (path / "optimizer.pt").touch()
    if state is not None:
        (path / "trainer_state.json").write_text(state)
    return path


def test_the_last_whole_one_is_found(tmp_path):
    assert last_checkpoint(tmp_path) is None
    checkpoint(tmp_path, 9)
    whole = checkpoint(tmp_path, 10)
    checkpoint(tmp_path, 11, state='{"global_step": 1')  # killed while the state was written
    checkpoint(tmp_path, 12, state=None)  # and before that
    checkpoint(tmp_path, "best")
    assert last_checkpoint(tmp_path) == find_checkpoint(tmp_path, "last") == whole


def test_one_that_is_named_must_be_whole(tmp_path):
    whole = checkpoint(tmp_path, 1)
    assert find_checkpoint(tmp_path, str(whole)) == whole
    with pytest.raises(InputError, match="checkpoint-2 is no checkpoint that can be resumed"):
        find_checkpoint(tmp_path, str(checkpoint(tmp_path, 2, state=None)))
    with pytest.raises(InputError, match="checkpoint-3 is no checkpoint that can be resumed"):
        find_checkpoint(tmp_path, str(checkpoint(tmp_path, 3, state="[1]")))
    # The folder of a run has a state of the Trainer too, once it has ended.
    (tmp_path / "trainer_state.json").write_text('{"global_step": 1}')
    with pytest.raises(InputError, match=f"holds no state of the optimizer, .*; give {re.escape(str(whole))}."):
        find_checkpoint(tmp_path, str(tmp_path))
    (whole / "optimizer.pt").unlink()
    with pytest.raises(InputError, match="holds no state of the optimizer, .*; leave out save_only_model"):
        find_checkpoint(tmp_path, "last")


def test_one_of_another_run_is_resumed_by_its_method_and_with_its_weights(tmp_path):
    path = checkpoint(tmp_path, 1)
    ours = Recipe(data="rows.jsonl", method="vppo")
    check_goes_on(path, ours)  # what the run was is not known
    (tmp_path / "recipe.yaml").write_text("method: copo\nlora_rank: 16\nlora_alpha: 32\nlora_targets: [q_proj]\n")
    with pytest.raises(
        InputError, match="checkpoint-1 is of a run of copo, and this is one of vppo; resume it with --method"
    ):
        check_goes_on(path, ours)
    ours = replace(ours, method="copo")
    with pytest.raises(
        InputError, match=r"was trained with lora_targets \['q_proj'\], and this run has None; resume it"
    ):
        check_goes_on(path, ours)
    ours = replace(ours, lora_targets=("q_proj",))
    check_goes_on(path, ours)
    with pytest.raises(InputError, match="was trained with lora_alpha 32, and this run has 64"):
        check_goes_on(path, replace(ours, lora_alpha=64))
    with pytest.raises(InputError, match="was trained with use_dora None, and this run has True"):
        check_goes_on(path, replace(ours, use_dora=True))
    for damaged in ("[]", "{}", "{"):
        (path / "adapter_config.json").write_text(damaged)
        with pytest.raises(InputError, match="adapter_config.json is damaged; resume another checkpoint"):
            check_goes_on(path, ours)


def test_files_that_no_run_has_written_are_not_replaced(tmp_path):
    check_free(tmp_path / "new")
    check_free(tmp_path)
    (tmp_path / "README.md").write_text("my own")
    with pytest.raises(InputError, match="holds a README.md that no run has written, and this one would replace it"):
        check_free(tmp_path)
    (tmp_path / "versions.json").touch()
    check_free(tmp_path)


def test_an_adapter_is_not_resumed_as_a_whole_model(tmp_path):
    adapter = checkpoint(tmp_path, 1)
    (adapter / "adapter_config.json").write_text('{"r": 8}')
    check_kind(adapter, full=False, rank=8)
    with pytest.raises(InputError, match="holds adapters of rank 8, but this run trains some of rank 16"):
        check_kind(adapter, full=False, rank=16)
    with pytest.raises(InputError, match="holds an adapter, but this run trains the whole model"):
        check_kind(adapter, full=True)
    (adapter / "adapter_config.json").unlink()
    with pytest.raises(InputError, match="holds a whole model, but this run trains an adapter"):
        check_kind(adapter, full=False)


def test_the_trainer_writes_the_state_last(tmp_path):
    """What `last_checkpoint` rests on, held to the transformers that is installed."""
    pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")
    from causal_attrib.training.recipe.method import GRPO
    from tests.tiny_models import tiny
    from tests.training.runs import grpo_trainer, noise_rows

    settings = {"save_strategy": "steps", "save_steps": 1, "save_total_limit": 1, "max_steps": 2}
    grpo_trainer(tiny("llava_clip_llama"), noise_rows(), tmp_path, method=GRPO(), **settings).train()
    (last,) = tmp_path.glob("checkpoint-*")
    written = {path.name: path.stat().st_mtime_ns for path in last.iterdir()}
    assert max(written, key=written.get) == "trainer_state.json"
    assert json.loads((last / "trainer_state.json").read_text())["global_step"] == 2
    assert {"optimizer.pt", "scheduler.pt", "rng_state.pth"} <= set(written)
