"""Do the model's forwards do what scores take for granted?"""

from __future__ import annotations

import math
from dataclasses import replace

from PIL import ImageOps

from causal_attrib.doctor.case import Case, change, change_anywhere, logprob_T
from causal_attrib.doctor.report import Check
from causal_attrib.outcomes.grounding import content_tokens
from causal_attrib.scenes import PARK, render
from causal_attrib.scores import logprob_and_entropy
from causal_attrib.vlm import Continuation


def numbers(case: Case) -> Check:
    """Log-probabilities and entropies are numbers, and entropies possible ones."""
    logprob, entropy = logprob_and_entropy(case.logits_TV[:-1], case.ids)
    most = math.log(case.logits_TV.shape[-1])
    strange = "The weights are damaged or the dtype overflows: download them again, or try --dtype float32."
    if not all(map(math.isfinite, [*logprob, *entropy])) or entropy.min() < -1e-5:
        return Check("numbers", False, f"Some of the model's numbers are infinite or impossible. {strange}")
    return Check.at_most(
        "numbers",
        float(entropy.max()),
        most * (1 + 1e-5),
        "nats",
        good="All log-probabilities are finite, and entropies lie from 0 to the log of the vocabulary's size.",
        bad=f"An entropy is larger than any can be. {strange}",
    )


def image_is_seen(case: Case) -> Check:
    """Words get another probability when the picture is grey, and when it is its own negative."""
    ids, picture = case.ids, case.picture
    negative = case.vlm.encode(ImageOps.invert(picture.pixels), None, ids)
    moved = {
        "a blank one": change(case.logits_TV, case.read(Continuation(ids, reference=True)), ids),
        "its negative": change(case.logits_TV, case.read(Continuation(ids), negative), ids),
    }
    least = min(moved, key=lambda shown: moved[shown])
    return Check.at_least(
        "image is seen",
        moved[least],
        case.clear,
        "nats",
        good="Other images in its place change how likely the words are.",
        bad=f"With {least} in its place the words stay as likely: the image does not reach the words. If the image "
        "shows something, the checkpoint or its processor is broken; no score of it says anything about images.",
    )


# How much likelier the picture has to make content words for scores to say something of it, in nats a token: a tenth.
USED = 0.1


def image_is_used(case: Case) -> Check:
    """How much of the caption's likelihood the picture carries: over content words, against one colour and against a
    drawn scene of other things. A warning where that is negligible, since all numbers are right all the same."""
    ids = case.ids
    counted = sorted(content_tokens(case.encoding)) or list(range(len(ids)))
    other = case.vlm.encode(render(replace(PARK, objects=(), place="water", time="night"), size=512)[0], None, ids)
    behind = {
        "one colour": case.read(Continuation(ids, reference=True)),
        "a drawn scene": case.read(Continuation(ids), other),
    }
    seen_T = logprob_T(case.logits_TV, ids)
    gains = {shown: (seen_T - logprob_T(logits_TV, ids))[counted].mean().item() for shown, logits_TV in behind.items()}
    told = " and ".join(f"{gain:.2f} against {shown}" for shown, gain in gains.items())
    least = min(gains, key=lambda shown: gains[shown])
    warns = not gains[least] >= USED
    detail = f"The picture makes the caption's content words likelier by {told}, in nats a token."
    if warns:
        detail = (
            f"The picture hardly makes the caption's content words likelier: by {told}, in nats a token. Either the "
            "caption does not fit the picture (give --image and --caption that do), or the model hardly uses pictures, "
            "as one does that was trained too little, and scores say little about any."
        )
    return Check("image is used", True, detail, gains[least], "at least", USED, "nats a token", warns)


def causality(case: Case) -> Check:
    """Predictions do not depend on what comes after them."""
    rows = [(t, Continuation(case.ids, (t,))) for t in _places(case)]
    last = len(case.ids) - 1
    others = [token for token in case.ids if token != case.ids[last]]
    if others:
        rows.append((last, Continuation((*case.ids[:last], others[0]))))
    leak = max(change_anywhere(case.logits_TV[: t + 1], case.read(row)[: t + 1]) for t, row in rows)
    return Check.at_most(
        "causality",
        leak,
        case.equal(case.noise),
        "nats",
        good="A later word changes nothing about earlier ones.",
        bad="A later word changes how likely earlier ones are: the caption is read as part of a two-way prefix (wrong "
        "token types), or the model is no causal one. Prefix scores of it are wrong; report it, naming the model.",
    )


def hiding(case: Case) -> Check:
    """A hidden word has an effect on what follows it: hiding happens."""
    effect = min(
        change_anywhere(case.logits_TV[t + 1 :], case.read(Continuation(case.ids, (t,)))[t + 1 :])
        for t in _places(case)
    )
    return Check.at_least(
        "hiding",
        effect,
        case.clear,
        "nats",
        good="A hidden word changes what is expected after it.",
        bad="Hiding a word changes nothing after it, so its embedding is not where it was looked for; use --mask token "
        "or delete, and report it, naming the model.",
    )


def leak(case: Case) -> Check:
    """A hidden word is hidden on every path: which word it is changes nothing after it."""
    moved = 0.0
    for t in _places(case):
        hidden, other = (
            case.read(Continuation(ids, (t,)))[t + 1 :] for ids in (case.ids, case.vlm.with_another(case.ids, t))
        )
        moved = max(moved, change_anywhere(hidden, other))
    return Check.at_most(
        "leak",
        moved,
        case.equal(case.noise),
        "nats",
        good="A hidden word is read nowhere: another one hidden in its place changes nothing.",
        bad="A hidden word is still read: what follows changes with the word that is hidden, which is looked up in a "
        "second place; use --mask token or delete, and report it, naming the model.",
    )


def padding(case: Case) -> Check:
    """Rows of different lengths give the same numbers in one forward as alone."""
    ids = case.ids
    half = len(ids) // 2
    rows = [
        Continuation(ids),
        Continuation(()),
        Continuation(ids[:half]),
        Continuation(ids, (half,)),
        Continuation(ids[: half + 1], (0,)),
    ]
    leak = 0.0
    for row, together_TV in zip(rows, case.vlm.read(case.encoding, rows), strict=True):
        alone_TV = case.read(row)
        # The most likely next word too, so that a row without words says something.
        leak = max(leak, change(alone_TV, together_TV, (*row.ids, int(alone_TV[-1].argmax()))))
    return Check.at_most(
        "padding",
        leak,
        case.equal(case.noise_of_shapes),
        "nats",
        good="Rows of different lengths give the same numbers together as alone.",
        bad="A row's numbers depend on the rows beside it: padding is attended to, or products are rounded coarsely "
        "(TF32). Score with --batch-size 1, and report it, naming the model.",
    )


def _places(case: Case) -> list[int]:
    """The first, a middle and the last token of the caption."""
    last = len(case.ids) - 1
    return sorted({0, last // 2, last})
