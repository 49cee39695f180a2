"""The HTTP API and the page, as a Starlette application on a `Resident` model."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import io
import json
import logging
from collections.abc import AsyncIterator, Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from importlib import resources
from typing import Any, TypeVar, get_args

from python_multipart.exceptions import FormParserError
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import parse_json, reason_of, shown
from causal_attrib.results.attribution import Attribution
from causal_attrib.results.maps import Maps
from causal_attrib.serve.asked import Asked, Kind, read_asked
from causal_attrib.serve.door import Door
from causal_attrib.serve.limits import Limits
from causal_attrib.serve.openapi import openapi
from causal_attrib.serve.resident import FullError, GivenUpError, Resident, Ticket
from causal_attrib.serve.results import Results
from causal_attrib.views import html_page

# Seconds between looks at whether somebody still waits.
_LOOK = 0.5
# Seconds after which one who found the queue full may come again.
_AGAIN = 2
RESULT_HEADER = "X-Copo-Result"

_T = TypeVar("_T")
_log = logging.getLogger(__name__)


class Service:
    """What the routes share: the model, the results, and a thread for pictures and reports."""

    def __init__(self, resident: Resident, limits: Limits, calibration: str | None = None) -> None:
        self.resident, self.limits, self.calibration = resident, limits, calibration
        self.results = Results(limits)
        self._reading = 0
        # One: a picture of the largest size takes a tenth of a gigabyte while it is read.
        self._side = ThreadPoolExecutor(1, thread_name_prefix="side")

    async def aside(self, work: Callable[..., _T], *args: Any, **kwargs: Any) -> _T:
        """The result of work that needs no model but would hold up the others."""
        return await asyncio.get_running_loop().run_in_executor(self._side, functools.partial(work, *args, **kwargs))

    def close(self) -> None:
        self.resident.close()
        self._side.shutdown()

    async def ask(self, request: Request, kind: Kind) -> Response:
        # Bodies are in memory while they are read.
        if self._reading >= self.limits.queue:
            raise FullError
        self._reading += 1
        try:
            values, data = await self._read(request)
            asked = await self.aside(read_asked, kind, values, data, self.limits, self.calibration)
        finally:
            self._reading -= 1
        if "text/event-stream" in request.headers.get("accept", ""):
            return StreamingResponse(self._events(asked), media_type="text/event-stream")
        ticket = self.resident.submit(asked)
        try:
            found = await self._awaited(request, ticket)
        finally:
            ticket.give_up()
        return JSONResponse(found.to_dict(), headers={RESULT_HEADER: self.results.keep(asked.data, found)})

    async def _read(self, request: Request) -> tuple[Mapping[str, Any], bytes | None]:
        """The fields of a form or a JSON object, and the picture if it came as a file."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        readers = {"application/json": _read_json, "multipart/form-data": self._read_form}
        if kind not in readers:
            raise HTTPException(415, "Send multipart/form-data with the file image, or application/json.")
        try:
            return await asyncio.wait_for(readers[kind](request), self.limits.seconds)
        except asyncio.TimeoutError:
            raise HTTPException(408, "The request did not arrive in time; send it again.") from None

    async def _read_form(self, request: Request) -> tuple[Mapping[str, Any], bytes | None]:
        fields: dict[str, Any] = {}
        data = None
        try:
            async with request.form(max_files=1, max_fields=50, max_part_size=self.limits.body) as form:
                for name, value in form.multi_items():
                    if name in fields or (name == "image" and data is not None):
                        raise InputError(f"The field {shown(name)} is there twice; send it once.")
                    if not isinstance(value, UploadFile):
                        fields[name] = value
                    elif name == "image":
                        data = await value.read()
                    else:
                        raise InputError(f"The file {shown(name)} is not asked for; send the picture as image.")
        except (HTTPException, FormParserError) as error:
            # Starlette's own words for a form that it cannot read, or its parser's, which older ones hand on.
            if isinstance(error, HTTPException) and error.status_code != 400:
                raise
            raise InputError(f"The form cannot be read ({reason_of(error)}); send it again.") from None
        return fields, data or None

    async def _awaited(self, request: Request, ticket: Ticket) -> Attribution | Maps:
        waiting = asyncio.wrap_future(ticket.future)
        while True:
            done, _ = await asyncio.wait([waiting], timeout=_LOOK)
            if done:
                return waiting.result()
            ticket.check()
            if await request.is_disconnected():
                raise ClientDisconnect

    async def _events(self, asked: Asked) -> AsyncIterator[bytes]:
        """Server-sent events: progress, then result or error."""
        loop = asyncio.get_running_loop()
        told: asyncio.Queue[tuple[int, int | None] | None] = asyncio.Queue()

        def tell(what: tuple[int, int | None] | None) -> None:
            with contextlib.suppress(RuntimeError):  # the loop has ended
                loop.call_soon_threadsafe(told.put_nowait, what)

        try:
            ticket = self.resident.submit(asked, lambda done, total: tell((done, total)))
        except FullError as error:
            yield _event("error", {"error": _sentence(error), "status": 429, "retry_after": _AGAIN})
            return
        ticket.future.add_done_callback(lambda _: tell(None))
        try:
            yield _event("waiting", {"before": self.resident.waiting})
            while (step := await told.get()) is not None:
                yield _event("progress", {"done": step[0], "total": step[1]})
            found = ticket.future.result()
            key = self.results.keep(asked.data, found)
            yield _event("result", {"id": key, "result": found.to_dict()})
        except (Exception, GivenUpError) as error:
            yield _event("error", {"error": _sentence(error), "status": _status(error)})
        finally:
            ticket.give_up()

    async def result(self, request: Request) -> Response:
        """A result in a form to look at or to keep."""
        kept = self.results.get(request.path_params["key"])
        if kept is None:
            raise HTTPException(404, "There is no such result, or it is no longer kept; ask for it again.")
        name = request.path_params["name"]
        forms = [form for form in _FORMS if isinstance(kept.found, Attribution) or form != _REPORT]
        if name not in forms:
            raise HTTPException(404, f"There is no {shown(name)} of this result; there are {', '.join(forms)}.")
        mapped = self.results.get(request.query_params.get("maps", ""))
        maps = mapped.found if mapped is not None and isinstance(mapped.found, Maps) else None
        body = await self.aside(_form, name, kept.found, maps, kept.data)
        return Response(body, media_type=_FORMS[name])


_REPORT = "report.html"
_FORMS = {
    "result.json": "application/json",
    _REPORT: "text/html; charset=utf-8",
    "figure.png": "image/png",
    "figure.pdf": "application/pdf",
}


def _form(name: str, found: Attribution | Maps, maps: Maps | None, data: bytes) -> bytes:
    from causal_attrib import views

    if name == "result.json":
        return json.dumps(found.to_dict(), ensure_ascii=False, allow_nan=False).encode()
    if isinstance(found, Attribution) and name == _REPORT:
        return views.report(found, maps, data).encode()
    sink = io.BytesIO()
    found.plot(data).savefig(sink, format=name.rpartition(".")[2])
    return sink.getvalue()


async def _read_json(request: Request) -> tuple[Mapping[str, Any], None]:
    try:
        values = parse_json((await request.body()).decode())
    except ValueError as error:
        raise InputError(f"The body is no JSON ({reason_of(error)}); send it again.") from None
    if not isinstance(values, dict):
        raise InputError("The body is no JSON object; send one with image and caption.")
    return values, None


def _event(name: str, data: dict[str, Any]) -> bytes:
    return f"event: {name}\ndata: {json.dumps(data, allow_nan=False)}\n\n".encode()


def _status(error: BaseException) -> int:
    if isinstance(error, HTTPException):
        return error.status_code
    known = {InputError: 400, FullError: 429, GivenUpError: 504, MemoryError: 413}
    return next((status for kind, status in known.items() if isinstance(error, kind)), 500)


def _sentence(error: BaseException) -> str:
    if isinstance(error, HTTPException):
        return error.detail
    if isinstance(error, InputError):
        return str(error)
    if isinstance(error, FullError):
        return f"Too many requests wait; come again in {_AGAIN} seconds."
    if isinstance(error, GivenUpError):
        return "The request took longer than this server allows; send a shorter caption, or one sampled less."
    if isinstance(error, MemoryError):
        return "The request takes more memory than there is; send a smaller picture or a shorter caption."
    return f"The server failed ({type(error).__name__}); its log says where."


async def _told(request: Request, error: Exception) -> Response:
    status = _status(error)
    if status == 404 and request.url.path.count("/") < 3:
        error = HTTPException(404, f"There is nothing at {request.url.path}; /openapi.json says what there is.")
    if status == 405:
        error = HTTPException(405, f"{request.method} is not for {request.url.path}; /openapi.json says what is.")
    if status == 500 and not isinstance(error, HTTPException):
        _log.error("a request failed", exc_info=error)
    headers = {"Retry-After": str(_AGAIN)} if status == 429 else None
    return JSONResponse({"error": _sentence(error)}, status, headers)


def make_app(service: Service, token: str | None) -> Starlette:
    """The application; `service` is closed when the server ends."""
    page = _page()
    about = openapi(service.limits)
    model = service.resident.vlm.record

    async def index(request: Request) -> Response:
        return HTMLResponse(page, headers={"Content-Security-Policy": _POLICY})

    async def asset(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            raise HTTPException(404, f"There is no {name}.")
        return Response(_ASSETS[name](name), media_type="text/javascript" if name.endswith(".js") else "text/css")

    async def health(request: Request) -> Response:
        return JSONResponse({"status": "ok", "waiting": service.resident.waiting})

    async def described(request: Request) -> Response:
        return JSONResponse(about)

    async def told_model(request: Request) -> Response:
        return JSONResponse(model)

    def of(kind: Kind) -> Route:
        async def ask(request: Request) -> Response:
            return await service.ask(request, kind)

        return Route(f"/v1/{kind}", ask, methods=["POST"], name=kind)

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        yield
        await asyncio.to_thread(service.close)

    return Starlette(
        routes=[
            Route("/", index),
            Route("/assets/{name}", asset),
            Route("/healthz", health),
            Route("/openapi.json", described),
            Route("/v1/model", told_model),
            *(of(kind) for kind in get_args(Kind)),
            Route("/v1/results/{key}/{name}", service.result),
        ],
        middleware=[Middleware(Door, token=token, most=service.limits.body)],
        exception_handlers={
            error: _told for error in (InputError, FullError, GivenUpError, HTTPException, MemoryError, Exception)
        },
        lifespan=lifespan,
    )


# The page fetches from its own server only, and shows reports in frames that bring their own policy along.
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


def _page() -> str:
    return _asset("page.html")


def _asset(name: str) -> str:
    return (resources.files("causal_attrib.serve") / "assets" / name).read_text(encoding="utf-8")


# What the page asks for, and what reads it: the style that all pages share is that of the reports.
_ASSETS = {"base.css": html_page.asset, "page.css": _asset, "page.js": _asset}
