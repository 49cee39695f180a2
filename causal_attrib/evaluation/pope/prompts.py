"""What POPE asks a model: every question about its picture."""

from __future__ import annotations

import os
from collections.abc import Sequence

from causal_attrib.evaluation.pope.questions import Question
from causal_attrib.evaluation.prompts import Folder, Prompt


def of_questions(folder: str | os.PathLike[str], questions: Sequence[Question]) -> list[Prompt]:
    """Ask every question about its picture."""
    pictures = Folder(folder)
    return [
        Prompt(
            pictures.find(question.image, question.where),
            question.text,
            {"question_id": question.key, "image": question.image},
        )
        for question in questions
    ]
