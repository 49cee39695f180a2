"""Do the model's forwards do what scores take for granted?"""

from __future__ import annotations

import math

from PIL import ImageOps

from causal_attrib.doctor.patient import Patient, change, change_anywhere
from causal_attrib.doctor.report import Check
from causal_attrib.scores import logprob_and_entropy
from causal_attrib.vlm import Row


def numbers(patient: Patient) -> Check:
    """Log-probabilities and entropies are numbers, and entropies possible ones."""
    logprob, entropy = logprob_and_entropy(patient.logits_TV[:-1], patient.ids)
    most = math.log(patient.logits_TV.shape[-1])
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


def image_is_seen(patient: Patient) -> Check:
    """Words get another probability when the picture is grey, and when it is its own negative."""
    ids, picture = patient.ids, patient.picture
    negative = patient.vlm.encode(ImageOps.invert(picture.pixels), None, ids)
    moved = {
        "a blank one": change(patient.logits_TV, patient.read(Row(ids, neutral=True)), ids),
        "its negative": change(patient.logits_TV, patient.read(Row(ids), negative), ids),
    }
    least = min(moved, key=moved.get)
    return Check.at_least(
        "image is seen",
        moved[least],
        patient.clear,
        "nats",
        good="Other images in its place change how likely the words are.",
        bad=f"With {least} in its place the words stay as likely: the image does not reach the words. If the image "
        "shows something, the checkpoint or its processor is broken; no score of it says anything about images.",
    )


def causality(patient: Patient) -> Check:
    """Predictions do not depend on what comes after them."""
    rows = [(t, Row(patient.ids, (t,))) for t in _places(patient)]
    last = len(patient.ids) - 1
    others = [token for token in patient.ids if token != patient.ids[last]]
    if others:
        rows.append((last, Row((*patient.ids[:last], others[0]))))
    leak = max(change_anywhere(patient.logits_TV[: t + 1], patient.read(row)[: t + 1]) for t, row in rows)
    return Check.at_most(
        "causality",
        leak,
        patient.equal(patient.noise),
        "nats",
        good="A later word changes nothing about earlier ones.",
        bad="A later word changes how likely earlier ones are: the caption is read as part of a two-way prefix (wrong "
        "token types), or the model is no causal one. Prefix scores of it are wrong; report it, naming the model.",
    )


def hiding(patient: Patient) -> Check:
    """A hidden word has an effect on what follows it: hiding happens."""
    effect = min(
        change_anywhere(patient.logits_TV[t + 1 :], patient.read(Row(patient.ids, (t,)))[t + 1 :])
        for t in _places(patient)
    )
    return Check.at_least(
        "hiding",
        effect,
        patient.clear,
        "nats",
        good="A hidden word changes what is expected after it.",
        bad="Hiding a word changes nothing after it, so its embedding is not where it was looked for; use --mask token "
        "or delete, and report it, naming the model.",
    )


def padding(patient: Patient) -> Check:
    """Rows of different lengths give the same numbers in one forward as alone."""
    ids = patient.ids
    half = len(ids) // 2
    rows = [Row(ids), Row(()), Row(ids[:half]), Row(ids, (half,)), Row(ids[: half + 1], (0,))]
    leak = 0.0
    for row, together_TV in zip(rows, patient.vlm.read(patient.encoding, rows), strict=True):
        alone_TV = patient.read(row)
        # The most likely next word too, so that a row without words says something.
        leak = max(leak, change(alone_TV, together_TV, (*row.ids, int(alone_TV[-1].argmax()))))
    return Check.at_most(
        "padding",
        leak,
        patient.equal(patient.noise_of_shapes),
        "nats",
        good="Rows of different lengths give the same numbers together as alone.",
        bad="A row's numbers depend on the rows beside it: padding is attended to, or products are rounded coarsely "
        "(TF32). Score with --batch-size 1, and report it, naming the model.",
    )


def _places(patient: Patient) -> list[int]:
    """The first, a middle and the last token of the caption."""
    last = len(patient.ids) - 1
    return sorted({0, last // 2, last})
