"""What CHAIR asks a model: a caption of every picture."""

from __future__ import annotations

import os
from collections.abc import Collection

from causal_attrib.errors import InputError
from causal_attrib.evaluation.prompts import Folder, Prompt, names_of


def of_pictures(
    folder: str | os.PathLike[str], truth: Collection[str], prompt: str | None = None, *, skip_unknown: bool = False
) -> list[Prompt]:
    """Ask for a caption of every picture; those of which there is no `truth` are an error, or left out."""
    prompts, unknown = [], []
    for path in Folder(folder).pictures:
        image = next((name for name in names_of(path) if name in truth), None)
        if image is None:
            unknown.append(path.name)
        else:
            prompts.append(Prompt(path, prompt, {"image_id": image}))
    if unknown and not skip_unknown:
        raise InputError(
            f"{len(unknown)} images of {folder} have no ground truth (first {unknown[0]}); add them to it, or leave "
            "them out with --unknown-images skip."
        )
    if not prompts:
        raise InputError(f"No image of {folder} has ground truth; check that both name images alike.")
    return prompts
