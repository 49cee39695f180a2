"""What is in each image: object lists, COCO's instance annotations, and its reference captions."""

from __future__ import annotations

import os

from causal_attrib.errors import InputError
from causal_attrib.io.image_names import image_id
from causal_attrib.io.json_files import read_json
from causal_attrib.io.rows import Row, read_rows
from causal_attrib.words.lexicon import Lexicon
from causal_attrib.words.matcher import Matcher


def read_objects(path: str | os.PathLike) -> dict[str, list[str]]:
    """Objects per image from `{image: [object, ...]}`, from rows with `image` (or `image_id`) and `objects`, or from
    the objects.json of `copo scenes`, where only what can be seen counts.
    """
    rows = read_rows(path)
    objects: dict[str, list[str]] = {}
    for image, names, where in _listed(rows):
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise InputError(f'{where} has no list of object names for image {image!r}; write it as ["dog", "cat"].')
        if image in objects:
            raise InputError(f"{where} lists the objects of image {image!r} a second time; list each image once.")
        objects[image] = names
    return objects


def truth_of_objects(path: str | os.PathLike, lexicon: Lexicon) -> dict[str, frozenset[str]]:
    """Node words per image, from a file that `read_objects` reads."""
    return {
        image: frozenset(_node(name, lexicon, f"image {image!r} of {path}") for name in names)
        for image, names in read_objects(path).items()
    }


def truth_of_coco(
    instances: str | os.PathLike, references: str | os.PathLike | None, matcher: Matcher
) -> dict[str, frozenset[str]]:
    """Node words per image from COCO files: annotated instances, and what the reference captions name.

    The script of Rohrbach et al. (2018) takes the union of both, and finds objects in the references by the same rules
    as in the captions under test. Images are those that the instances file lists, annotated or not.
    """
    coco = _read_coco(
        instances, {"images": ("id",), "annotations": ("image_id", "category_id"), "categories": ("id", "name")}
    )
    node_of = {
        category["id"]: _node(category["name"], matcher.lexicon, f"a category of {instances}")
        for category in coco["categories"]
    }
    truth: dict[str, set[str]] = {image_id(image["id"]): set() for image in coco["images"]}
    for annotation in coco["annotations"]:
        if annotation["category_id"] not in node_of:
            raise InputError(
                f"{instances} has an annotation of category {annotation['category_id']!r}, which it lacks."
            )
        truth.setdefault(image_id(annotation["image_id"]), set()).add(node_of[annotation["category_id"]])
    if references is not None:
        for image, captions in reference_captions(references).items():
            if image in truth:
                truth[image].update(mention.node for caption in captions for mention in matcher.mentions(caption))
    return {image: frozenset(nodes) for image, nodes in truth.items()}


def reference_captions(path: str | os.PathLike) -> dict[str, list[str]]:
    """The captions of each image in COCO's file of them."""
    captions: dict[str, list[str]] = {}
    for annotation in _read_coco(path, {"annotations": ("image_id", "caption")})["annotations"]:
        captions.setdefault(image_id(annotation["image_id"]), []).append(annotation["caption"])
    return captions


def _listed(rows: list[Row]) -> list[tuple[str, object, str]]:
    if len(rows) == 1 and "objects" not in rows[0].value:
        return [(image_id(image), _of_scene(names), rows[0].file) for image, names in rows[0].value.items()]
    return [(row.image(row.need(("image", "image_id"))), row.value[row.need(("objects",))], row.where) for row in rows]


def _of_scene(entry: object) -> object:
    """Classes of the objects of a rendered scene; any other entry as it is."""
    if isinstance(entry, dict) and isinstance(entry.get("objects"), list):
        return [
            thing.get("class") for thing in entry["objects"] if isinstance(thing, dict) and thing.get("visible", True)
        ]
    return entry


def _node(name: str, lexicon: Lexicon, where: str) -> str:
    node = lexicon.node_of(name)
    if node is None:
        raise InputError(
            f"The lexicon {lexicon.name} lacks {name!r}, which is an object of {where}; give a --lexicon that has it."
        )
    return node


def _read_coco(path: str | os.PathLike, keys: dict[str, tuple[str, ...]]) -> dict:
    """A COCO annotation file, after a look whether its lists are there and their entries have `keys`."""
    coco = read_json(path, "give a COCO annotation file")
    for part, needed in keys.items():
        if not isinstance(coco, dict) or not isinstance(coco.get(part), list):
            raise InputError(f"{path} has no list {part!r}; give a COCO annotation file.")
        for index, entry in enumerate(coco[part]):
            missing = [key for key in needed if not isinstance(entry, dict) or key not in entry]
            if missing:
                raise InputError(f"{path} has no key {missing[0]!r} in {part!r}[{index}]; give a COCO annotation file.")
    return coco
