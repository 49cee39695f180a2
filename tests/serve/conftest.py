"""A real server in a thread of this process, on the bundled model, and a client."""

import threading
from contextlib import contextmanager

import httpx2
import pytest

pytest.importorskip("starlette", reason="the extra serve is not installed")
uvicorn = pytest.importorskip("uvicorn", reason="the extra serve is not installed")

from causal_attrib.serve.app import Service, make_app  # noqa: E402
from causal_attrib.serve.limits import Limits  # noqa: E402
from causal_attrib.serve.listen import address, config_of, listen  # noqa: E402
from causal_attrib.serve.resident import Resident  # noqa: E402


@contextmanager
def serving(vlm, token=None, **limits):
    """(address, service) of a server that ends with the context."""
    given = Limits(**limits)
    service = Service(Resident(vlm, given), given)
    with listen("127.0.0.1", 0) as listening:
        server = uvicorn.Server(config_of(make_app(service, token), given.seconds))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield address(listening, "127.0.0.1", None).rstrip("/"), service
        finally:
            server.should_exit = True
            thread.join()


@pytest.fixture(scope="module")
def server(bundled):
    with serving(bundled) as running:
        yield running


@pytest.fixture(scope="module")
def client(server):
    with httpx2.Client(base_url=server[0], timeout=60) as client:
        yield client


@pytest.fixture(scope="session")
def image(park):
    return {"image": ("park.png", park.read_bytes())}
