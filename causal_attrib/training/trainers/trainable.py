"""What is wrong by the model alone: TRL cannot train it on pictures, or texts hold its special tokens."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jinja2
import jinja2.meta

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import reason_of
from causal_attrib.training.data.places import stands_among_words
from causal_attrib.training.scoring.rollout import Rollout, chat_of
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import special_token_in

# A tag that transformers adds to the language of templates.
_OF_TRANSFORMERS = re.compile(r"\{%-?\s*(end)?generation\s*-?%\}")
# Columns whose texts the model reads; in each a conversation.
_READ = ("prompt", "chosen", "rejected", "chosen_contrast")


def check_trainable(vlm: VLM) -> None:
    """Raises InputError for a model that TRL's trainers would fail on after the first sampling, or before it."""
    # Without the first its picture is no part of the row; mllama's stands beside the row, and TRL leaves out the rest.
    if not hasattr(vlm.model.config, "image_token_id") or vlm.model.config.model_type == "mllama":
        raise InputError(
            f"{vlm.name} ({vlm.model.config.model_type}) reads its picture apart from the text, which TRL does not "
            "train; take a model that reads image tokens among its words, such as LLaVA, SmolVLM or Qwen2.5-VL."
        )
    if getattr(vlm.processor, "chat_template", None) is None:
        raise InputError(
            f"{vlm.name} has no chat template, by which conversations are laid out for training; train a model that "
            "has one, such as LLaVA, SmolVLM or Qwen2.5-VL."
        )


def check_template(vlm: VLM, options: Mapping[str, Any] | None) -> None:
    """Raises InputError for arguments of the chat template (`chat_template_kwargs`) that it does not read, or not take.

    TRL hands them to the processor, which makes of those that the template does not read settings of its own: the
    policy would be shown other pixels than those that are scored.
    """
    if not options:
        return
    template = vlm.processor.chat_template
    texts = template.values() if isinstance(template, dict) else [template]
    environment = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    read = {
        name
        for text in texts
        for name in jinja2.meta.find_undeclared_variables(environment.parse(_OF_TRANSFORMERS.sub("", text)))
    }
    for name in options:
        if name not in read:
            raise InputError(
                f"chat_template_kwargs has {name!r}, which the chat template of {vlm.name} does not read; leave it out."
            )
    asked = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "xyz"}]}]
    try:
        chat_of(vlm, Rollout([], asked, (), options=dict(options)))
    except Exception as error:
        raise InputError(
            f"The chat template of {vlm.name} does not go with the chat_template_kwargs ({reason_of(error)}); change "
            "them, or leave them out."
        ) from error


def check_texts(vlm: VLM, rows: Sequence[dict], path: object) -> None:
    """Raises InputError for a text that spells out a special token, which would be read as that token.

    Args:
        path: where the rows are from.
    """
    # Once for all: there are models with thousands of special tokens.
    if special_token_in(vlm.tokenizer, "\n".join({text for row in rows for _, text in _texts(row)})) is None:
        return
    for number, row in enumerate(rows, start=1):
        for name, text in _texts(row):
            special = special_token_in(vlm.tokenizer, text)
            if special:
                raise InputError(
                    f"{path} row {number} contains the special token {special} under {name!r}; leave it out, it is put "
                    "in for you."
                )


def check_places(vlm: VLM, rows: Sequence[dict], path: object) -> None:
    """Raises InputError if a picture stands among words, and the model's chat template would put it before them.

    LLaVA's template does that with every picture; where it makes no difference what stands behind is no matter.

    Args:
        path: where the rows are from.
    """
    among = next((number for number, row in enumerate(rows, 1) if stands_among_words(row["prompt"])), None)
    if among is None:
        return
    content = [{"type": "text", "text": "xyz1 "}, {"type": "image"}, {"type": "text", "text": " xyz2"}]
    text = chat_of(vlm, Rollout([], [{"role": "user", "content": content}], ()))
    between = text.partition("xyz1")[2].partition("xyz2")[0]
    if not between.strip():
        raise InputError(
            f"{path} row {among} has a picture among its words, and the chat template of {vlm.name} puts every picture "
            "before the words; put the places for pictures first, or give its folder a template that keeps them."
        )


def _texts(row: dict) -> Iterator[tuple[str, str]]:
    for name in _READ:
        for turn in row.get(name) or ():
            content = turn["content"]
            blocks = [{"text": content}] if isinstance(content, str) else content
            yield from ((name, block["text"]) for block in blocks if block.get("text"))
