from tests.io.limits import most_bytes  # noqa: F401
