"""Every objective stays on the device of its inputs and computes coarse dtypes in float32."""

import pytest
import torch

from causal_attrib import objectives as o

GENERATOR = torch.Generator().manual_seed(0)
SCORE, CAUSAL, ENTROPY = torch.rand(3, 4, 5, generator=GENERATOR)
LOGPROB, OLD, REFERENCE = -3 * torch.rand(3, 4, 5, generator=GENERATOR)
MASK = torch.arange(5) < torch.tensor([[5], [2], [0], [4]])
REWARD, ADVANTAGE = torch.tensor([1.0, 0, 0.5, 0.25]), torch.tensor([1.0, -0.5, 0.25, 0])
SUITE = {
    "group_advantage": lambda x: o.group_advantage(x(REWARD), 2),
    "equal_rewards": lambda x: o.equal_rewards(x(REWARD), 2),
    "causal_reward": lambda x: o.causal_reward(x(SCORE), x(CAUSAL), MASK),
    "causal_reward minmax": lambda x: o.causal_reward(x(SCORE), x(CAUSAL), MASK, normalise="minmax"),
    "copo_advantage": lambda x: o.copo_advantage(x(ADVANTAGE), x(CAUSAL), MASK, center=2, gate=True),
    "flipped_share": lambda x: o.flipped_share(x(ADVANTAGE), x(SCORE), MASK),
    "entropy_weights": lambda x: o.entropy_weights(x(ENTROPY), MASK),
    "hero_advantage": lambda x: o.hero_advantage(x(ADVANTAGE), x(ENTROPY), MASK, negative_only=True),
    "variance_gate": lambda x: o.variance_gate(x(REWARD), 2),
    "cepo_reward": lambda x: o.cepo_reward(x(REWARD), x(SCORE[:, :3])),
    "sampled_dependency": lambda x: o.sampled_dependency(x(LOGPROB), x(OLD), MASK),
    "top_tokens": lambda x: o.top_tokens(x(ENTROPY), MASK),
    "response_scale": lambda x: o.response_scale(x(ENTROPY), MASK),
    "vppo_advantage": lambda x: o.vppo_advantage(x(ADVANTAGE), x(ENTROPY), MASK),
    "vocabulary_dependency": lambda x: o.vocabulary_dependency(x(LOGPROB), x(OLD)),
    "dependency_weights": lambda x: o.dependency_weights(x(ENTROPY), MASK),
    "pgpo_advantage": lambda x: o.pgpo_advantage(x(ADVANTAGE), x(ENTROPY), MASK),
    "perception_loss": lambda x: o.perception_loss(x(LOGPROB), x(OLD), MASK),
    "log_ratio": lambda x: o.log_ratio(x(LOGPROB), x(OLD), MASK),
    "symmpo_loss": lambda x: o.symmpo_loss(o.LogRatios(*x(LOGPROB.T))).loss_B,
    "clipped_surrogate": lambda x: o.clipped_surrogate(x(LOGPROB), x(OLD), x(ADVANTAGE), MASK),
    "kl_to_reference": lambda x: o.kl_to_reference(x(LOGPROB), x(REFERENCE), MASK),
    **{
        f"policy_loss {loss_type}": lambda x, loss_type=loss_type: o.policy_loss(
            x(LOGPROB),
            x(ADVANTAGE),
            MASK,
            old_logprob_BT=x(OLD),
            reference_logprob_BT=x(REFERENCE),
            beta=0.04,
            loss_type=loss_type,
            max_length=8,
            batch_tokens=MASK.sum(),
        )
        for loss_type in o.LOSS_TYPES
    },
}


@pytest.mark.parametrize("name", SUITE)
def test_makes_no_tensor_on_the_default_device(name):
    """With a default device that is not that of the inputs, a tensor made without a device cannot meet them."""
    expected = SUITE[name](lambda tensor: tensor)
    with torch.device("meta"):
        found = SUITE[name](lambda tensor: tensor)
    assert found.device.type == "cpu"
    assert torch.equal(found, expected)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SUITE)
def test_coarse_inputs_are_computed_in_float32(name, dtype):
    """What is lost is lost in the inputs: the result is that of the same numbers given as float32."""
    found = SUITE[name](lambda tensor: tensor.to(dtype))
    assert found.dtype in (torch.float32, torch.bool)
    assert torch.equal(found, SUITE[name](lambda tensor: tensor.to(dtype).float()))


@pytest.mark.parametrize("name", SUITE)
def test_float64_stays_float64(name):
    found, coarse = SUITE[name](lambda tensor: tensor.double()), SUITE[name](lambda tensor: tensor)
    if found.dtype != torch.bool and name != "flipped_share":
        assert found.dtype == torch.float64
    torch.testing.assert_close(found.float(), coarse.float(), atol=1e-5, rtol=1e-5)


def test_the_suite_has_every_function():
    functions = {name for name in o.__all__ if callable(getattr(o, name)) and name[0].islower()}
    assert functions - {name.split()[0] for name in SUITE} == {"aggregate", "power_mean"}  # both run inside others
