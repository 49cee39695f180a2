"""One picture and one caption to `Maps`: where in the picture each word comes from.

input (pixels or image tokens, or regions hidden), method, result: three small things.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from PIL import Image
from torch import Tensor

from causal_attrib.choices import Baseline, BatchSize, MapKind, MapLevel, Method, Reduction
from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, Picture, read_picture
from causal_attrib.results.maps import Maps
from causal_attrib.scores.inputs import Caption
from causal_attrib.scores.known_pictures import knows
from causal_attrib.scores.saliency_methods.attention import attention
from causal_attrib.scores.saliency_methods.baselines import baseline_picture, baseline_value
from causal_attrib.scores.saliency_methods.choice import REDUCED, Choice, RegionsLike, SettledChoice
from causal_attrib.scores.saliency_methods.geometry import smoothed, token_grid, tokens_to_picture
from causal_attrib.scores.saliency_methods.gradient import gradient, gradient_x_input
from causal_attrib.scores.saliency_methods.hiding import Game, HiddenPixels, HiddenTokens, ends
from causal_attrib.scores.saliency_methods.inputs import EmbeddingInput, Input, PixelInput
from causal_attrib.scores.saliency_methods.integrated_gradients import integrated_gradients
from causal_attrib.scores.saliency_methods.occlusion import occlusion
from causal_attrib.scores.saliency_methods.reader import Reader, frozen, rows_at_once
from causal_attrib.scores.saliency_methods.regions import check_hides_tokens, cut
from causal_attrib.scores.saliency_methods.shapley import shapley
from causal_attrib.scores.saliency_methods.smallest import smallest as find_smallest
from causal_attrib.scores.saliency_methods.smoothgrad import smoothgrad
from causal_attrib.scores.saliency_methods.target import choose_target
from causal_attrib.version import __version__
from causal_attrib.vlm import VLM, load
from causal_attrib.vlm.threads import on_suited_threads


def saliency(
    image: ImageLike,
    caption: Caption = None,
    *,
    model: str | VLM | None = None,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    method: Method = Choice.method,
    level: MapLevel | None = Choice.level,
    words: str | Sequence[str] | None = None,
    foil: str | None = None,
    of: MapKind = Choice.of,
    baseline: Baseline | None = Choice.baseline,
    other: ImageLike | None = Choice.other,
    regions: RegionsLike | None = Choice.regions,
    reduce: Reduction | None = Choice.reduce,
    smooth: float | None = Choice.smooth,
    samples: int | None = Choice.samples,
    steps: int = Choice.steps,
    noise: float = Choice.noise,
    smallest: float | None = Choice.smallest,
    batch_size: BatchSize = Choice.batch_size,
    seed: int = Choice.seed,
    progress: Callable[[int], None] | None = None,
) -> Maps:
    """Where in the picture each word of a caption comes from: one signed map per word, in nats of log-probability.

    Args:
        image: path, PIL image, array, tensor, bytes, data URI (docs/pictures.md).
        caption: the text to explain, or the ids the model wrote; None lets the model write one first.
        model: a loaded `VLM`, a folder or hub id, or None for the bundled model.
        prompt, question, answer: as in `score`.
        method: gradient, gradient_x_input, smoothgrad, integrated_gradients, occlusion, regions or attention.
        level: pixel or embedding (image tokens) for gradients; region (of the picture) or embedding for the rest.
        words: only these words ("dog frisbee"); None for all that are scored.
        foil: a word that might stand there instead: why "dog" and not "cat", and where.
        of: a map per "word", per "token", or one of the "answer".
        baseline: what is shown in place of a hidden region: neutral, blur, mean or swap.
        other: the picture that "swap" takes regions from.
        regions: grid:8, patch, window:1+3, a file of masks or an array; for occlusion and regions.
        reduce: "norm" or "sum" over the channels of a pixel or features of a token, for gradients.
        smooth: standard deviation of a Gaussian that pixel maps are smoothed with, as a share of the map's longer side.
        samples: noisy copies for smoothgrad (16), pairs of orders for regions (8).
        steps: of the integral, for integrated gradients.
        noise: of smoothgrad, as a share of the input's range.
        smallest: with this share of the picture's effect as the border, also search the smallest regions whose removal
            drops the word and whose presence keeps it (`settings["smallest"]`); for the method regions.
        batch_size: pictures per forward; "auto" is 4 on a CPU and for gradients, else 16.
        seed: of noise and orders.
        progress: called with the number of rows just put through the model.

    Raises:
        InputError: anything in the input that can be mended, in one sentence.
    """
    choice = Choice(
        method=method,
        level=level,
        regions=regions,
        baseline=baseline,
        other=other,
        reduce=reduce,
        smooth=smooth,
        samples=samples,
        steps=steps,
        noise=noise,
        smallest=smallest,
        seed=seed,
        of=of,
        batch_size=batch_size,
    ).settled()
    picture = read_picture(image)
    vlm = model if isinstance(model, VLM) else load(model)
    return map_picture(
        vlm,
        choice,
        picture,
        caption,
        prompt=prompt,
        question=question,
        answer=answer,
        words=words,
        foil=foil,
        progress=progress,
    )


@on_suited_threads
def map_picture(
    vlm: VLM,
    choice: SettledChoice,
    picture: Picture,
    caption: Caption,
    *,
    prompt: str | None = None,
    question: str | None = None,
    answer: str | None = None,
    words: str | Sequence[str] | None = None,
    foil: str | None = None,
    progress: Callable[[int], None] | None = None,
) -> Maps:
    """The maps that were chosen; the other arguments are as in `saliency`.

    Raises:
        InputError: the model, the texts or the picture do not admit of such maps.
    """
    if caption is None:
        caption = vlm.describe(picture, prompt)
    encoding = vlm.encode(picture, prompt, caption, answer, question=question)
    knows(vlm, encoding.picture.pixels)
    target = choose_target(vlm, encoding, choice.of, words, foil)
    rows = rows_at_once(vlm, choice.batch_size, keeps_graph=choice.method in REDUCED)
    reader = Reader(vlm, encoding, target, rows, progress or (lambda count: None))
    with frozen(vlm.model):
        more: dict[str, Any] = {}
        if choice.method == "attention":
            values = _by_attention(reader)
        elif choice.method in REDUCED:
            values, more = _by_gradients(reader, choice)
        else:
            values, more = _by_regions(reader, choice)
    asked = {
        "prompt": encoding.prompt,
        "question": encoding.question,
        "answer": encoding.answer,
        "of": choice.of,
        "words": words if words is None or isinstance(words, str) else list(words),
        "batch_size": rows,
    }
    return Maps(
        values_THW=np.stack(values),
        labels=target.labels,
        tokens=target.tokens,
        method=choice.method,
        level=choice.level,
        target=target.name,
        foil=target.foil,
        caption=encoding.response,
        image=encoding.picture.record,
        model=vlm.record,
        settings=asked | choice.record() | more | {"rows": reader.count},
        tool={"name": "copo", "version": __version__},
    )


def _by_attention(reader: Reader) -> list[np.ndarray]:
    layout = reader.encoding.layout
    shape = token_grid(layout)
    return [tokens_to_picture(weight_N, layout, shape) for weight_N in attention(reader)]


def _by_gradients(reader: Reader, choice: SettledChoice) -> tuple[list[np.ndarray], dict[str, Any]]:
    given = PixelInput(reader) if choice.level == "pixel" else EmbeddingInput(reader)
    more: dict[str, Any] = {}
    match choice.method:
        case "gradient":
            found = gradient(given)
        case "gradient_x_input":
            found = gradient_x_input(given)
        case "smoothgrad":
            found = smoothgrad(given, choice.samples, choice.noise, choice.seed)
        case "integrated_gradients":
            baseline_1X = baseline_value(choice.baseline, given, _shown(reader, choice))
            found = integrated_gradients(given, baseline_1X, choice.steps)
            more = _completeness(given, baseline_1X, found)
    values = [given.to_picture(attribution_1X, choice.reduce) for attribution_1X in found]
    if choice.level == "pixel":
        values = [smoothed(value_HW, choice.smooth) for value_HW in values]
    return values, more


def _completeness(given: Input, baseline_1X: Tensor, found: list[Tensor]) -> dict[str, Any]:
    """The target with the picture and with the baseline, and by how much the map misses their difference."""
    ends_2M = given.reader.read_many([given.value_1X, baseline_1X], given.scores)
    gap_M = (ends_2M[0] - ends_2M[1]).tolist()
    missing = [float(values.float().sum()) - gap for values, gap in zip(found, gap_M, strict=True)]
    worst = max((abs(short) / max(abs(gap), 0.1) for short, gap in zip(missing, gap_M, strict=True)), default=0.0)
    if worst > 0.1:
        warnings.warn(
            f"Integrated gradients miss what they should add up to by {worst:.0%}; raise the number of steps.",
            stacklevel=4,
        )
    return {"full": ends_2M[0].tolist(), "empty": ends_2M[1].tolist(), "missing": missing}


def _by_regions(reader: Reader, choice: SettledChoice) -> tuple[list[np.ndarray], dict[str, Any]]:
    encoding = reader.encoding
    regions = cut(choice.regions, encoding.layout, encoding.picture.pixels.size)
    if choice.method == "regions" and regions.overlap:
        raise InputError("Sets of regions need regions that do not overlap; take grid:4, patch or a file of labels.")
    shown = _shown(reader, choice)
    game: Game
    if choice.level == "region":
        game = HiddenPixels(reader, regions, shown)
    else:
        given = EmbeddingInput(reader)
        check_hides_tokens(regions, choice.regions, given.layout)
        game = HiddenTokens(given, regions, baseline_value(choice.baseline, given, shown))
    full_M, empty_M = ends(game)
    more = {"full": full_M.tolist(), "empty": empty_M.tolist()}
    if choice.method == "occlusion":
        value_MR = occlusion(game)
    else:
        value_MR, error_MR = shapley(game, choice.samples, choice.seed)
        if error_MR is not None:
            more["standard_error"] = error_MR.tolist()
        if choice.smallest is not None:
            more["smallest"] = find_smallest(game, value_MR, choice.smallest)
    return [regions.paint(value_R) for value_R in value_MR], more


def _shown(reader: Reader, choice: SettledChoice) -> Image.Image:
    return baseline_picture(choice.baseline, reader.encoding.picture, reader.vlm.neutral_colour, choice.other)
