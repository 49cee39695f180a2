"""CE-PO's reward: a power mean of accuracy and causal coherence.

CE-PO (arXiv 2509.23095; definitions as in the authors' code). Coherence has three channels, from the question Z to the
reasoning X, from X to the answer Y, and from Z straight to Y. Each compares Jacobians with those of counterfactual
texts, the words of the source in random order (`scores.coherence_channels.algebra`).

They are taken from a frozen scorer, best the model that training begins with, on the conversation as the policy had it:
picture, prompt and completion. Z is what the user said last; the picture stays as it is. K draws cost 1 + 2K forwards
and twice as many backwards for each completion.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from causal_attrib.errors import InputError
from causal_attrib.objectives import cepo_reward
from causal_attrib.scores.coherence_channels.algebra import FLOOR, aligned_mean, channel_score, with_counterfactuals
from causal_attrib.scores.coherence_channels.counterfactuals import shuffled_words
from causal_attrib.scores.coherence_channels.jacobians import Jacobians, take_jacobians
from causal_attrib.scores.coherence_channels.sources import covering, positions_in_prompt
from causal_attrib.training.recipe.method import CEPO
from causal_attrib.training.scoring.rewards import Reward
from causal_attrib.training.scoring.rollout import Rollout, encode_prompt
from causal_attrib.vlm import VLM
from causal_attrib.vlm.text import spans_of_ids, tokenize
from causal_attrib.words.reasoning import split_response
from causal_attrib.words.segmentation import Span

CHANNELS = ("question_to_reasoning", "reasoning_to_answer", "question_to_answer")


@dataclass(frozen=True)
class _Spoken:
    """A completion without its end: ids, and which of them reason and which answer."""

    ids: tuple[int, ...]
    text: str
    spans: tuple[Span, ...]
    reasoning: tuple[int, ...]
    answer: tuple[int, ...]


class CEPOReward:
    """A reward function with TRL's signature; the rows need the column `image`.

    Args:
        scorer: a model that is not trained.
        accuracy: how right the answer is, a reward in [0, 1]; in the paper BERTScore has a part in it.
        method: p, weights and draws.
        seed: of the counterfactual texts, which are the same for the same completion.
        options: further arguments of the chat template, those that the policy's prompts are made with.
    """

    __name__ = "cepo"

    def __init__(
        self, scorer: VLM, accuracy: Reward, method: CEPO | None = None, seed: int = 0, options: dict | None = None
    ):
        self.scorer = scorer
        self.accuracy = accuracy
        self.method = method or CEPO()
        self.seed = seed
        self.options = options or {}

    def __call__(
        self,
        prompts: Sequence[Sequence[dict]],
        completions: Sequence,
        completion_ids: Sequence[Sequence[int]],
        image: Sequence | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        **columns: Any,
    ) -> list[float | None]:
        if image is None:
            raise InputError("The reward cepo needs the column 'image'; give each row one picture.")
        told = {"prompts": prompts, "completions": completions, "completion_ids": completion_ids, "image": image}
        accuracy = self.accuracy(**told, **columns)
        rollouts = [
            Rollout(picture, prompt, tuple(ids), options=self.options)
            for picture, prompt, ids in zip(image, prompts, completion_ids, strict=True)
        ]
        coherence_B3 = torch.stack([self.coherence(rollout) for rollout in rollouts])
        if log_metric is not None:
            for name, value in zip(CHANNELS, coherence_B3.mean(0).tolist(), strict=True):
                log_metric(f"cepo/{name}", value)
        known_B = torch.tensor([0.0 if value is None else value for value in accuracy])
        rewards = cepo_reward(known_B, coherence_B3, p=self.method.p, weights=self.method.weights).tolist()
        return [None if value is None else reward for value, reward in zip(accuracy, rewards, strict=True)]

    def coherence(self, rollout: Rollout) -> torch.Tensor:
        """S(Z->X), S(X->Y), S(Z->Y): (3,) in [0.005, 1]; all 0.005 where nothing leads to an answer."""
        said = _read(self.scorer, rollout.completion_ids)
        if said is None:
            return torch.full((3,), FLOOR)
        generator = np.random.default_rng([self.seed, *said.ids])
        base = self._jacobians(rollout, said)
        of_xy = base.reasoning_to_answer_XD
        drawn_question, drawn_xy = [], []
        for _ in range(self.method.draws):
            drawn_question.append(self._jacobians(_shuffled_question(rollout, generator), said).question)
            shuffled = _shuffled_reasoning(self.scorer, said, generator)
            drawn_xy.append(self._jacobians(rollout, shuffled).reasoning_to_answer_XD)
        question_x, question_y = with_counterfactuals(base.question, drawn_question, of_xy)
        reasoning_y = of_xy, aligned_mean(drawn_xy, len(of_xy))
        channels = (question_x, reasoning_y, question_y)
        return torch.stack([channel_score(j_SD, c_SD).cpu() for j_SD, c_SD in channels])

    def _jacobians(self, rollout: Rollout, said: _Spoken) -> Jacobians:
        prompt = encode_prompt(self.scorer, rollout)
        asked = positions_in_prompt(self.scorer, prompt.prompt_inputs, _last_said(rollout.messages))
        return take_jacobians(self.scorer, prompt.prompt_inputs, said.ids, asked, said.reasoning, said.answer)


def split(text: str) -> tuple[Span, Span] | None:
    """Characters of the reasoning and of the answer: by tags or an announced answer, else the last sentence answers.

    >>> text = "There is a cake. So yes."
    >>> [text[slice(*span)] for span in split(text)]
    ['There is a cake.', 'So yes.']
    >>> split("yes") is None
    True
    """
    parts = split_response(text, ends_in_answer=True)
    if parts is None:
        return None
    begin = parts.end + len(parts.cue)
    return (parts.start, parts.end), (begin, begin + len(parts.answer))


def _read(vlm: VLM, ids: Sequence[int]) -> _Spoken | None:
    """The parts of a completion, or None where there is no reasoning or no answer."""
    ids = tuple(ids[: next((t for t, token in enumerate(ids) if token in vlm.end_ids), len(ids))])
    text, spans = spans_of_ids(vlm.tokenizer, ids)
    borders = split(text)
    if borders is None:
        return None
    answer = covering(spans, borders[1])
    # A token that has a character of both is the answer's.
    reasoning = tuple(t for t in covering(spans, borders[0]) if t not in answer)
    return _Spoken(ids, text, spans, reasoning, answer) if reasoning and answer else None


def _shuffled_reasoning(vlm: VLM, said: _Spoken, generator: np.random.Generator) -> _Spoken:
    """The same completion with the words of its reasoning in random order; what they are split into may change."""
    first, behind = said.reasoning[0], said.reasoning[-1] + 1
    start, end = said.spans[first][0], said.spans[behind - 1][1]
    words = shuffled_words(said.text[start:end], generator)
    new, _ = tokenize(vlm.tokenizer, words, after=said.text[:start])
    ids = (*said.ids[:first], *new, *said.ids[behind:])
    answer = tuple(t + len(new) - (behind - first) for t in said.answer)
    return dataclasses.replace(said, ids=ids, reasoning=tuple(range(first, first + len(new))), answer=answer)


def _shuffled_question(rollout: Rollout, generator: np.random.Generator) -> Rollout:
    said = shuffled_words(_last_said(rollout.messages), generator)
    messages = [*rollout.messages[:-1], rollout.messages[-1] | {"content": said}]
    return dataclasses.replace(rollout, messages=messages)


def _last_said(messages: Sequence[dict]) -> str:
    content = messages[-1]["content"]
    return content if isinstance(content, str) else "".join(block.get("text") or "" for block in content)
