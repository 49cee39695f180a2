"""Pictures that are spoilt, and how much tokens depend on them, held against ordinary forwards."""

import math

import numpy as np
import pytest
import torch
from PIL import Image

from causal_attrib.errors import InputError
from causal_attrib.objectives import sampled_dependency, vocabulary_dependency
from causal_attrib.training.scoring.dependence import Dependence
from causal_attrib.training.scoring.policy_scores import PolicyScorer
from causal_attrib.training.scoring.rollout import Rollout, chat_of
from causal_attrib.training.scoring.spoilt import Spoil, like_batch, spoil_picture, spoilt_inputs
from tests.tiny_models import tiny
from tests.training.runs import noise_rows

IDS = [(5, 9, 11), (5, 9, 11), (7,), (), (6, 6, 12, 8)]
LENGTH = 5


def picture(width=60, height=45):
    """Without a black pixel, so that what is blackened can be told."""
    return Image.fromarray(np.full((height, width, 3), 200, dtype=np.uint8))


def test_patches_are_black_squares_cut_at_the_edges():
    spoilt = np.array(spoil_picture(picture(), Spoil(patch=14, share=0.5), (1, 2, 3), np.random.default_rng(3)))
    assert spoilt.shape == (45, 60, 3)
    expected = np.random.default_rng(3).random((4, 5)) < 0.5  # ceil(45 / 14) rows, ceil(60 / 14) columns
    assert 0 < expected.sum() < 20
    for y in range(45):
        for x in range(60):
            assert (spoilt[y, x] == (0 if expected[y // 14, x // 14] else 200)).all()


@pytest.mark.parametrize("share, black", [(0.0, 0.0), (1.0, 1.0)])
def test_all_patches_or_none(share, black):
    spoilt = np.array(spoil_picture(picture(), Spoil(share=share), (0, 0, 0), np.random.default_rng(0)))
    assert (spoilt == 0).mean() == black


def test_one_colour_and_blur():
    generator = np.random.default_rng(0)
    assert spoil_picture(picture(), Spoil("colour"), (9, 8, 7), generator).getcolors() == [(2700, (9, 8, 7))]
    noise = noise_rows(1)[0]["image"]
    assert np.array(spoil_picture(noise, Spoil("blur"), (0, 0, 0), generator)).std() < np.array(noise).std() / 4


@pytest.mark.parametrize(
    "settings, message",
    [
        ({"kind": "noise"}, "cannot be spoilt by 'noise'; choose one of patches, blur, colour, none"),
        ({"patch": 0}, "The side of a patch is 0"),
        ({"share": math.nan}, "The share of patches that are blackened is nan"),
    ],
)
def test_what_cannot_be_is_refused(settings, message):
    with pytest.raises(InputError, match=message):
        Spoil(**settings)


def rollouts():
    one, two = noise_rows(2)
    return [Rollout(row["image"], row["prompt"], ids) for row, ids in zip([one] * 4 + [two], IDS, strict=True)]


def direct(vlm, rollout, spoil, seed):
    """Logits (T, V) behind the picture and behind what it is held against, by the model's own forward."""
    ids = torch.tensor([rollout.completion_ids])

    def logits(inputs):
        row = inputs["input_ids"]
        more = {name: value for name, value in inputs.items() if name not in ("input_ids", "attention_mask")}
        if "mm_token_type_ids" in more:
            more["mm_token_type_ids"] = torch.cat([more["mm_token_type_ids"], torch.zeros_like(ids)], 1)
        whole = torch.cat([row, ids], 1)
        with torch.no_grad():
            out = vlm.model(input_ids=whole, attention_mask=torch.ones_like(whole), **more, use_cache=False).logits
        return out[0, row.shape[1] - 1 : -1].float()

    shown = vlm.prompt_inputs(chat_of(vlm, rollout), rollout.picture.shown)
    if spoil.kind == "none":
        text = chat_of(vlm, rollout, picture=False)
        assert "image" not in text
        unseen = {"input_ids": vlm.tokenizer(text, return_tensors="pt", add_special_tokens=False)["input_ids"]}
    else:
        unseen = spoilt_inputs(vlm, rollout, spoil, seed)
    return logits(shown), logits(unseen)


@pytest.mark.parametrize("name", ["llava_clip_llama", "qwen2_vl", "idefics3"])
@pytest.mark.parametrize("kind", ["patches", "none"])
def test_dependence_is_that_of_ordinary_forwards(name, kind):
    vlm, spoil, seed = tiny(name), Spoil(kind), 7
    scorer, asked = PolicyScorer(vlm.model, vlm.processor), rollouts()
    found = [
        scorer(asked, LENGTH, effects=False, logprob=True, dependence=Dependence(spoil, vocabulary), seed=seed)
        for vocabulary in (False, True)
    ]
    for b, rollout in enumerate(asked):
        count = len(rollout.completion_ids)
        for scores in found:
            assert not scores.dependency_BT[b, count:].any() and not scores.logprob_BT[b, count:].any()
        if not count:
            continue
        with_TV, without_TV = direct(vlm, rollout, spoil, seed)
        ids_T1 = torch.tensor(rollout.completion_ids)[:, None]
        seen, spoilt = (logits.log_softmax(-1).gather(1, ids_T1).T for logits in (with_TV, without_TV))
        expected = sampled_dependency(seen, spoilt, torch.ones(1, count))[0], vocabulary_dependency(with_TV, without_TV)
        for scores, dependency in zip(found, expected, strict=True):
            torch.testing.assert_close(scores.logprob_BT[b, :count], seen[0], atol=2e-5, rtol=1e-5)
            torch.testing.assert_close(scores.dependency_BT[b, :count], dependency, atol=2e-5, rtol=1e-4)
            assert dependency.max() > 1e-6


def test_the_same_picture_is_spoilt_alike_and_another_draw_differs():
    vlm = tiny("llava_clip_llama")
    one, two = rollouts()[0], rollouts()[4]
    pixels = [
        spoilt_inputs(vlm, rollout, Spoil(), seed)["pixel_values"]
        for rollout, seed in ((one, 1), (rollouts()[1], 1), (one, 2), (two, 1))
    ]
    assert torch.equal(pixels[0], pixels[1])
    assert not torch.equal(pixels[0], pixels[2]) and not torch.equal(pixels[0], pixels[3])


def test_a_picture_is_held_against_one_thing():
    vlm = tiny("llava_clip_llama")
    with pytest.raises(ValueError, match="ask for effects or for dependence"):
        PolicyScorer(vlm.model, vlm.processor)([], 0, dependence=Dependence(Spoil()))


def test_pixels_of_single_prompts_as_those_of_a_batch():
    tiles = [torch.ones(1, 2, 3, 4, 4), torch.ones(1, 1, 3, 4, 4)]
    together = like_batch(tiles, torch.zeros(2, 2, 3, 4, 4))
    assert together[0].all() and together[1, 0].all() and not together[1, 1].any()
    patches = [torch.ones(6, 5), 2 * torch.ones(4, 5)]
    assert like_batch(patches, torch.zeros(10, 5)).sum() == 30 + 40
    with pytest.raises(InputError, match=r"shape \(9, 5\) and the spoilt ones are of shape \(6, 5\)"):
        like_batch(patches, torch.zeros(9, 5))
