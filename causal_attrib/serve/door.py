"""Who may come in: the token, the names that the server goes by, and where a request comes from.

A page of another site can send a form to this server from its visitor's browser, and a name that it owns may be made to
lead here (DNS rebinding). So what changes something must come from the server's own pages or from no browser at all,
and a server without a token answers to the names of this machine only.
"""

from __future__ import annotations

import hmac
from urllib.parse import urlsplit

from starlette.datastructures import Headers, QueryParams
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "copo_token"
# Names of this machine, which no other machine can answer to.
LOCAL = frozenset({"localhost", "127.0.0.1", "::1"})
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "SAMEORIGIN",
    "Referrer-Policy": "no-referrer",
    "Cache-Control": "no-store",
}


class Door:
    """Middleware around the whole application.

    Args:
        token: what a request has to bring; None where the server listens to this machine alone.
        most: bytes of a body.
    """

    def __init__(self, app: ASGIApp, token: str | None, most: int) -> None:
        self.app, self.token, self.most = app, token, most

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                own = [(name.lower().encode(), value.encode()) for name, value in _HEADERS.items()]
                message = {**message, "headers": [*message["headers"], *own]}
            await send(message)

        refusal = self._refusal(scope)
        if refusal is not None:
            await refusal(scope, receive, with_headers)
            return
        await self.app(scope, self._counted(receive), with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers = Headers(scope=scope)
        if self.token is None and _host(headers.get("host", "")) not in LOCAL:
            return _refused(403, "This server answers to localhost only; start it with --host and a token for others.")
        if scope["method"] not in ("GET", "HEAD", "OPTIONS") and not _from_here(headers):
            return _refused(403, "This request comes from a page of another site, which may not use this server.")
        length = headers.get("content-length", "0")
        if not length.isdecimal() or int(length[:20]) > self.most:
            return _refused(413, f"The request is larger than the {self.most:,} bytes that are taken; send less.")
        if self.token is None or scope["path"] == "/healthz":
            return None
        given = QueryParams(scope["query_string"]).get("token")
        if scope["path"] == "/" and given is not None and self._is_token(given):
            answer = RedirectResponse("/", 303)
            answer.set_cookie(COOKIE, given, httponly=True, samesite="strict")
            return answer
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        cookie = HTTPConnection(scope).cookies.get(COOKIE, "")
        if (scheme.lower() == "bearer" and self._is_token(bearer.strip())) or self._is_token(cookie):
            return None
        refusal = _refused(401, "A token is needed: send Authorization: Bearer TOKEN, or open /?token=TOKEN once.")
        refusal.headers["WWW-Authenticate"] = "Bearer"
        return refusal

    def _is_token(self, given: str) -> bool:
        return self.token is not None and hmac.compare_digest(given.encode(), self.token.encode())

    def _counted(self, receive: Receive) -> Receive:
        came = 0

        async def counted() -> Message:
            nonlocal came
            message = await receive()
            came += len(message.get("body", b""))
            if came > self.most:
                raise HTTPException(413, f"The request is larger than the {self.most:,} bytes that are taken.")
            return message

        return counted


def _from_here(headers: Headers) -> bool:
    """Browsers say where a request comes from; other programs say nothing."""
    if headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        return False
    origin = headers.get("origin")
    return origin is None or urlsplit(origin).netloc == headers.get("host")


def _host(value: str) -> str:
    """The name in a Host header, without the port.

    >>> _host("localhost:8000"), _host("[::1]:8000"), _host("evil.example")
    ('localhost', '::1', 'evil.example')
    """
    try:
        return urlsplit(f"//{value}").hostname or ""
    except ValueError:
        return ""


def _refused(status: int, sentence: str) -> Response:
    return JSONResponse({"error": sentence}, status)
