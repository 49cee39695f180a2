"""What a model is asked about pictures of a folder. Which prompts a benchmark asks is in its own `prompts` module."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from causal_attrib.errors import InputError
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

    def __init__(self, folder: str | os.PathLike[str]):
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


@dataclass(frozen=True)
class ModelRun:
    """A model that writes what a benchmark scores, before it is scored.

    images:   the folder of the pictures
    write:    called with what is to be asked for each file of replies; afterwards the files are there
    settings: what a result says of the run
    """

    images: str | os.PathLike[str]
    write: Callable[[Mapping[str, Sequence[Prompt]]], None]
    settings: dict[str, object] = field(default_factory=dict)
