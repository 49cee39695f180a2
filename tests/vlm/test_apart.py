"""Pictures of one batch are read as each alone, also by a model that numbers their parts through the batch."""

import torch

from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import decode
from tests.saliency.common import noise
from tests.tiny_models import tiny


def test_a_model_that_would_be_shown_the_first_picture_takes_them_one_by_one():
    vlm = tiny("molmo2")
    asked = [vlm.ask(noise(seed=seed), "What is it?") for seed in range(2)]
    together = {name: torch.cat([one[name] for one in asked]) for name in asked[0]}
    rows = [vlm.family.extend(inputs, [()], vlm.pad_id) for inputs in asked]
    alone_2V = torch.cat([vlm.family.logits(row, 1)[:, -1] for row in rows])
    mixed_V = vlm.family.logits({name: torch.cat([row[name] for row in rows]) for name in together}, 1)[1, -1]
    # It would: the second of two pictures is not seen.
    assert (mixed_V - alone_2V[1]).abs().max() > 0.5 * (alone_2V[0] - alone_2V[1]).abs().max() > 1e-3
    assert not vlm.keeps_apart(*asked)
    written = [ids for one in asked for ids in vlm.write_together([one], 6)]
    assert vlm.write_together(asked, 6) == written and decode(vlm.tokenizer, written[0])


def test_one_that_keeps_them_apart_is_found_out_by_two_pictures_that_differ():
    vlm = tiny("aya_vision")
    known = VLM(vlm.model, vlm.processor, name="fresh")
    same, other = (known.ask(noise(seed=seed), "What is it?") for seed in range(2))
    assert not known.keeps_apart(same, same) and known.keeps_apart(same, other) and known.keeps_apart(same, same)
