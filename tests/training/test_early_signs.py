"""Each sign shows when it should, and an ordinary log shows none."""

import math
from types import SimpleNamespace

import pytest

from causal_attrib.training.watch.early_signs import WINDOW, EarlySigns, signs

GOOD = {
    "loss": 0.01,
    "grad_norm": 0.3,
    "reward": 0.5,
    "reward_std": 0.4,
    "frac_reward_zero_std": 0.25,
    "completions/clipped_ratio": 0.1,
    "completions/mean_length": 40.0,
    "kl": 0.02,
    "rewards/format/mean": 0.7,
    "copo/unscored_completions": 0.2,
    "copo/scored_tokens": 0.5,
}


def test_an_ordinary_log_shows_none():
    assert list(signs([GOOD] * 10)) == []


@pytest.mark.parametrize(
    ("name", "odd", "said"),
    [
        ("not finite", {"grad_norm": math.nan}, "no finite number"),
        ("no reward", {"reward": None, "reward_std": None}, "No reward function had anything to say"),
        ("same reward", {"reward_std": 0.0, "frac_reward_zero_std": 1.0}, "all are 0.5"),
        ("same reward", {"reward": 0.9, "frac_reward_zero_std": 0.9}, "For 90% of the prompts"),
        ("format", {"rewards/format/mean": 0.0}, "the tags that the reward format asks for"),
        ("unscored", {"copo/unscored_completions": 1.0}, "Of 100% of the completions no token is scored"),
        ("unscored", {"copo/unscored_completions": 0.0, "copo/scored_tokens": 0.0}, "No token has been scored"),
        ("cut off", {"completions/clipped_ratio": 1.0}, "max_completion_length"),
        ("kl", {"kl": 3.0}, "moved 3.0 nats per token"),
    ],
)
def test_each_sign_shows(name, odd, said):
    found = dict(signs([GOOD | odd] * WINDOW))
    assert set(found) == {name} and said in found[name]
    assert found[name].endswith(".") and "\n" not in found[name]


def test_one_odd_batch_is_no_alarm_and_a_sign_is_told_once():
    told = []
    watching = EarlySigns(told.append)
    state = SimpleNamespace(log_history=[], is_world_process_zero=True)
    for entry in [GOOD | {"completions/clipped_ratio": 1.0}] + [GOOD] * WINDOW:
        state.log_history.append(entry)
        watching.on_log(None, state, None)
    assert told == []
    for _ in range(2 * WINDOW):
        state.log_history += [{"eval_loss": 1.0}, GOOD | {"completions/mean_length": 400.0}]
        watching.on_log(None, state, None)
    watching.on_train_end(None, state, None)
    assert len(told) == 1 and "3 times as long" in told[0]


def test_a_run_that_ends_early_is_looked_at_all_the_same():
    told = []
    state = SimpleNamespace(log_history=[GOOD | {"kl": 5.0}], is_world_process_zero=True)
    EarlySigns(told.append).on_log(None, state, None)
    assert told == []
    EarlySigns(told.append).on_train_end(None, state, None)
    assert len(told) == 1
