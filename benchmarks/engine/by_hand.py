"""What a user would write without this package: one forward, or one call of `generate`, for each edit."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import transformers as tf
from models import length_of

from causal_attrib.vlm import VLM
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.prefix_cache import cache_argument


def extended(encoding: Encoding, ids: Sequence[int], inputs: dict | None = None) -> dict:
    """The model's inputs with `ids` behind the prompt."""
    longer = dict(encoding.prompt_inputs if inputs is None else inputs)
    tail = torch.tensor([list(ids)], dtype=torch.long)
    for name, fill in (("input_ids", tail), ("attention_mask", 1), ("mm_token_type_ids", 0)):
        if name in longer:
            row = tail if name == "input_ids" else torch.full_like(tail, fill)
            longer[name] = torch.cat([longer[name], row.to(longer[name])], 1)
    return longer


def features(vlm: VLM, encoding: Encoding) -> dict:
    """Inputs that hold what the vision tower gives instead of the picture."""
    inputs = dict(encoding.prompt_inputs)
    picture = {name: inputs[name] for name in ("pixel_values", "image_grid_thw") if name in inputs}
    del inputs["pixel_values"]
    return inputs | {"mm_encoder_outputs": {"image": vlm.model.get_image_features(**picture)}}


def by_hand(vlm: VLM, encoding: Encoding, *, cached: bool = False, only: Sequence[int] | None = None) -> np.ndarray:
    """One forward for each edited response: log-probabilities of the answer in the order of `plans`.

    cached: run the vision tower once for all
    only:   of the 2T + 1 distinct edits, do these and leave the rest NaN
    """
    model, body, answer = vlm.model, encoding.response_ids, encoding.answer_ids
    inputs = features(vlm, encoding) if cached else None
    T, P = len(body), encoding.prompt_length
    edits = [(t, None) for t in range(T)] + [(T, None)] + [(T, t) for t in range(T)]
    logprob = np.full(len(edits), np.nan)
    for index in range(len(edits)) if only is None else only:
        count, hidden = edits[index]

        def hide(module, args, embedded, hidden=hidden):
            embedded = embedded.clone()
            embedded[:, P + hidden] = 0
            return embedded

        hook = model.get_input_embeddings().register_forward_hook(hide) if hidden is not None else None
        ids = body[:count] + encoding.cue_ids + answer
        logits = model(**extended(encoding, ids, inputs), logits_to_keep=len(answer) + 1, use_cache=False).logits[
            0, :-1
        ]
        if hook:
            hook.remove()
        logprob[index] = logits.log_softmax(-1).gather(-1, torch.tensor(answer)[:, None]).sum().item()
    return np.insert(logprob, T + 1, logprob[T])


def generate(vlm: VLM, encoding: Encoding, counts: Sequence[int], samples: int, greedy: bool = False):
    """transformers' own sampling behind each prefix, picture and all."""
    return [
        _until_full(vlm, extended(encoding, encoding.response_ids[:count]), length_of(encoding, count), samples, greedy)
        for count in counts
    ]


def prompt_cache(vlm: VLM, encoding: Encoding) -> tf.DynamicCache:
    """Keys and values of the prompt without its last token."""
    cache = tf.DynamicCache()
    rows = ("input_ids", "attention_mask", "mm_token_type_ids")
    inputs = {name: value[:, :-1] if name in rows else value for name, value in encoding.prompt_inputs.items()}
    vlm.model.model(**inputs, use_cache=True, **cache_argument(vlm.model.model, cache))
    return cache


def generate_cached(vlm: VLM, encoding: Encoding, counts: Sequence[int], samples: int, greedy=False, cache=None):
    """The same from a copy of the prompt's keys and values."""
    cache = prompt_cache(vlm, encoding) if cache is None else cache
    written = []
    for count in counts:
        copy = tf.DynamicCache()
        for index, layer in enumerate(cache.layers):
            copy.update(layer.keys.expand(samples, -1, -1, -1), layer.values.expand(samples, -1, -1, -1), index)
        longer = extended(encoding, encoding.response_ids[:count])
        inputs = {name: longer[name].expand(samples, -1) for name in ("input_ids", "attention_mask")}
        inputs |= cache_argument(vlm.model, copy)
        written.append(_until_full(vlm, inputs, length_of(encoding, count), 1, greedy))
    return written


def _until_full(vlm: VLM, inputs: dict, length: int, samples: int, greedy: bool) -> torch.Tensor:
    how = {"do_sample": False} if greedy else {"do_sample": True, "top_k": 0, "top_p": 1.0, "temperature": 1.0}
    start = inputs["input_ids"].shape[1]
    written = vlm.model.generate(
        **inputs, **how, num_return_sequences=samples, max_new_tokens=length, pad_token_id=vlm.pad_id
    )
    assert written.shape[1] == start + length
    return written[:, start:]


def judge(vlm: VLM, encoding: Encoding, inputs: dict, count: int):
    """The answer behind one completion (any will do for its cost)."""
    body = encoding.response_ids[:count] + encoding.response_ids[:1] * length_of(encoding, count)
    ids = body + encoding.cue_ids + encoding.answer_ids
    return vlm.model(**extended(encoding, ids, inputs), logits_to_keep=len(encoding.answer_ids) + 1, use_cache=False)
