"""Kind `small`: EfficientNet-lite0 behind a decoder like GPT-2, both in a `VisionEncoderDecoderModel`."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import efficientnet_tokens as own
import torch
from data import Photo, words
from parts import TOWER, WIDTH, image_processor, standardise
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers
from torch import Tensor, nn
from transformers import EfficientNetModel, GPT2Config, PreTrainedTokenizerFast
from transformers.modeling_outputs import BaseModelOutput

SPECIAL = ("<pad>", "<bos>", "<eos>", "<unk>")
PAD, BOS, EOS, UNKNOWN = range(4)
LONGEST = 24


class Words:
    """A vocabulary of the words that captions use three times or more. Punctuation is no part of it."""

    def __init__(self, photos: list[Photo], most: int = 8000, more: tuple[str, ...] = ()):
        counts = Counter(word for photo in photos for caption in photo.captions for word in words(caption))
        common = [word for word, count in counts.most_common(most) if count >= 3]
        self.vocabulary = [*SPECIAL, *dict.fromkeys([*more, *common])]
        self.index = {word: index for index, word in enumerate(self.vocabulary)}

    def ids(self, caption: str) -> list[int]:
        return [BOS, *(self.index.get(word, UNKNOWN) for word in words(caption)[:LONGEST]), EOS]

    def tokenizer(self, longest: int = LONGEST + 2) -> PreTrainedTokenizerFast:
        tokenizer = Tokenizer(models.WordLevel(self.index, unk_token="<unk>"))
        no_punctuation = normalizers.Replace(Regex("[^a-z' ]"), " ")
        tokenizer.normalizer = normalizers.Sequence([normalizers.Lowercase(), no_punctuation])
        tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
        return PreTrainedTokenizerFast(
            tokenizer_object=tokenizer, pad_token="<pad>", bos_token="<bos>", eos_token="<eos>", unk_token="<unk>",
            model_max_length=longest,
        )  # fmt: skip


def build(tower: EfficientNetModel, vocabulary: Words, layers: int = 2, width: int = 256) -> own.Captioner:
    decoder = GPT2Config(
        vocab_size=len(vocabulary.vocabulary), n_positions=LONGEST + 8, n_embd=width, n_layer=layers, n_head=4,
        add_cross_attention=True, is_decoder=True, bos_token_id=BOS, eos_token_id=EOS, pad_token_id=PAD,
        resid_pdrop=0.2, embd_pdrop=0.2, attn_pdrop=0.1,
    )  # fmt: skip
    encoder = own.EfficientNetTokensConfig(hidden_size=WIDTH, **TOWER)
    config = own.CaptionerConfig.from_encoder_decoder_configs(encoder, decoder)
    config.decoder_start_token_id, config.pad_token_id, config.eos_token_id = BOS, PAD, EOS
    model = own.Captioner(config)
    model.encoder.net.load_state_dict(tower.state_dict())
    model.encoder.requires_grad_(False)
    written = model.generation_config
    written.decoder_start_token_id, written.pad_token_id, written.eos_token_id = BOS, PAD, EOS
    written.suppress_tokens, written.max_new_tokens = [PAD, BOS, UNKNOWN], LONGEST
    return model


def words_seen(
    tokens_BPD: Tensor, embedding_VD: Tensor, prior_V: Tensor, photos: list[Photo], vocabulary: Words
) -> Tensor:
    """Cross entropy of which words the captions of each photograph use, read off its best image token.

    Image tokens so come to lie near the embeddings of the words for what they show.

    Args:
        prior_V: how much a word's presence in the captions speaks for it, whatever the picture.
    """
    score_BV = (tokens_BPD @ embedding_VD.T).float().amax(1) + prior_V
    target_BV = torch.zeros_like(score_BV)
    for row, photo in enumerate(photos):
        used = {index for caption in photo.captions for index in vocabulary.ids(caption)}
        target_BV[row, sorted(used)] = 1.0
    loss_BV = nn.functional.binary_cross_entropy_with_logits(score_BV, target_BV, reduction="none")
    return loss_BV[:, len(SPECIAL) :].sum(1).mean()


class SmallCaptioner(nn.Module):
    """The captioner while it is taught: features of the tower in, log-probabilities of captions out."""

    def __init__(self, tower: EfficientNetModel, photos: list[Photo]):
        super().__init__()
        self.words = Words(photos)
        self.model = build(tower, self.words)
        # Only while learning: how much a word's presence in the captions speaks for it, whatever the picture.
        self.prior_V = nn.Parameter(torch.full((len(self.words.vocabulary),), -4.0))
        self.drop = nn.Dropout(0.2)

    def train(self, mode: bool = True):
        super().train(mode)
        self.model.encoder.eval()  # its batch norms keep what they learnt on ImageNet
        return self

    def groups(self) -> list[dict]:
        return [{"params": [one for one in self.parameters() if one.requires_grad], "rate": 1.5e-3}]

    @torch.no_grad()
    def begin(self, features_BPF: Tensor) -> None:
        """Start the projector so that its tokens have no common part and features weigh alike: of unit variance."""
        standardise(self.model.enc_to_dec_proj, features_BPF)

    def tokens(self, features_BPF: Tensor) -> Tensor:
        return self.model.enc_to_dec_proj(self.drop(features_BPF))

    def logprobs(self, tokens_BPD: Tensor, captions: list[list[str]], smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Log-probability of the captions of each photograph, in one row, and what to minimise.

        That is the cross entropy per token, its labels smoothed.
        """
        rows = [torch.tensor(self.words.ids(caption)) for texts in captions for caption in texts]
        ids_BT = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=PAD)
        tokens_BPD = tokens_BPD.repeat_interleave(torch.tensor([len(texts) for texts in captions]), 0)
        logits_BTV = self.model.decoder(
            input_ids=ids_BT[:, :-1], attention_mask=(ids_BT[:, :-1] != PAD).long(), encoder_hidden_states=tokens_BPD
        ).logits.float()
        target_BT = ids_BT[:, 1:].clone()
        # A word outside the vocabulary is read but not learnt.
        target_BT[(target_BT == PAD) | (target_BT == UNKNOWN)] = -100
        learnt_BT = target_BT != -100
        logprob_BTV = logits_BTV.log_softmax(-1)
        said_BT = logprob_BTV.gather(-1, target_BT.clamp(min=0)[..., None])[..., 0] * learnt_BT
        loss_BT = -(1 - smoothing) * said_BT - smoothing * logprob_BTV.mean(-1) * learnt_BT
        return said_BT.sum(1), loss_BT.sum(1) / learnt_BT.sum(1).clamp(min=1)

    def words_seen(self, tokens_BPD: Tensor, photos: list[Photo]) -> Tensor:
        embedding_VD = self.model.decoder.get_input_embeddings().weight
        return words_seen(tokens_BPD, embedding_VD, self.prior_V, photos, self.words)

    def save(self, folder: Path) -> None:
        own.CaptionerConfig.register_for_auto_class()
        own.Captioner.register_for_auto_class("AutoModelForImageTextToText")
        self.model.save_pretrained(folder)
        self.words.tokenizer().save_pretrained(folder)
        image_processor().save_pretrained(folder)

    def write(self, features_BPF: Tensor, **how) -> list[str]:
        """A caption of each photograph, by `generate`."""
        seen = BaseModelOutput(last_hidden_state=features_BPF)
        ids_BT = self.model.generate(encoder_outputs=seen, **how)
        return [" ".join(self.words.vocabulary[index] for index in row if index >= len(SPECIAL)) for row in ids_BT]
