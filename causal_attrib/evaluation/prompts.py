"""What a benchmark asks a model: pictures of a folder, and a prompt for each."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.evaluation.amber.files import AmberItem, Query
from causal_attrib.evaluation.pope.questions import Question
from causal_attrib.io.image_names import image_id

PICTURES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp")


@dataclass(frozen=True)
class Prompt:
    """A picture and what is asked about it; None asks for a caption. `row` is what the reply is written beside."""

    image: Path
    prompt: str | None
    row: dict


class Folder:
    """Pictures by what benchmarks call them: the name of the file, with its suffix or without, or COCO's number.

    Raises:
        InputError: there is no such folder, or no picture in it.
    """

    def __init__(self, folder: str | os.PathLike):
        self.path = Path(folder)
        if not self.path.is_dir():
            raise InputError(f"There is no folder {self.path}; give the folder of the images.")
        self.pictures = sorted(path for path in self.path.iterdir() if path.suffix.lower() in PICTURES)
        if not self.pictures:
            raise InputError(f"There is no picture in {self.path}; give the folder of the images.")
        self._named: dict[str, set[Path]] = defaultdict(set)
        for path in self.pictures:
            for name in names_of(path):
                self._named[name].add(path)

    def find(self, image: str, where: str) -> Path:
        """The picture called `image`, as `image_id` writes it; `where` is what asks for it."""
        found = sorted(self._named[image])
        if not found:
            raise InputError(
                f"{where} is about image {image!r}, which is not in {self.path}; give the folder it is in."
            )
        if len(found) > 1:
            raise InputError(f"Both {found[0]} and {found[1]} are called {image!r}; keep one of them in the folder.")
        return found[0]


def names_of(path: Path) -> tuple[str, str]:
    """What a picture may be called.

    >>> names_of(Path("images/COCO_val2014_000000000042.jpg")), names_of(Path("park.png"))
    (('42', '42'), ('park.png', 'park'))
    """
    return image_id(path.name), image_id(path.stem)


def captions(
    folder: str | os.PathLike, truth: Collection[str], prompt: str | None = None, *, skip_unknown: bool = False
) -> list[Prompt]:
    """Ask for a caption of every picture; those of which there is no `truth` are an error, or left out."""
    asks, unknown = [], []
    for path in Folder(folder).pictures:
        image = next((name for name in names_of(path) if name in truth), None)
        if image is None:
            unknown.append(path.name)
        else:
            asks.append(Prompt(path, prompt, {"image_id": image}))
    if unknown and not skip_unknown:
        raise InputError(
            f"{len(unknown)} images of {folder} have no ground truth (first {unknown[0]}); add them to it, or leave "
            "them out with --unknown-images skip."
        )
    if not asks:
        raise InputError(f"No image of {folder} has ground truth; check that both name images alike.")
    return asks


def questions(folder: str | os.PathLike, asked: Sequence[Question]) -> list[Prompt]:
    """Ask every question about its picture."""
    pictures = Folder(folder)
    return [
        Prompt(
            pictures.find(question.image, question.where),
            question.text,
            {"question_id": question.key, "image": question.image},
        )
        for question in asked
    ]


def queries(folder: str | os.PathLike, asked: Sequence[Query], items: dict[str, AmberItem]) -> list[Prompt]:
    """Ask every query of AMBER about its picture; all must be of `items`."""
    pictures = Folder(folder)
    for query in asked:
        if query.key not in items:
            raise InputError(
                f"{query.where} has the id {query.key!r}, which the annotations lack; give the annotations of its set."
            )
    return [Prompt(pictures.find(query.image, query.where), query.text, {"id": query.key}) for query in asked]
