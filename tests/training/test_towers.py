"""A frozen tower sees each picture of a batch once, and numbers are those of TRL's own trainer."""

import copy

import pytest
import torch

pytest.importorskip("trl", reason="TRL is not installed (extra `train`)")

from trl import GRPOTrainer

from causal_attrib.training import CopoGRPOTrainer
from causal_attrib.training.recipe.method import GRPO
from causal_attrib.training.trainers.frozen_norms import keep_frozen_norms
from causal_attrib.training.trainers.lora import lora_config
from causal_attrib.training.trainers.towers import see_once
from tests.tiny_models import tiny
from tests.training.runs import GROUP, grpo_trainer, logged, noise_rows
from tests.training.test_copo_trainer import weights

LLAVA = "llava_clip_llama"


@pytest.fixture(autouse=True)
def one_thread():
    """Several share a product out by its rows, and round batches of another size in another way."""
    torch.set_num_threads(1)


def test_adapters_are_trained_as_by_trl_bit_for_bit(tmp_path):
    def run(kind, **ours):
        trainer = grpo_trainer(
            tiny(LLAVA), noise_rows(2), tmp_path, kind, peft_config=lora_config(4), max_steps=1, **ours
        )
        seen = []
        embeddings = next(module for name, module in trainer.model.named_modules() if name.endswith("patch_embedding"))
        embeddings.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
        trainer.train()
        return seen, logged(trainer, "loss", "grad_norm", "reward"), weights(trainer)

    (vanilla_seen, vanilla, vanilla_weights), (seen, ours, our_weights) = (
        run(GRPOTrainer),
        run(CopoGRPOTrainer, method=GRPO()),
    )
    assert vanilla[0]["grad_norm"] > 0 and ours == vanilla and torch.equal(our_weights, vanilla_weights)
    assert len(seen) == len(vanilla_seen) and max(vanilla_seen) == 2 * GROUP and max(seen) == 2


def test_a_tower_that_learns_or_draws_sees_all():
    vlm = tiny(LLAVA)
    model, seen = copy.deepcopy(vlm.model), []
    for _ in range(2):  # as by two trainers, one after the other
        see_once(model)
    tower = model.model.vision_tower
    tower.embeddings.register_forward_hook(lambda module, args, output: seen.append(len(args[0])))
    two = torch.rand((2, 3, 56, 56), generator=torch.Generator().manual_seed(0))
    # Two that have the same sum, and one of them again.
    pixels = torch.stack([two[0], two[0].flip(-1), two[0], two[1]])
    with torch.no_grad():
        wanted = vlm.model.model.vision_tower(pixels).last_hidden_state
        assert torch.equal(tower(pixels).last_hidden_state, wanted)
        assert torch.equal(tower(pixel_values=pixels, return_dict=False)[0], wanted)
    tower(pixels)
    tower.requires_grad_(False)
    assert torch.equal(tower(pixels).last_hidden_state, wanted)
    tower.train().config.attention_dropout = 0.1
    tower(pixels)
    tower.config.attention_dropout = 0.0
    tower(pixels)
    # Told by no setting of the tower's own, as where timm brings it along.
    tower.add_module("inner", torch.nn.Dropout(0.5))
    tower(pixels)
    assert seen == [3, 3, 4, 3, 4, 3, 4]
    del tower.inner
    tower.add_module("norm", torch.nn.BatchNorm2d(3).requires_grad_(False))
    tower(pixels)
    keep_frozen_norms(tower)
    tower(pixels)
    assert seen[-2:] == [4, 3]


def test_what_has_no_part_for_each_picture_is_of_all():
    vlm = tiny(LLAVA)

    class Flat(type(vlm.model.model.vision_tower)):
        def forward(self, pixel_values, **kwargs):
            return super().forward(pixel_values, **kwargs).last_hidden_state.flatten(0, 1)

    tower = Flat(vlm.model.model.vision_tower.config).eval().requires_grad_(False)
    pixels = torch.rand((1, 3, 56, 56)).expand(3, -1, -1, -1)
    wanted = tower(pixels)
    see_once(tower)
    for _ in range(2):
        assert torch.equal(tower(pixel_values=pixels), wanted) and wanted.shape[0] % 3 == 0
