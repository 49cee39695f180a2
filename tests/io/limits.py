"""A disk that is full soon: no file of this process may grow beyond a number of bytes."""

from contextlib import contextmanager

import pytest


@pytest.fixture
def most_bytes():
    resource = pytest.importorskip("resource", reason="Windows has no such limit")

    @contextmanager
    def limited(count):
        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (count, before[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)

    return limited
