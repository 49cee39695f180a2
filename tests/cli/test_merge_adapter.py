"""`copo merge-adapter`: an adapter that trained, as one model with its base."""

import copy

import pytest
import torch

pytest.importorskip("peft", reason="peft is not installed (extra `train`)")

import causal_attrib
from causal_attrib.training.trainers.lora import lora_config


@pytest.fixture
def adapter(bundled, tmp_path):
    from peft import get_peft_model

    adapted = get_peft_model(copy.deepcopy(bundled.model), lora_config(rank=2))
    torch.manual_seed(0)
    for name, weight in adapted.named_parameters():
        if "lora_B" in name:  # zero at first, so that an adapter changes nothing
            torch.nn.init.normal_(weight, std=0.05)
    adapted.save_pretrained(tmp_path / "adapter")
    return tmp_path / "adapter"


def test_the_whole_is_what_the_two_were(copo, bundled, adapter, park, tmp_path):
    result = copo("merge-adapter", adapter, tmp_path / "whole")
    assert (result.exit_code, result.stderr) == (0, f"Wrote {tmp_path / 'whole'}\n"), result.output
    assert not (tmp_path / "whole" / "adapter_config.json").exists()
    scores = [
        causal_attrib.score(park, "a dog on the grass", model=causal_attrib.load(model, device="cpu")).to_frame()
        for model in (adapter, tmp_path / "whole", None)
    ]
    assert scores[0]["logprob"].to_list() == pytest.approx(scores[1]["logprob"].to_list(), abs=1e-5)
    assert scores[0]["logprob"].to_list() != pytest.approx(scores[2]["logprob"].to_list(), abs=1e-2)


def test_what_cannot_be_merged(refused, adapter, tmp_path):
    assert "is not empty" in refused("merge-adapter", adapter, adapter)
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "adapter_config.json").write_text("{}")
    refused("merge-adapter", tmp_path / "broken", tmp_path / "whole")
    assert not (tmp_path / "whole").exists()
    assert "holds no adapter" in refused("merge-adapter", tmp_path, tmp_path / "whole")
