"""SymMPO on TRL's DPO trainer. Golden values: methods 6."""

import copy
import itertools
import math

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from trl import DPOConfig

from causal_attrib.errors import InputError
from causal_attrib.objectives import LogRatios, symmpo_loss
from causal_attrib.training import SymMPOTrainer
from causal_attrib.training.data.reading import to_dataset
from causal_attrib.training.recipe.method import SymMPO
from causal_attrib.training.trainers.symmpo_trainer import SymMPOCollator
from tests.tiny_models import tiny
from tests.training.runs import logged, noise_rows

LAYOUTS = ("llava_clip_llama", "qwen2_vl", "idefics3")


def said(text):
    return [{"role": "assistant", "content": text}]


def rows(count=4):
    pictures = [row["image"] for row in noise_rows(count + 1)]
    return [
        {
            "image": pictures[n],
            "prompt": [{"role": "user", "content": "what is it?"}],
            "chosen": said(f"a dog and {n}"),
            "rejected": said("a cat on the grass"),
            "image_contrast": pictures[n + 1],
            "chosen_contrast": said("the sheep"),
        }
        for n in range(count)
    ]


def trainer(name, folder, lora=False, method=None, **settings):
    vlm = tiny(name)
    # TRL loads the reference from where the model was loaded.
    model = copy.deepcopy(vlm.model)
    config = DPOConfig(
        **{
            "output_dir": str(folder),
            "use_cpu": True,
            "bf16": False,
            "per_device_train_batch_size": 2,
            "gradient_accumulation_steps": 1,
            "max_steps": 2,
            "logging_steps": 1,
            "report_to": [],
            "disable_tqdm": True,
            "learning_rate": 1e-3,
            "lr_scheduler_type": "constant",
            "save_strategy": "no",
            "max_length": None,
            "gradient_checkpointing": False,
            "seed": 0,
        }
        | settings
    )
    peft = None
    if lora:
        from peft import LoraConfig

        peft = LoraConfig(r=4, lora_dropout=0.1, target_modules=["q_proj", "v_proj"])
    return SymMPOTrainer(
        model=model,
        ref_model=None if lora else copy.deepcopy(vlm.model),
        args=config,
        train_dataset=to_dataset(rows()),
        processing_class=vlm.processor,
        peft_config=peft,
        method=method,
    )


@pytest.mark.parametrize("lora", [False, True])
@pytest.mark.parametrize("name", LAYOUTS)
def test_the_first_loss_is_four_times_ln_2_and_the_second_is_less(name, lora, tmp_path):
    run = trainer(name, tmp_path, lora, learning_rate=1e-2, per_device_train_batch_size=4)
    run.train()
    first, second = logged(run, "loss", "grad_norm", "symmpo/dpo", "symmpo/pair", "symmpo/margin", "symmpo/anchored")
    assert first["loss"] == pytest.approx(4 * math.log(2), abs=1e-6)
    assert first["grad_norm"] > 0 and second["loss"] < first["loss"]
    assert first["symmpo/pair"] == pytest.approx(2 * math.log(2), abs=1e-6) and first["symmpo/margin"] == 0


@pytest.mark.parametrize("name", LAYOUTS)
def test_the_loss_is_that_of_five_sequences_read_one_by_one(name, tmp_path):
    method = SymMPO(pair=0.7, margin=0.1, anchor=0.3, delta=0.05)
    run = trainer(name, tmp_path, method=method, beta=0.2)
    with torch.no_grad():
        for parameter in run.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=torch.Generator().manual_seed(0)))
    vlm, some = tiny(name), rows(2)
    batch = SymMPOCollator(vlm.processor)([dict(row) for row in some])
    run.model.eval()
    with torch.no_grad():
        loss = run.compute_loss(run.model, batch).item()

    def h(row, picture, response):
        turn = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": row["prompt"][0]["content"]}]}]
        turns = [*turn, {"role": "assistant", "content": [{"type": "text", "text": row[response][0]["content"]}]}]
        write = super(type(vlm.processor), vlm.processor).apply_chat_template
        before = write(turn, add_generation_prompt=True, tokenize=False)
        whole = write(turns, tokenize=False)
        shown = vlm.family.prompt_inputs(before, row[picture])
        ids = vlm.tokenizer(whole[len(before) :], add_special_tokens=False)["input_ids"]
        inputs = vlm.family.extend(shown, [tuple(ids)], vlm.pad_id)
        values = []
        for model in (run.model, run.ref_model):
            with torch.no_grad():
                logprob = model(**inputs).logits[0, -len(ids) - 1 : -1].log_softmax(-1)
            values.append(logprob[range(len(ids)), ids].sum())
        return values[0] - values[1]

    five = (
        ("image", "chosen"),
        ("image", "rejected"),
        ("image", "chosen_contrast"),
        ("image_contrast", "chosen_contrast"),
        ("image_contrast", "chosen"),
    )
    ratios = LogRatios(*(torch.stack([h(row, *pair) for row in some]) for pair in five))
    weights = {"beta": 0.2, "pair": 0.7, "margin": 0.1, "anchor": 0.3, "delta": 0.05}
    expected = symmpo_loss(ratios, **weights).loss_B.mean().item()
    # Any two of the five in each other's place would be seen.
    for one, two in itertools.combinations(range(5), 2):
        swapped = list(ratios)
        swapped[one], swapped[two] = swapped[two], swapped[one]
        assert abs(symmpo_loss(LogRatios(*swapped), **weights).loss_B.mean().item() - expected) > 1e-3
    assert loss == pytest.approx(expected, abs=1e-4)


def test_it_evaluates_and_logs(tmp_path):
    run = trainer(LAYOUTS[0], tmp_path)
    metrics = run.evaluate(to_dataset(rows(2)))
    assert metrics["eval_loss"] == pytest.approx(4 * math.log(2), abs=1e-6)
    assert metrics["eval_symmpo/preferred"] == 0


@pytest.mark.parametrize("lora", [False, True])
def test_a_resumed_run_is_the_run_that_was_not_interrupted(lora, tmp_path):
    saves = {"save_strategy": "steps", "save_steps": 1}
    whole = trainer(LAYOUTS[0], tmp_path / "whole", lora, **saves)
    whole.train()
    trainer(LAYOUTS[0], tmp_path / "halved", lora, **saves | {"max_steps": 1}).train()
    resumed = trainer(LAYOUTS[0], tmp_path / "halved", lora, **saves)
    checkpoint = str(tmp_path / "halved" / "checkpoint-1")
    resumed.train(resume_from_checkpoint=checkpoint)
    names = ("loss", "grad_norm")
    assert logged(whole, *names)[1:] == logged(resumed, *names)[-1:]
    with pytest.raises(InputError, match="resume with the settings that it was begun with"):
        trainer(LAYOUTS[0], tmp_path / "other", not lora).train(resume_from_checkpoint=checkpoint)


@pytest.mark.parametrize(
    "settings, message",
    [({"max_length": 100}, "max_length would cut off image tokens"), ({"precompute_ref_log_probs": True}, "Reference")],
)
def test_settings_that_cannot_go_with_pictures(settings, message, tmp_path):
    with pytest.raises(InputError, match=message):
        trainer(LAYOUTS[0], tmp_path, **settings)
