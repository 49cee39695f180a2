"""The contract with TRL: what the trainer relies on, held to by numbers. Each run is a few steps of a small model."""

import copy
import dataclasses

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from trl import GRPOTrainer

from causal_attrib.errors import InputError
from causal_attrib.objectives import policy_loss
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import CEPO, COPO, GRPO, HERO
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.training.trainers.lora import lora_config
from tests.tiny_models import tiny
from tests.training.runs import GROUP, grpo_trainer, logged, noise_rows, scene_rows

LAYOUTS = ("llava_clip_llama", "qwen2_vl", "idefics3")
# Whose formula is ours too, and which TRL has beside them.
FORMULAS = ("grpo", "bnpo", "dr_grpo", "dapo")
OTHERS = ("cispo", "sapo", "luspo", "vespo")


@dataclasses.dataclass(frozen=True)
class Spread(GRPO):
    """GRPO's advantages, written out for every token."""

    def token_advantage(self, advantage_B, scores, mask_BT, group):
        return advantage_B[:, None].expand(mask_BT.shape)


def by_id(ids_BT):
    """An advantage, of either sign, that tells which token it belongs to."""
    return (1 - 2 * (ids_BT % 2)) * (1 + ids_BT / 1000)


class Probe(CopoGRPOTrainer):
    """Gives each token an advantage made of its id, and looks whether the loss gets it with that token."""

    seen = 0

    def _generate_and_score_completions(self, inputs):
        batch = super()._generate_and_score_completions(inputs)
        batch["advantages"] = by_id(batch["completion_ids"]) * batch["completion_mask"]
        return batch

    def _compute_loss(self, model, inputs):
        assert torch.equal(inputs["advantages"], by_id(inputs["completion_ids"]) * inputs["completion_mask"])
        self.seen += 1
        return super()._compute_loss(model, inputs)


def weights(trainer):
    return torch.cat([parameter.detach().flatten() for parameter in trainer.model.parameters()])


@pytest.mark.parametrize("name", LAYOUTS)
def test_one_advantage_for_all_tokens_is_vanilla_trl_bit_for_bit(name, tmp_path):
    def run(kind, **ours):
        trainer = grpo_trainer(tiny(name), noise_rows(), tmp_path, kind, **ours)
        trainer.train()
        return logged(trainer, "loss", "grad_norm", "reward"), weights(trainer)

    vanilla, vanilla_weights = run(GRPOTrainer)
    ours, our_weights = run(CopoGRPOTrainer, method=Spread())
    assert vanilla[0]["grad_norm"] > 0
    assert ours == vanilla
    assert torch.equal(our_weights, vanilla_weights)


def test_copo_without_weights_is_grpo_bit_for_bit_and_scores_nothing(tmp_path):
    def run(method):
        trainer = grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, method=method)
        trainer.train()
        assert "scorer" not in trainer.__dict__
        assert not any(name.startswith("copo/") for entry in trainer.state.log_history for name in entry)
        return logged(trainer, "loss", "grad_norm", "reward"), weights(trainer)

    (grpo, grpo_weights), (copo, copo_weights) = run(GRPO()), run(COPO(lambda_s=0, lambda_n=0, center="completion"))
    assert grpo == copo and torch.equal(grpo_weights, copo_weights)


@pytest.mark.parametrize(
    "settings",
    [
        {"steps_per_generation": 4},
        {"num_iterations": 2, "gradient_accumulation_steps": 4},
        {"importance_sampling_level": "sequence"},
        {"per_device_train_batch_size": 2},
    ],
)
def test_an_advantage_reaches_the_loss_with_its_token(settings, tmp_path):
    """With settings that move rows about; as it is, for each layout, in the tests of the formula below."""
    trainer = grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, Probe, method=GRPO(), **settings)
    trainer.train()
    assert trainer.seen == 2 * trainer.args.gradient_accumulation_steps


@pytest.mark.parametrize("loss_type", OTHERS)
def test_losses_without_a_formula_of_ours_take_token_advantages(loss_type, tmp_path):
    level = "sequence" if loss_type == "luspo" else "token"
    trainer = grpo_trainer(
        tiny(LAYOUTS[0]),
        noise_rows(),
        tmp_path,
        Probe,
        method=GRPO(),
        loss_type=loss_type,
        importance_sampling_level=level,
        max_steps=1,
    )
    before = weights(trainer)
    trainer.train()
    (entry,) = logged(trainer, "loss", "grad_norm")
    assert entry["grad_norm"] > 0 and abs(entry["loss"]) < 100
    assert not torch.equal(weights(trainer), before)


class Parity(Probe):
    """Holds TRL's loss and gradient against ours, on TRL's own batch."""

    def _compute_loss(self, model, inputs):
        loss = super()._compute_loss(model, inputs)
        parameters = [p for p in self.model.parameters() if p.requires_grad]
        theirs = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
        ids_BL = torch.cat([inputs["prompt_ids"], inputs["completion_ids"]], 1)
        attention_BL = torch.cat([inputs["prompt_mask"], inputs["completion_mask"]], 1)
        pictures = ("pixel_values", "pixel_attention_mask", "image_grid_thw")
        pixels = {k: inputs[k] for k in pictures if k in inputs}
        if "image_grid_thw" in pixels:
            pixels["mm_token_type_ids"] = (ids_BL == self.model.config.image_token_id).long()
        length = inputs["completion_ids"].shape[1]
        logits_BTV = model(input_ids=ids_BL, attention_mask=attention_BL, **pixels).logits[:, -length - 1 : -1]
        logprob_BT = logits_BTV.log_softmax(-1).gather(2, inputs["completion_ids"][..., None])[..., 0]
        steps = self.args.gradient_accumulation_steps
        mine = policy_loss(
            logprob_BT,
            inputs["advantages"],
            inputs["completion_mask"],
            old_logprob_BT=inputs.get("old_per_token_logps"),
            reference_logprob_BT=inputs.get("ref_per_token_logps"),
            beta=self.beta,
            loss_type=self.loss_type,
            max_length=self.max_completion_length,
            batch_tokens=inputs["num_items_in_batch"] * steps / self.args.steps_per_generation,
        )
        # TRL divides all but dapo by the steps it accumulates.
        mine = mine if self.loss_type == "dapo" else mine / steps
        ours = torch.autograd.grad(mine, parameters, allow_unused=True)
        assert mine.item() == pytest.approx(loss.item(), abs=1e-6)
        assert max(g.abs().max() for g in theirs if g is not None) > 1e-3
        for mine_g, theirs_g in zip(ours, theirs, strict=True):
            assert (mine_g is None) == (theirs_g is None)
            if mine_g is not None:
                assert torch.allclose(mine_g, theirs_g, atol=1e-6)
        return loss


@pytest.mark.parametrize(
    ("name", "loss_type"),
    # How a loss is averaged does not hang on what the model is given, and the other way round.
    [*((LAYOUTS[0], loss_type) for loss_type in FORMULAS), *((name, "grpo") for name in LAYOUTS[1:])],
)
def test_loss_and_gradient_of_trl_are_those_of_our_formula(name, loss_type, tmp_path):
    trainer = grpo_trainer(tiny(name), noise_rows(), tmp_path, Parity, method=GRPO(), loss_type=loss_type, max_steps=1)
    trainer.train()
    assert trainer.seen == 2


@pytest.mark.parametrize("loss_type", FORMULAS)
def test_and_so_they_are_off_policy_clipped_and_with_a_reference(loss_type, tmp_path):
    """The second use of the completions, behind an update that went far; the reference is the model without adapter."""
    from peft import LoraConfig

    trainer = grpo_trainer(
        tiny(LAYOUTS[0]),
        noise_rows(),
        tmp_path,
        Parity,
        method=GRPO(),
        loss_type=loss_type,
        num_iterations=2,
        beta=0.1,
        use_bias_correction_kl=False,  # which TRL has from DeepSeek-V3.2
        learning_rate=3e-2,
        peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
    )
    trainer.train()
    assert trainer.seen == 4
    first, second = logged(trainer, "kl", "clip_ratio/region_mean")
    assert first["clip_ratio/region_mean"] == 0 < second["clip_ratio/region_mean"] and second["kl"] > 0


@pytest.mark.parametrize("method", (COPO(keep=0.5), HERO()))
def test_a_resumed_run_is_the_run_that_was_not_interrupted(bundled, method, tmp_path):
    def trainer(folder, steps):
        return grpo_trainer(
            bundled,
            scene_rows(),
            folder,
            method=method,
            scoring=Scoring(level="word", subset="content"),
            max_completion_length=40,
            save_strategy="steps",
            save_steps=1,
            max_steps=steps,
            learning_rate=1e-4,
            temperature=1.3,
        )

    names = ("loss", "grad_norm", "reward", "copo/advantage_moved")
    whole = trainer(tmp_path / "whole", 2)
    whole.train()
    trainer(tmp_path / "halved", 1).train()
    resumed = trainer(tmp_path / "halved", 2)
    resumed.train(resume_from_checkpoint=str(tmp_path / "halved" / "checkpoint-1"))
    assert logged(whole, *names)[1:] == logged(resumed, *names)[-1:]
    assert torch.equal(weights(whole), weights(resumed))


def test_saving_between_two_generations_is_refused(tmp_path):
    settings = {"save_strategy": "steps", "save_steps": 1, "steps_per_generation": 4}
    with pytest.raises(InputError, match="save_steps is 1, but completions are used for 2 steps"):
        grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, method=GRPO(), **settings)


def test_copo_logs_its_scores_and_leaves_the_model_as_it_trains(bundled, tmp_path):
    trainer = grpo_trainer(bundled, scene_rows(), tmp_path, method=COPO(), max_completion_length=40, learning_rate=1e-5)
    trainer.train()
    names = "sufficiency", "necessity", "scored_tokens", "unscored_completions", "flipped_share", "score_seconds"
    for entry in logged(trainer, *(f"copo/{name}" for name in names)):
        values = {name: entry[f"copo/{name}"] for name in names}
        assert 0 < values["scored_tokens"] < 1  # tags, answer and end are not scored
        assert 0 <= values["sufficiency"] <= 1 and -1 <= values["necessity"] <= 1
        assert values["score_seconds"] > 0
    assert trainer.model.training


def test_nothing_is_reported_to_anybody(tmp_path, monkeypatch):
    from trl.trainer import base_trainer

    reported = []
    monkeypatch.setattr(base_trainer, "send_telemetry", lambda **about: reported.append(about))
    monkeypatch.delenv("CI")
    grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, GRPOTrainer)
    assert len(reported) == 1
    grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, method=GRPO())
    assert len(reported) == 1


def test_a_row_without_a_picture_cannot_be_scored(bundled, tmp_path):
    trainer = grpo_trainer(bundled, scene_rows(), tmp_path, method=COPO())
    with pytest.raises(InputError, match="A row has no image, but copo scores what a picture shows"):
        trainer.rollout_of({"prompt": [], "image": None}, {}, 0, counts=True)


def test_the_gate_leaves_whole_prompts_out_of_the_loss(tmp_path):
    class Gated(CopoGRPOTrainer):
        batches = []

        def _generate_and_score_completions(self, inputs):
            batch = super()._generate_and_score_completions(inputs)
            self.batches.append((self._rewards_BF[:, 0].view(-1, GROUP).var(1, correction=0), batch))
            return batch

    def reward(prompts, completion_ids, **_):
        # The second prompt of a batch is always answered alike.
        first = prompts[0]
        return [len(set(ids)) * (prompt == first) + 0.0 for prompt, ids in zip(prompts, completion_ids, strict=True)]

    trainer = grpo_trainer(tiny(LAYOUTS[0]), noise_rows(), tmp_path, Gated, reward, method=GRPO(keep=0.5))
    trainer.train()
    for variance_N, batch in trainer.batches:
        kept_B = batch["tool_mask"].any(1)
        assert kept_B.view(-1, GROUP)[:, 0].tolist() == (variance_N > 0).tolist() == [True, False]
        assert torch.equal(batch["tool_mask"], batch["completion_mask"] * kept_B[:, None])
        assert batch["num_items_in_batch"] == batch["tool_mask"].sum()
    assert [entry["copo/prompts_kept"] for entry in logged(trainer, "copo/prompts_kept")] == [0.5, 0.5]


def test_what_the_gate_leaves_out_is_not_scored(bundled, tmp_path):
    class Watched(CopoGRPOTrainer):
        def _scores(self, inputs, batch, mask_BT):
            self.scored_B = super()._scores(inputs, batch, mask_BT).scored_BT.any(1)
            self.counts_B = mask_BT.any(1)
            return super()._scores(inputs, batch, mask_BT)

    trainer = grpo_trainer(
        bundled, scene_rows(), tmp_path, Watched, method=COPO(keep=0.5), max_completion_length=40, max_steps=1
    )
    trainer.train()
    assert trainer.counts_B.sum() == GROUP and torch.equal(trainer.scored_B, trainer.counts_B)
    assert logged(trainer, "copo/unscored_completions")[0]["copo/unscored_completions"] == 0


def test_an_adapter_is_scored_as_it_stands(bundled, tmp_path):
    trainer = grpo_trainer(
        bundled,
        scene_rows(),
        tmp_path,
        method=COPO(),
        peft_config=lora_config(dropout=0.5),
        max_completion_length=40,
        max_steps=1,
        gradient_checkpointing=True,
        learning_rate=1e-2,
    )
    trainer.train()
    assert all(module.training for module in trainer.model.modules())
    one = Rollout(trainer.train_dataset[0]["image"], trainer.train_dataset[0]["prompt"], tuple(range(40, 60)))
    changed, again = (trainer.scorer([one], 24).necessity_BT for _ in range(2))
    assert torch.equal(changed, again)
    with trainer.model.disable_adapter():
        assert not torch.equal(trainer.scorer([one], 24).necessity_BT, changed)


@pytest.mark.parametrize("name", LAYOUTS)
def test_adapters_leave_the_vision_tower_and_the_head_alone(name):
    from peft import get_peft_model

    adapted = get_peft_model(copy.deepcopy(tiny(name).model), lora_config())
    places = {path.partition(".lora_")[0] for path, _ in adapted.named_parameters() if ".lora_" in path}
    assert any("q_proj" in place for place in places) and any("down_proj" in place for place in places)
    assert not any("vision" in place or "visual" in place or "lm_head" in place for place in places)


def test_evaluation_scores_too(bundled, tmp_path):
    trainer = grpo_trainer(
        bundled,
        scene_rows(),
        tmp_path,
        method=COPO(center="group", keep=0.5),
        eval_dataset=to_dataset(scene_rows(1)),
        max_completion_length=40,
        per_device_eval_batch_size=2,
        num_generations_eval=2,
    )
    metrics = trainer.evaluate()
    assert metrics["eval_copo/scored_tokens"] > 0 and "eval_copo/prompts_kept" not in metrics
    # Centred over the group, what is added sums to nothing.
    assert abs(metrics["eval_copo/advantage_added"]) < 1e-6 < metrics["eval_copo/advantage_moved"]


def test_hero_needs_no_answer_and_cepo_leaves_advantages_alone(tmp_path):
    rows = [{name: row[name] for name in ("image", "prompt")} for row in noise_rows()]
    trainer = grpo_trainer(tiny(LAYOUTS[0]), rows, tmp_path, method=HERO(), max_steps=1)
    trainer.train()
    assert logged(trainer, "copo/advantage_moved")[0]["copo/advantage_moved"] > 0
    advantage_B = torch.tensor([1.0, -1.0])
    assert CEPO().token_advantage(advantage_B, None, torch.ones(2, 3), 2) is advantage_B
