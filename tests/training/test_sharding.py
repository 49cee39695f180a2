"""What FSDP shares a model out into, and the optimizer's file of a model that it has shared out."""

import torch
from torch import nn
from transformers import Adafactor

from causal_attrib.training.trainers.sharding import begin_states, layers_of
from tests.tiny_models import tiny


def test_a_parameter_without_a_gradient_gets_the_state_its_optimizer_begins_with():
    torch.manual_seed(0)
    weights, twins = ([nn.Parameter(torch.ones(3)) for _ in range(2)] for _ in range(2))
    optimizer, twin = torch.optim.AdamW(weights), torch.optim.AdamW(twins)
    for step in range(3):
        if step == 1:
            begin_states(optimizer)
            assert optimizer.state[weights[1]]["step"] == 0 and not optimizer.state[weights[1]]["exp_avg"].any()
        for few in (weights, twins):
            few[0].grad = torch.full((3,), step + 1.0)
            few[1].grad = None if step < 2 else torch.arange(3.0)
        optimizer.step()
        twin.step()
    # The later steps of both are those of an optimizer that was left alone.
    assert all(torch.equal(one, other) for one, other in zip(weights, twins, strict=True))
    # Factored states have no size of their own to be filled with, and before the first step there are none.
    adafactor = Adafactor(weights, lr=1e-3, relative_step=False)
    begin_states(adafactor)
    assert not adafactor.state


def test_layers_to_share_out_are_those_the_model_has():
    model = tiny("llava_clip_llama").model
    assert "CLIPTextEmbeddings" in model._no_split_modules
    assert layers_of(model) == ["CLIPEncoderLayer", "CLIPVisionEmbeddings", "LlamaDecoderLayer"]
