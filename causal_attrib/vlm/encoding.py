"""One picture, one prompt, one response: as ids, with every span known."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field

from torch import Tensor

from causal_attrib.io.pictures import Picture
from causal_attrib.vlm.layout import ImageLayout
from causal_attrib.words.segmentation import Span
from causal_attrib.words.sentences import sentence_of_each


@dataclass(frozen=True)
class Encoding:
    """What the model is shown and what it is said to have answered.

    Attributes:
        picture: the picture the user gave.
        prompt, response, question, answer: the texts; `question` and `answer` are None where nothing is asked.
        prompt_inputs: the model inputs up to the point where it begins to speak (batch 1, image placeholders expanded).
        reference_inputs: the same with the picture that the user's is held against, which does not show what it shows.
        against: what that is: "colour", a picture of one colour, or "blur", the user's own blurred.
        response_ids: T token ids of the response.
        spans: T spans that tile `response` (characters).
        words: T indices of the word that each token belongs to.
        start, end: the tokens `start .. end-1` reason and are scored; tags and the response's own answer are not.
        cue_ids: what is put between the reasoning and the answer: closing tags, or a second question. Empty if the
            response stands for itself (a caption without a question), or if the answer is its next sentence.
        answer_ids: the reference answer, in the form it takes behind the cue.
        ends_in_answer: whether the last sentence answers where nothing else marks the answer.
        prompt_length: number of prompt tokens P in the row that the response is appended to, image tokens included: the
            response begins at position P.
        layout: where the image tokens are, and which part of the picture each stands for.
    """

    picture: Picture
    prompt: str
    response: str
    question: str | None
    answer: str | None
    prompt_inputs: dict[str, Tensor] = field(repr=False)
    reference_inputs: dict[str, Tensor] = field(repr=False)
    against: str
    response_ids: tuple[int, ...]
    spans: tuple[Span, ...]
    words: tuple[int, ...]
    start: int
    end: int
    cue_ids: tuple[int, ...]
    answer_ids: tuple[int, ...]
    ends_in_answer: bool
    prompt_length: int
    layout: ImageLayout = field(repr=False)

    @functools.cached_property
    def prompt_key(self) -> tuple:
        """What the model reads before the response, but for the picture's values: equal for equal prompts."""
        return tuple(
            (name, tuple(value.shape), value.cpu().numpy().tobytes())
            for name, value in sorted(self.prompt_inputs.items())
            if not value.is_floating_point()
        )

    @property
    def image_positions(self) -> tuple[int, ...]:
        """Positions of the image tokens, in the sequence that `layout.sequence` names."""
        return self.layout.positions

    @property
    def grid(self) -> tuple[int, int] | None:
        """(rows, columns) of the image tokens, or None where they form no single grid."""
        return self.layout.grid

    @property
    def spoken(self) -> int:
        """Number of tokens behind the prompt: response, cue and answer."""
        return len(self.response_ids) + len(self.cue_ids) + len(self.answer_ids)

    @property
    def answers_a_question(self) -> bool:
        """Whether the response is read as reasoning that leads to an answer (else it is a caption)."""
        return bool(self.cue_ids or self.answer_ids)

    @property
    def scored(self) -> range:
        """Indices of the response tokens that get causal scores."""
        return range(self.start, self.end)

    def units(self, level: str) -> tuple[tuple[int, ...], ...]:
        """The scored tokens in groups that are hidden and kept together: one each, by word, or by sentence.

        Args:
            level: "token", "word" or "sentence".
        """
        if level == "token":
            return tuple((t,) for t in self.scored)
        group_of = self.words
        if level == "sentence":
            sentences = sentence_of_each(self.response, self.spans)
            # A word that is cut by the end of a sentence belongs to the one it begins in.
            first = {word: t for t, word in reversed(list(enumerate(self.words)))}
            group_of = tuple(sentences[first[word]] for word in self.words)
        groups: dict[int, list[int]] = {}
        for t in self.scored:
            groups.setdefault(group_of[t], []).append(t)
        return tuple(tuple(group) for group in groups.values())
