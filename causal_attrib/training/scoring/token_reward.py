"""A reward of the user's own for each token, whose results are looked at before anything is trained with them.

    def my_reward(completions, tokens, images, logprobs, **_): ...

It is called once for each batch of completions, by name with what is below and with the columns of the rows, and gives
one number per token, which is added to the token's advantage: what `COPO` does with its causal reward.

    completions       B texts
    completion_ids    B lists of ids, T_b of each without padding
    tokens            B lists of their texts
    images            B pictures (PIL); a list of them for a row with several
    logprobs          tensor (B, T) of log-probabilities in nats at temperature 1, 0 at padding
    mask              tensor (B, T), True for tokens that are trained on
    any column        B values

Axes: B completions, T tokens.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase

from causal_attrib.errors import InputError
from causal_attrib.outcomes.function import import_function
from causal_attrib.training.scoring.own_reward import is_async
from causal_attrib.training.scoring.rollout import Rollout
from causal_attrib.vlm.text import spans_of_ids

# What is handed over beside the columns of the rows.
GIVEN = ("completions", "completion_ids", "tokens", "images", "logprobs", "mask")


class TokenReward:
    """A function of the user's own, held to what it has to return.

    Args:
        name: `module:function`, as messages call it.
        function: what to call; None imports it.

    Raises:
        InputError: there is no such function, it does not take whatever columns there are, or it has to be awaited.
    """

    def __init__(self, name: str, function: Callable[..., Any] | None = None):
        self.name = name
        self.function = import_function(name) if function is None else function
        if is_async(self.function):
            raise InputError(f"The token reward {name} is asynchronous; give a plain function.")
        try:
            parameters = list(inspect.signature(self.function).parameters.values())
        except (ValueError, TypeError):  # of what is written in C
            parameters = []
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            raise InputError(f"The token reward {name} is given every column by name; end its parameters with **_.")

    def __call__(
        self,
        rows: Sequence[dict[str, Any]],
        rollouts: Sequence[Rollout],
        images: Sequence[Any],
        logprob_BT: Tensor,
        mask_BT: Tensor,
        tokenizer: PreTrainedTokenizerBase,
    ) -> Tensor:
        """One number for each token (B, T), float32, on the device of the mask; 0 where the mask is 0.

        Raises:
            InputError: it fails, or returns anything else.
        """
        texts, tokens = [], []
        for rollout in rollouts:
            text, spans = spans_of_ids(tokenizer, rollout.completion_ids)
            texts.append(text)
            tokens.append([text[start:end] for start, end in spans])
        columns = {
            name: [row.get(name) for row in rows] for name in dict.fromkeys(name for row in rows for name in row)
        }
        told = columns | dict(
            zip(
                GIVEN,
                (texts, [list(r.completion_ids) for r in rollouts], tokens, list(images), logprob_BT, mask_BT.bool()),
                strict=True,
            )
        )
        try:
            given = self.function(**told)
        except (InputError, MemoryError, torch.OutOfMemoryError):
            raise
        except (Exception, SystemExit) as error:  # sys.exit(0) would end the run as if it were done
            said = " ".join(str(error).split())[:120]
            raise InputError(
                f"The token reward {self.name} failed with {type(error).__name__} ({said}); mend it (--debug shows "
                "where)."
            ) from error
        lengths = [len(rollout.completion_ids) for rollout in rollouts]
        reward_BT = self._as_tensor(given, lengths, mask_BT.shape)
        bad_BT = ~reward_BT.isfinite() & mask_BT.bool().cpu()
        if bad_BT.any():
            b, t = bad_BT.nonzero()[0].tolist()
            raise InputError(
                f"The token reward {self.name} returned {reward_BT[b, t].item()} for token {t + 1} of completion "
                f"{b + 1}; return a number for each token that the mask has, 0 where there is nothing to say."
            )
        return reward_BT.to(mask_BT.device).masked_fill(mask_BT == 0, 0.0)

    def _as_tensor(self, given: Any, lengths: Sequence[int], shape: torch.Size) -> Tensor:
        """What was returned as a tensor (B, T) on the CPU."""
        wanted = f"return numbers of shape {tuple(shape)}, or for each completion a list of one per token"
        if given is None or isinstance(given, (str, bytes, dict)) or not isinstance(given, Iterable):
            raise InputError(f"The token reward {self.name} returned {' '.join(repr(given).split())[:60]}; {wanted}.")
        if hasattr(given, "shape"):
            if tuple(given.shape) != tuple(shape):
                raise InputError(f"The token reward {self.name} returned the shape {tuple(given.shape)}; {wanted}.")
            return torch.as_tensor(given).detach().float().cpu()
        lists = list(given)
        if len(lists) != len(lengths):
            raise InputError(
                f"The token reward {self.name} returned {len(lists)} lists for {len(lengths)} completions; {wanted}."
            )
        reward_BT = torch.zeros(shape, device="cpu")
        for b, (one, length) in enumerate(zip(lists, lengths, strict=True)):
            try:
                row_T = torch.as_tensor(one, dtype=torch.float32, device="cpu").detach()
            except (TypeError, ValueError, RuntimeError):
                raise InputError(
                    f"The token reward {self.name} returned {' '.join(repr(one).split())[:60]} for completion {b + 1}; "
                    f"{wanted}."
                ) from None
            if row_T.shape not in ((length,), shape[1:]):
                raise InputError(
                    f"The token reward {self.name} returned the shape {tuple(row_T.shape)} for completion {b + 1}, "
                    f"which has {length} tokens; {wanted}."
                )
            reward_BT[b, : len(row_T)] = row_T
        return reward_BT
