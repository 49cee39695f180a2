"""A fuzz test tries 60 generated inputs, or as many as FUZZ_EXAMPLES says (`make fuzz`)."""

import os
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, settings

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "60"))


def fuzz(test: Callable | None = None, *, every: int = 1) -> Callable:
    """Marks a hypothesis test as one of these; `every` is for slow ones, which try one example in so many."""
    if test is None:
        return lambda later: fuzz(later, every=every)
    tried = settings(
        max_examples=max(EXAMPLES // every, 5),
        deadline=None,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    return pytest.mark.fuzz(tried(test))
