"""Which engine runs: the packed one where this very model shows that it may, else the plain one."""

from __future__ import annotations

import warnings
import weakref
from collections.abc import Callable
from dataclasses import replace

import torch

from causal_attrib.choices import EngineName
from causal_attrib.engine.base import Engine, Request
from causal_attrib.engine.budget import pictures_at_once
from causal_attrib.engine.packed import PackedEngine
from causal_attrib.engine.plain import PlainEngine
from causal_attrib.engine.together import NotJoinedError
from causal_attrib.errors import InputError
from causal_attrib.vlm import VLM, Continuation, Encoding

# How far log-probabilities (nats) may lie apart. A wrong mask or position makes a difference of .05 and more, rounding
# in float32 one of 1e-5.
TOLERANCE = 1e-3
# Half precision rounds each logit, and readings of one row in batches of different shape differ; some more is still
# rounding.
_ROUNDING = 4.0

# By model and by how it attends: what was measured, and what is allowed.
_measured: weakref.WeakKeyDictionary[VLM, dict[str, tuple[float, float]]] = weakref.WeakKeyDictionary()
# Likewise, whether branches of several pictures may come into one forward.
_joins: weakref.WeakKeyDictionary[VLM, dict[str, bool]] = weakref.WeakKeyDictionary()


class SharedEngine:
    """One engine for several captions of a picture, one after the other: what it has read of the picture it keeps.

    It is chosen at the first caption. `name` is as for `choose_engine`.
    """

    def __init__(self, name: EngineName):
        self.name = name
        self._engine: Engine | None = None

    def chosen(self, vlm: VLM, encoding: Encoding, batch_size: int | str, on_done: Callable[[int], None]) -> Engine:
        """The engine, which tells `on_done` from now on."""
        if self._engine is None:
            self._engine = choose_engine(self.name, vlm, encoding, batch_size)
        self._engine.on_done = on_done
        return self._engine


def choose_engine(
    name: str,
    vlm: VLM,
    encoding: Encoding,
    batch_size: int | str = "auto",
    on_done: Callable[[int], None] = lambda count: None,
    *,
    several: bool = False,
) -> Engine:
    """The engine `name`; "auto" is the packed one where the model can be packed.

    Before the packed engine is used on a model for the first time, two branches are held against ordinary forwards. If
    they differ, the plain engine runs, and a warning gives the figure. So it is with branches of several pictures in
    one forward: where they differ, or where the model attends unseen, pictures are taken one by one.

    Args:
        several: several pictures are to be scored, so the packed engine may hold some of them at once.

    Raises:
        InputError: "packed" was asked for and the architecture cannot be packed.
    """
    plain = PlainEngine(vlm, batch_size, on_done)
    if name == "plain":
        return plain
    if not vlm.family.packs:
        if name == "packed":
            raise InputError(
                f"{type(vlm.model).__name__} takes no mask of our own, so it cannot be packed; use --engine plain."
            )
        return plain
    kernel = f"{vlm.model.config._attn_implementation} {vlm.model.dtype} {vlm.model.device}"
    known = _measured.setdefault(vlm, {})
    if kernel not in known:
        try:
            known[kernel] = disagreement(vlm, encoding)
        except (TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError) as error:
            plain.scan(encoding)  # raises where the model itself is at fault
            warnings.warn(
                f"{vlm.name} cannot be packed ({type(error).__name__}: {error}); every edit takes its own forward.",
                stacklevel=2,
            )
            known[kernel] = (float("nan"), TOLERANCE)
            return plain
    measured, allowed = known[kernel]
    if measured <= allowed:
        joins = _joins.setdefault(vlm, {})
        if several and kernel not in joins:
            joins[kernel] = vlm.family.joins and _may_join(vlm, encoding, allowed)
        pictures = pictures_at_once(vlm) if several and joins[kernel] else 1
        return PackedEngine(vlm, batch_size, on_done, pictures=pictures)
    if measured > allowed:
        warnings.warn(
            f"Packed forwards of {vlm.name} differ from ordinary ones by {measured:.2g} nats, where {allowed:.2g} is "
            "rounding; every edit takes its own forward.",
            stacklevel=2,
        )
    return plain


def disagreement(vlm: VLM, encoding: Encoding) -> tuple[float, float]:
    """Largest difference (nats) of packed log-probabilities from plain ones on two branches, and what is rounding."""
    requests = _branches(encoding)

    def read(engine: Engine) -> torch.Tensor:
        return torch.cat(engine.logprobs(requests, lambda count: None))

    plain = read(PlainEngine(vlm, batch_size=1))
    allowed, step = TOLERANCE, torch.finfo(vlm.model.dtype).eps
    if step > torch.finfo(torch.float32).eps:
        noise = (read(PlainEngine(vlm, batch_size=2)) - plain).abs().max().item()
        rows = [request.row for request in requests]
        largest = max(logits.amax(-1).abs().max().item() for logits in vlm.read(encoding, rows))
        allowed = max(allowed, step * largest, _ROUNDING * noise)
    return (read(PackedEngine(vlm)) - plain).abs().max().item(), allowed


def _may_join(vlm: VLM, encoding: Encoding, allowed: float) -> bool:
    """Whether branches behind the picture and behind what it is held against come out right from one forward."""
    seen = _branches(encoding)
    requests = seen + [replace(request, row=replace(request.row, reference=True)) for request in seen]
    try:
        joined = PackedEngine(vlm, pictures=2).logprobs(requests, lambda count: None)
    except (NotJoinedError, TypeError, ValueError, RuntimeError, AttributeError, IndexError, KeyError):
        return False
    apart = PlainEngine(vlm, batch_size=1).logprobs(requests, lambda count: None)
    measured = (torch.cat(joined) - torch.cat(apart)).abs().max().item()
    if measured > allowed:
        warnings.warn(
            f"Forwards of {vlm.name} over several pictures differ from ordinary ones by {measured:.2g} nats, where "
            f"{allowed:.2g} is rounding; pictures are taken one by one.",
            stacklevel=2,
        )
    return measured <= allowed


def _branches(encoding: Encoding) -> list[Request]:
    """A branch with a hidden token, and one without a token; both leave the response in its middle."""
    body = (encoding.response_ids * 6)[:6]
    rows = [Continuation(body, (1,)), Continuation(body[:2] + body[3:])]
    return [Request(encoding, rows[0], (0, 2, 3, 4, 5)), Request(encoding, rows[1], (0, 1, 2, 3, 4))]
