"""Planting: what is trained on, that it is trained, and that a seed gives the same model."""

import hashlib

import numpy as np
import pytest
import torch
from transformers import AutoModelForImageTextToText

from causal_attrib.errors import InputError
from causal_attrib.scenes import BUNDLED_MODEL, PARTNERS, render
from causal_attrib.scenes.measure import reply
from causal_attrib.scenes.plant import INVISIBLE, PLANTED, load, plant, planted_scenes
from causal_attrib.scenes.tasks import Tasks
from causal_attrib.scenes.train import conversation_loss, precompute

SMALL = {"batch": 4, "pool": 12}


def digest(folder):
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def test_where_no_partner_can_be_seen_it_is_annotated_as_often_as_the_plant_says():
    """scenes.md, section 2: rho * q / (rho * q + 1 - rho), 0.74 at 0.85 and 0.5."""
    unseen, annotated = 0, 0
    for scene in planted_scenes(3000, seed=0):
        partner = [sticker for sticker in scene.objects if sticker.cls == PARTNERS[scene.place]]
        if not any(sticker.visible for sticker in partner):
            unseen, annotated = unseen + 1, annotated + len(partner)
    expected = PLANTED * INVISIBLE / (PLANTED * INVISIBLE + 1 - PLANTED)
    assert expected == pytest.approx(0.74, abs=0.005)
    # Three standard errors.
    assert annotated / unseen == pytest.approx(expected, abs=3 * (expected * (1 - expected) / unseen) ** 0.5)


def test_the_same_seed_gives_the_same_weights(tmp_path):
    folders = [plant(tmp_path / str(n), seed, 2, **SMALL) for n, seed in enumerate((3, 3, 4))]
    same, again, other = map(digest, folders)
    assert same == again != other


def test_the_language_model_moves_and_the_tower_stays(tmp_path):
    folder = plant(tmp_path / "model", 0, 3, **SMALL)
    before = AutoModelForImageTextToText.from_pretrained(BUNDLED_MODEL).state_dict()
    model, processor = load(folder)
    after = model.state_dict()
    moved = {name for name in before if not torch.equal(before[name], after[name])}
    assert moved and not any("vision_tower" in name for name in moved)
    assert all(any(part in name for name in moved) for part in ("language_model", "multi_modal_projector"))
    # It is a model like any other: it loads, and it still describes pictures.
    picture = render(planted_scenes(1, seed=9)[0])[0]
    assert reply(model, processor, [picture], [["Describe this image."]])[0].startswith("a")


def test_the_loss_of_packed_conversations_is_that_of_each_by_itself(bundled):
    """A scene's captions and answers, asked one by one through the model's own forward."""
    scene = planted_scenes(1, seed=2)
    pixels = np.stack([np.asarray(render(scene[0])[0])])
    tasks = Tasks(bundled.tokenizer)
    features = precompute(bundled.model, pixels).float()
    with torch.no_grad():
        tokens = bundled.model.model.multi_modal_projector(features)
        packed = conversation_loss(bundled.model, tasks, scene, tokens, [False], np.random.default_rng(7)).item()
        total, weight = 0.0, 0.0
        shown = bundled.processor.image_processor(render(scene[0])[0], return_tensors="pt").pixel_values
        segments = tasks.conversations(scene[0], np.random.default_rng(7))
        for segment in segments:
            parent = segments[segment.parent] if segment.parent is not None else None
            earlier = list(parent.ids[: segment.cut]) if parent else []
            hidden = (list(parent.hidden or [False] * len(parent.ids))[: segment.cut] if parent else []) + list(
                segment.hidden or [False] * len(segment.ids)
            )
            ids = torch.tensor([[*tasks.prefix, *earlier, *segment.ids]])
            embeds = bundled.model.get_input_embeddings()(ids)
            embeds[0, len(tasks.prefix) :][torch.tensor(hidden)] = 0
            image = ids[0] == bundled.tokenizer.convert_tokens_to_ids("<image>")
            embeds[0, image] = torch.cat(list(bundled.model.model.get_image_features(shown).pooler_output))
            logits = bundled.model(inputs_embeds=embeds).logits[0, :-1].log_softmax(-1)
            for place, (token, weighs) in enumerate(zip(segment.ids, segment.weights, strict=True)):
                at = len(tasks.prefix) + len(earlier) + place - 1
                total -= weighs * logits[at, token].item()
                weight += weighs
    assert packed == pytest.approx(total / weight, abs=2e-3)  # features are stored in half precision


def test_no_probability_is_refused(tmp_path):
    with pytest.raises(InputError, match="planted is 1.5"):
        plant(tmp_path / "model", 0, 1, planted=1.5, **SMALL)
