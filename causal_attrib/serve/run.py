"""A server from its socket to its end: SIGTERM and Ctrl-C let what runs be finished."""

from __future__ import annotations

import socket
from collections.abc import Callable

import uvicorn

from causal_attrib.serve.app import Service, make_app
from causal_attrib.serve.limits import Limits
from causal_attrib.serve.listen import config_of
from causal_attrib.serve.resident import Resident
from causal_attrib.vlm import VLM


def serve(
    vlm: VLM,
    listening: socket.socket,
    *,
    token: str | None,
    limits: Limits,
    calibration: str | None = None,
    ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or Ctrl-C.

    Args:
        listening: from `listen.listen`.
        token: from `listen.token_for`.
        calibration: of verdicts, as in `causal_attrib.score`.
        ready: called before the first request is taken.
    """
    service = Service(Resident(vlm, limits), limits, calibration)
    server = uvicorn.Server(config_of(make_app(service, token), limits.seconds))
    ready()
    server.run(sockets=[listening])
