"""The layouts that training data come in, as ours.

Ours has, of what a row needs,

    image            path (or `images`, a list of paths; none, for rows of text alone)
    image_index      which of several pictures is asked about, from 0
    prompt           text, or a conversation of messages with `role` and `content`; where pictures stand in it is kept
                     (`training.data.places`)
    answer           reference answer
    question         asked behind a caption, for scoring it by `answer`
    objects          annotated objects
    chosen, rejected what is preferred for the picture, and what it is preferred to
    image_contrast, chosen_contrast   another picture, and what is preferred for that

Columns with other names are kept: rewards may want them. These layouts are known by their keys:

    problem, solution                     multimodal-open-r1, EasyR1 (`answer` in place of `solution` too)
    prompt, reward_model (ground_truth)   verl
    conversations (from, value), system   LLaVA, VLM-R1, ShareGPT, LLaMA-Factory; chosen, rejected (from, value)
    messages, images, rejected_response   ms-swift, OpenAI, Qwen (pictures in their blocks)
    query, response, history, system      ms-swift before its third version
    prompt, chosen, rejected              TRL, each as text or messages; RLAIF-V (`question`)
    text that holds JSON                  RLHF-V: question, chosen, rejected
    image_1, resp_1_w, resp_1_l, image_2, resp_2_w     SymMPO's release (arXiv 2506.11712)
    text, label                           POPE and its kin; labels 1/0 and true/false are yes and no (`words.yes_no`)
    question, answer                      a question without another prompt is the prompt
    question, answers, multiple_choice_answer          VQAv2, TextVQA: what most people answered
    caption (false_caption)               a picture that is to be described; scenes written by `copo scenes`
    image_path                            in place of `image`
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence

from causal_attrib.choices import DEFAULT_PROMPT
from causal_attrib.errors import InputError
from causal_attrib.io.parsing import PARSER_ERRORS, parse_json, shown
from causal_attrib.training.data.places import with_places
from causal_attrib.training.scoring.rewards import answer_in
from causal_attrib.words.matcher import coco_matcher
from causal_attrib.words.yes_no import label_for

_ROLES = {"human": "user", "gpt": "assistant"}
# What some layouts show a model beside text and pictures.
_UNSEEN = ("video", "videos", "audio", "audios", "tools")
_RESPONSES = ("chosen", "rejected", "chosen_contrast")


def to_ours(row: dict) -> dict:
    """A row under our keys, whichever of the layouts it came in.

    >>> to_ours({"image": "1.png", "problem": "<image>How many?", "solution": "<answer> 3 </answer>"})
    {'image': '1.png', 'prompt': 'How many?', 'answer': '3'}
    >>> to_ours({"image": "1.png", "conversations": [{"from": "human", "value": "<image>\\nHi?"},
    ...                                              {"from": "gpt", "value": "Hello."}]})
    {'image': '1.png', 'prompt': [{'role': 'user', 'content': 'Hi?'}], 'answer': 'Hello.'}
    >>> to_ours({"image": "1.png", "caption": "a puppy on grass"})
    {'image': '1.png', 'prompt': 'Describe this image.', 'objects': ['dog'], 'chosen': 'a puppy on grass'}
    >>> to_ours({"image": "1.png", "text": "Is there a dog?", "label": 1})
    {'image': '1.png', 'prompt': 'Is there a dog?', 'answer': 'yes'}

    Raises:
        InputError: it holds what training would leave out, or it is in doubt what it says.
        KeyError: a layout is recognised, and then one of its keys is not there.
        TypeError, ValueError, AttributeError: or there is something else under it.
    """
    row = dict(row)
    for name in _UNSEEN:
        if row.get(name):
            raise InputError(f"it has {name!r}, which the model would not be shown; give rows without.")
    if "resp_1_w" in row:
        row = _symmpo(row)
    if "text" in row:
        row = _json_within(row)
    if "conversations" in row:
        row["messages"] = [_turn(turn) for turn in row.pop("conversations")]
    if "query" in row and not {"prompt", "messages"} & row.keys():
        row["messages"] = _asked_before(row.pop("history", None)) + [{"role": "user", "content": row.pop("query")}]
        if "response" in row:
            row["messages"].append({"role": "assistant", "content": row.pop("response")})
    if "messages" in row:
        row = _messages(row)
    is_label = "label" in row and not {"answer", "solution"} & row.keys()
    if "answer" not in row and "solution" not in row:
        row = _answer_elsewhere(row)
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
    if "image_path" in row and not {"image", "images"} & row.keys():
        row["image"] = row.pop("image_path")
    row = _responses(row)
    if "prompt" in row:
        row = with_places(_with_system(row))
    elif isinstance(row.get("images"), list) and len(row["images"]) == 1:
        row["image"] = row.pop("images")[0]
    row = {name: value for name, value in row.items() if value is not None}
    if isinstance(row.get("answer"), str):
        row["answer"] = answer_in(row["answer"])
    if "answer" in row and "prompt" in row:
        prompt = row["prompt"] if isinstance(row["prompt"], str) else text_of(row["prompt"][-1]["content"])
        row["answer"] = label_for(str(row.get("question", prompt)), row["answer"], is_label=is_label)
    return row


def text_of(content: str | Sequence[dict]) -> str:
    """The words of a content."""
    if isinstance(content, str):
        return content
    return "".join(block.get("text") or "" for block in content)


def _turn(turn: dict) -> dict:
    """A turn of ShareGPT's, as a message."""
    return {"role": _ROLES.get(turn["from"], turn["from"]), "content": turn["value"]}


def _messages(row: dict) -> dict:
    """What the assistant says last is the answer, or preferred where there is a rejected response."""
    *prompt, last = row.pop("messages")
    if last["role"] != "assistant":
        return row | {"prompt": [*prompt, last]}
    row["prompt"] = prompt
    if "rejected_response" in row:
        return row | {"chosen": text_of(last["content"]), "rejected": row.pop("rejected_response")}
    row.setdefault("answer", text_of(last["content"]))
    return row


def _asked_before(history: Sequence[Sequence[str]] | None) -> list[dict]:
    """Turns of ms-swift's `history`, which has what was asked and what was said to it."""
    return [
        {"role": role, "content": text}
        for asked, said in history or ()
        for role, text in (("user", asked), ("assistant", said))
    ]


def _json_within(row: dict) -> dict:
    """RLHF-V has question, chosen and rejected as JSON under `text`."""
    text = row["text"]
    if not (isinstance(text, str) and text.lstrip().startswith("{")) or {"prompt", "problem", "messages"} & row.keys():
        return row
    try:
        held = parse_json(text)
    except PARSER_ERRORS:
        return row
    if {"question", "chosen", "rejected"} <= held.keys():
        return {name: value for name, value in row.items() if name != "text"} | held
    raise InputError(
        f"it has {shown(json.dumps(held))} under 'text', which the model would be asked as it stands; give the "
        "question under 'prompt'."
    )


def _answer_elsewhere(row: dict) -> dict:
    """The reference answer from where verl and the VQA data sets have it; their columns stay."""
    judged = row.get("reward_model")
    if isinstance(judged, dict) and judged.get("ground_truth") is not None:
        answer = judged["ground_truth"]
        if not isinstance(answer, (str, int, float)):
            raise InputError(f"it has {shown(answer)} as its ground_truth; give one answer as text under 'answer'.")
        return row | {"answer": answer}
    if isinstance(row.get("multiple_choice_answer"), str):
        return row | {"answer": row["multiple_choice_answer"]}
    if "answers" in row:
        given = row["answers"]
        said = [one["answer"] if isinstance(one, dict) else one for one in given] if isinstance(given, list) else []
        if not said or not all(isinstance(one, str) for one in said):
            raise InputError(f"it has {shown(given)} under 'answers'; give a list of texts, or one under 'answer'.")
        # The first of equally frequent ones.
        return row | {"answer": Counter(said).most_common(1)[0][0]}
    return row


def _responses(row: dict) -> dict:
    """Preferred and rejected responses as text, and what was asked before them where only they say so."""
    row = dict(row)
    asked = []
    for name in _RESPONSES:
        value = row.get(name)
        if isinstance(value, dict):  # LLaMA-Factory's; ms-swift's is a message
            value = [value]
        if not (isinstance(value, list) and value and all(isinstance(turn, dict) for turn in value)):
            continue
        turns = [_turn(turn) if "from" in turn else turn for turn in value]
        if turns[-1].get("role") != "assistant":
            raise InputError(f"{name!r} does not end with what the assistant says; give one response.")
        row[name] = text_of(turns[-1]["content"])
        if len(turns) > 1:
            asked.append(turns[:-1])
    if not asked:
        return row
    if "prompt" not in row:
        row["prompt"] = asked[0]
    given = [{"role": "user", "content": row["prompt"]}] if isinstance(row["prompt"], str) else row["prompt"]
    if any(_said(turns) != _said(given) for turns in asked):
        raise InputError("its responses follow other messages than its prompt; give each prompt a row.")
    return row


def _said(turns: Sequence[dict]) -> list[tuple[str, str]]:
    return [(turn["role"], text_of(turn["content"]).strip()) for turn in turns]


def _with_system(row: dict) -> dict:
    """The system message of ShareGPT and ms-swift before the conversation; one that stands there goes before it."""
    system = row.pop("system", None)
    if not system:
        return row
    if not isinstance(system, str):
        raise InputError(f"it has {shown(system)} under 'system'; give the text of a system message.")
    prompt = row["prompt"]
    turns = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    if turns[0]["role"] == "system":
        return row
    return row | {"prompt": [{"role": "system", "content": system}, *turns]}


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
