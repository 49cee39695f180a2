"""What proofs of maps and rankings of methods may be asked for; no torch, so that wrong values are told at once."""

from __future__ import annotations

from collections.abc import Sequence
from numbers import Integral

from causal_attrib.choices import BASELINES, METHODS, MOST_DRAWN, Baseline, Method, check_count, check_scenes, one_of
from causal_attrib.errors import InputError

# With fewer, not even the best of all orders could be told from chance.
LEAST_ORDERS = 19


def check_numbers(steps: int, orders: int) -> None:
    """Raise an `InputError` unless curves have a middle and orders are enough for a verdict."""
    if isinstance(steps, Integral) and steps < 2:
        raise InputError(f"Curves of {steps} steps have no middle; take 2 or more.")
    if isinstance(orders, Integral) and orders < LEAST_ORDERS:
        raise InputError(f"{orders} orders at random cannot show that a map beats chance; take {LEAST_ORDERS} or more.")
    check_count("The number of steps", steps, MOST_DRAWN)
    check_count("The number of orders", orders, MOST_DRAWN)


def check_settings(
    methods: Sequence[Method], count: int, baseline: Baseline, steps: int, orders: int, seed: int
) -> None:
    """Raise an `InputError` unless scenes can be judged like that."""
    if isinstance(methods, str) or not methods:
        raise InputError(f"The methods are {methods!r:.40}; give a list with one or more, such as ['occlusion'].")
    for method in methods:
        one_of("method", method, METHODS)
    if len(set(methods)) < len(methods):
        raise InputError("A method is named twice; name each once.")
    check_numbers(steps, orders)
    one_of("baseline", baseline, BASELINES)
    check_scenes(count, seed, least=1)
