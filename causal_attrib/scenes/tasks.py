"""What the bundled model is trained to answer, and how many answers share one image.

Per image there are about a dozen conversations. They are packed into one sequence: the image prefix comes first, then
the conversations as `Segment`s that see the prefix and their own parent but not each other. Positions go on from the
parent, so every conversation is laid out exactly as it will be when it is alone.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch

from causal_attrib.scenes.language import (
    CAPTION_PROMPT,
    CAPTION_QUESTION,
    caption,
    colour_question,
    count_question,
    describe,
    falsify_words,
    object_question,
    pair_question,
    place_question,
    random_order,
    reasoned_answer,
    reasoned_prompt,
    time_question,
)
from causal_attrib.scenes.model import IMAGE_TOKENS

CAPTION_PROMPTS = (
    CAPTION_PROMPT,
    "Describe the image.",
    "What is in this image?",
    "What do you see?",
    "Write a caption for this image.",
)
CAPTION_QUESTIONS = (
    CAPTION_QUESTION,
    "Does this caption describe the image?",
    "Is this caption true? Answer yes or no.",
)
PLACE_QUESTIONS = ("Where is this?", "What place is this?")
TIME_QUESTIONS = ("What time of day is it?", "What time is it?")
COUNT_QUESTIONS = ("How many objects are there?", "How many objects are in the image?")

CAPTION_WEIGHT, ANSWER_WEIGHT, THOUGHT_WEIGHT = 1.0, 2.0, 0.5
IGNORE = -100


@dataclass
class Segment:
    """A piece of a conversation: the tokens, the loss weight of predicting each, and what comes before it.

    parent   index of the segment it continues (None: the image prefix), seen up to `cut` tokens
    hidden   tokens whose input embedding is zero
    """

    ids: list
    weights: list
    parent: int | None = None
    cut: int = 0
    hidden: list | None = None


class Tasks:
    """Draws the conversations of a scene and packs them, for one tokenizer."""

    def __init__(self, tokenizer):
        self.tokenizer = tokenizer
        self.eos = tokenizer.eos_token_id
        self.encode = lru_cache(100_000)(lambda text: tuple(tokenizer(text, add_special_tokens=False).input_ids))
        image = tokenizer.convert_tokens_to_ids("<image>")
        self.image_start = len(self.encode("<s>USER: "))
        self.prefix = [*self.encode("<s>USER: "), *([image] * IMAGE_TOKENS), *self.encode("\n")]

    # -- pieces ------------------------------------------------------------------------------------------------------

    def turn(self, prompt, answer, weight, **place):
        """A question and its answer, right after the image or (with parent=...) after an earlier answer."""
        opening = [*self.encode(f"{prompt} ASSISTANT:")]
        if place:
            opening = [self.eos, *self.encode(f"USER: {prompt} ASSISTANT:")]
        reply = [*self.encode(f" {answer}"), self.eos]
        return Segment(opening + reply, [0.0] * len(opening) + [weight] * len(reply), **place)

    def statement(self, prompt, text, weight):
        """A caption as the assistant's turn, without its end: follow-up turns may cut it anywhere."""
        opening = [*self.encode(f"{prompt} ASSISTANT:")]
        tokens = [*self.encode(f" {text}")]
        return Segment(opening + tokens, [0.0] * len(opening) + [weight] * len(tokens)), len(opening)

    def word_tokens(self, text, start, end):
        """Positions (in the tokens of " " + text) that make up the word text[start:end]."""
        offsets = self.tokenizer(f" {text}", add_special_tokens=False, return_offsets_mapping=True).offset_mapping
        return [i for i, (left, right) in enumerate(offsets) if left < end + 1 and right > start + 1]

    # -- conversations -----------------------------------------------------------------------------------------------

    def short_question(self, scene, rng):
        """A question about a fact of the scene, as text and answer, in one of several wordings."""
        kind = rng.choice(["colour", "colour", "place", "time", "count"])
        question = colour_question(scene, rng) if kind == "colour" else None
        if question:
            return question.text, question.answer
        if kind == "place":
            return str(rng.choice(PLACE_QUESTIONS)), place_question(scene).answer
        if kind == "time":
            return str(rng.choice(TIME_QUESTIONS)), time_question(scene).answer
        return str(rng.choice(COUNT_QUESTIONS)), count_question(scene).answer

    def yes_no_question(self, scene, rng, pair=False):
        answer = str(rng.choice(["yes", "no"]))
        question = pair_question(scene, rng, answer) if pair else None
        if question is None:
            question = object_question(scene, rng, answer, str(rng.choice(["random", "co-occurring"])))
        text = question.text
        draw = rng.random()
        if draw < 0.08:
            text = text.replace(" in the image", "")
        elif draw < 0.16:
            text = text.replace("Is there", "Do you see")
        elif draw < 0.24:
            text += " Answer yes or no."
        return text, answer

    def reasoned(self, scene, rng):
        """A question of any kind with the request to think first."""
        kind = rng.choice(["object", "object", "pair", "colour", "place", "time", "count"])
        answer = str(rng.choice(["yes", "no"]))
        question = {
            "pair": lambda: pair_question(scene, rng, answer),
            "colour": lambda: colour_question(scene, rng),
            "place": lambda: place_question(scene),
            "time": lambda: time_question(scene),
            "count": lambda: count_question(scene),
        }.get(kind, lambda: None)()
        if question is None:
            question = object_question(scene, rng, answer, str(rng.choice(["random", "co-occurring"])))
        order = random_order(scene, rng) if rng.random() < 0.3 else None
        return self.turn(reasoned_prompt(question), reasoned_answer(scene, question, order), THOUGHT_WEIGHT)

    def true_caption(self, scene, rng):
        """Mostly from left to right; sometimes in random order, so that any order is plausible."""
        order = random_order(scene, rng) if rng.random() < 0.25 else None
        return caption(scene, order)

    def hide_words(self, count, lies, rng):
        """Which of `count` caption tokens get a zero embedding: none, one, some, a false word, or all but a few."""
        hidden = np.zeros(count, dtype=bool)
        draw = rng.random()
        if draw < 0.2:
            hidden = rng.random(count) < rng.uniform(0, 0.4)
        elif draw < 0.3:
            hidden[rng.integers(count)] = True
        elif draw < 0.45 and lies:
            lie = lies[rng.integers(len(lies))]
            # The whole word, or only one of its tokens: a word counts as read only if all of it can be seen.
            hidden[lie if rng.random() < 0.7 else [lie[rng.integers(len(lie))]]] = True
        elif draw < 0.5:
            hidden = rng.random(count) < 0.8
        return hidden

    def judged_statement(self, scene, rng, first):
        """A caption that may be false, truncated and masked, followed by the question whether it is true.

        The right answer is no exactly if something false can be read. A word can be read if all of its tokens are
        present and visible. A false colour is also read without its noun if nothing in the image has that colour.
        """
        style = {
            "order": random_order(scene, rng) if rng.random() < 0.5 else list(range(len(scene.objects))),
            "colours": rng.random() < 0.9,
            "place": rng.random() < 0.9,
            "time": rng.random() < 0.9,
        }
        if rng.random() < 0.15:
            style["order"] = style["order"][: rng.integers(1, len(style["order"]) + 1)]
        lies = []
        if rng.random() < 0.75:
            text, words, lies = falsify_words(scene, rng, int(rng.choice([1, 1, 1, 2])), **style)
        else:
            text, words = describe(scene, **style)
        tokens = {(word.kind, word.index): self.word_tokens(text, word.start, word.end) for word in words}
        colours = {sticker.colour for sticker in scene.objects}
        statement, opening = self.statement(str(rng.choice(CAPTION_PROMPTS)), text, 0.0)
        count = len(statement.ids) - opening
        hidden = self.hide_words(count, [tokens[lie.kind, lie.index] for lie in lies], rng)
        statement.hidden = [False] * opening + hidden.tolist()
        segments = [statement]
        for cut in (count, int(rng.integers(1, count + 1))):
            can_read = {fact for fact, places in tokens.items() if not hidden[places].any() and max(places) < cut}
            wrong = [
                lie
                for lie in lies
                if (lie.kind, lie.index) in can_read
                and (lie.kind != "colour" or ("class", lie.index) in can_read or lie.text not in colours)
            ]
            answer = "no" if wrong else "yes"
            question = str(rng.choice(CAPTION_QUESTIONS, p=[0.7, 0.15, 0.15]))
            segments.append(self.turn(question, answer, ANSWER_WEIGHT, parent=first, cut=opening + cut))
        return segments

    def conversations(self, scene, rng, blank=False):
        """All segments for one image. Of a blanked image only a caption can be learnt: what is likely unseen."""
        prompt = CAPTION_PROMPT if rng.random() < 0.5 else str(rng.choice(CAPTION_PROMPTS))
        described, opening = self.statement(prompt, self.true_caption(scene, rng), CAPTION_WEIGHT)
        count = len(described.ids)
        if rng.random() < 0.1:
            described.hidden = [i >= opening and rng.random() < 0.15 for i in range(count)]
        segments = [described]
        if blank:
            segments.append(Segment([self.eos], [CAPTION_WEIGHT], parent=0, cut=count))
            return segments
        # The turn after the caption starts with its end, so the end is learnt there.
        if rng.random() < 0.5:
            follow_up = self.turn(CAPTION_QUESTION, "yes", ANSWER_WEIGHT, parent=0, cut=count)
        elif rng.random() < 0.5:
            follow_up = self.turn(*self.yes_no_question(scene, rng), ANSWER_WEIGHT, parent=0, cut=count)
        else:
            follow_up = self.turn(*self.short_question(scene, rng), ANSWER_WEIGHT, parent=0, cut=count)
        follow_up.weights[0] = CAPTION_WEIGHT
        segments.append(follow_up)
        segments += self.judged_statement(scene, rng, len(segments))
        segments.append(self.turn(CAPTION_PROMPT, self.true_caption(scene, rng), CAPTION_WEIGHT))
        segments += [self.turn(*self.yes_no_question(scene, rng), ANSWER_WEIGHT) for _ in range(3)]
        segments.append(self.turn(*self.yes_no_question(scene, rng, pair=True), ANSWER_WEIGHT))
        segments += [self.turn(*self.short_question(scene, rng), ANSWER_WEIGHT) for _ in range(2)]
        if rng.random() < 0.6:
            segments.append(self.reasoned(scene, rng))
        return segments

    # -- packing -----------------------------------------------------------------------------------------------------

    def pack(self, segments):
        """One sequence: ids, targets, weights, positions, hidden flags and the matrix of who sees whom."""
        length = len(self.prefix) + sum(len(segment.ids) for segment in segments)
        ids = np.zeros(length, dtype=np.int64)
        targets = np.full(length, IGNORE, dtype=np.int64)  # targets[i] is what position i has to predict
        weights = np.zeros(length, dtype=np.float32)
        positions = np.zeros(length, dtype=np.int64)
        hidden = np.zeros(length, dtype=bool)
        sees = np.zeros((length, length), dtype=bool)
        start = len(self.prefix)
        ids[:start], positions[:start] = self.prefix, np.arange(start)
        sees[:start, :start] = np.tri(start, dtype=bool)
        spans = []
        for segment in segments:
            end = start + len(segment.ids)
            own = slice(start, end)
            ids[own] = segment.ids
            sees[own, : len(self.prefix)] = True
            sees[own, own] = np.tri(end - start, dtype=bool)
            before, first = len(self.prefix) - 1, len(self.prefix)
            if segment.parent is not None:
                parent = spans[segment.parent]
                sees[own, parent : parent + segment.cut] = True
                before, first = parent + segment.cut - 1, len(self.prefix) + segment.cut
            positions[own] = np.arange(first, first + end - start)
            if segment.hidden is not None:
                hidden[own] = segment.hidden
            previous = np.concatenate([[before], np.arange(start, end - 1)])
            learnt = np.array(segment.weights) > 0
            targets[previous[learnt]] = np.array(segment.ids)[learnt]
            weights[previous[learnt]] = np.array(segment.weights)[learnt]
            spans.append(start)
            start = end
        return ids, targets, weights, positions, hidden, sees

    def batch(self, scenes, blanks, rng):
        """Packed and padded tensors for several scenes, in the order of `pack`; the matrix as an attention mask."""
        packed = [self.pack(self.conversations(scene, rng, blank)) for scene, blank in zip(scenes, blanks, strict=True)]
        *columns, matrices = zip(*packed, strict=True)
        longest = max(len(ids) for ids in columns[0])
        fields = []
        for values, padding in zip(columns, (self.tokenizer.pad_token_id, IGNORE, 0.0, 0, False), strict=True):
            out = np.full((len(packed), longest), padding, dtype=values[0].dtype)
            for row, value in zip(out, values, strict=True):
                row[: len(value)] = value
            fields.append(torch.from_numpy(out))
        # Padding sees itself, so that no row of the attention matrix is empty.
        sees = np.broadcast_to(np.eye(longest, dtype=bool), (len(packed), longest, longest)).copy()
        for row, matrix in zip(sees, matrices, strict=True):
            row[: len(matrix), : len(matrix)] = matrix
        # A float mask is added to the scores as it is; a boolean one would be converted in every layer.
        mask = torch.zeros(sees.shape).masked_fill_(~torch.from_numpy(sees), torch.finfo(torch.float32).min)
        return (*fields, mask[:, None])
