"""What a long completion weighs against a short one."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import LOSS_TYPES, aggregate
from tests.objectives.properties import on_tensors

ROWS, WIDTH, BUDGET = 4, 5, 7
losses = arrays(float, (ROWS, WIDTH), elements=st.floats(-3, 3))
masks = arrays(bool, (ROWS, WIDTH))


def settings(loss_type, mask, tokens=None):
    """What a loss type needs besides."""
    tokens = mask.sum() if tokens is None else tokens
    return {"dr_grpo": {"max_length": BUDGET}, "dapo": {"batch_tokens": tokens}}.get(loss_type, {})


def by_hand(loss, mask, loss_type):
    """The four formulas of methods.md 5 (and TRL's bnpo) as loops over completions and tokens."""
    sums = [sum(x for x, counts in zip(row, on, strict=True) if counts) for row, on in zip(loss, mask, strict=True)]
    tokens = [sum(on) for on in mask]
    return {
        "grpo": sum(s / max(n, 1) for s, n in zip(sums, tokens, strict=True)) / ROWS,
        "bnpo": sum(sums) / max(sum(tokens), 1),
        "dr_grpo": sum(sums) / (ROWS * BUDGET),
        "dapo": sum(sums) / max(sum(tokens), 1),
    }[loss_type]


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@on_tensors
@given(losses, masks)
def test_equals_the_formula(loss_type, loss, mask):
    found = aggregate(torch.from_numpy(loss), torch.from_numpy(mask), loss_type, **settings(loss_type, mask))
    assert found.ndim == 0
    assert found.item() == pytest.approx(by_hand(loss.tolist(), mask.tolist(), loss_type), abs=1e-12)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@on_tensors
@given(losses, masks, st.sampled_from([0.0, 1e30, math.nan, math.inf, -math.inf]))
def test_padding_changes_neither_loss_nor_gradient(loss_type, loss, mask, filler):
    mask = torch.from_numpy(mask)

    def loss_and_gradient(values):
        values = values.clone().requires_grad_()
        total = aggregate(values, mask, loss_type, **settings(loss_type, mask))
        return total.detach(), torch.autograd.grad(total, values)[0]

    clean = torch.from_numpy(loss)
    for found, expected in zip(
        loss_and_gradient(clean.masked_fill(~mask, filler)), loss_and_gradient(clean), strict=True
    ):
        assert torch.equal(found, expected)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
@on_tensors
@given(losses, arrays(int, ROWS, elements=st.integers(0, WIDTH)), st.integers(0, 3))
def test_wider_padding_changes_nothing(loss_type, loss, length, extra):
    loss, mask = torch.from_numpy(loss), torch.arange(WIDTH) < torch.from_numpy(length)[:, None]
    wider = [torch.nn.functional.pad(x, (0, extra)) for x in (loss, mask)]
    needed = settings(loss_type, mask)
    assert aggregate(*wider, loss_type, **needed).item() == pytest.approx(
        aggregate(loss, mask, loss_type, **needed).item(), abs=1e-12
    )


@pytest.mark.parametrize(("loss_type", "combine"), [("grpo", "mean"), ("dr_grpo", "mean"), ("dapo", "sum")])
@on_tensors
@given(losses, masks)
def test_micro_batches_add_up_to_the_whole_batch(loss_type, combine, loss, mask):
    """methods.md 7.15: the same under gradient accumulation."""
    loss, mask = torch.from_numpy(loss), torch.from_numpy(mask)
    needed = settings(loss_type, mask)
    parts = [aggregate(loss[i : i + 2], mask[i : i + 2], loss_type, **needed) for i in (0, 2)]
    total = sum(parts) / (2 if combine == "mean" else 1)
    assert total.item() == pytest.approx(aggregate(loss, mask, loss_type, **needed).item(), abs=1e-12)


def test_bnpo_micro_batches_do_not():
    loss, mask = torch.tensor([[1.0, 1.0], [4.0, 0.0]]), torch.tensor([[1, 1], [1, 0]])
    parts = [aggregate(loss[i : i + 1], mask[i : i + 1], "bnpo").item() for i in (0, 1)]
    assert sum(parts) / 2 == 2.5
    assert aggregate(loss, mask, "bnpo").item() == 2.0


def test_a_token_s_weight():
    """One long and one short completion: only grpo gives a token of the short one more weight."""
    mask = torch.tensor([[1, 1, 1, 1], [1, 0, 0, 0]])
    expected = {"grpo": (1 / 8, 1 / 2), "bnpo": (1 / 5, 1 / 5), "dr_grpo": (1 / 14, 1 / 14), "dapo": (1 / 5, 1 / 5)}
    for loss_type, weights in expected.items():
        loss = torch.zeros(2, 4, dtype=torch.float64, requires_grad=True)
        aggregate(loss, mask, loss_type, **settings(loss_type, mask)).backward()
        assert (loss.grad[0, 0].item(), loss.grad[1, 0].item()) == pytest.approx(weights)


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_no_token_no_loss(loss_type):
    loss = torch.ones(2, 3, requires_grad=True)
    total = aggregate(loss, torch.zeros(2, 3), loss_type, **settings(loss_type, torch.zeros(2, 3)))
    total.backward()
    assert total.item() == 0.0 and loss.grad.abs().sum().item() == 0.0


@pytest.mark.parametrize("loss_type", LOSS_TYPES)
def test_bfloat16_is_summed_in_float32(loss_type):
    loss = torch.full((2, 1000), 0.1, dtype=torch.bfloat16)
    needed = {"dr_grpo": {"max_length": 1000}, "dapo": {"batch_tokens": 2000}}.get(loss_type, {})
    total = aggregate(loss, torch.ones(2, 1000), loss_type, **needed)
    assert total.dtype == torch.float32
    assert total.item() == pytest.approx(loss[0, 0].item(), rel=1e-5)


@pytest.mark.parametrize(
    ("loss_type", "options", "words"),
    [
        ("gspo", {}, "grpo, bnpo, dr_grpo, dapo"),
        ("dr_grpo", {}, "give max_length"),
        ("dr_grpo", {"max_length": 2}, "max_length is 2, but a completion has 3 tokens"),
        ("dapo", {}, "give batch_tokens"),
        ("dapo", {"batch_tokens": 0}, "batch_tokens is 0"),
        ("dapo", {"batch_tokens": -4}, "batch_tokens is -4"),
        ("dapo", {"batch_tokens": math.nan}, "batch_tokens is nan"),
    ],
)
def test_bad_settings(loss_type, options, words):
    with pytest.raises(InputError, match=words):
        aggregate(torch.zeros(2, 3), torch.ones(2, 3), loss_type, **options)


def test_bad_losses():
    with pytest.raises(InputError, match="loss_BT holds NaN"):
        aggregate(torch.tensor([[math.nan]]), torch.ones(1, 1))
    with pytest.raises(InputError, match="mask_BT has shape"):
        aggregate(torch.zeros(2, 3), torch.ones(2, 1))
    with pytest.raises(InputError, match="mask_BT must hold 0 and 1"):
        aggregate(torch.zeros(2, 3), torch.full((2, 3), 0.5))
