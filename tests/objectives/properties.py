"""How property tests on tensors run."""

from hypothesis import HealthCheck, settings

# A test's first tensor may cost more than hypothesis allows an example, and arrays are slow to draw on a busy machine.
on_tensors = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])
