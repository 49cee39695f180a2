"""What images are called: one spelling for each, so that captions, questions and ground truth meet."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Iterable

_COCO_FILE = re.compile(r"(?:.*[/\\])?COCO_(?:train|val|test)\d{4}_(\d{12})(?:\.\w+)?")
# COCO since 2017: the number alone, in the folder of its split or in none.
_NUMBER_FILE = re.compile(r"(?:(?:.*[/\\])?(?:train|val|test|unlabeled)\d{4}[/\\])?(\d{12})(?:\.\w+)?")
_ANY_NUMBER = re.compile(r".*?(?:[/\\]|_)(\d{12})(?:\.\w+)?")


def image_id(value: int | str) -> str:
    """One spelling for an image: COCO's file names stand for the number in them, other names for themselves.

    In a folder that is none of COCO's, twelve digits are a name like any other: the first frames of two clips are two
    images.

    >>> image_id(310196), image_id("310196"), image_id("val2014/COCO_val2014_000000310196.jpg"), image_id("AMBER_1.jpg")
    ('310196', '310196', '310196', 'AMBER_1.jpg')
    >>> image_id("COCO_val2014_000000000042"), image_id("val2017/000000000042.jpg"), image_id("000000000042.jpg")
    ('42', '42', '42')
    >>> image_id("clip1/000000000001.jpg")
    'clip1/000000000001.jpg'
    """
    text = str(value)
    if match := _COCO_FILE.fullmatch(text) or _NUMBER_FILE.fullmatch(text):
        text = match[1]
    return str(int(text)) if text.isascii() and text.isdecimal() and len(text) <= 4000 else text


def known_as(images: Iterable[str], known: Collection[str]) -> dict[str, str]:
    """What each of `images` is called among `known`: as it is, or by the number that its name ends in.

    The number counts where no other of `images` ends in it, so that a file of `my_coco/000000000042.jpg` meets ground
    truth by COCO's numbers, and frames of several clips do not become one image.

    >>> known_as(["my_coco/000000000042.jpg", "dog.jpg"], {"42"})
    {'my_coco/000000000042.jpg': '42'}
    >>> known_as(["clip1/000000000042.jpg", "clip2/000000000042.jpg"], {"42"})
    {}
    """
    names: dict[str, str] = {}
    by_number: dict[str, set[str]] = defaultdict(set)
    for image in images:
        if image in known:
            names[image] = image
        match = _ANY_NUMBER.fullmatch(image)
        number = str(int(match[1])) if match else image
        by_number[number].add(image)
    for number, ending in by_number.items():
        if len(ending) == 1 and number in known:
            for image in ending:
                names.setdefault(image, number)
    return names
