"""The same work by the engines of the package."""

from __future__ import annotations

import numpy as np
from models import SAMPLES, SLACK, plans

from causal_attrib.engine import PlainEngine, base
from causal_attrib.outcomes import Likelihood
from causal_attrib.scores import sufficiency
from causal_attrib.vlm import VLM
from causal_attrib.vlm.encoding import Encoding


def engine(kind, vlm: VLM, **settings):
    """An engine whose completions have the lengths of `length_of`."""
    base.SLACK = SLACK
    return kind(vlm, **settings)


def logprobs(encoding: Encoding, r: np.ndarray) -> np.ndarray:
    """What the answer's tokens have together, from the geometric mean that `Likelihood` gives."""
    return len(encoding.answer_ids) * np.log(r)


def ours(kind, vlm: VLM, encoding: Encoding, plan=None) -> np.ndarray:
    r = engine(kind, vlm).run(encoding, plans(encoding) if plan is None else plan, Likelihood())
    return logprobs(encoding, r[:, 0])


def ours_sampled(kind, vlm: VLM, encoding: Encoding, plan=None, samples: int = SAMPLES, **settings) -> np.ndarray:
    plan = sufficiency.plan(encoding.units("token")) if plan is None else plan
    batch = {"batch_size": samples} if kind is PlainEngine else {}
    return logprobs(encoding, engine(kind, vlm, **batch).run(encoding, plan, Likelihood(), samples=samples, **settings))
