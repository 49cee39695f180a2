"""TRL's loss held against the formula: it agrees where nothing is wrong, and tells where something is."""

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.recipe.method import COPO, GRPO
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.trainers.lora import lora_config
from causal_attrib.training.watch.loss_check import check_loss, loss_sign
from tests.tiny_models import tiny
from tests.training.runs import grpo_trainer, noise_rows

LAYOUTS = ("llava_clip_llama", "qwen2_vl", "idefics3")


def checked(folder, kind=CopoGRPOTrainer, name=LAYOUTS[0], rows=None, **settings):
    settings = {"method": GRPO(), "max_steps": 1} | settings
    trainer = grpo_trainer(tiny(name), rows or noise_rows(), folder, kind, **settings)
    trainer.train()
    return check_loss(trainer)


@pytest.mark.parametrize("name", LAYOUTS)
def test_both_agree_on_every_layout(name, tmp_path):
    check = checked(tmp_path, name=name)
    assert check.sign is None
    assert check.theirs == pytest.approx(check.ours, abs=1e-5) and abs(check.ours) > 0.01


@pytest.mark.parametrize("loss_type", ("grpo", "bnpo", "dr_grpo", "dapo"))
@pytest.mark.parametrize("corrected", (True, False))
def test_and_with_every_loss_and_a_reference(loss_type, corrected, tmp_path):
    check = checked(
        tmp_path,
        loss_type=loss_type,
        beta=0.1,
        use_bias_correction_kl=corrected,
        temperature=0.8,
        epsilon_high=0.28,
        peft_config=lora_config(4, 8, 0.5),
    )
    assert check.sign is None
    assert check.theirs == pytest.approx(check.ours, abs=1e-5)


def test_and_where_a_gate_holds_all_of_the_batch_back(tmp_path):
    check = checked(tmp_path, method=GRPO(keep=0.5), steps_per_generation=2, num_generations=4)
    assert check.sign is None and abs(check.ours) > 0.01


def test_and_with_scores_in_half_precision(tmp_path):
    check = checked(tmp_path, method=COPO(), scoring=Scoring(outcome="grounding"), bf16=True)
    assert check.sign is None


class OffByOne(CopoGRPOTrainer):
    """Takes each token for its neighbour."""

    def _get_per_token_logps_and_entropies(self, *args, **kwargs):
        logprob_BT, *others = super()._get_per_token_logps_and_entropies(*args, **kwargs)
        return logprob_BT.roll(1, dims=1), *others


class OneForAll(CopoGRPOTrainer):
    """Gives all tokens of a completion one advantage."""

    def _compute_loss(self, model, inputs):
        advantage = inputs["advantages"]
        return super()._compute_loss(
            model, inputs | {"advantages": advantage if advantage.ndim == 1 else advantage.mean(1)}
        )


class Unseeing(CopoGRPOTrainer):
    """Shows the model another picture."""

    def _get_per_token_logps_and_entropies(self, *args, pixel_values, **kwargs):
        return super()._get_per_token_logps_and_entropies(*args, pixel_values=pixel_values.flip(0), **kwargs)


class Broken(CopoGRPOTrainer):
    """Gets numbers that are none."""

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        return loss if self.model.training else loss * torch.nan


@pytest.mark.parametrize("kind", (OffByOne, OneForAll, Unseeing, Broken))
def test_what_trains_wrongly_is_told(kind, tmp_path):
    sign = checked(tmp_path, kind).sign
    assert "it does not train this model as it should" in sign


def test_what_has_no_counterpart_is_not_checked(tmp_path):
    assert checked(tmp_path, loss_type="cispo") is None
    rows = noise_rows()
    two = [{"images": [row["image"], row["image"]], "prompt": row["prompt"]} for row in rows]
    assert checked(tmp_path, rows=two).sign is None
    assert checked(tmp_path, rows=[{"prompt": row["prompt"]} for row in rows]) is None


@pytest.fixture
def trained(tmp_path):
    trainer = grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, CopoGRPOTrainer, method=GRPO(), max_steps=1)
    trainer.train()
    return trainer


def test_a_trl_that_cannot_be_checked_does_not_end_the_run(trained):
    assert loss_sign(trained) is None
    # As vLLM, FSDP and DeepSpeed would say it.
    trained.use_vllm = trained.is_fsdp_enabled = True
    said = loss_sign(trained)
    assert "was not held against the formula, which does not cover vLLM, FSDP; a dry run without it can" in said
    trained.use_vllm = trained.is_fsdp_enabled = False
    del trained.aux_loss_enabled
    assert "was not held against the formula, since TRL has changed" in loss_sign(trained)


def test_the_check_leaves_no_trace(trained):
    """Metrics, modes of modules and random numbers are as they were."""
    trained._metrics["eval"]["entropy"].append(3.0)
    before = [module.training for module in trained.model.modules()], torch.get_rng_state()
    assert any(before[0])
    assert check_loss(trained).sign is None
    assert [module.training for module in trained.model.modules()] == before[0]
    assert torch.equal(torch.get_rng_state(), before[1])
    assert trained._metrics["eval"] == {"entropy": [3.0]}
