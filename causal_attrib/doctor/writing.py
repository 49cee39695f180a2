"""Does the model have something to say?"""

from __future__ import annotations

import torch

from causal_attrib.doctor.case import Case
from causal_attrib.doctor.report import Check
from causal_attrib.vlm import Continuation
from causal_attrib.vlm.text import decode

# Characters that are shown of what the model writes, and tokens of it that are checked.
_SHOWN = 60
_WRITTEN = 8


def own_words(case: Case) -> Check:
    """The model writes a caption of its own; where it refuses, its reason is told."""
    ids = case.vlm.describe(case.picture)
    text = " ".join(decode(case.vlm.tokenizer, ids).split())
    return Check.at_least(
        "own words",
        len(ids),
        1,
        "tokens",
        good=f'It writes "{text if len(text) <= _SHOWN else text[:_SHOWN] + "…"}"',
        bad="It writes nothing; give captions yourself.",
    )


def writing(case: Case) -> Check:
    """Each word the model writes is the likeliest by what is read: `generate` and the forwards of scores agree."""
    vlm, encoding = case.vlm, case.encoding
    (written,) = vlm.write(encoding, Continuation(()), _WRITTEN)
    if not written:
        return Check.skipped("writing", "It writes nothing for this image.")
    logprob_NV = case.read(Continuation(written))[:-1].log_softmax(-1)
    logprob_NV[:, vlm.unwritable_ids] = -torch.inf
    chosen_N = logprob_NV.gather(-1, torch.tensor(written, device=logprob_NV.device)[:, None])[:, 0]
    return Check.at_most(
        "writing",
        (logprob_NV.amax(-1) - chosen_N).max().item(),
        case.equal(case.noise_of_shapes),
        "nats",
        good="Every word that it writes is the likeliest one by what is read.",
        bad="It writes words that are not the likeliest by what is read: its own generation goes another way than its "
        "forwards. Do not trust sampled completions of it; report it, naming the model.",
    )
