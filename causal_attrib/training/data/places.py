"""Where the pictures of a row stand in its prompt.

A prompt says so by placeholders in its texts, or by blocks of content. It becomes text where all pictures stand at the
head of its first user turn, which is where trainers put pictures that no text speaks of, and blocks where one stands
anywhere else:

    [{"role": "user", "content": [{"type": "text", "text": "First "}, {"type": "image"}, ..]}]
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import cut, shown
from causal_attrib.words.blank import PLACE

# How blocks name what they are: transformers, TRL and Qwen; OpenAI's chat and its responses.
_IMAGES, _TEXTS = ("image", "image_url", "input_image"), ("text", "input_text")
# Where a block has its picture.
_PAYLOADS = ("image", "image_url", "url", "path")
# What Qwen's blocks may say of the size, which would have to be done to the picture.
_SIZES = ("min_pixels", "max_pixels", "total_pixels", "resized_height", "resized_width")


@dataclass(frozen=True)
class _Place:
    """A picture within a turn: itself, or which of the row's pictures it is (from 0), or just the next of them."""

    picture: Any = None
    number: int | None = None


_Part = str | _Place


def with_places(row: dict) -> dict:
    """The row with each picture where its prompt has it, its pictures in that order under `image` or `images`.

    >>> with_places({"images": ["a", "b"], "prompt": "First <image> then <image>"})["prompt"][0]["content"]
    [{'type': 'text', 'text': 'First '}, {'type': 'image'}, {'type': 'text', 'text': ' then '}, {'type': 'image'}]
    >>> with_places({"images": ["a", "b"], "prompt": "<image_2>Like <image_1>?"})["images"]
    ['b', 'a']
    >>> with_places({"image": "a", "prompt": "<image>\\nIs it?"})
    {'image': 'a', 'prompt': 'Is it?'}

    Raises:
        InputError: there are more or fewer places than pictures, or it is in doubt which stands where.
        TypeError, KeyError, AttributeError: the prompt is no conversation.
    """
    prompt = row["prompt"]
    turns: list[dict] = [{"role": "user", "content": prompt}] if isinstance(prompt, str) else list(prompt)
    parts = [_trimmed(list(_parts(turn))) for turn in turns]
    places = [part for turn in parts for part in turn if isinstance(part, _Place)]
    row = row | _pictures(row, places)
    if not places or _at_the_head(turns, parts):
        texts = ["".join(part for part in turn if isinstance(part, str)) for turn in parts]
        plain = [turn | {"content": text} for turn, text in zip(turns, texts, strict=True)]
        return row | {"prompt": plain[0]["content"] if isinstance(prompt, str) else plain}
    return row | {
        "prompt": [
            turn
            | {"content": _blocks(own) if any(isinstance(part, _Place) for part in own) else "".join(map(str, own))}
            for turn, own in zip(turns, parts, strict=True)
        ]
    }


def in_blocks(messages: Sequence[dict], pictures: int) -> list[dict]:
    """A conversation whose contents are all lists of blocks, with its pictures at the head of the first user turn.

    Pictures that stand in the messages already stay where they are, as bare placeholders.

    >>> in_blocks([{"role": "user", "content": "What is it?"}], 1)
    [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': 'What is it?'}]}]
    """
    turns = []
    for message in messages:
        content = message["content"]
        blocks = [{"type": "text", "text": content}] if isinstance(content, str) else content
        # A table has every key in every block.
        bare = [{"type": "image"} if block["type"] == "image" else dict(block) for block in blocks]
        turns.append({"role": message["role"], "content": bare})
    if not any(block["type"] == "image" for turn in turns for block in turn["content"]):
        first = next(turn for turn in turns if turn["role"] == "user")
        first["content"][:0] = [{"type": "image"} for _ in range(pictures)]
    return turns


def bare(messages: Sequence[dict]) -> list[dict]:
    """A conversation as it was before a table gave every block every key."""
    return [
        message
        if isinstance(message["content"], str)
        else message
        | {"content": [{"type": "image"} if block["type"] == "image" else block for block in message["content"]]}
        for message in messages
    ]


def is_in_blocks(messages: Sequence[dict]) -> bool:
    """Whether a picture of the conversation stands anywhere but at the head of the first user turn."""
    return any(not isinstance(message["content"], str) for message in messages)


def stands_among_words(messages: Sequence[dict]) -> bool:
    """Whether a turn goes on with words behind a picture that words, or another turn, came before.

    >>> stands_among_words(with_places({"image": "a", "prompt": "See <image> here"})["prompt"])
    True
    >>> stands_among_words(with_places({"image": "a", "prompt": "See here: <image>"})["prompt"])
    False
    """
    for turn in messages:
        kinds = [block["type"] for block in turn["content"]] if not isinstance(turn["content"], str) else []
        words = [place for place, kind in enumerate(kinds) if kind == "text"]
        if words and any(words[0] < place < words[-1] for place, kind in enumerate(kinds) if kind == "image"):
            return True
    return False


# -- reading ----------------------------------------------------------------------------------------------------------


def _parts(turn: dict) -> Iterator[_Part]:
    """The texts and pictures of a turn, in order."""
    content = turn["content"]
    for block in [content] if isinstance(content, str) else content:
        if isinstance(block, dict):
            yield from _of_block({name: value for name, value in block.items() if value is not None}, turn)
        elif turn["role"] == "user":
            yield from _of_text(block)
        else:
            yield str(block)


def _of_block(block: dict, turn: dict) -> Iterator[_Part]:
    kind = block.get("type", "text" if "text" in block else next((name for name in _PAYLOADS if name in block), None))
    if kind in _TEXTS:
        yield from _of_text(block["text"]) if turn["role"] == "user" else [block["text"]]
        return
    if kind not in (*_IMAGES, "url", "path"):
        raise InputError(f"a message holds a block of the type {shown(kind)}; training takes those of text and images.")
    if turn["role"] != "user":
        raise InputError(f"a message of the {cut(str(turn['role']))} holds a picture; only those of the user may.")
    sized = next((name for name in _SIZES if name in block), None)
    if sized is not None:
        raise InputError(f"a picture has {sized!r}, which training does not do; scale the file, and leave it out.")
    payload = next((block[name] for name in _PAYLOADS if name in block), None)
    if isinstance(payload, dict) and "url" in payload:
        payload = payload["url"]
    if isinstance(payload, str):
        payload = payload.removeprefix("file://")
    yield _Place(payload, block.get("index") if payload is None else None)


def _of_text(text: str) -> Iterator[_Part]:
    end = 0
    for found in PLACE.finditer(text):
        yield text[end : found.start()]
        yield _Place(number=int(found["number"]) - 1 if found["number"] else None)
        end = found.end()
    yield text[end:]


def _trimmed(parts: list[_Part]) -> list[_Part]:
    """Without the white space at both ends of the turn, and between pictures at its head and the words: a template has
    its own there."""
    words = [place for place, part in enumerate(parts) if isinstance(part, str) and part.strip()]
    if not words:
        return [part for part in parts if isinstance(part, _Place)]
    first, last = words[0], words[-1]
    kept: list[_Part] = []
    for place, part in enumerate(parts):
        if isinstance(part, str):
            if not first <= place <= last:
                continue
            part = part.lstrip() if place == first else part
            ends = place == last and not any(isinstance(later, _Place) for later in parts[last + 1 :])
            part = part.rstrip() if ends else part
        if part != "":
            kept.append(part)
    return kept


def _pictures(row: dict, places: Sequence[_Place]) -> dict[str, Any]:
    """The row's pictures in the order of their places, under `image` if it is one, else under `images`."""
    one, several = row.get("image"), row.get("images")
    if one is not None and several and several != [one] and several != one:
        raise InputError("it has pictures under 'image' and under 'images'; give all of them under one.")
    if several is not None and not isinstance(several, list):
        return {}
    given = several if one is None else one
    listed = list(given) if isinstance(given, list) else [] if given is None else [given]
    order = list(range(len(listed)))
    if any(place.picture is not None for place in places):
        if listed or not all(place.picture is not None for place in places):
            raise InputError(
                "it has pictures in its messages and others beside them, so that it is in doubt which stands where; "
                "give all of them in one way."
            )
        listed = [place.picture for place in places]
        order = list(range(len(listed)))
    elif places:
        if len(places) != len(listed):
            raise InputError(
                f"its prompt has {_count(len(places), 'place')} for pictures and it has "
                f"{_count(len(listed), 'picture')}; give one place for each, or none."
            )
        if any(place.number is not None for place in places):
            order = [-1 if place.number is None else place.number for place in places]
            if sorted(order) != list(range(len(listed))):
                raise InputError(
                    "its prompt counts its pictures otherwise than from 1, each once; number all of them, or none."
                )
            listed = [listed[number] for number in order]
    changed: dict[str, Any] = {}
    if len(listed) == 1:
        changed = {"image": listed[0], "images": None}
    elif listed:
        changed = {"image": None, "images": listed}
    asked = row.get("image_index")
    if isinstance(asked, int) and not isinstance(asked, bool) and asked in order:
        changed["image_index"] = order.index(asked)
    return {name: value for name, value in changed.items() if value is not None or name in row}


def _at_the_head(turns: Sequence[dict], parts: Sequence[Sequence[_Part]]) -> bool:
    """Whether all pictures stand before the words of the first user turn."""
    first = next((place for place, turn in enumerate(turns) if turn["role"] == "user"), None)
    if first is None:
        return False
    kinds = [isinstance(part, _Place) for part in parts[first]]
    elsewhere = any(isinstance(part, _Place) for place, own in enumerate(parts) if place != first for part in own)
    return not elsewhere and kinds == sorted(kinds, reverse=True) and not all(kinds)


def _blocks(parts: Sequence[_Part]) -> list[dict]:
    return [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts]


def _count(number: int, what: str) -> str:
    return f"{number or 'no'} {what}{'s' if number != 1 else ''}"
