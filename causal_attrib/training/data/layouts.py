"""The layouts that training data come in, as ours.

Ours has, of what a row needs,

    image            path (or `images`, a list of paths)
    prompt           text, or a conversation of messages with `role` and `content`
    answer           reference answer
    question         asked behind a caption, for scoring it by `answer`
    objects          annotated objects
    chosen, rejected what is preferred for the picture, and what it is preferred to
    image_contrast, chosen_contrast   another picture, and what is preferred for that

Columns with other names are kept: rewards may want them. These layouts are known by their keys:

    problem, solution                     multimodal-open-r1, EasyR1 (`answer` in place of `solution` too)
    conversations (from, value)           LLaVA, VLM-R1
    messages, images, rejected_response   ms-swift
    image_1, resp_1_w, resp_1_l, image_2, resp_2_w     SymMPO's release (arXiv 2506.11712)
    text, label                           POPE and its kin; labels 1/0 and true/false are yes and no (`words.yes_no`)
    question, answer                      a question without another prompt is the prompt
    caption (false_caption)               a picture that is to be described; scenes written by `copo scenes`
"""

from __future__ import annotations

import re
from typing import Any

from causal_attrib.choices import DEFAULT_PROMPT
from causal_attrib.training.scoring.rewards import answer_in
from causal_attrib.words.matcher import coco_matcher
from causal_attrib.words.yes_no import label_for

_ROLES = {"human": "user", "gpt": "assistant"}
_PLACEHOLDER = re.compile(r"\s*<image>\s*")


def to_ours(row: dict) -> dict:
    """A row under our keys, whichever of the layouts it came in.

    >>> to_ours({"image": "1.png", "problem": "<image>How many?", "solution": "<answer> 3 </answer>"})
    {'image': '1.png', 'prompt': 'How many?', 'answer': '3'}
    >>> to_ours({"image": "1.png", "conversations": [{"from": "human", "value": "Hi?\\n<image>"},
    ...                                              {"from": "gpt", "value": "Hello."}]})
    {'image': '1.png', 'prompt': [{'role': 'user', 'content': 'Hi?'}], 'answer': 'Hello.'}
    >>> to_ours({"image": "1.png", "caption": "a puppy on grass"})
    {'image': '1.png', 'prompt': 'Describe this image.', 'objects': ['dog'], 'chosen': 'a puppy on grass'}
    >>> to_ours({"image": "1.png", "text": "Is there a dog?", "label": 1})
    {'image': '1.png', 'prompt': 'Is there a dog?', 'answer': 'yes'}

    Raises:
        KeyError: a layout is recognised, and then one of its keys is not there.
        TypeError, ValueError, AttributeError: or there is something else under it.
    """
    row = dict(row)
    if "resp_1_w" in row:
        row = _symmpo(row)
    if "conversations" in row:
        row["messages"] = [
            {"role": _ROLES.get(turn["from"], turn["from"]), "content": turn["value"]}
            for turn in row.pop("conversations")
        ]
    if "messages" in row:
        row = _messages(row)
    is_label = "label" in row and not {"answer", "solution"} & row.keys()
    for theirs, ours in (("problem", "prompt"), ("solution", "answer"), ("text", "prompt"), ("label", "answer")):
        if theirs in row and ours not in row:
            row[ours] = row.pop(theirs)
    if "question" in row and "prompt" not in row:
        row["prompt"] = row.pop("question")
    if "caption" in row:
        row.setdefault("prompt", DEFAULT_PROMPT)
        named = sorted({mention.node for mention in coco_matcher().mentions(str(row["caption"]))})
        if named:
            row.setdefault("objects", named)
        row.setdefault("chosen", row.pop("caption"))
        if "false_caption" in row:
            row.setdefault("rejected", row.pop("false_caption"))
    if isinstance(row.get("images"), list) and len(row["images"]) == 1:
        row["image"] = row.pop("images")[0]
    if "prompt" in row:
        row["prompt"] = _without_placeholders(row["prompt"])
    if isinstance(row.get("answer"), str):
        row["answer"] = answer_in(row["answer"])
    if "answer" in row and "prompt" in row:
        prompt = row["prompt"] if isinstance(row["prompt"], str) else row["prompt"][-1]["content"]
        row["answer"] = label_for(str(row.get("question", prompt)), row["answer"], is_label=is_label)
    return row


def _messages(row: dict) -> dict:
    """Ms-swift: what the assistant says last is the answer, or preferred where there is a rejected response."""
    *prompt, last = row.pop("messages")
    if last["role"] != "assistant":
        return row | {"prompt": [*prompt, last]}
    row["prompt"] = prompt
    if "rejected_response" in row:
        return row | {"chosen": _text(last["content"]), "rejected": row.pop("rejected_response")}
    row.setdefault("answer", _text(last["content"]))
    return row


def _symmpo(row: dict) -> dict:
    for theirs, ours in (
        ("question", "prompt"),
        ("image_1", "image"),
        ("image_path_1", "image"),
        ("resp_1_w", "chosen"),
        ("resp_1_l", "rejected"),
        ("image_2", "image_contrast"),
        ("image_path_2", "image_contrast"),
        ("resp_2_w", "chosen_contrast"),
    ):
        if theirs in row:
            value = row.pop(theirs)
            row.setdefault(ours, value)
    return row


def _without_placeholders(prompt: Any) -> Any:
    """The prompt without `<image>`: where the picture stands is the chat template's business."""
    if isinstance(prompt, str):
        return _PLACEHOLDER.sub(" ", prompt).strip()
    return [message | {"content": _without_placeholders(_text(message["content"]))} for message in prompt]


def _text(content: str | list[dict]) -> str:
    return content if isinstance(content, str) else "".join(block.get("text") or "" for block in content)
