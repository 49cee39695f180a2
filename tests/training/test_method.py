import math

import pytest
import torch

from causal_attrib.errors import InputError
from causal_attrib.training.recipe.method import (
    CEPO,
    COPO,
    DPO,
    GRPO,
    HERO,
    METHODS,
    PAPO,
    PGPO,
    VPPO,
    SymMPO,
    choose_method,
)
from causal_attrib.training.scoring.policy_scores import PolicyScores

SCORES = PolicyScores(
    sufficiency_BT=torch.tensor([[0.87, 0.0, 0.0], [0.09, 0.68, 0.0]]),
    necessity_BT=torch.tensor([[0.81, 0.0, 0.0], [0.03, 0.54, 0.0]]),
    scored_BT=torch.tensor([[True, False, False], [True, True, False]]),
    entropy_BT=torch.tensor([[0.05, 0.2, 0.7], [0.05, 0.2, 0.7]]),
    seconds=0.0,
)
MASK = torch.tensor([[1, 1, 0], [1, 1, 1]])
ADVANTAGE = torch.tensor([1.0, -1.0])


def test_copo_adds_what_the_paper_adds():
    # Methods 1.4: dog 0.588, sunset 0.042, brown 0.427.
    after = COPO().token_advantage(ADVANTAGE, SCORES, MASK, 2)
    assert torch.allclose(after, torch.tensor([[1.588, 1, 1], [-0.958, -0.573, -1]]))
    gated = COPO(gate=True).token_advantage(ADVANTAGE, SCORES, MASK, 2)
    assert torch.allclose(gated, torch.tensor([[1.588, 1, 1], [-1, -1, -1]]))


@pytest.mark.parametrize("center, rows", [("group", 2), ("completion", 1)])
def test_what_is_centred_adds_up_to_nothing(center, rows):
    added = COPO(center=center).token_advantage(ADVANTAGE, SCORES, MASK, 2) - ADVANTAGE[:, None]
    assert torch.allclose(added.view(-1, rows * 3).sum(1), torch.zeros(2 // rows), atol=1e-6)


def test_hero_weighs_and_grpo_does_nothing():
    after = HERO().token_advantage(ADVANTAGE, SCORES, MASK, 2)
    weight = torch.tensor([-0.05, -0.2]).softmax(0) * 2
    assert torch.allclose(after[0], torch.tensor([*weight, 0.0]))
    assert torch.allclose(after.sum(1), torch.tensor([2.0, -3.0]))
    assert GRPO().token_advantage(ADVANTAGE, None, MASK, 2) is ADVANTAGE


def test_what_holds_the_picture_against_itself_needs_its_dependence():
    for method in (VPPO(), PGPO()):
        with pytest.raises(ValueError, match=f"The method {method.name} weighs tokens by how much they depend"):
            method.token_advantage(ADVANTAGE, SCORES, MASK, 2)
    assert VPPO(top_tokens=1, advantage_min=1).dependence is None
    assert (VPPO().dependence.vocabulary, PGPO().dependence.vocabulary) == (False, True)
    assert (VPPO().dependence.spoil.kind, PGPO().dependence.spoil.kind) == ("patches", "none")
    with pytest.raises(ValueError, match="give its log-probabilities"):
        PAPO().added_loss(torch.zeros(1, 1), None, torch.ones(1, 1))


def test_methods_by_name():
    assert [choose_method(name) for name in METHODS] == [
        *(GRPO(), COPO(), HERO(), CEPO()),
        *(VPPO(), PGPO(), PAPO(), SymMPO(), DPO()),
    ]
    assert choose_method("hero", negative_only=True, keep=1.0) == HERO(keep=1.0, negative_only=True)


@pytest.mark.parametrize(
    "name, settings, message",
    [
        ("ppo", {}, "There is no method 'ppo'; choose one of grpo, copo, hero, cepo, vppo, pgpo, papo, symmpo, dpo"),
        ("grpo", {"lambda_s": 1}, "The method grpo has no setting 'lambda_s'; it has keep"),
        ("grpo", {"keep": 0.0}, "The share of prompts to keep is 0.0"),
        ("copo", {"lambda_s": 1.5}, "lambda_s is 1.5, but it must be a number from 0 to 1"),
        ("copo", {"lambda_n": math.nan}, "lambda_n is nan"),
        ("copo", {"center": "batch"}, "There is no way to center 'batch'"),
        ("copo", {"normalise": "softmax"}, "There is no normalisation 'softmax'"),
        ("cepo", {"p": math.nan}, "The exponent p of the power mean is NaN"),
        ("cepo", {"weights": (1, 0, 0)}, "give four numbers"),
        ("cepo", {"draws": 0}, "The number of draws is 0"),
        (
            "vppo",
            {"spoil": "noise"},
            "A picture cannot be spoilt by 'noise'; choose one of patches, blur, ",
        ),
        ("vppo", {"top_tokens": 0.0}, "top_tokens is 0.0, but it must lie above 0"),
        ("vppo", {"advantage_min": math.nan}, "advantage_min is nan"),
        ("vppo", {"entropy_penalty": -0.1}, "entropy_penalty is -0.1"),
        ("vppo", {"patch_size": 0}, "patch_size is 0"),
        ("pgpo", {"threshold": 1.0}, "threshold is 1.0, but it must be 0 or more and lie below 1"),
        ("pgpo", {"boost": math.inf}, "boost is inf"),
        ("pgpo", {"patch_share": 1.5}, "patch_share is 1.5, but it must be a number from 0 to 1"),
        ("papo", {"spoil": "none"}, "papo masks the picture and cannot leave it out"),
        ("papo", {"eta_spoilt": -1.0}, "eta_spoilt is -1.0"),
        ("symmpo", {"pair": -1}, "The weight of the term pair is -1"),
        ("symmpo", {"delta": math.inf}, "delta is inf"),
    ],
)
def test_settings_out_of_range_are_refused(name, settings, message):
    with pytest.raises(InputError, match=message):
        choose_method(name, **settings)
