"""A vision-language model behind one face: encode, read, write."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from PIL import Image
from torch import Tensor
from transformers import LogitsProcessor, LogitsProcessorList, PreTrainedConfig, PreTrainedModel, ProcessorMixin

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import ImageLike, at_least_smallest, read_picture
from causal_attrib.vlm.encoding import Encoding
from causal_attrib.vlm.families import choose_family
from causal_attrib.vlm.reference_image import reference_image
from causal_attrib.vlm.text import decode, spans_of_ids, special_token_in, tokenize
from causal_attrib.words.reasoning import Parts, is_cut_off, split_response
from causal_attrib.words.segmentation import Span, word_of_each

# A caption that the model writes itself, when the user gives none.
LONGEST_CAPTION = 256
# A picture that every processor takes.
_SQUARE = (224, 224)


# What is added to the logits of a token, given its place behind the prompt, the size of the vocabulary and the device.
Noise = Callable[[int, int, torch.device], Tensor]


@dataclass(frozen=True)
class Continuation:
    """What follows the prompt in one forward.

    ids:     token ids behind the prompt
    hidden:  indices into `ids` whose input embedding is replaced (position and attention are kept)
    fill:    what a hidden embedding becomes: "zero" or "mean" (the mean of the embedding table)
    reference: show what the user's picture is held against instead
    """

    ids: tuple[int, ...]
    hidden: tuple[int, ...] = ()
    fill: str = "zero"
    reference: bool = False


class VLM:
    """A loaded model with its processor: any transformers model that turns a picture and text into text.

    Use `causal_attrib.load` to make one; the constructor takes a model and processor that are already in memory.
    The model is put in eval mode, since dropout would make scores random.
    """

    def __init__(self, model: PreTrainedModel, processor: ProcessorMixin, *, name: str, revision: str | None = None):
        self.model = model.eval()
        self.processor = processor
        self.tokenizer = processor.tokenizer
        self.family = choose_family(model, processor)
        self.name = name
        self.revision = revision

    def __repr__(self) -> str:
        return f"VLM({self.name!r}, {type(self.model).__name__}, {self.record['dtype']} on {self.model.device})"

    @property
    def record(self) -> dict:
        """The `model` entry of the JSON schema."""
        return {
            "id": self.name,
            "revision": self.revision,
            "dtype": str(self.model.dtype).removeprefix("torch."),
            "device": str(self.model.device),
            "attn": self.model.config._attn_implementation,
            "quantization": _quantization(self.model.config),
        }

    @functools.cached_property
    def pad_id(self) -> int:
        """An id to fill up rows with; it is never attended to."""
        pad = self.tokenizer.pad_token_id
        return self.tokenizer.eos_token_id if pad is None else pad

    @functools.cached_property
    def unwritable_ids(self) -> list[int]:
        """Ids the model must not write: a sampled image placeholder would make the next forward fail."""
        tokenizer = self.tokenizer
        never = {tokenizer.bos_token_id, tokenizer.unk_token_id, self.pad_id} | self.family.image_ids
        return sorted(never - {None, tokenizer.eos_token_id} - self.family.end_ids)

    @functools.cached_property
    def mean_embedding_D(self) -> Tensor:
        """Mean input embedding over the vocabulary, as the embedding layer gives it out (scaling included)."""
        embed = self.family.embedding
        ids = torch.arange(embed.weight.shape[0], device=embed.weight.device)
        with torch.no_grad():
            total_D = sum(embed(part).float().sum(0) for part in ids.split(8192))
        return total_D / len(ids)

    # -- text and picture to ids ------------------------------------------------------------------------------------

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
        shown, unseen = (
            self.prompt_inputs(before, at_least_smallest(pixels))
            for pixels in (picture.pixels, reference_image(against, picture.pixels, self.neutral_colour))
        )
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
        if not text.strip():
            raise InputError("The caption is empty; give the words that are to be scored.")
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
        elif question is not None:
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
        mean = getattr(self.processor.image_processor, "image_mean", None) or (0.5, 0.5, 0.5)
        return tuple(round(255 * channel) for channel in mean)

    def _speak(self, before: str, separator: str, text: str):
        """Ids and spans of `text` where the model says it behind `before`; the separator counts to no span."""
        ids, spans = tokenize(self.tokenizer, separator + text, after=before)
        return ids, _shifted(spans, len(separator))

    def prompt_inputs(self, text: str, pixels: Image.Image) -> dict[str, Tensor]:
        """The model's inputs (batch 1) for a picture and a text as its chat template gives it.

        Raises:
            InputError: the processor takes no picture of these proportions.
        """
        model = self.model
        try:
            inputs = self.family.prompt_inputs(text, pixels)
        except InputError:
            raise
        except (ValueError, ArithmeticError) as error:
            if not self._takes_a_square(text):
                raise
            raise InputError(
                f"The processor of {self.name} takes no picture of {pixels.width} x {pixels.height} pixels "
                f"({next(iter(str(error).splitlines()), 'no message')}); crop it or scale it."
            ) from None
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
        if answer is not None and question is None and not reasons:
            raise InputError("An answer needs its question: add --question (or question=).")
        if question is not None and answer is None and not reasons:
            raise InputError("A question needs its reference answer: add --answer (or answer=).")
        if answer is not None and not answer.strip():
            raise InputError("The reference answer is empty; give the answer that counts as right.")
        _check_unicode("answer", answer or "")

    def check_length(self, prompt: int, rest: int) -> None:
        """Raises InputError if the model does not read so many tokens."""
        longest = self.family.longest
        if longest is not None and prompt + rest > longest:
            raise InputError(
                f"Picture and prompt take {prompt} tokens and the caption {rest} more, but {self.name} reads at most "
                f"{longest}; shorten the caption."
            )

    # -- ids to numbers ---------------------------------------------------------------------------------------------

    @torch.no_grad()
    def read(self, encoding: Encoding, rows: Sequence[Continuation]) -> list[Tensor]:
        """Logits along each row, from one ordinary forward over rows that share one picture or its reference image.

        Args:
            encoding: gives picture and prompt.
            rows: what follows the prompt; rows of different length are padded on the right.

        Returns:
            For each row a float32 tensor (len(ids) + 1, V): entry t holds the logits of the token behind `ids[:t]`.

        Raises:
            InputError: the model's numbers are NaN.
        """
        (is_reference,) = {row.reference for row in rows}
        inputs = self.family.extend(
            encoding.reference_inputs if is_reference else encoding.prompt_inputs,
            [row.ids for row in rows],
            self.pad_id,
        )
        longest = max(len(row.ids) for row in rows)
        self.check_length(encoding.prompt_length, longest)
        with self._hiding(rows, encoding.prompt_length):
            logits_BTV = self.family.logits(inputs, longest + 1).float()
        self.check_numbers(logits_BTV)
        return [logits_TV[: len(row.ids) + 1] for row, logits_TV in zip(rows, logits_BTV, strict=True)]

    def check_numbers(self, values: Tensor) -> None:
        """Raises InputError if one of the model's numbers is NaN."""
        if torch.isnan(values).any():
            raise InputError(
                f"{self.name} gives NaN; its weights are damaged, or the dtype is too narrow (try --dtype float32)."
            )

    @torch.no_grad()
    def write(
        self, encoding: Encoding, row: Continuation, longest: int, noises: Sequence[Noise | None] = (None,)
    ) -> list[tuple[int, ...]]:
        """Let the model go on behind `row`: transformers' own greedy `generate`, once for each noise.

        Gumbel noise on the logits turns greedy search into sampling (`engine.gumbel`).

        Args:
            longest: largest number of new tokens.
            noises: one per continuation, None for the plain greedy one; called with the place of the token behind the
                prompt, the size of the vocabulary and the device.

        Returns:
            The new ids of each continuation, end-of-sequence and what follows it cut off.
        """
        inputs = encoding.reference_inputs if row.reference else encoding.prompt_inputs
        with self._hiding([row] * len(noises), encoding.prompt_length):
            rows = self.family.extend(inputs, [row.ids] * len(noises), self.pad_id)
            return self._generate(rows, longest, _RowNoise(noises, len(row.ids)))

    def describe(self, image: ImageLike, prompt: str | None = None) -> tuple[int, ...]:
        """Ids of the caption that the model itself writes (greedy)."""
        (ids,) = self.write_together([self.ask(image, prompt)], LONGEST_CAPTION)
        if not decode(self.tokenizer, ids).strip():
            raise InputError(f"{self.name} wrote no caption for this image; give one yourself.")
        return ids

    def ask(self, image: ImageLike, prompt: str | None = None) -> dict[str, Tensor]:
        """The model's inputs (batch 1) when it is shown a picture and asked `prompt`, up to where it begins to speak.

        Raises:
            InputError: a picture that cannot be read or that the processor refuses, or a prompt that is too long or
                holds a special token.
        """
        prompt = self.family.default_prompt if prompt is None else prompt
        self._check_prompt(prompt, None, None, True)
        talk = self.family.converse(prompt)
        inputs = self.prompt_inputs(talk.before, read_picture(image).shown)
        self.check_length(inputs[self.family.row].shape[1], 1)
        return inputs

    @torch.no_grad()
    def write_together(self, asked: Sequence[dict[str, Tensor]], longest: int) -> list[tuple[int, ...]]:
        """Ids of what the model itself says (greedy) to each of B inputs of `ask`, all of the same shapes.

        Equal shapes need no padding, which not every architecture takes without other numbers.

        Args:
            longest: largest number of new tokens.
        """
        inputs = {name: torch.cat([one[name] for one in asked]) for name in asked[0]}
        return self._generate(inputs, longest, _RowNoise([None] * len(asked), 0))

    def room(self, length: int, longest: int) -> int:
        """How many of `longest` new tokens fit behind a row of `length` (prompt included)."""
        limit = self.family.longest
        return max(longest if limit is None else min(longest, limit - length), 0)

    def _generate(self, inputs: dict[str, Tensor], longest: int, noise: _RowNoise) -> list[tuple[int, ...]]:
        longest = self.room(inputs[self.family.row].shape[1], longest)
        if longest == 0:
            return [()] * len(noise.noises)
        written_BN = self.family.generate(
            inputs,
            max_new_tokens=longest,
            do_sample=False,
            num_beams=1,
            # Some checkpoints ask for these; what is written is to be the likeliest by what is read.
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            forced_eos_token_id=None,
            min_length=0,
            pad_token_id=self.pad_id,
            suppress_tokens=self.unwritable_ids,
            logits_processor=LogitsProcessorList([noise]),
        )
        return [self._until_end(ids) for ids in written_BN.tolist()]

    @functools.cached_property
    def end_ids(self) -> set[int]:
        """Ids that what is written ends before."""
        return self.family.end_ids | {self.pad_id}

    def _until_end(self, ids: list[int]) -> tuple[int, ...]:
        stop = next((i for i, token in enumerate(ids) if token in self.end_ids), len(ids))
        return tuple(ids[:stop])

    @contextlib.contextmanager
    def _hiding(self, rows: Sequence[Continuation], prompt_length: int) -> Iterator[None]:
        """Replace the input embeddings of hidden tokens while the context lasts; the model is left as it was.

        Raises:
            InputError: the embeddings never passed by, so that nothing was hidden.
        """
        if not any(row.hidden for row in rows):
            yield
            return
        means = {row.fill for row in rows if row.hidden}
        fills = {"zero": 0.0, "mean": self.mean_embedding_D if "mean" in means else None}
        longest = max(len(row.ids) for row in rows)
        happened = False

        def replace(module, args, kwargs, embedded_BLD: Tensor) -> Tensor:
            nonlocal happened
            ids_BL = args[0] if args else kwargs["input"]
            # An encoder may share the layer, and `generate` passes by again with each new token: neither is the row.
            if ids_BL.shape[0] != len(rows) or ids_BL.shape[1] < prompt_length + longest:
                return embedded_BLD
            response_BT = ids_BL[:, prompt_length : prompt_length + longest].tolist()
            if any(tuple(ids[: len(row.ids)]) != row.ids for ids, row in zip(response_BT, rows, strict=True)):
                return embedded_BLD
            happened = True
            embedded_BLD = embedded_BLD.clone()
            for index, row in enumerate(rows):
                if row.hidden:
                    positions = [prompt_length + position for position in row.hidden]
                    fill = fills[row.fill]
                    embedded_BLD[index, positions] = fill.to(embedded_BLD) if torch.is_tensor(fill) else fill
            return embedded_BLD

        handle = self.family.embedding.register_forward_hook(replace, with_kwargs=True)
        try:
            yield
        finally:
            handle.remove()
        if not happened:
            raise InputError(
                f"The word embeddings of {self.name} cannot be reached; hide words with --mask token or delete instead."
            )


def _check_unicode(what: str, text: str) -> None:
    """Bytes from a terminal that are no UTF-8 arrive as lone surrogates, which no tokenizer takes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise InputError(f"The {what} is not valid Unicode text; write it in UTF-8.") from None


def _quantization(config: PreTrainedConfig) -> str | None:
    """The method that weights are quantised by, and to how many bits where it says so."""
    how = getattr(config, "quantization_config", None)
    if how is None:
        return None
    how = how if isinstance(how, dict) else how.to_dict()
    bits = how.get("bits") or (4 if how.get("load_in_4bit") else 8 if how.get("load_in_8bit") else None)
    method = str(getattr(how.get("quant_method"), "value", how.get("quant_method") or "quantised"))
    return f"{method}, {bits} bits" if bits else method


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


class _RowNoise(LogitsProcessor):
    """Adds to each row of the batch its own noise.

    place: of the first new token, behind the prompt; it is counted here, since not every `generate` hands on the prompt
    """

    def __init__(self, noises: Sequence[Noise | None], place: int):
        self.noises = noises
        self.place = place

    def __call__(self, input_ids, scores):
        scores = scores.clone()
        for row, noise in enumerate(self.noises):
            if noise is not None:
                scores[row] += noise(self.place, scores.shape[-1], scores.device)
        self.place += 1
        return scores
