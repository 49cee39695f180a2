"""Rows of several pictures, and of none, through the trainer: each picture where its prompt has it."""

import copy
import json

import pytest
import torch
from PIL import Image

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from causal_attrib.errors import InputError
from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.plan import make_plan
from causal_attrib.training.recipe.keys import Recipe
from causal_attrib.training.recipe.method import COPO, GRPO, HERO
from causal_attrib.training.scoring.policy_scores import Scoring
from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
from causal_attrib.training.trainers.trainable import check_places
from causal_attrib.training.watch.loss_check import check_loss
from tests.tiny_models import tiny
from tests.training.runs import grpo_trainer, noise_rows

PLACED = [
    {"type": "text", "text": "first "},
    {"type": "image"},
    {"type": "text", "text": " then "},
    {"type": "image"},
    {"type": "text", "text": "?"},
]


def rows(*counts, prompt=None):
    """A row for each count of pictures."""
    made = []
    for n, (count, row) in enumerate(zip(counts, noise_rows(len(counts)), strict=True)):
        pictures = [other["image"] for other in noise_rows(n + count)[n:]]
        asked = row["prompt"] if prompt is None or not count else [{"role": "user", "content": prompt}]
        made.append({"images": pictures, "prompt": asked, "answer": "dog", "image_index": max(count - 1, 0)})
    return made


@pytest.mark.parametrize(("name", "method"), [("llava_clip_llama", HERO()), ("qwen2_vl", COPO()), ("idefics3", COPO())])
def test_trl_and_the_engine_see_the_same_pictures_in_the_same_places(name, method, tmp_path):
    """The log-probabilities of a plain forward of ours give TRL's loss."""
    prompt = PLACED if name != "llava_clip_llama" else None
    # The second picture is asked about in each row.
    trainer = grpo_trainer(
        tiny(name),
        rows(2, 2, prompt=prompt),
        tmp_path,
        method=method,
        scoring=Scoring(outcome="grounding", subset="entropy"),
        max_steps=1,
    )
    trainer.train()
    check = check_loss(trainer)
    assert check is not None and check.sign is None and abs(check.ours) > 0.01


@pytest.mark.parametrize(
    ("name", "counts"),
    [("qwen2_vl", (0, 0)), ("llava_clip_llama", (2, 0)), ("qwen2_vl", (0, 2)), ("idefics3", (0, 1))],
)
def test_rows_of_text_alone_are_trained_on_beside_those_with_pictures(name, counts, tmp_path):
    """In parts of a batch too, of which some have no picture."""
    seen = []

    class Watched(CopoGRPOTrainer):
        def compute_loss(self, model, inputs, *args, **kwargs):
            seen.append(sum(inputs.get("num_images") or [0]))
            return super().compute_loss(model, inputs, *args, **kwargs)

    trainer = grpo_trainer(
        tiny(name),
        rows(*counts),
        tmp_path,
        Watched,
        method=GRPO(),
        max_steps=1,
        num_iterations=2,  # TRL then reads completions before the loss, those of one prompt at a time
    )
    trainer.train()
    (entry,) = [line for line in trainer.state.log_history if "loss" in line]
    assert entry["grad_norm"] > 0
    assert sum(seen) == 4 * sum(counts)


def test_the_picture_asked_about_is_held_against_another_and_the_others_stay(tmp_path):
    vlm = tiny("llava_clip_llama")
    first, second = (row["image"] for row in noise_rows(2))
    messages = [{"role": "user", "content": PLACED}]
    seen = {index: encode_prompt(vlm, Rollout([first, second], messages, (), index=index)) for index in (0, 1)}
    for index, encoding in seen.items():
        changed = (
            (encoding.prompt_inputs["pixel_values"] != encoding.reference_inputs["pixel_values"]).flatten(1).any(1)
        )
        assert changed.tolist() == [index == 0, index == 1]
        assert torch.equal(encoding.prompt_inputs["input_ids"], encoding.reference_inputs["input_ids"])
    words = vlm.tokenizer.decode(seen[0].prompt_inputs["input_ids"][0])
    assert [len(part) > 0 for part in words.split("<image>") if "first" in part or "then" in part] == [True, True]
    assert words.index("first") < words.index("<image>") < words.index("then") < words.rindex("<image>")


@pytest.fixture
def plan(tmp_path):
    def make(row, **keys):
        for n in "12":
            Image.new("RGB", (40, 40), "red").save(tmp_path / f"{n}.png")
        (tmp_path / "rows.jsonl").write_text(json.dumps(row) + "\n")
        small = {"num_generations": 2, "per_device_train_batch_size": 2, "gradient_accumulation_steps": 1}
        return make_plan(Recipe(data=str(tmp_path / "rows.jsonl"), output_dir=str(tmp_path / "out"), **small, **keys))

    return make


@pytest.mark.parametrize(
    ("row", "keys", "message"),
    [
        ({"images": ["1.png", "2.png"], "answer": "x"}, {"method": "cepo"}, "row 1 has 2 images, but cepo takes one"),
        (
            {"images": ["1.png", "2.png"], "chosen": "a", "rejected": "b", "image_contrast": "1.png"}
            | {"chosen_contrast": "c"},
            {"method": "symmpo"},
            "row 1 has 2 images, but symmpo takes one",
        ),
        (
            {"images": ["1.png", "2.png"], "objects": ["dog"]},
            {"reward": ["objects"]},
            "has 2 images and no 'image_index'; say which of them the outcome grounding asks about",
        ),
        (
            {"images": ["1.png", "2.png"], "answer": "x"},
            {"outcome": "grounding"},
            "has 2 images and no 'image_index'; say which of them the outcome grounding asks about",
        ),
        (
            {"image": "1.png", "prompt": "what <image> is", "answer": "x"},
            {"method": "cepo"},
            "has a picture among its words, which cepo takes apart",
        ),
        ({"answer": "x"}, {"method": "copo"}, "has no key 'image'"),
    ],
)
def test_what_a_method_cannot_take_is_refused(plan, row, keys, message):
    with pytest.raises(InputError, match=message):
        plan({"prompt": "what is it?"} | row, **keys)


def test_what_it_can_take_is_taken(plan):
    row = {"images": ["1.png", "2.png"], "prompt": "what is it?", "answer": "x"}
    for method in ("grpo", "hero", "copo"):
        assert plan(row, method=method).rows[0]["images"]
    assert plan(row | {"image_index": 1}, outcome="grounding").rows[0]["image_index"] == 1
    (said,) = plan({"prompt": "what is it?", "answer": "x"}, method="grpo").remarks
    assert said == "1 of 1 rows have no picture, and are trained on as text alone."


def test_a_template_that_puts_pictures_first_is_found_out():
    vlm = tiny("llava_clip_llama")
    among = [{"prompt": [{"role": "user", "content": PLACED}]}]
    behind = [{"prompt": [{"role": "user", "content": PLACED[:2]}]}]
    check_places(vlm, among, "rows.jsonl")
    processor = copy.copy(vlm.processor)
    processor.chat_template = (
        "{% for m in messages %}{% for c in m['content'] if c['type'] == 'image' %}<image>{% endfor %}"
        "{% for c in m['content'] if c['type'] == 'text' %}{{ c['text'] }}{% endfor %}{% endfor %}"
    )
    moving = copy.copy(vlm)
    moving.processor = processor
    check_places(moving, behind, "rows.jsonl")
    with pytest.raises(InputError, match="rows.jsonl row 1 has a picture among its words, and the chat template of"):
        check_places(moving, among, "rows.jsonl")
