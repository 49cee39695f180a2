"""The API in the words of OpenAPI 3.1, made of the same settings as the flags of the command line."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

from causal_attrib import choices
from causal_attrib.scores.saliency_methods.choice import Choice
from causal_attrib.scores.settings import Settings
from causal_attrib.serve.asked import MAPPING, SCORING
from causal_attrib.serve.limits import Limits
from causal_attrib.version import __version__

_SUMMARY = {
    "score": "Scores of every token of a caption: the JSON of copo score",
    "verdict": "The same, with whether the picture bears each word out",
    "saliency": "Maps of where in the picture each word comes from",
}
_CHOICES = {
    "outcome": [name for name in choices.OUTCOMES if ":" not in name],
    "against": list(choices.REFERENCES),
    "outcome_words": list(choices.OUTCOME_WORDS),
    "mask": list(choices.FILLS),
    "estimator": list(choices.ESTIMATORS),
    "coupling": list(choices.COUPLINGS),
    "method": list(choices.METHODS),
    "baseline": [name for name in choices.BASELINES if name != "swap"],
    "reduce": list(choices.REDUCTIONS),
    "of": list(choices.MAP_KINDS),
}
_LEVELS: dict[type, list[str]] = {Settings: list(choices.LEVELS), Choice: list(choices.MAP_LEVELS)}


def openapi(limits: Limits) -> dict[str, Any]:
    """The document that `/openapi.json` gives."""
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "COPO",
            "version": __version__,
            "description": "Which words of a caption does the picture bear out? One request, one caption.",
        },
        "paths": {
            **{f"/v1/{kind}": {"post": _operation(kind, limits)} for kind in _SUMMARY},
            "/v1/results/{id}/{form}": {"get": _DOWNLOAD},
            "/v1/model": {"get": _simple("The model that answers")},
            "/healthz": {"get": _simple("Whether the server runs, and how many requests wait")},
        },
        "components": {
            "schemas": {"Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        # A server that listens to its own machine alone asks for none.
        "security": [{}, {"token": []}],
    }


def _operation(kind: str, limits: Limits) -> dict[str, Any]:
    texts = {
        "caption": "The caption; without it the model writes one.",
        "prompt": "What the model was asked for.",
        "question": "Question that the caption should help to answer.",
        "answer": "Reference answer.",
    }
    properties: dict[str, Any] = {
        name: {"type": "string", "maxLength": limits.characters, "description": told} for name, told in texts.items()
    }
    properties["objects"] = {"type": "string", "description": "Objects of the picture, with commas between them."}
    if kind == "saliency":
        properties |= {name: _property(Choice, name) for name in MAPPING}
        properties["words"] = {"type": "string", "description": "Only these words."}
        properties["foil"] = {"type": "string", "description": "A word that might stand there instead."}
    else:
        properties |= {name: _property(Settings, name) for name in SCORING}
    form = {"image": {"type": "string", "format": "binary", "description": "The picture."}}
    body = {"image": {"type": "string", "description": "The picture as a data URI, data:image/png;base64,DATA."}}

    def schema(image: dict[str, Any]) -> dict[str, Any]:
        return {
            "schema": {
                "type": "object",
                "properties": image | properties,
                "required": ["image"],
                "additionalProperties": False,
            }
        }

    failures = {
        "400": "Something in the request is wrong; the sentence says what",
        "401": "A token is needed",
        "403": "The request comes from another site, or names another host",
        "413": "The request is too large",
        "415": "The body is neither a form nor JSON",
        "429": "Too many requests wait; Retry-After says when to come again",
        "504": "It took longer than this server allows",
    }
    return {
        "summary": _SUMMARY[kind],
        "operationId": kind,
        "requestBody": {
            "required": True,
            "content": {"multipart/form-data": schema(form), "application/json": schema(body)},
        },
        "responses": {
            "200": {
                "description": "The result; with Accept: text/event-stream its progress before it",
                "headers": {"X-Copo-Result": {"description": "The id to download it by", "schema": {"type": "string"}}},
                "content": {
                    "application/json": {"schema": {"type": "object"}},
                    "text/event-stream": {"schema": {"type": "string"}},
                },
            },
            **{
                status: {
                    "description": told,
                    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
                }
                for status, told in failures.items()
            },
        },
    }


def _property(settings: type, name: str) -> dict[str, Any]:
    (field,) = (field for field in fields(settings) if field.name == name)
    called = {bool: "boolean", int: "integer", float: "number", str: "string"}
    told: dict[str, Any] = {
        "type": called[choices.kind_of(settings, name)],
        "description": field.metadata["help"],
    }
    if name == "level":
        told["enum"] = _LEVELS[settings]
    elif name in _CHOICES:
        told["enum"] = _CHOICES[name]
    if field.default is not None:
        told["default"] = field.default
    return told


def _simple(summary: str) -> dict[str, Any]:
    ok = {"description": summary, "content": {"application/json": {"schema": {"type": "object"}}}}
    return {"summary": summary, "responses": {"200": ok}}


_ERROR = {
    "type": "object",
    "properties": {"error": {"type": "string", "description": "One sentence"}},
    "required": ["error"],
}
_DOWNLOAD = {
    "summary": "A result to look at or to keep",
    "parameters": [
        {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}},
        {
            "name": "form",
            "in": "path",
            "required": True,
            "schema": {"enum": ["result.json", "report.html", "figure.png", "figure.pdf"]},
        },
        {
            "name": "maps",
            "in": "query",
            "description": "The id of maps of the same caption, to be shown in the report",
            "schema": {"type": "string"},
        },
    ],
    "responses": {
        "200": {"description": "The file"},
        "404": {
            "description": "There is no such result any more",
            "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
        },
    },
}
