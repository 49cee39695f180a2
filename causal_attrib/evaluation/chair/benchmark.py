"""CHAIR from files to numbers in one call: `evaluate`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

from causal_attrib.errors import InputError
from causal_attrib.evaluation.chair import ground_truth
from causal_attrib.evaluation.chair.prompts import of_pictures
from causal_attrib.evaluation.chair.scores import (
    ChairCaption,
    ChairDifference,
    ChairScores,
    JudgedCaption,
    difference,
    judge,
    notes,
    read_captions,
    score,
)
from causal_attrib.evaluation.chair.scores import drop_truncated as without_truncated
from causal_attrib.evaluation.intervals import check_draws
from causal_attrib.evaluation.prompts import ModelRun
from causal_attrib.evaluation.results import FileName, Result, columns, frame, plain_fields
from causal_attrib.words.lexicon import Lexicon, read_lexicon
from causal_attrib.words.matcher import Matcher

if TYPE_CHECKING:
    import pandas as pd

UNKNOWN_IMAGES = ("error", "skip")


@dataclass(frozen=True)
class ChairResult(Result):
    """CHAIR of each system.

    group_by:   the keys whose values tell the systems apart
    systems:    the numbers of each system
    difference: the captions less those of the other file, in percentage points
    judged:     every caption with the objects it names
    lexicon:    the words that were looked for
    """

    benchmark: ClassVar[str] = "chair"

    group_by: tuple[str, ...]
    systems: list[ChairScores]
    difference: ChairDifference | None
    judged: list[JudgedCaption]
    lexicon: Lexicon

    def numbers(self) -> dict[str, object]:
        systems = [{**plain_fields(scores), "system": self._named(scores.system)} for scores in self.systems]
        return {"systems": systems, **({} if self.difference is None else {"difference": self.difference})}

    def to_frame(self) -> pd.DataFrame:
        """A row for each system."""
        return frame({**self._named(scores.system), **columns(scores)} for scores in self.systems)

    def per_caption(self) -> list[dict[str, object]]:
        """A row for each caption: its objects, its mentions and where they stand in it."""
        return [
            {
                "image_id": caption.image,
                **self._named(caption.caption.system),
                "caption": caption.caption.text,
                "chair_i": caption.chair_i,
                "objects": sorted(caption.truth),
                "mentions": [
                    {
                        "word": mention.word,
                        "node": mention.node,
                        "hallucinated": mention.node not in caption.truth,
                        "char_start": mention.start,
                        "char_end": mention.stop,
                        "token_start": mention.first,
                        "token_end": mention.end,
                    }
                    for mention in caption.mentions
                ],
            }
            for caption in self.judged
        ]

    def _named(self, system: tuple[str, ...]) -> dict[str, str]:
        return dict(zip(self.group_by, system, strict=True))


def evaluate(
    captions: FileName,
    *,
    objects: FileName | None = None,
    instances: FileName | None = None,
    references: FileName | None = None,
    against: FileName | None = None,
    image_key: str | None = None,
    caption_key: str | None = None,
    group_by: Sequence[str] = (),
    drop_truncated: bool = False,
    unknown_images: str = "error",
    rules: str = "official",
    lexicon: FileName = "coco80",
    resamples: int = 1000,
    seed: int = 0,
    prompt: str | None = None,
    run: ModelRun | None = None,
) -> ChairResult:
    """CHAIR of a file of captions: which of the objects they name are not in the image?

    Args:
        captions: a JSON list or JSON Lines, with an image and a caption per row.
        objects: the objects of each image; either this or `instances`.
        instances: COCO's instance annotations.
        references: COCO's captions, to go with `instances`; what they name is in the image too.
        against: captions of the same images by another system, to compare with.
        image_key, caption_key: keys of a row, where they are not the usual ones.
        group_by: keys that tell whose caption it is; each system gets a score.
        drop_truncated: leave out a last sentence without an end.
        unknown_images: what images without ground truth are: "error", or "skip" to leave their captions out.
        rules: "official", as the authors' script finds objects, or "repaired".
        lexicon: "coco80", or a synonyms file of CHAIR's format.
        resamples, seed: of the bootstrap over images.
        prompt: what a model is asked for; None: a description.
        run: the model that writes `captions` first, once all that is wrong with the other files was found.

    Raises:
        InputError: a file that cannot be read, images without ground truth, or values that cannot be.
    """
    check_truth(objects, instances, references, unknown_images)
    if isinstance(group_by, str) or not isinstance(group_by, Sequence):
        raise InputError(f"The keys to group by are {group_by!r:.40}; give a list of them.")
    if run is not None and (image_key or caption_key or group_by):
        raise InputError("--image-key, --caption-key and --group-by are for --captions; leave them out.")
    if prompt is not None and run is None:
        raise InputError("--prompt is for a run of the model; add --model ID_OR_PATH, or leave --prompt out.")
    if against is not None and group_by:
        raise InputError("--compare is for two files of one system each; leave --group-by out.")
    check_draws(resamples=resamples, seed=seed)

    matcher = Matcher(read_lexicon(lexicon), rules)
    skip_unknown = unknown_images == "skip"
    read: list[ChairCaption] = []
    if run is None:
        read = read_captions(captions, image_key=image_key, caption_key=caption_key, group_by=group_by)
    if objects is not None:
        truth = ground_truth.truth_of_objects(objects, matcher.lexicon)
    elif instances is not None:
        truth = ground_truth.truth_of_coco(instances, references, matcher)
    other = None
    if against is not None:
        other = read_captions(against, image_key=image_key, caption_key=caption_key)
    if run is not None:
        run.write({os.fspath(captions): of_pictures(run.images, truth, prompt, skip_unknown=skip_unknown)})
        read = read_captions(captions)

    warnings = []
    if drop_truncated:
        other = None if other is None else _shortened(other)
        whole, read = read, _shortened(read)
        changed = sum(new.text != old.text for new, old in zip(read, whole, strict=True))
        warnings.append(f"{changed} of {len(read)} captions lost a last sentence without an end.")
    if instances is not None and references is None:
        warnings.append("without --references, objects that only the reference captions name count as hallucinated.")
    judged = judge(read, truth, matcher, skip_unknown=skip_unknown)
    scores = score(judged, resamples=resamples, seed=seed)
    warnings += notes(read, judged, matcher)
    compared = None
    if other is not None:
        of_other = judge(other, truth, matcher, skip_unknown=skip_unknown)
        compared = difference(judged, of_other, resamples=resamples, seed=seed)
    settings = {
        "captions": captions,
        "against": against,
        **({} if run is None else {**run.settings, "prompt": prompt}),
        "objects": objects,
        "instances": instances,
        "references": references,
        "rules": rules,
        "lexicon": matcher.lexicon.name,
        "drop_truncated": drop_truncated,
        "unknown_images": unknown_images,
        "bootstrap": resamples,
        "seed": seed,
    }
    return ChairResult(settings, warnings, tuple(group_by), scores, compared, judged, matcher.lexicon)


def check_truth(
    objects: FileName | None, instances: FileName | None, references: FileName | None, unknown_images: str
) -> None:
    """Raise an `InputError` unless these say what is in the images, and what becomes of images that they lack."""
    if unknown_images not in UNKNOWN_IMAGES:
        raise InputError(f"--unknown-images cannot be {unknown_images!r}; choose error or skip.")
    if (objects is None) == (instances is None):
        raise InputError("The ground truth is one of --objects and --instances; give one of them.")
    if references is not None and instances is None:
        raise InputError("--references adds to --instances; give both, or --objects alone.")


def _shortened(captions: Sequence[ChairCaption]) -> list[ChairCaption]:
    return [replace(caption, text=without_truncated(caption.text)) for caption in captions]
