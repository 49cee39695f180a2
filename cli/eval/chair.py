"""`copo eval chair`: objects that captions name and images lack."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from causal_attrib_cli import common
from causal_attrib_cli.eval import common as eval_common
from causal_attrib_cli.eval import model_run

if TYPE_CHECKING:
    from causal_attrib.evaluation.chair.scores import ChairDifference, ChairScores, JudgedCaption
    from causal_attrib.words.matcher import Matcher

_CAPTIONS = "Captions"
_TRUTH = "What is in the images"
_RULES = "How objects are found"


@common.reads_pictures
@model_run.runs_model
def chair(
    captions: Annotated[
        str | None,
        typer.Option(
            "--captions", metavar="FILE", help="Captions: JSON list or JSON Lines.", rich_help_panel=_CAPTIONS
        ),
    ] = None,
    prompt: Annotated[
        str | None,
        typer.Option(
            "--prompt",
            help="What --model is asked for.",
            show_default="Describe this image.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    against: Annotated[
        str | None,
        typer.Option(
            "--against",
            metavar="FILE",
            help="Captions of the same images by another system, to compare with.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    image_key: Annotated[
        str | None,
        typer.Option(
            "--image-key",
            metavar="KEY",
            help="Key of the image in a row.",
            show_default="image_id or image",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    caption_key: Annotated[
        str | None,
        typer.Option(
            "--caption-key",
            metavar="KEY",
            help="Key of the caption in a row.",
            show_default="caption, text or answer",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    group_by: Annotated[
        str | None,
        typer.Option(
            "--group-by",
            metavar="KEY,KEY",
            help="Keys that say whose caption it is: a score for each.",
            rich_help_panel=_CAPTIONS,
        ),
    ] = None,
    drop_truncated: Annotated[
        bool,
        typer.Option("--drop-truncated", help="Drop a last sentence without an end.", rich_help_panel=_CAPTIONS),
    ] = False,
    objects: Annotated[
        str | None,
        typer.Option("--objects", metavar="FILE", help="Objects of each image.", rich_help_panel=_TRUTH),
    ] = None,
    instances: Annotated[
        str | None,
        typer.Option("--instances", metavar="FILE", help="COCO instance annotations.", rich_help_panel=_TRUTH),
    ] = None,
    references: Annotated[
        str | None,
        typer.Option(
            "--references", metavar="FILE", help="COCO captions; what they name counts too.", rich_help_panel=_TRUTH
        ),
    ] = None,
    unknown_images: Annotated[
        str,
        typer.Option(
            "--unknown-images",
            metavar="NAME",
            help="What images without ground truth are: error, skip.",
            rich_help_panel=_TRUTH,
        ),
    ] = "error",
    rules: Annotated[
        str,
        typer.Option(
            "--rules",
            metavar="NAME",
            help="official, the script's with its mistakes, or repaired.",
            rich_help_panel=_RULES,
        ),
    ] = "official",
    lexicon: Annotated[
        str,
        typer.Option(
            "--lexicon", metavar="NAME", help="coco80, or a synonyms file of CHAIR's format.", rich_help_panel=_RULES
        ),
    ] = "coco80",
    per_caption: Annotated[
        str | None,
        typer.Option(
            "--per-caption", metavar="FILE", help="Write what each caption names, and where.", rich_help_panel="Output"
        ),
    ] = None,
    bootstrap: eval_common.Bootstrap = 1000,
    seed: common.Seed = 0,
    json: eval_common.Json = False,
    out: eval_common.Out = None,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
    *,
    running: model_run.Running,
) -> None:
    """CHAIR: which of the objects that captions name are not in the image?

    The captions stand in a file, or --model writes them for the pictures of --images.
    """
    with common.told_plainly(debug=debug, quiet=quiet):
        from dataclasses import replace

        from causal_attrib.errors import InputError
        from causal_attrib.evaluation import prompts as asks
        from causal_attrib.evaluation.chair import ground_truth
        from causal_attrib.evaluation.chair import scores as benchmark
        from causal_attrib.io.json_files import write_rows
        from causal_attrib.words.lexicon import read_lexicon
        from causal_attrib.words.matcher import Matcher

        read_from = [captions, against, objects, instances, references, lexicon]
        common.check_outputs([out, per_caption, running.save], read_from)
        if unknown_images not in ("error", "skip"):
            raise InputError(f"--unknown-images cannot be {unknown_images!r}; choose error or skip.")
        if (objects is None) == (instances is None):
            raise InputError("The ground truth is one of --objects and --instances; give one of them.")
        if references is not None and instances is None:
            raise InputError("--references adds to --instances; give both, or --objects alone.")

        speaks = running.wanted("--captions", captions)
        if speaks and (image_key or caption_key or group_by):
            raise InputError("--image-key, --caption-key and --group-by are for --captions; leave them out.")
        if prompt is not None and not speaks:
            raise InputError("--prompt is for a run of the model; add --model ID_OR_PATH, or leave --prompt out.")

        matcher = Matcher(read_lexicon(lexicon), rules)
        keys = [] if group_by is None else [key.strip() for key in group_by.split(",")]
        if not speaks:
            read = benchmark.read_captions(captions, image_key=image_key, caption_key=caption_key, group_by=keys)
        if objects is not None:
            truth = ground_truth.truth_of_objects(objects, matcher.lexicon)
        else:
            truth = ground_truth.truth_of_coco(instances, references, matcher)

        if against is not None:
            if group_by is not None:
                raise InputError("--against compares two files of one system each; leave --group-by out.")
            other = benchmark.read_captions(against, image_key=image_key, caption_key=caption_key)

        notes = []
        if speaks:
            captions = running.save
            asked = asks.captions(running.images, truth, prompt, skip_unknown=unknown_images == "skip")
            running.write({captions: asked}, "caption", debug=debug, quiet=quiet)
            read = benchmark.read_captions(captions)
        if drop_truncated:
            if against is not None:
                other = [replace(caption, text=benchmark.drop_truncated(caption.text)) for caption in other]
            cut = [replace(caption, text=benchmark.drop_truncated(caption.text)) for caption in read]
            changed = sum(new.text != old.text for new, old in zip(cut, read, strict=True))
            notes.append(f"{changed} of {len(read)} captions lost a last sentence without an end.")
            read = cut
        if instances is not None and references is None:
            notes.append("without --references, objects that only the reference captions name count as hallucinated.")
        judged = benchmark.judge(read, truth, matcher, skip_unknown=unknown_images == "skip")
        scores = benchmark.score(judged, resamples=bootstrap, seed=seed)
        notes += benchmark.notes(read, judged, matcher)
        difference = None
        if against is not None:
            of_other = benchmark.judge(other, truth, matcher, skip_unknown=unknown_images == "skip")
            difference = benchmark.difference(judged, of_other, resamples=bootstrap, seed=seed)

        if per_caption is not None:
            write_rows(per_caption, (_row(one, keys) for one in judged))
        settings = {
            "captions": captions,
            "against": against,
            **running.settings,
            **({"prompt": prompt} if speaks else {}),
            "objects": objects,
            "instances": instances,
            "references": references,
            "rules": rules,
            "lexicon": matcher.lexicon.name,
            "drop_truncated": drop_truncated,
            "unknown_images": unknown_images,
            "bootstrap": bootstrap,
            "seed": seed,
        }
        systems = [{**eval_common.plain(one), "system": dict(zip(keys, one.system, strict=True))} for one in scores]
        results = {"systems": systems, **({} if difference is None else {"difference": difference})}
        view = [*_view(scores, matcher), *([] if difference is None else [_compared(difference)])]
        eval_common.report("chair", settings, results, view, notes, json=json, out=out, quiet=quiet)


def _row(one: JudgedCaption, keys: list[str]) -> dict:
    return {
        "image_id": one.caption.image,
        **dict(zip(keys, one.caption.system, strict=True)),
        "caption": one.caption.text,
        "chair_i": one.chair_i,
        "objects": sorted(one.truth),
        "mentions": [
            {
                "word": mention.word,
                "node": mention.node,
                "hallucinated": mention.node not in one.truth,
                "char_start": mention.start,
                "char_end": mention.stop,
                "token_start": mention.first,
                "token_end": mention.end,
            }
            for mention in one.mentions
        ],
    }


def _view(scores: list[ChairScores], matcher: Matcher) -> list:
    lexicon = matcher.lexicon
    title = (
        f"CHAIR  rules={matcher.rules}  lexicon={lexicon.name} "
        f"({len(lexicon.nodes)} objects, {len(lexicon.as_written())} words)"
    )
    main = eval_common.table(
        title,
        ("system", "CHAIR_s", "CHAIR_i", "recall", "precision"),
        (
            (_name(one), *map(eval_common.shown, (one.chair_s, one.chair_i, one.recall, one.precision)))
            for one in scores
        ),
    )
    counts = eval_common.table(
        "Counts, and the objects most often hallucinated (of all mentions of them)",
        ("system", "captions", "images", "mentions", "tokens\n/caption", "", "", ""),
        (
            (_name(one), one.captions, one.images, one.mentions, f"{one.tokens_per_caption:.1f}", *_worst(one, 3))
            for one in scores
        ),
    )
    return [main, eval_common.LEGEND, counts]


def _compared(difference: ChairDifference) -> str:
    return (
        f"Difference to --against, in points: CHAIR_s {eval_common.shown(difference.chair_s)}, "
        f"CHAIR_i {eval_common.shown(difference.chair_i)}, recall {eval_common.shown(difference.recall)}, "
        f"precision {eval_common.shown(difference.precision)}"
    )


def _name(one: ChairScores) -> str:
    return "/".join(one.system) or "all captions"


def _worst(one: ChairScores, count: int) -> list[str]:
    cells = [f"{node} {of.hallucinated}/{of.mentions}" for node, of in one.objects.items() if of.hallucinated][:count]
    return cells + [""] * (count - len(cells))
