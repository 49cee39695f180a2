"""Run by test_two_processes.py in two processes: one step with a gate, and what each process saw of it.

Then one whose loss one of the processes cannot hold against the formula, since its prompt is another than the policy
saw; steps with a picture in one process and none in the other; scores and PAPO's loss of a model that FSDP 2 shares
out; a run of `copo train`, and another that is resumed in its middle; and such runs of a whole model by DDP and FSDP 2.
"""

import copy
import json
import os
import shutil
import sys
from pathlib import Path

import torch

from tests.tiny_models import tiny
from tests.training import sharded as by_way
from tests.training.runs import GROUP, grpo_trainer, logged, noise_rows


def main(folder: Path) -> None:
    from causal_attrib.training import CopoGRPOTrainer
    from causal_attrib.training.recipe.method import COPO

    class Watched(CopoGRPOTrainer):
        def _generate_and_score_completions(self, inputs):
            batch = super()._generate_and_score_completions(inputs)
            self.told = {
                "prompts": [row["prompt"][0]["content"] for row in inputs],
                "kept": batch["tool_mask"].any(1).tolist(),
                "tokens": batch["tool_mask"].sum().item(),
                "all_tokens": batch["num_items_in_batch"].item(),
                "rewards": self._rewards_BF[:, 0].tolist(),
            }
            return batch

    torch.set_num_threads(1)
    trainer = grpo_trainer(
        tiny("llava_clip_llama"),
        [{name: row[name] for name in ("image", "prompt")} for row in noise_rows()],
        folder / "run",
        Watched,
        method=COPO(keep=0.6),
        # Three prompts of four completions over two processes of six: the second prompt is on both.
        per_device_train_batch_size=GROUP // 2 + 1,
        max_steps=1,
        ddp_backend="gloo",
    )
    trainer.train()
    told = trainer.told | {"logged": logged(trainer, "copo/prompts_kept", "copo/scored_tokens", "loss", "grad_norm")}
    told["weights"] = sum(parameter.double().abs().sum().item() for parameter in trainer.model.parameters())
    told["loss"] = {kind: held_against_the_formula(folder / kind, kind) for kind in ("alike", "mixed")}
    told["of_text"] = beside_text(folder / "beside_text")
    (folder / f"{trainer.accelerator.process_index}.json").write_text(json.dumps(told))
    sharded(folder)
    resumed(folder, trainer.accelerator)
    by_way.main(folder, "ddp", ["copo+full"])
    by_way.main(folder, "fsdp2", ["copo+full+again"])


def held_against_the_formula(folder: Path, kind: str) -> bool | None:
    from causal_attrib.training import CopoGRPOTrainer
    from causal_attrib.training.recipe.method import GRPO
    from causal_attrib.training.watch.loss_check import check_loss

    first, second = noise_rows(2)
    rows = [
        {"images": [first["image"]], "prompt": first["prompt"]},
        {"images": [second["image"]], "prompt": second["prompt"]},
    ]
    trainer = grpo_trainer(
        tiny("llava_clip_llama"),
        rows,
        folder,
        CopoGRPOTrainer,
        method=GRPO(),
        gradient_accumulation_steps=1,
        max_steps=1,
        ddp_backend="gloo",
    )
    trainer.train()
    if kind == "mixed" and trainer.accelerator.process_index:
        for row in trainer.sampled.rows:
            row["prompt"] = [{"role": "user", "content": "what was it?"}]
    check = check_loss(trainer)
    return None if check is None else check.sign is None


def beside_text(folder: Path) -> dict:
    """Two steps, in each of which one process has a picture and the other has none."""
    from causal_attrib.training.recipe.method import GRPO
    from causal_attrib.training.watch.loss_check import check_loss

    rows = [{"images": [row["image"]] * (n % 2), "prompt": row["prompt"]} for n, row in enumerate(noise_rows(2))]
    trainer = grpo_trainer(
        tiny("llava_clip_llama"),
        rows,
        folder,
        method=GRPO(),
        gradient_accumulation_steps=1,
        gradient_checkpointing=True,
        ddp_backend="gloo",
    )
    trainer.train()
    return {
        "pictures": sum(trainer.last_batch.get("num_images") or [0]),
        "weights": sum(parameter.double().abs().sum().item() for parameter in trainer.model.parameters()),
        "gradients": [line["grad_norm"] for line in trainer.state.log_history if "loss" in line],
        "checked": check_loss(trainer) is not None,
    }


def sharded(folder: Path) -> None:
    """Scores of a model whose parameters FSDP 2 shares out, of which one process needs forwards and the other none.

    accelerate takes FSDP on GPUs alone, so that torch's is called here as accelerate does.
    """
    from torch.distributed import get_rank
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    from causal_attrib.training.scoring.policy_scores import PolicyScorer, Scoring
    from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
    from causal_attrib.training.trainers.gathering import gathered

    vlm, scoring = tiny("llava_clip_llama"), Scoring(outcome="grounding")
    model, mesh = copy.deepcopy(vlm.model), init_device_mesh("cpu", (2,))
    for layer in model.model.language_model.layers:
        fully_shard(layer, mesh=mesh)
    fully_shard(model, mesh=mesh)
    row = noise_rows(1)[0]
    rollouts = [Rollout(row["image"], row["prompt"], (300, 301, 302, 303))]
    own = rollouts if get_rank() == 0 else []
    whole = PolicyScorer(vlm.model, vlm.processor, scoring)(own, 4)
    with gathered(model):
        scores = PolicyScorer(model, vlm.processor, scoring)(own, 4)
    shared_out = all(hasattr(weight, "full_tensor") for weight in model.parameters())
    # And an update goes on from there, which reads twice for one loss.
    shown = encode_prompt(vlm, rollouts[0]).prompt_inputs
    read, gradient = perceived(model, shown)
    wanted_read, wanted = perceived(copy.deepcopy(vlm.model), shown)
    told = {
        "scored": int(scores.scored_BT.sum()),
        "alike": torch.equal(scores.scored_BT, whole.scored_BT)
        and torch.allclose(scores.necessity_BT, whole.necessity_BT, atol=1e-6)
        and torch.allclose(scores.sufficiency_BT, whole.sufficiency_BT, atol=1e-6),
        "shared_out": shared_out and all(hasattr(weight, "full_tensor") for weight in model.parameters()),
        "same_read": torch.allclose(read, wanted_read, atol=1e-5),
        "same_gradient": gradient.keys() == wanted.keys()
        and all(torch.allclose(gradient[name].full_tensor(), wanted[name], atol=1e-5) for name in wanted),
        "gradient": max(one.abs().max().item() for one in wanted.values()),
    }
    (folder / f"sharded_{get_rank()}.json").write_text(json.dumps(told))


def perceived(model, shown: dict) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Log-probabilities of four tokens behind a picture and behind it turned round, and the gradient of PAPO's loss."""
    from causal_attrib.objectives import perception_loss

    said_2BT = torch.stack(
        [
            model(**shown | {"pixel_values": pixels}).logits.log_softmax(-1)[:, -4:, 300]
            for pixels in (shown["pixel_values"], shown["pixel_values"].flip(-1))
        ]
    )
    perception_loss(*said_2BT, torch.ones(said_2BT.shape[1:]), gamma=1.0).sum().backward()
    return said_2BT.detach(), {name: w.grad for name, w in model.named_parameters() if w.grad is not None}


def resumed(folder: Path, accelerator) -> None:
    """Two updates by `copo train` into `whole`, and the second of them again into `again`."""
    from typer.testing import CliRunner

    from causal_attrib_cli.main import app

    os.chdir(folder)
    words = ["train", "--config", "recipe.yaml", "--quiet", "--output-dir"]
    CliRunner().invoke(app, [*words, "whole"], catch_exceptions=False)
    if accelerator.is_main_process:
        Path("again").mkdir()
        shutil.copytree(Path("whole") / "checkpoint-1", Path("again") / "checkpoint-1")
    accelerator.wait_for_everyone()
    CliRunner().invoke(app, [*words, "again", "--resume"], catch_exceptions=False)
    # gloo now and then aborts a process that ends, and the launcher then ends the other, which may still be writing.
    accelerator.wait_for_everyone()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
