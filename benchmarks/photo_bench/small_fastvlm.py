"""Kind `small_fastvlm`: the class of `fastvlm` with a decoder like Llama of 2 layers, taught from scratch.

It reads image tokens among its words, which the kind `small` does not: it can be trained by `copo train`, and has the
signals of image tokens and of attention. Its vocabulary is that of `small`.
"""

from __future__ import annotations

import torch
from data import Photo
from fastvlm import PROMPT, FastVlmCaptioner
from parts import CELLS, standardise
from small import BOS, LONGEST, PAD, UNKNOWN, Words, words_seen
from torch import Tensor, nn
from train import Plan
from transformers import EfficientNetModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

PLAN = Plan(captions_per_photo=2)
DROPOUT = 0.2
IMAGE = "<image>"
EOS = "<eos>"


def dropped(part: nn.Module, given: tuple, out: Tensor) -> Tensor:
    return nn.functional.dropout(out, DROPOUT, part.training)


class SmallFastVlmCaptioner(FastVlmCaptioner):
    """The captioner while it is taught: features of the tower in, log-probabilities of captions out."""

    end_of_turn = EOS
    longest = LONGEST
    not_learnt = UNKNOWN

    def __init__(self, tower: EfficientNetModel, photos: list[Photo]):
        self.words = Words(photos, more=(IMAGE, *PROMPT.lower().strip(".").split()))
        super().__init__(tower)
        # Llama has no dropout behind its layers, which so few captions need; hooks are not saved with the model.
        for layer in self.language.layers:
            for part in (layer.self_attn.o_proj, layer.mlp.down_proj):
                part.register_forward_hook(dropped)
        self.language.embed_tokens.register_forward_hook(dropped)
        # Only while learning, as for the kind small.
        self.prior_V = nn.Parameter(torch.full((len(self.words.vocabulary),), -4.0))
        self.drop = nn.Dropout(DROPOUT)
        written = self.model.generation_config
        written.suppress_tokens = [PAD, BOS, UNKNOWN, self.model.config.image_token_id]

    def parts(self) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
        tokenizer = self.words.tokenizer(longest=CELLS + 4 * LONGEST)
        tokenizer.add_special_tokens({"additional_special_tokens": [IMAGE]})
        config = LlamaConfig(
            vocab_size=len(tokenizer), hidden_size=256, intermediate_size=704, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=4, max_position_embeddings=CELLS + 4 * LONGEST,
            tie_word_embeddings=True, bos_token_id=BOS, eos_token_id=tokenizer.eos_token_id, pad_token_id=PAD,
        )  # fmt: skip
        return LlamaForCausalLM(config), tokenizer

    def frozen(self) -> list[nn.Module]:
        return []

    def groups(self) -> list[dict]:
        return [{"params": [one for one in self.parameters() if one.requires_grad], "rate": 1.5e-3}]

    @torch.no_grad()
    def begin(self, features_BPF: Tensor) -> None:
        """Start the projector so that its tokens have no common part, and features and tokens are of unit variance."""
        standardise(self.projector.linear_1, features_BPF)
        second = self.projector.linear_2
        # GELU makes a variance of .4 of one of 1. Tokens as short as the embeddings of words would learn slowly.
        second.weight.normal_(std=(0.4 * second.in_features) ** -0.5)
        second.bias.zero_()

    def ids(self, caption: str) -> list[int]:
        return self.words.ids(caption)[1:]

    def words_seen(self, tokens_BPD: Tensor, photos: list[Photo]) -> Tensor:
        return words_seen(tokens_BPD, self.language.embed_tokens.weight, self.prior_V, photos, self.words)
