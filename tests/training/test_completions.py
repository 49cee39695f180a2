"""Completions of a batch as plain data, and as text."""

import torch

from causal_attrib.training.watch.completions import Sample, SampledBatch, samples

TEXTS = (" a dog", " a red frisbee on the grass", " a cat", " two cats at noon")
REWARDS = (0.5, 1.0, 0.0, 0.25)


def batch(tokenizer, added=True):
    ids = [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]
    longest = max(map(len, ids))
    mask_BT = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in ids])
    return SampledBatch(
        rows=[{"prompt": [{"role": "user", "content": "What is it?"}], "answer": "a frisbee"}] * len(ids),
        ids_BT=torch.tensor([row + [tokenizer.pad_token_id] * (longest - len(row)) for row in ids]),
        mask_BT=mask_BT,
        reward_B=torch.tensor(REWARDS),
        advantage_B=torch.tensor(REWARDS) - 0.4375,
        added_BT=mask_BT * torch.arange(longest) / 10 if added else None,
    )


def test_the_worst_and_the_best_of_a_group(bundled):
    worst, best = samples(batch(bundled.tokenizer), bundled.tokenizer, 2, 7, 4)
    assert ("".join(worst.tokens), "".join(best.tokens)) == (TEXTS[2], TEXTS[1])
    assert (best.step, best.prompt, best.reference, best.reward) == (7, "What is it?", "a frisbee", 1.0)
    assert best.added == tuple(batch(bundled.tokenizer).added_BT[1].tolist()[: len(best.tokens)])
    assert len(worst.added) == len(worst.tokens) < len(best.tokens)  # padding is none of it
    shown = samples(batch(bundled.tokenizer, added=False), bundled.tokenizer, 9, 7, 4)
    assert [sample.reward for sample in shown] == sorted(REWARDS) and shown[0].added is None


def test_the_text_names_the_strongest_tokens_in_their_order():
    tokens = (" a", " dog", " on", " grass")
    told = str(Sample(3, "What?", "a dog", 1.0, 0.5, tokens, (0.001, 0.3, 0.0, -0.1)))
    assert told.splitlines() == [
        "step 3   reward 1   advantage +0.50   reference: a dog",
        "  What?",
        "  a dog on grass",
        "  added to the advantage: 'dog' +0.30, 'grass' -0.10",
    ]
    assert "added" not in str(Sample(3, "What?", None, 1.0, 0.5, tokens, None))
