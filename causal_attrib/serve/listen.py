"""Where a server listens and what it asks of those who come; known before the model is loaded."""

from __future__ import annotations

import secrets
import socket

import uvicorn

from causal_attrib.errors import InputError
from causal_attrib.serve.door import LOCAL

_SHORTEST = 16


def token_for(host: str, token: str | None) -> str | None:
    """What requests have to bring: a new token where others than this machine can reach the server.

    Raises:
        InputError: a token that is too short to keep anybody out, or one that no header can carry.
    """
    if token is not None and len(token) < _SHORTEST:
        raise InputError(f"The token has fewer than {_SHORTEST} characters; give a longer one, or none for a new one.")
    if token is not None and not (token.isascii() and token.isprintable() and " " not in token):
        raise InputError("The token has characters that no header can carry; use letters and digits.")
    return token if token or host in LOCAL else secrets.token_urlsafe(24)


def listen(host: str, port: int) -> socket.socket:
    """
    Args:
        port: 0 takes one that is free.

    Raises:
        InputError: the address is taken, or is not one of this machine.
    """
    if not host.strip():
        raise InputError("The host is empty, which would open the server to all; name one, such as 127.0.0.1.")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    opened = socket.socket(family, socket.SOCK_STREAM)
    try:
        opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        opened.bind((host, port))
    except (OSError, OverflowError, ValueError) as error:  # a name that none can be
        opened.close()
        reason = getattr(error, "strerror", None) or error
        raise InputError(
            f"The server cannot listen on {host} port {port} ({reason}); choose another --port or --host."
        ) from None
    return opened


def address(listening: socket.socket, host: str, token: str | None) -> str:
    """Where the page is opened."""
    shown = f"[{host}]" if ":" in host else host
    return f"http://{shown}:{listening.getsockname()[1]}/" + ("" if token is None else f"?token={token}")


def config_of(app: object, seconds: float) -> uvicorn.Config:
    """Of a server whose requests take at most so many seconds."""
    return uvicorn.Config(
        app,  # type: ignore[arg-type]
        log_level="warning",
        timeout_keep_alive=30,
        # Who watches progress must not keep the server from ending.
        timeout_graceful_shutdown=int(seconds) + 1,
        server_header=False,
    )
