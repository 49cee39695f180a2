"""vppo, pgpo, papo and token rewards in TRL's trainer: what reaches the loss, and that nothing else does."""

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from trl import GRPOTrainer

from causal_attrib.errors import InputError
from causal_attrib.objectives import aggregate, perception_loss, pgpo_advantage, vppo_advantage
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.recipe.method import CEPO, DPO, GRPO, PAPO, PGPO, VPPO
from causal_attrib.training.scoring.spoilt import Spoil, spoilt_picture
from causal_attrib.training.scoring.token_reward import TokenReward
from causal_attrib.training.trainers.sharding import check_sharding
from causal_attrib.training.watch.loss_check import loss_sign
from tests.tiny_models import tiny
from tests.training.runs import grpo_trainer, logged, noise_rows
from tests.training.test_copo_trainer import weights

LLAVA = "llava_clip_llama"


def trained(folder, **ours):
    settings = {"max_steps": 2, "gradient_accumulation_steps": 1} | ours
    trainer = grpo_trainer(tiny(LLAVA), noise_rows(), folder, **settings)
    trainer.train()
    return trainer


@pytest.fixture(scope="module")
def vanilla(tmp_path_factory):
    """Two steps of TRL's own trainer."""
    return trained(tmp_path_factory.mktemp("vanilla"), kind=GRPOTrainer)


@pytest.mark.parametrize(
    "ours",
    [
        {"method": VPPO(top_tokens=1, advantage_min=1, entropy_penalty=0)},
        {"method": PGPO(threshold=0, boost=0)},
        # Of constants there is no gradient.
        {"method": PAPO(gamma=0, eta=0, eta_spoilt=0.5, spoilt_gradient=False)},
        {"method": GRPO(), "token_reward": TokenReward("tests:none", lambda mask, **_: torch.zeros(mask.shape))},
    ],
    ids=["vppo", "pgpo", "papo of constants", "token reward"],
)
def test_without_weights_it_is_grpo_bit_for_bit(ours, vanilla, tmp_path):
    trainer = trained(tmp_path, **ours)
    names = ("grad_norm", "reward") if trainer.method.adds_to_loss else ("loss", "grad_norm", "reward")
    assert logged(trainer, *names) == logged(vanilla, *names)
    assert torch.equal(weights(trainer), weights(vanilla))


class Watched(CopoGRPOTrainer):
    """Holds what is added to TRL's loss against our reading of unpadded completions, one by one."""

    checked = 0

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        if "copo_row" not in inputs:
            return loss
        # Without these numbers nothing is added.
        plain = super()._compute_loss(model, {name: value for name, value in inputs.items() if name != "copo_row"})
        mask_BT, method = inputs["completion_mask"], self.method
        rows = [self.sampled.rows[number] for number in inputs["copo_row"].tolist()]
        rollouts = [self.rollout_of(row, inputs, b, counts=True) for b, row in enumerate(rows)]
        seen_BT = self.scorer.logprobs(rollouts, mask_BT.shape[1])
        added_BT = -0.06 * seen_BT
        if isinstance(method, PAPO):
            spoil = Spoil(method.spoil, method.patch_size, method.patch_share)
            for rollout in rollouts:
                shown = spoilt_picture(self.scorer.vlm, rollout, spoil, self._seed)
                del rollout.__dict__["pictures"]
                object.__setattr__(rollout, "image", shown)
            for rollout in rollouts:
                rollout.__dict__.pop("key", None)
            added_BT = perception_loss(seen_BT, self.scorer.logprobs(rollouts, mask_BT.shape[1]), mask_BT)
        steps = self.args.gradient_accumulation_steps
        tokens = inputs["num_items_in_batch"] * steps / self.args.steps_per_generation
        added = aggregate(added_BT, mask_BT, self.loss_type, max_length=12, batch_tokens=tokens)
        added = added if self.loss_type == "dapo" else added / steps
        torch.testing.assert_close(loss - plain, added, atol=1e-5, rtol=1e-4)
        assert added.abs() > 1e-3 and loss.requires_grad
        self.checked += 1
        return loss


@pytest.mark.parametrize(
    "name, method, settings",
    [
        (LLAVA, VPPO(), {"loss_type": "grpo"}),
        ("qwen2_vl", PAPO(), {"loss_type": "dapo", "steps_per_generation": 4}),
        ("idefics3", PAPO(spoil="blur"), {"loss_type": "grpo", "gradient_checkpointing": True}),
    ],
)
def test_what_is_added_to_the_loss_is_the_formula(name, method, settings, tmp_path):
    trainer = grpo_trainer(tiny(name), noise_rows(), tmp_path, Watched, method=method, max_steps=1, **settings)
    trainer.train()
    assert trainer.checked == 2
    assert loss_sign(trainer) is None  # TRL's own part is still the formula's
    (entry,) = logged(trainer, "copo/added_loss", "grad_norm")
    assert entry["grad_norm"] > 0 and entry["copo/added_loss"] != 0


def test_the_gradient_goes_through_the_masked_picture_too(vanilla, tmp_path):
    """Of the term that has no gradient where what is said behind the masked picture is taken for constant."""
    trainer = trained(tmp_path, method=PAPO(gamma=0, eta=0, eta_spoilt=0.5), max_steps=1)
    (entry,), first = logged(trainer, "grad_norm", "copo/spoilt_kl"), logged(vanilla, "grad_norm")[0]
    assert abs(entry["grad_norm"] / first["grad_norm"] - 1) > 0.01 and entry["copo/spoilt_kl"] > 0


class Kept(CopoGRPOTrainer):
    """Keeps what advantages were made of."""

    def _set_advantages(self, inputs, batch, scores, mask_BT):
        before_B = batch["advantages"]
        super()._set_advantages(inputs, batch, scores, mask_BT)
        self.kept = before_B, scores, mask_BT, batch["advantages"]


@pytest.mark.parametrize("method, made", [(VPPO(), vppo_advantage), (PGPO(), pgpo_advantage)])
def test_advantages_are_made_of_the_dependence_on_the_picture(method, made, tmp_path):
    trainer = grpo_trainer(tiny(LLAVA), noise_rows(), tmp_path, Kept, method=method, max_steps=1)
    trainer.train()
    before_B, scores, mask_BT, after_BT = trainer.kept
    assert scores.dependency_BT.max() > 0
    torch.testing.assert_close(after_BT, made(before_B, scores.dependency_BT, mask_BT), atol=0, rtol=0)
    assert not torch.equal(after_BT, before_B[:, None] * mask_BT)
    (entry,) = logged(trainer, "copo/dependency", "copo/advantage_moved")
    assert min(entry.values()) > 0


def test_a_token_reward_is_added_to_the_advantage_of_its_token(tmp_path):
    told = {}

    def longest(completions, completion_ids, tokens, images, logprobs, mask, answer, **_):
        told.update(tokens=tokens, logprobs=logprobs, mask=mask, answer=answer, images=images)
        assert ["".join(parts) for parts in tokens] == completions
        return [[float(id % 5) for id in ids] for ids in completion_ids]

    reward = TokenReward("tests:longest", longest)
    trainer = grpo_trainer(tiny(LLAVA), noise_rows(), tmp_path, Kept, method=GRPO(), token_reward=reward, max_steps=1)
    trainer.train()
    before_B, scores, mask_BT, after_BT = trainer.kept
    ids_BT = trainer.sampled.ids_BT
    torch.testing.assert_close(after_BT, (before_B[:, None] + ids_BT % 5) * mask_BT)
    assert told["answer"] == ["dog"] * 8 and all(picture.size == (60, 60) for picture in told["images"])
    assert (told["logprobs"][told["mask"]] < 0).all() and torch.equal(told["logprobs"], scores.logprob_BT)
    assert logged(trainer, "copo/token_reward")[0]["copo/token_reward"] > 0


def test_losses_and_ways_of_splitting_that_do_not_go_with_it_are_refused(tmp_path):
    with pytest.raises(InputError, match="papo adds to the loss, which goes with loss_type grpo, bnpo, dr_grpo, dapo"):
        grpo_trainer(tiny(LLAVA), noise_rows(), tmp_path, method=PAPO(), loss_type="cispo")
    assert not PAPO(gamma=0, eta=0, eta_spoilt=0).adds_to_loss
    for method in (PAPO(), VPPO(), CEPO()):
        check_sharding(method, fsdp=2, zero_stage=None)
        check_sharding(method, fsdp=0, zero_stage=2)
    check_sharding(VPPO(), fsdp=0, zero_stage=3)
    with pytest.raises(
        InputError, match="papo has two forwards in one loss, and DeepSpeed's ZeRO-3 takes one gradient"
    ):
        check_sharding(PAPO(), fsdp=0, zero_stage=3)
    for method in (PAPO(), CEPO()):
        with pytest.raises(InputError, match=f"{method.name} has not been tried under FSDP 1; use FSDP 2"):
            check_sharding(method, fsdp=1, zero_stage=None)
    with pytest.raises(InputError, match="vppo runs parts of the model, which FSDP 1"):
        check_sharding(VPPO(), fsdp=1, zero_stage=None)
    check_sharding(DPO(), fsdp=1, zero_stage=None)
    with pytest.raises(InputError, match="for a token reward runs parts of the model, which FSDP 1"):
        check_sharding(GRPO(), fsdp=1, zero_stage=None, token_reward=True)
