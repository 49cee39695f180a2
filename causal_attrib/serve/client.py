"""Scores from a server of `copo serve`; no torch is imported, so an answer takes a fraction of a second."""

from __future__ import annotations

import base64
import json
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import fields, replace
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PARSER_ERRORS, parse_json, reason_of, shown
from causal_attrib.io.pictures import embedded
from causal_attrib.results.attribution import Attribution
from causal_attrib.scores.inputs import Inputs
from causal_attrib.scores.settings import Settings
from causal_attrib.serve.asked import SCORING

# Seconds to wait for an answer; the server has a limit of its own.
_LONGEST = 600
# Bytes of an answer: a caption of 4,000 characters takes one megabyte.
_LARGEST = 100_000_000


def check_server(server: str, settings: Settings) -> None:
    """
    Raises:
        InputError: the address is none, or a setting is the server's to choose.
    """
    try:
        parts = urllib.parse.urlsplit(server)
        is_address = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:  # brackets that do not close, a port above 65535
        is_address = False
    if not is_address:
        raise InputError(f"The server is {shown(server)}; give its address, http://localhost:8765.")
    for field in fields(settings):
        if field.name not in SCORING and getattr(settings, field.name) != field.default:
            flag = f"--{field.name.replace('_', '-')}"
            raise InputError(f"{flag} is the server's to choose; leave it out, or score without --server.")


def score_by(server: str, settings: Settings, inputs: Inputs, token: str | None = None) -> list[Attribution]:
    """The captions of one picture, scored by a server.

    Raises:
        InputError: the server cannot be reached, or refuses; its own sentence says why.
    """
    data = embedded(inputs.picture.path or inputs.picture)["bytes"]
    if data is None:
        with open(str(inputs.picture.path), "rb") as file:
            data = file.read()
    asked = {"prompt": inputs.prompt, "question": inputs.question, "answer": inputs.answer}
    asked |= {"objects": None if inputs.objects is None else ",".join(inputs.objects)}
    asked |= {"image": f"data:application/octet-stream;base64,{base64.b64encode(data).decode()}"}
    given: dict[str, Any] = {name: value for name, value in asked.items() if value is not None}
    for field in fields(settings):
        value = getattr(settings, field.name)
        if field.name in SCORING and field.name != "verdict" and value != field.default:
            given[field.name] = ",".join(value) if isinstance(value, tuple) else value
    address = f"{server.rstrip('/')}/v1/{'verdict' if settings.verdict else 'score'}"
    found = []
    for caption in inputs.captions:
        scored = _post(address, given if caption is None else given | {"caption": caption}, token)
        # Where the picture lies is known here alone.
        found.append(replace(scored, image=scored.image | {"path": inputs.picture.path}))
    return found


def _post(address: str, values: dict[str, Any], token: str | None) -> Attribution:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(address, json.dumps(values).encode(), headers)
    try:
        with urllib.request.urlopen(request, timeout=_LONGEST) as answer:
            return Attribution.from_dict(parse_json(answer.read(_LARGEST).decode()))
    except urllib.error.HTTPError as error:
        try:
            sentence = parse_json(error.read(_LARGEST).decode())["error"]
        except PARSER_ERRORS:
            sentence = f"it answers {error.code}, which is no answer of copo serve"
        raise InputError(f"The server at {address} refuses: {sentence}") from None
    except PARSER_ERRORS as error:
        reason = reason_of(getattr(error, "reason", error) if isinstance(error, urllib.error.URLError) else error)
        raise InputError(f"The server at {address} cannot be used ({reason}); start it with copo serve.") from None
