"""Batch norms of frozen towers."""

import copy

import torch
from torch import nn

from causal_attrib.training.trainers.frozen_norms import keep_frozen_norms
from tests.training.runs import grpo_trainer, scene_rows


def test_frozen_ones_keep_what_they_learnt_and_others_learn():
    frozen, learnt = nn.BatchNorm2d(3).requires_grad_(False), nn.BatchNorm2d(3)
    model = nn.Sequential(frozen, learnt)
    keep_frozen_norms(model)
    pixels_BCHW = torch.full((2, 3, 4, 4), 5.0)
    model.train()
    # Mean 0 and variance 1 as they were made: all but nothing is done to the pixels.
    assert torch.allclose(frozen(pixels_BCHW), pixels_BCHW, atol=1e-4)
    model(pixels_BCHW)
    assert frozen.running_mean.tolist() == [0, 0, 0]
    assert (learnt.running_mean > 0.4).all()


def test_a_trainer_sees_to_it(bundled, tmp_path):
    vlm = copy.copy(bundled)
    vlm.model = copy.deepcopy(bundled.model)
    vlm.model.model.extra = nn.BatchNorm1d(2).requires_grad_(False)
    trainer = grpo_trainer(vlm, scene_rows(1), tmp_path)
    norm = trainer.model.model.extra
    trainer.model.train()
    norm(torch.ones(4, 2))
    assert norm.running_mean.tolist() == [0, 0]
