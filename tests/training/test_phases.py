import pytest

from causal_attrib.training.watch.phases import REST, PhaseClock


def test_a_second_counts_for_the_innermost_phase(monkeypatch):
    now = iter([0.0, 1.0, 3.0, 6.0, 10.0, 15.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(now))
    clock = PhaseClock()
    with clock.phase("outer"):  # from 1 to 10
        with clock.phase("inner"):  # from 3 to 6
            pass
        assert clock.failed is None
    clock.read()
    assert dict(clock.seconds) == {REST: 1.0 + 5.0, "outer": 2.0 + 4.0, "inner": 3.0}
    assert all(clock.peak[name] > 0 for name in clock.seconds)


def test_the_phase_that_failed_is_known():
    clock = PhaseClock()
    with pytest.raises(MemoryError), clock.phase("outer"), clock.phase("inner"):
        raise MemoryError
    assert clock.failed == "inner"
