"""AMBER from files to numbers in one call: `evaluate`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.errors import InputError
from causal_attrib.evaluation.amber import files
from causal_attrib.evaluation.amber.captions import CaptionScores, named, score_captions
from causal_attrib.evaluation.amber.prompts import of_queries
from causal_attrib.evaluation.amber.questions import PARSERS, DimensionScores, score_questions
from causal_attrib.evaluation.intervals import check_draws
from causal_attrib.evaluation.prompts import ModelRun
from causal_attrib.evaluation.results import FileName, Result, columns, frame

if TYPE_CHECKING:
    import pandas as pd


@dataclass(frozen=True)
class AmberResult(Result):
    """AMBER's numbers. What was not answered is None: captions, questions or both.

    captions:    in the lexical mode
    questions:   of each dimension, all together first
    always_no:   what answering No to the same questions scores
    amber_score: (100 - CHAIR + F1) / 2, the one number of Wang et al. (2023), with the lexical CHAIR
    """

    benchmark: ClassVar[str] = "amber"

    captions: CaptionScores | None
    questions: list[DimensionScores] | None
    always_no: list[DimensionScores] | None

    @property
    def amber_score(self) -> float | None:
        if self.captions is None or self.questions is None:
            return None
        chair, f1 = self.captions.chair.value, self.questions[0].f1.value
        return None if chair is None or f1 is None else (100 - chair + f1) / 2

    def numbers(self) -> dict[str, object]:
        names = ("captions", "questions", "always_no", "amber_score")
        return {name: getattr(self, name) for name in names}

    def to_frame(self) -> pd.DataFrame:
        """A row for the captions, one for each dimension of the questions, and one for always answering No."""
        rows: list[dict[str, object]] = []
        if self.captions is not None:
            rows.append({"part": "captions", **columns(self.captions)})
        rows += [{"part": "questions", **columns(scores)} for scores in self.questions or ()]
        rows += [{"part": "always no", **columns(scores)} for scores in (self.always_no or ())[:1]]
        return frame(rows)


def evaluate(
    responses: FileName,
    annotations: FileName,
    *,
    relations: FileName | None = None,
    safe_words: FileName | None = None,
    queries: FileName | None = None,
    parser: str = "official",
    resamples: int = 1000,
    seed: int = 0,
    run: ModelRun | None = None,
) -> AmberResult:
    """AMBER: captions by their words (a lexical mode, which is not the paper's) and yes/no questions exactly.

    Args:
        responses: rows with `id` and `response`.
        annotations: AMBER's annotations.json.
        relations, safe_words: its relation.json and safe_words.txt, which captions need.
        queries: its query_all.json, which tells the image of each item; without it each item stands for its own image.
        parser: how yes and no are read: "official", "words", "exact" or "first-token".
        resamples, seed: of the bootstrap over images.
        run: the model that writes `responses` first, once all that is wrong with the other files was found.

    Raises:
        InputError: a file that cannot be read or is missing, ids that the annotations lack, or values that cannot be.
    """
    if run is not None and queries is None:
        raise InputError("A run of the model needs what it is asked; add --queries query_all.json.")
    if parser not in PARSERS:
        raise InputError(f"AMBER has no parser {parser!r}; choose one of {', '.join(PARSERS)}.")
    draws = {"resamples": resamples, "seed": seed}
    check_draws(**draws)
    items = files.read_items(annotations)
    images = None if queries is None else files.read_images(queries)
    about_captions = "are captions, which need --relations and --safe-words."
    if run is not None and queries is not None:
        asked = files.read_queries(queries)
        prompts = of_queries(run.images, asked, items)
        to_caption = sum(not items[query.key].is_question for query in asked)
        if to_caption and (relations is None or safe_words is None):
            raise InputError(f"{to_caption} queries {about_captions}")
        run.write({os.fspath(responses): prompts})
    read = files.read_responses(responses, items, images)
    to_captions = [response for response in read if not response.item.is_question]
    to_questions = [response for response in read if response.item.is_question]
    captions, questions, always_no = None, None, None
    if to_captions:
        if relations is None or safe_words is None:
            raise InputError(f"{len(to_captions)} responses {about_captions}")
        table, safe = files.read_relations(relations), files.read_safe_words(safe_words)
        captions = score_captions([named(response, table, safe) for response in to_captions], **draws)
    if to_questions:
        questions = score_questions(to_questions, parser=parser, resamples=resamples, seed=seed)
        always_no = score_questions(files.always_no(to_questions), resamples=resamples, seed=seed)

    warnings = []
    if len(read) < len(items):
        warnings.append(
            f"{len(items) - len(read)} of {len(items)} items have no response; the numbers are of the others."
        )
    if questions and queries is None:
        warnings.append(
            "without --queries, questions about one image are drawn apart, which makes intervals too narrow."
        )
    if captions is not None:
        warnings.append(
            "captions are scored by words, without AMBER's tagger and vectors; do not set them beside the paper's."
        )
    if questions and questions[0].undecided:
        warnings.append(f"{questions[0].undecided} replies are neither yes nor no and count as wrong.")
    settings = {
        "responses": responses,
        **({} if run is None else run.settings),
        "annotations": annotations,
        "captions": "lexical",
        "parser": parser,
        "bootstrap": resamples,
        "seed": seed,
    }
    return AmberResult(settings, warnings, captions, questions, always_no)
