"""A training run, from a plan to a trained model.

The main path, top to bottom: load the model, put our trainer around it, write down what is done, train, save.
"""

from __future__ import annotations

import errno
import json
import platform
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError
from transformers import PrinterCallback, TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.training.data.picture_sizes import check_sizes
from causal_attrib.training.data.prompt_lengths import check_lengths
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.model_card import model_card
from causal_attrib.training.plan import Plan
from causal_attrib.training.recipe.arguments import has_bf16, refused_in_a_sentence
from causal_attrib.training.recipe.file import changes, write_recipe
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.recipe.method import CEPO, DPO, SymMPO
from causal_attrib.training.scoring.cepo_reward import CEPOReward
from causal_attrib.training.trainers.checkpoints import RECIPE, VERSIONS, put_in_place, recipe_before
from causal_attrib.training.trainers.copo_trainer import CopoGRPOTrainer
from causal_attrib.training.trainers.gathering import loaded_whole
from causal_attrib.training.trainers.lora import check_layers, freeze_vision, lora_config
from causal_attrib.training.trainers.preference_trainer import PreferenceTrainer
from causal_attrib.training.trainers.symmpo_trainer import SymMPOTrainer
from causal_attrib.training.trainers.trainable import check_places, check_template, check_texts, check_trainable
from causal_attrib.training.watch.completions import Sample, ShowCompletions
from causal_attrib.training.watch.drawing import DrawTraining
from causal_attrib.training.watch.early_signs import EarlySigns
from causal_attrib.training.watch.loss_check import CheckLoss
from causal_attrib.training.watch.out_of_memory import out_of_memory
from causal_attrib.training.watch.phases import PhaseClock
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM
from causal_attrib.vlm.loading import load, without_weights

if TYPE_CHECKING:
    from peft import LoraConfig

Tell = Callable[[str], None]

COMPLETIONS, SAMPLES = "completions.txt", "completions.jsonl"

_PACKAGES = ("torch", "transformers", "trl", "peft", "accelerate", "datasets", "bitsandbytes", "vllm", "deepspeed")
# What a line of the log says, in this order, and how.
_SHOWN = {
    "loss": ".4f",
    "reward": ".3f",
    "reward_std": ".3f",
    "eval_loss": ".4f",
    "eval_reward": ".3f",
    "kl": ".3f",
    "completions/mean_length": ".0f",
    "copo/sufficiency": ".3f",
    "copo/necessity": ".3f",
    "copo/dependency": ".3f",
    "copo/spoilt_kl": ".3f",
    "copo/prompts_kept": ".2f",
    "eval_copo/sufficiency": ".3f",
    "eval_copo/necessity": ".3f",
    "rewards/accuracies": ".2f",
    "symmpo/preferred": ".2f",
    "symmpo/preferred_with_picture": ".2f",
}
# What a full disk is called by those who write tensors: safetensors and torch.
_FULL = ("No space left", "File too large", "Disk quota", "PytorchStreamWriter failed", "inline_container")
# Bytes of Adam's two moments per weight.
_MOMENTS = 8


def train(
    plan: Plan,
    *,
    tell: Tell,
    load: Callable[..., VLM] = load,
    progress: Callable[[int, int], None] | None = None,
    show: Callable[[list[Sample]], None] | None = None,
) -> Path:
    """Train as planned.

    Args:
        tell: takes a line of the log, or a warning.
        load: loads a model (`causal_attrib.load`).
        progress: called with (updates done, updates in all).
        show: takes completions that were sampled.

    Returns:
        The folder that the model is in.

    Raises:
        InputError: what only the model can tell is wrong, too little memory, or no room for files.
    """
    folder = plan.recipe.folder
    if plan.checkpoint is not None and plan.finished:
        # The Trainer would make one update more.
        if plan.arguments.process_index == 0:
            _tell_changes(plan, tell)
            with explained(plan.recipe):
                put_in_place(plan.checkpoint, folder)
        return folder
    trainer = build(plan, load)
    _check_disk(trainer, folder)
    if trainer.is_world_process_zero():
        record(plan, tell)
    for remark in plan.remarks:
        tell(f"Warning: {remark}")
    trainer.add_callback(Watch(tell, progress))
    trainer.add_callback(EarlySigns(lambda sign: tell(f"Warning: {sign}")))
    if isinstance(trainer, CopoGRPOTrainer):
        trainer.add_callback(CheckLoss(trainer, lambda sign: tell(f"Warning: {sign}")))
        if plan.recipe.show_completions:
            files = folder / COMPLETIONS, folder / SAMPLES
            trainer.add_callback(ShowCompletions(trainer, plan.recipe.show_completions, *files, show))
    trainer.add_callback(DrawTraining(folder, folder / SAMPLES, plan.resolved))
    with explained(plan.recipe, trainer.clock):
        trainer.train(resume_from_checkpoint=None if plan.checkpoint is None else str(plan.checkpoint))
        trainer.save_model()
        trainer.save_state()
    return folder


def build(plan: Plan, load: Callable[..., VLM] = load) -> CopoGRPOTrainer | PreferenceTrainer:
    """The trainer of a plan, with its model loaded."""
    with loaded_whole(plan.arguments.deepspeed_plugin):
        return _build(plan, load)


def _build(plan: Plan, load: Callable[..., VLM]) -> CopoGRPOTrainer | PreferenceTrainer:
    recipe, arguments = plan.recipe, plan.arguments
    # To ask for the device gives each process of a launcher its own.
    cpu = arguments.device.type == "cpu"
    named = {"lora_targets": recipe.lora_targets, "modules_to_save": recipe.modules_to_save}
    if any(named.values()) and recipe.model is not None and not recipe.trust_remote_code:
        # Before the weights are read, which may take minutes; those of the model in the package are there at once.
        empty = without_weights(recipe.model, recipe.revision)
        if empty is not None:
            check_layers(empty, **named)
    with explained(recipe):
        vlm = _load(recipe, load, cpu=cpu)
    check_trainable(vlm)
    check_layers(vlm.model, **named)
    of_template = getattr(arguments, "chat_template_kwargs", None)
    check_template(vlm, of_template)
    for some, path in ((plan.rows, recipe.data), (plan.eval_rows or [], recipe.eval_file)):
        check_sizes(vlm, some, path)
        check_texts(vlm, some, path)
        check_lengths(vlm, some, path, getattr(arguments, "max_completion_length", None), of_template)
        check_places(vlm, some, path)
    if vlm.revision is not None and recipe.full:
        # TRL loads the reference from the same place.
        arguments.model_init_kwargs = {"revision": vlm.revision}
    if recipe.freeze_vision:
        freeze_vision(vlm.model)
    shared = {
        "model": vlm.model,
        "args": arguments,
        "processing_class": vlm.processor,
        "train_dataset": to_dataset(plan.rows),
        "eval_dataset": None if plan.eval_rows is None else to_dataset(plan.eval_rows),
        "peft_config": None if recipe.full else _adapters(recipe),
    }
    with refused_in_a_sentence(), explained(recipe):
        if isinstance(plan.method, SymMPO):
            trainer: CopoGRPOTrainer | PreferenceTrainer = SymMPOTrainer(**shared, method=plan.method)
        elif isinstance(plan.method, DPO):
            trainer = PreferenceTrainer(**shared)
        else:
            rewards = list(plan.rewards)
            if isinstance(plan.method, CEPO):
                scorer = _load(recipe, load, cpu=cpu)
                rewards[0] = CEPOReward(scorer, rewards[0], plan.method, recipe.seed, of_template)
            trainer = CopoGRPOTrainer(
                reward_funcs=rewards,
                scoring=plan.scoring,
                method=plan.method,
                token_reward=plan.token_reward,
                **shared,
            )
    trainer.remove_callback(PrinterCallback)
    found = versions()
    trainer.card = lambda: model_card(plan, trainer.state.log_history, found, vlm.revision)
    return trainer


def _adapters(recipe: Recipe) -> LoraConfig:
    return lora_config(
        recipe.lora_rank,
        recipe.lora_alpha,
        recipe.lora_dropout,
        targets=recipe.lora_targets,
        whole=recipe.modules_to_save,
        dora=recipe.use_dora,
        rslora=recipe.use_rslora,
    )


def _load(recipe: Recipe, load: Callable[..., VLM], *, cpu: bool) -> VLM:
    dtype = recipe.dtype
    if dtype == "auto":
        # Steps of a small learning rate are lost on weights of 16 bits that are trained themselves.
        dtype = "bfloat16" if has_bf16() and not recipe.full and not cpu else "float32"
    return load(
        recipe.model,
        revision=recipe.revision,
        dtype=dtype,
        device="cpu" if cpu else "auto",
        load_in_4bit=recipe.load_in_4bit,
        load_in_8bit=recipe.load_in_8bit,
        attn_implementation=recipe.attn_implementation,
        allow_pickle=recipe.allow_pickle,
        trust_remote_code=recipe.trust_remote_code,
    )


# -- what is written down ---------------------------------------------------------------------------------------------


def record(plan: Plan, tell: Tell) -> None:
    """The recipe with nothing left open, and the versions it was run with, into the output folder."""
    folder = plan.recipe.folder
    _tell_changes(plan, tell)
    # By this file a folder is known as a run's.
    replace_file(folder / VERSIONS, (json.dumps(versions(), indent=2) + "\n").encode())
    write_recipe(folder / RECIPE, plan.resolved, f"copo train --config {folder / RECIPE}")


def _tell_changes(plan: Plan, tell: Tell) -> None:
    before = {} if plan.checkpoint is None else recipe_before(plan.checkpoint)
    for change in changes(before, plan.resolved) if before else ():
        tell(f"Not as before: {change}.")


def versions() -> dict[str, str]:
    """Versions of what a run depends on."""
    found = {"copo": __version__, "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


class Watch(TrainerCallback):
    """Tells each line of the log, and how far the run is."""

    def __init__(self, tell: Tell, progress: Callable[[int, int], None] | None):
        self.tell = tell
        self.progress = progress

    def on_step_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        if self.progress is not None and state.is_world_process_zero:
            self.progress(state.global_step, state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        logs = logs or {}
        if state.is_world_process_zero:
            said = [
                f"{name.rpartition('/')[2].replace('_', ' ')} {logs[name]:{how}}"
                for name, how in _SHOWN.items()
                if logs.get(name) is not None
            ]
            seconds = sum(value for name, value in logs.items() if name.startswith("seconds/"))
            said += [f"{seconds / args.logging_steps:.1f} s"] * bool(seconds)
            if said:
                self.tell(f"{state.global_step}/{state.max_steps}  {'  '.join(said)}")


# -- what goes wrong --------------------------------------------------------------------------------------------------


@contextmanager
def explained(recipe: Recipe, clock: PhaseClock | None = None) -> Iterator[None]:
    """Too little memory and a full disk are the user's to mend, and said in a sentence."""
    try:
        yield
    except (MemoryError, torch.OutOfMemoryError) as error:
        raise out_of_memory(recipe, clock.failed if clock is not None else None) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        said = str(error)
        if "allocate memory" in said:
            raise out_of_memory(recipe, clock.failed if clock is not None else None) from error
        numbered = isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
        if numbered or any(words in said for words in _FULL):
            raise InputError(
                f"There is no room left where {recipe.output_dir} is; free some and go on with --resume."
            ) from error
        raise


def _check_disk(trainer: CopoGRPOTrainer | PreferenceTrainer, folder: Path) -> None:
    """A checkpoint is a copy of what is trained, and of its optimizer's state."""
    trained = [weight for weight in trainer.model.parameters() if weight.requires_grad]
    needed = sum(weight.numel() * (weight.element_size() + _MOMENTS) for weight in trained)
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise InputError(
            f"A checkpoint takes about {needed / 1e9:.2g} GB and the disk of {folder} has {free / 1e9:.2g} GB left; "
            "free some, or choose another output_dir."
        )
