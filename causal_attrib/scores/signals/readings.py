"""What signals are read off: forwards over one caption, each made once and only if a signal asks for it.

Axes: T tokens of the response, V vocabulary, L layers (entry 0 is what enters the first), P positions of the row,
N image tokens, H heads, D width.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import torch
from PIL import Image
from torch import Tensor, nn

from causal_attrib.errors import InputError
from causal_attrib.io.pictures import at_least_smallest
from causal_attrib.scores.saliency_methods.features import Door
from causal_attrib.scores.signals.spoilt import spoilt_pictures
from causal_attrib.vlm import VLM, Continuation, Encoding
from causal_attrib.vlm.modes import attention_kernel, eval_mode


class Readings:
    """Readings of one caption.

    Args:
        encoding: of the caption.
        seed: of spoilt pictures.
        other: the picture that the caption is held against where a signal asks for another one.
        logits_TV: that predict the caption's tokens, if they have been read.
    """

    def __init__(
        self,
        vlm: VLM,
        encoding: Encoding,
        *,
        seed: int = 0,
        other: Image.Image | None = None,
        logits_TV: Tensor | None = None,
    ) -> None:
        self.vlm, self.encoding, self.seed, self.other = vlm, encoding, seed, other
        self.forwards = 0
        self._logits_TV = logits_TV
        self._behind: dict[str, list[Tensor]] = {}
        self._entering: dict[bool, Tensor] = {}

    @property
    def ids(self) -> tuple[int, ...]:
        return self.encoding.response_ids

    @functools.cached_property
    def ids_T(self) -> Tensor:
        return torch.tensor(self.ids, dtype=torch.long, device=self.vlm.model.device)

    @functools.cached_property
    def logprobs_TV(self) -> Tensor:
        """Log-probabilities over the vocabulary where each token stands, behind the picture."""
        if self._logits_TV is not None:
            return self._logits_TV.to(self.ids_T.device).log_softmax(-1)
        return self._read(self.encoding, reference=False)

    @functools.cached_property
    def logprob_T(self) -> Tensor:
        """Of the tokens that were written."""
        return self.written(self.logprobs_TV)

    def written(self, logprobs_TV: Tensor) -> Tensor:
        return logprobs_TV.gather(-1, self.ids_T[:, None])[:, 0]

    def behind(self, reference: str) -> list[Tensor]:
        """The same behind a reference image (T, V), one entry per draw of it.

        Args:
            reference: "colour", "blur", "patches" or "other".
        """
        if reference not in self._behind:
            pictures = spoilt_pictures(
                reference,
                self.encoding.picture.pixels,
                colour=self.vlm.neutral_colour,
                seed=self.seed,
                other=self.other,
            )
            self._behind[reference] = [self._read(self._held_against(picture), reference=True) for picture in pictures]
        return self._behind[reference]

    @functools.cached_property
    def hidden_LPD(self) -> Tensor:
        """Hidden states of the language model, float32, over the whole row.

        Raises:
            InputError: the model gives out none.
        """
        output = self._forward(output_hidden_states=True)
        states = getattr(output, "hidden_states", None)
        if states is None:
            states = getattr(output, "decoder_hidden_states", None)
        if not states or any(state is None for state in states):
            raise InputError(f"{self.vlm.name} gives out no hidden states; leave out signals that read them.")
        return torch.stack([state[0].float() for state in states])

    @property
    def predicts_T(self) -> list[int]:
        """The position of the row that predicts each token."""
        first = self.hidden_LPD.shape[1] - len(self.ids) - 1
        return [first + t for t in range(len(self.ids))]

    @property
    def image_N(self) -> list[int]:
        """Positions of the image tokens among the words.

        Raises:
            InputError: the model reads its picture elsewhere, or nobody knows where.
        """
        layout = self.encoding.layout
        if layout.sequence != "prompt" or not layout.positions:
            raise InputError(
                f"{self.vlm.name} does not read its picture as tokens among the words, so that the signals logit_lens, "
                "glsim and attention_ratio do not exist for it; leave them out."
            )
        return list(layout.positions)

    def image_tokens(self, reference: bool) -> Tensor:
        """Image tokens (N, D) where they enter the language model, behind the picture or its reference image.

        Raises:
            InputError: nobody knows where they enter.
        """
        if reference not in self._entering:
            door = Door(self.vlm, self.encoding)
            self.forwards += 1
            with door.reading() as found:
                self.vlm.read(self.encoding, [Continuation(self.ids, reference=reference)])
            if not found or not found[0].shape[1]:
                raise InputError(
                    f"The image tokens of {self.vlm.name} cannot be told from its words; leave image_logit out."
                )
            self._entering[reference] = found[0][0]
        return self._entering[reference]

    @property
    def head(self) -> nn.Module:
        """The layer that turns a hidden state into logits."""
        head = self.vlm.model.get_output_embeddings()
        if head is None:
            raise InputError(f"{self.vlm.name} names no output layer; leave out the signals logit_lens and glsim.")
        return head

    @functools.cached_property
    def attention_LHTN(self) -> Tensor:
        """Attention weights of the positions that predict the tokens on the image tokens, float32.

        Raises:
            InputError: the model gives out none.
        """
        with _eager(self.vlm):
            output = self._forward(output_attentions=True)
        layers = getattr(output, "attentions", None)
        if not layers or any(layer is None for layer in layers):
            raise InputError(f"{self.vlm.name} gives out no attention weights; leave out the signal attention_ratio.")
        first = layers[0].shape[-2] - len(self.ids) - 1
        rows = slice(first, first + len(self.ids))
        return torch.stack([layer[0, :, rows][..., self.image_N].float() for layer in layers])

    # -- forwards ---------------------------------------------------------------------------------------------------

    def _read(self, encoding: Encoding, *, reference: bool) -> Tensor:
        self.forwards += 1
        (logits_TV,) = self.vlm.read(encoding, [Continuation(self.ids, reference=reference)])
        return logits_TV[:-1].log_softmax(-1)

    def _held_against(self, picture: Image.Image) -> Encoding:
        before = self.vlm.family.converse(self.encoding.prompt).before
        return replace(self.encoding, reference_inputs=self.vlm.prompt_inputs(before, at_least_smallest(picture)))

    @torch.no_grad()
    def _forward(self, **options: bool) -> object:
        self.forwards += 1
        inputs = self.vlm.family.extend(self.encoding.prompt_inputs, [self.ids], self.vlm.pad_id)
        with eval_mode(self.vlm.model):
            return self.vlm.model(**inputs, **options, use_cache=False)


@contextmanager
def _eager(vlm: VLM) -> Iterator[None]:
    """Attention that gives out its weights while the context lasts; other kernels keep them to themselves."""
    if vlm.model.config.get_text_config(decoder=True)._attn_implementation == "eager":
        yield
        return
    with attention_kernel(vlm.model, "eager"):
        yield
