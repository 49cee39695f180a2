"""What ends a run before its time is said in a sentence. The errors are real ones."""

import json
import resource

import pytest
import torch
from PIL import Image

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.errors import InputError
from causal_attrib.scenes import write_dataset
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.data.prompt_lengths import check_lengths
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.recipe.method import GRPO
from causal_attrib.training.run import build, explained, train
from causal_attrib.training.trainers.trainable import check_template, check_texts, check_trainable
from causal_attrib.training.watch.loss_check import check_loss
from causal_attrib.training.watch.out_of_memory import hints
from causal_attrib.training.watch.phases import SCORE, PhaseClock
from tests.tiny_models import tiny
from tests.training.runs import SMALL, grpo_trainer, noise_rows


def test_too_little_memory_names_the_phase_and_what_to_try_in_order():
    clock = PhaseClock()
    with pytest.raises(InputError) as error, explained(Recipe(full=True), clock), clock.phase(SCORE):
        torch.empty(1 << 60, dtype=torch.uint8)
    said = str(error.value)
    assert said.startswith("There was too little memory for scores; try, in this order: scoring_batch_size 1")
    order = ("per_device_train_batch_size 4", "max_completion_length 256", "smaller pictures", "num_generations 4")
    places = [said.index(hint) for hint in (*order, "adapters, without --full", "load_in_4bit")]
    assert places == sorted(places) and "\n" not in said


def test_what_cannot_be_made_smaller_is_not_advised():
    assert list(hints(Recipe(method="symmpo", per_device_train_batch_size=1, load_in_8bit=True), None)) == [
        "smaller pictures"
    ]


def test_a_full_disk_ends_the_run_with_a_sentence(tmp_path):
    scenes = write_dataset(tmp_path / "scenes", 2, 0)
    plan = make_plan(Recipe(method="grpo", data=str(scenes), output_dir=str(tmp_path / "out"), **SMALL))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    try:
        # No file may grow beyond this, while the adapter takes more.
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, limits[1]))
        with pytest.raises(InputError, match="There is no room left where .*out is; free some and go on with --resume"):
            train(plan, tell=lambda _: None)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("method", ["grpo", "symmpo"])
def test_a_picture_that_the_processor_refuses_is_named_before_the_first_step(method, tmp_path):
    """Qwen takes sides of 200 to 1 at most."""
    for name, size in (("square.png", (60, 60)), ("other.png", (60, 60)), ("wide.png", (6500, 20))):
        Image.new("RGB", size).save(tmp_path / name)
    row = {"image": "square.png", "prompt": "Is there a dog?", "answer": "yes"}
    row |= {"chosen": "yes", "rejected": "no", "chosen_contrast": "no", "image_contrast": "other.png"}
    rows = [row, row | {"image_contrast": "wide.png"} if method == "symmpo" else row | {"image": "wide.png"}]
    (tmp_path / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    small = SMALL if method == "grpo" else {"max_steps": 1}
    recipe = Recipe(method=method, data=str(tmp_path / "rows.jsonl"), output_dir=str(tmp_path / "out"), **small)
    with pytest.raises(InputError, match="rows.jsonl row 2: The processor of .* takes no picture of 6500 x 32 pixels"):
        build(make_plan(recipe), lambda *_, **__: tiny("qwen2_vl"))


def test_other_errors_are_let_through():
    with pytest.raises(RuntimeError, match="something else"), explained(Recipe()):
        raise RuntimeError("something else")


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        *((name, "has no chat template") for name in ("paligemma", "blip2_opt", "florence2")),
        *(
            (name, "reads its picture apart from the text")
            for name in ("mllama", "blip", "kosmos2", "vision_encoder_decoder")
        ),
    ],
)
def test_models_that_trl_cannot_train_are_refused(name, reason):
    with pytest.raises(InputError, match=reason):
        check_trainable(tiny(name))


def test_special_tokens_in_texts_are_refused_with_their_row():
    vlm = tiny("llava_clip_llama")
    plain = {"prompt": [{"role": "user", "content": "what is it?"}], "answer": "<image>"}
    said = [{"role": "assistant", "content": "the <image> shows a dog"}]
    check_texts(vlm, [plain, plain | {"chosen": [{"role": "assistant", "content": "a < b > c"}]}], "rows.jsonl")
    with pytest.raises(
        InputError, match="rows.jsonl row 2 contains the special token <image> under 'chosen'; leave it"
    ):
        check_texts(vlm, [plain, plain | {"chosen": said}], "rows.jsonl")
    asked = [{"role": "system", "content": "End with </s>"}, *plain["prompt"]]
    with pytest.raises(InputError, match="row 1 contains the special token </s> under 'prompt'"):
        check_texts(vlm, [plain | {"prompt": asked}], "rows.jsonl")


def test_a_prompt_longer_than_the_model_reads_is_named_before_the_first_sampling(monkeypatch):
    """The tiny model reads 2,048 tokens. Short rows say nothing; what may be written beyond is warned of."""
    vlm = tiny("llava_clip_llama")
    rows = noise_rows()
    long = rows[0] | {"prompt": [{"role": "user", "content": "dog " * 3000}]}
    check_lengths(vlm, rows, "rows.jsonl", 512)
    with pytest.raises(
        InputError, match=r"rows.jsonl row 3 has a prompt of 30\d\d tokens, pictures included, but .* 2048"
    ):
        check_lengths(vlm, [*rows[:2], long, rows[3]], "rows.jsonl")
    with pytest.warns(
        UserWarning, match="row 4 has a prompt of .* and 2047 may be written .* Set max_completion_length"
    ):
        check_lengths(vlm, [*rows[:3], rows[0] | {"prompt": [{"role": "user", "content": "dog " * 99}]}], "r", 2047)
    # What the chat template is told counts as well.
    template = vlm.processor.chat_template + "{% if thinking %}{{ 'dog ' * 3000 + thinking[0] }}{% endif %}"
    monkeypatch.setattr(vlm.processor, "chat_template", template)
    check_lengths(vlm, rows, "rows.jsonl", 512, {"thinking": False})
    with pytest.raises(InputError, match=r"rows.jsonl row \d has a prompt of 30\d\d tokens"):
        check_lengths(vlm, rows, "rows.jsonl", 512, {"thinking": "yes"})
    check_template(vlm, {"thinking": "yes"})
    with pytest.raises(InputError, match="does not go with the chat_template_kwargs .*; change them, or"):
        check_template(vlm, {"thinking": 3})
    said = {
        name: [{"role": "assistant", "content": text}] for name, text in (("chosen", "x"), ("rejected", "dog " * 3000))
    }
    with pytest.raises(InputError, match="row 2 has a prompt of .*, the response 30.. more, but .* shorten them"):
        check_lengths(vlm, [rows[0] | said | {"rejected": said["chosen"]}, rows[1] | said], "rows.jsonl", None)


@pytest.mark.parametrize("name", ["do_normalize", "images", "image", "text", "size", "enable_thinking"])
def test_an_argument_that_the_chat_template_does_not_read_is_refused(bundled, name):
    """The processor would take it for one of its own, and show the policy other pixels."""
    check_template(bundled, None)
    with pytest.raises(InputError, match=f"has '{name}', which the chat template of bundled does not read; leave it"):
        check_template(bundled, {name: False})


@pytest.mark.parametrize("name", ["smolvlm", "internvl", "mistral3", "aya_vision", "gemma3"])
def test_models_beside_the_three_layouts_train(name, tmp_path):
    check_trainable(tiny(name))
    small = {"max_steps": 1, "max_completion_length": 3}
    trainer = grpo_trainer(tiny(name), noise_rows(), tmp_path, CopoGRPOTrainer, method=GRPO(), **small)
    trainer.train()
    # TRL 1.16 scales the logits of Aya Vision by its `logit_scale`; the model of transformers does not.
    assert (check_loss(trainer).sign is not None) == (name == "aya_vision")
    trainer.save_model(str(tmp_path / "saved"))
    assert (tmp_path / "saved" / "processor_config.json").is_file()
