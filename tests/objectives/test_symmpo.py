"""SymMPO's loss."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from causal_attrib.errors import InputError
from causal_attrib.objectives import LogRatios, log_ratio, symmpo_loss
from tests.objectives.properties import on_tensors

# methods.md 6: h = (m: w 2, l -3, w' -1; m': w -2, w' 1.5).
KNOWN = {"chosen": 2.0, "rejected": -3.0, "other": -1.0, "contrast_other": -2.0, "contrast_chosen": 1.5}


def ratios(values, **options):
    return LogRatios(**{name: torch.tensor([h], dtype=torch.float64, **options) for name, h in values.items()})


@pytest.mark.parametrize(("in_reward_units", "expected"), [(False, 2.2370666), (True, 2.2370418)])
def test_known_values_of_both_margins(in_reward_units, expected):
    """methods.md 6: the authors' code has no beta in the margin, the paper has."""
    loss = symmpo_loss(ratios(KNOWN), margin_in_reward_units=in_reward_units)
    assert loss.loss_B.item() == pytest.approx(expected, abs=1e-7)


@pytest.mark.parametrize("in_reward_units", [False, True])
def test_four_ln_2_where_policy_and_reference_agree(in_reward_units):
    """methods.md 6: 4 ln 2 = 2.772589."""
    loss = symmpo_loss(ratios(dict.fromkeys(KNOWN, 0.0)), margin_in_reward_units=in_reward_units)
    assert loss.loss_B.item() == pytest.approx(2.772589, abs=5e-7)
    assert loss.loss_B.item() == pytest.approx(4 * math.log(2), abs=1e-12)


def test_gradient_where_policy_and_reference_agree():
    """s'(0) = 1/4 of each logistic gives -beta / 2 for each -log s(beta * x), margins have no slope at 0."""
    h = ratios(dict.fromkeys(KNOWN, 0.0), requires_grad=True)
    symmpo_loss(h).loss_B.sum().backward()
    slope = {name: getattr(h, name).grad.item() for name in KNOWN}
    half = 0.1 / 2
    assert slope == pytest.approx(
        {
            "chosen": -half - 0.5 * half - half,  # DPO, pair, anchor
            "rejected": half,
            "other": 0.5 * half,
            "contrast_other": 0.5 * half,
            "contrast_chosen": -0.5 * half - half,
        }
    )


numbers = st.floats(-20, 20)


@on_tensors
@given(st.tuples(*[numbers] * 5), st.floats(0.01, 2), st.tuples(*[st.floats(0, 2)] * 3), numbers, st.booleans())
def test_equals_the_formula(values, beta, term_weights, delta, in_reward_units):
    w, l, c, c_w, c_o = values  # noqa: E741
    lam, gamma, eta = term_weights
    h = LogRatios(*(torch.tensor([x], dtype=torch.float64) for x in values))
    found = symmpo_loss(
        h, beta=beta, pair=lam, margin=gamma, anchor=eta, delta=delta, margin_in_reward_units=in_reward_units
    )

    def minus_log_s(x):
        return math.log1p(math.exp(-x))

    d1, d2 = w - c, c_w - c_o
    dpo = minus_log_s(beta * (w - l))
    pair = minus_log_s(beta * d1) + minus_log_s(beta * d2)
    margin = (beta * d1 - beta * d2) ** 2 if in_reward_units else (d1 - d2) ** 2
    anchored = minus_log_s(beta * w - delta) + minus_log_s(beta * c_w - delta)
    terms = [x.item() for x in found[1:]]
    assert terms == pytest.approx([dpo, pair, margin, anchored], rel=1e-9, abs=1e-12)
    assert found.loss_B.item() == pytest.approx(dpo + lam * pair + gamma * margin + eta * anchored, rel=1e-9, abs=1e-12)


@on_tensors
@given(arrays(float, (5, 3), elements=numbers))
def test_margins_of_code_and_paper_differ_by_beta_squared(values):
    h = LogRatios(*torch.from_numpy(values))
    code, paper = (symmpo_loss(h, beta=0.1, margin_in_reward_units=units).margin_B for units in (False, True))
    torch.testing.assert_close(paper, 0.01 * code)


@on_tensors
@given(arrays(float, (5, 3), elements=numbers))
def test_without_the_symmetric_terms_it_is_dpo(values):
    h = LogRatios(*torch.from_numpy(values))
    loss = symmpo_loss(h, pair=0, margin=0, anchor=0).loss_B
    torch.testing.assert_close(loss, -torch.nn.functional.logsigmoid(0.1 * (h.chosen - h.rejected)))


def test_far_off_log_ratios_give_no_infinity():
    loss = symmpo_loss(LogRatios(*(torch.tensor([h]) for h in (-5e3, 5e3, 5e3, -5e3, 5e3))), margin=0).loss_B
    assert loss.item() == pytest.approx(0.1 * (1e4 + 0.5 * 2e4 + 1e4))


def test_log_ratio_sums_over_the_response():
    logprob = torch.tensor([[-1.0, -2.0, math.nan], [-0.5, -math.inf, 3.0]], requires_grad=True)
    reference = torch.tensor([[-2.0, -2.5, 7.0], [-1.5, math.nan, -math.inf]], requires_grad=True)
    h = log_ratio(logprob, reference, torch.tensor([[1, 1, 0], [1, 0, 0]]))
    assert h.tolist() == [1.5, 1.0]
    h.sum().backward()
    assert logprob.grad.tolist() == [[1.0, 1.0, 0.0], [1.0, 0.0, 0.0]]
    assert reference.grad is None


def test_bfloat16_is_summed_in_float32():
    logprob = torch.full((1, 4000), -0.01, dtype=torch.bfloat16)
    reference = torch.zeros(1, 4000, dtype=torch.bfloat16)
    h = log_ratio(logprob, reference, torch.ones(1, 4000))
    assert h.dtype == torch.float32
    assert h.item() == pytest.approx(4000 * logprob[0, 0].item(), rel=1e-5)


def test_padding_may_not_be_nan_inside_the_response():
    with pytest.raises(InputError, match="logprob_BT holds NaN"):
        log_ratio(torch.tensor([[math.nan]]), torch.zeros(1, 1), torch.ones(1, 1))
    with pytest.raises(InputError, match="reference_logprob_BT has shape"):
        log_ratio(torch.zeros(1, 2), torch.zeros(2, 2), torch.ones(1, 2))


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"beta": 0.0}, "beta is 0.0"),
        ({"beta": math.nan}, "beta is nan"),
        ({"beta": math.inf}, "beta is inf"),
        ({"pair": -0.5}, "term pair is -0.5"),
        ({"margin": math.nan}, "term margin is nan"),
        ({"anchor": -1.0}, "term anchor is -1.0"),
        ({"delta": math.nan}, "delta is nan"),
    ],
)
def test_bad_settings(options, words):
    with pytest.raises(InputError, match=words):
        symmpo_loss(ratios(KNOWN), **options)


def test_bad_log_ratios():
    zeros = torch.zeros(2)
    with pytest.raises(InputError, match="one number per sample"):
        symmpo_loss(LogRatios(zeros, zeros, torch.zeros(3), zeros, zeros))
    with pytest.raises(InputError, match="one number per sample"):
        symmpo_loss(LogRatios(*torch.zeros(5, 2, 2)))
    with pytest.raises(InputError, match="other holds NaN"):
        symmpo_loss(LogRatios(zeros, zeros, torch.tensor([0.0, math.nan]), zeros, zeros))
