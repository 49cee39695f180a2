"""From a picture and texts to the ids that a model is given."""

from __future__ import annotations

import functools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from PIL import Image
from torch import Tensor

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, Picture, at_least_smallest, read_picture
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.loaded import LoadedModel
from causal_attrib.vlm.reference_image import reference_image
from causal_attrib.vlm.refusal import detail_of
from causal_attrib.vlm.text import spans_of_ids, special_token_in, tokenize
from causal_attrib.words.blank import check_says_something
from causal_attrib.words.reasoning import Parts, check_asked, is_cut_off, split_response
from causal_attrib.words.segmentation import Span, word_of_each

# A picture that every processor takes.
_SQUARE = (224, 224)


class Encoder(LoadedModel):
    """A model that pictures and texts are encoded for."""

    _prepared: dict[tuple, tuple[dict[str, Tensor], dict[str, Tensor]]] | None = None

    def encode(
        self,
        image: ImageLike,
        prompt: str | None = None,
        response: str | Sequence[int] | None = None,
        answer: str | None = None,
        *,
        question: str | None = None,
        against: str = "colour",
    ) -> Encoding:
        """Encode a picture, a prompt, a response and, if the response leads to an answer, that answer.

        A response with `<think>..</think><answer>..</answer>` or "the final answer is .." is split there, and its own
        answer is the reference unless `answer` is given. Else a `question` makes a second turn of the conversation
        whose answer is `answer`. With neither, the response is a caption.

        Args:
            image: path, PIL image, array, bytes or what else `read_picture` takes.
            prompt: what the model was asked; default "Describe this image.", or the question for tagged reasoning.
            response: the text, or the ids that the model itself wrote (kept as they are).
            answer: reference answer.
            question: question that the response is meant to help answer.
            against: what outcomes and verdicts hold the picture against: "colour" (one colour) or "blur" (itself).

        Raises:
            InputError: a picture that cannot be read or that the processor refuses, empty response or reasoning,
                reasoning without an end, a special token in the prompt, an answer without a question, or a text longer
                than the model can read.
        """
        picture = read_picture(image)
        before, fields = self.encode_response(response, prompt, answer, question)
        if is_cut_off(fields["response"]):
            raise InputError("The reasoning comes to no end; close its tag (</think>), or leave the tag out.")
        if fields["start"] >= fields["end"]:
            raise InputError("There is no reasoning between the tags; give the words that are to be scored.")
        shown, unseen = self._inputs_of(before, picture, against)
        encoding = Encoding(
            picture=picture,
            prompt_inputs=shown,
            reference_inputs=unseen,
            against=against,
            prompt_length=shown[self.family.row].shape[1],
            layout=self.family.layout(shown, picture.shown.size),
            **fields,
        )
        self.check_length(encoding.prompt_length, encoding.spoken)
        return encoding

    @contextmanager
    def remembering_pictures(self) -> Iterator[None]:
        """While it lasts, several captions of a picture have it prepared once."""
        before, self._prepared = self._prepared, {}
        try:
            yield
        finally:
            self._prepared = before

    def _inputs_of(self, text: str, picture: Picture, against: str) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """The model's inputs with the picture, and with what it is held against."""
        key = (text, picture.sha256, picture.pixels.size, against)
        if self._prepared is not None and key in self._prepared:
            return self._prepared[key]
        shown, unseen = (
            self.prompt_inputs(text, at_least_smallest(pixels))
            for pixels in (picture.pixels, reference_image(against, picture.pixels, self.neutral_colour))
        )
        if self._prepared is not None:
            self._prepared[key] = shown, unseen
        return shown, unseen

    def encode_response(
        self,
        response: str | Sequence[int] | None,
        prompt: str | None = None,
        answer: str | None = None,
        question: str | None = None,
        *,
        ends_in_answer: bool = False,
    ) -> tuple[str, dict]:
        """What `encode` can tell without the picture.

        Args:
            ends_in_answer: as in `split_response`.

        Returns:
            The text that the model reads before it begins to speak, and those fields of an `Encoding` that say what
            was asked and answered.
        """
        if isinstance(response, str):
            text = response
        else:
            response_ids = tuple(response or ())
            text, spans = spans_of_ids(self.tokenizer, response_ids)
            # The space between "ASSISTANT:" and the first word is not the caption's.
            space = text.startswith(" ")
            text, spans = text[space:], _shifted(spans, space)
        check_says_something("caption", text, "give the words that are to be scored")
        _check_unicode("caption", text)

        parts = split_response(text, ends_in_answer=ends_in_answer)
        if parts and prompt is None:
            prompt = question
        prompt = self.family.default_prompt if prompt is None else prompt
        asked_later = question if parts is None else None
        self._check_prompt(prompt, question, answer, parts is not None)

        talk = self.family.converse(prompt, asked_later)
        lead = self.family.lead(talk.before)
        if isinstance(response, str):
            response_ids, spans = self._speak(lead, talk.separator, text)
            if self.family.image_ids.intersection(response_ids):
                raise InputError(f"The caption contains the image token of {self.name}; leave it out.")
        start, end = 0, len(response_ids)
        cue_ids: tuple[int, ...] = ()
        answer_ids: tuple[int, ...] = ()
        if parts:
            answer = parts.answer if answer is None else answer
            start, end = _reasoning_tokens(spans, parts)
            # From where the last token of the reasoning ends: one that reaches into the tag is written anew with it.
            read = spans[end - 1][1] if end else 0
            leading = text[read : parts.end + len(parts.cue)]
            cue, gap = leading.rstrip(), leading[len(leading.rstrip()) :]
            cue_ids, _ = tokenize(self.tokenizer, cue, after=text[:read])
            answer_ids, _ = tokenize(self.tokenizer, gap + answer, after=text[:read] + cue)
        elif question is not None and answer is not None:
            cue_ids = tuple(self.tokenizer(talk.cue, add_special_tokens=False)["input_ids"])
            answer_ids, _ = self._speak(talk.cue, talk.separator, answer)

        return talk.before, {
            "prompt": prompt,
            "response": text,
            "question": question,
            "answer": answer,
            "response_ids": response_ids,
            "spans": spans,
            "words": word_of_each(text, spans),
            "start": start,
            "end": end,
            "cue_ids": cue_ids,
            "answer_ids": answer_ids,
            "ends_in_answer": ends_in_answer,
        }

    def question_ids(self, encoding: Encoding, question: str, answers: Sequence[str]) -> tuple[tuple[int, ...], ...]:
        """Ids of a second question put behind the response, and of each of its possible answers.

        Returns:
            The ids of the cue, then those of every answer in order.
        """
        talk = self.family.converse(encoding.prompt, question)
        cue_ids = tuple(self.tokenizer(talk.cue, add_special_tokens=False)["input_ids"])
        return (cue_ids, *(self._speak(talk.cue, talk.separator, answer)[0] for answer in answers))

    @functools.cached_property
    def neutral_colour(self) -> tuple[int, int, int]:
        """The colour that the processor maps to zero: its normalisation mean, as 0..255."""
        mean = getattr(self.processor.image_processor, "image_mean", None)
        # One number is that of all three channels.
        means = [0.5] if mean is None else mean if isinstance(mean, (list, tuple)) else [mean]
        try:
            colour = [min(max(round(255 * channel), 0), 255) for channel in means]
            red, green, blue = colour * 3 if len(colour) == 1 else colour
        except (TypeError, ValueError, OverflowError):
            raise InputError(
                f"The image processor of {self.name} normalises by {str(mean)[:80]}, no mean of three channels; mend "
                f"image_mean in its preprocessor_config.json."
            ) from None
        return red, green, blue

    def _speak(self, before: str, separator: str, text: str) -> tuple[tuple[int, ...], tuple[Span, ...]]:
        """Ids and spans of `text` where the model says it behind `before`; the separator counts to no span."""
        ids, spans = tokenize(self.tokenizer, separator + text, after=before)
        return ids, _shifted(spans, len(separator))

    def prompt_inputs(self, text: str, pixels: Image.Image, *more: Image.Image) -> dict[str, Tensor]:
        """The model's inputs (batch 1) for a picture and a text as its chat template gives it.

        Args:
            more: pictures that follow the first, where the text has places for them.

        Raises:
            InputError: the processor refuses the picture (some take no very long ones), or its settings are nonsense.
        """
        model = self.model
        try:
            inputs = self.family.prompt_inputs(text, [pixels, *more] if more else pixels)
        except (InputError, MemoryError):
            raise
        # A processor is driven by a file of settings from outside, and can raise anything.
        except Exception as error:
            if not more and isinstance(error, (ValueError, ArithmeticError)) and self._takes_a_square(text):
                raise InputError(
                    f"The processor of {self.name} takes no picture of {pixels.width} x {pixels.height} pixels "
                    f"({detail_of(error)}); crop it or scale it."
                ) from None
            raise InputError(
                f"The processor of {self.name} cannot prepare this image ({detail_of(error)}); choose another image, "
                f"or download the model's preprocessor_config.json again."
            ) from error
        return {
            name: value.to(model.device, model.dtype if value.is_floating_point() else None)
            for name, value in inputs.items()
        }

    def _takes_a_square(self, text: str) -> bool:
        """Whether it was the picture that the processor refused (Qwen: sides of over 200 to 1), and not the text."""
        try:
            self.family.prompt_inputs(text, Image.new("RGB", _SQUARE))
        except (ValueError, ArithmeticError):
            return False
        return True

    def _check_prompt(self, prompt: str, question: str | None, answer: str | None, reasons: bool) -> None:
        for text in filter(None, (prompt, question)):
            _check_unicode("prompt", text)
            special = special_token_in(self.tokenizer, text)
            if special:
                raise InputError(
                    f"The prompt contains the special token {special}; leave it out, it is put in for you."
                )
        if not reasons:
            check_asked(question, answer)
        if answer is not None:
            check_says_something("reference answer", answer, "give the answer that counts as right")
        _check_unicode("answer", answer or "")


def _check_unicode(what: str, text: str) -> None:
    """Bytes from a terminal that are no UTF-8 arrive as lone surrogates, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"The {what} is not valid Unicode text; write it in UTF-8.") from None


def _reasoning_tokens(spans: Sequence[Span], parts: Parts) -> tuple[int, int]:
    """The first token of the reasoning, and the first behind it; a token that reaches into a tag is none of it.

    A token may hold the last character and white space that follows, which leads over to the tag.
    """
    start = sum(first < parts.start or last <= parts.start for first, last in spans)
    leading_over = len(parts.cue) - len(parts.cue.lstrip())
    end = start
    while end < len(spans) and spans[end][0] < parts.end and spans[end][1] <= parts.end + leading_over:
        end += 1
    # What is left of a character of several tokens.
    while start < end < len(spans) and spans[end][0] == spans[end][1]:
        end += 1
    return start, end


def _shifted(spans: tuple[Span, ...], count: int) -> tuple[Span, ...]:
    """Spans of a text whose first `count` characters were taken away."""
    return tuple((max(start - count, 0), max(end - count, 0)) for start, end in spans)
