"""Before a prompted captioner is taught: its projector alone, until words can be read off the image tokens."""

from __future__ import annotations

import math
from collections import Counter

import torch
import torch.nn.functional as F
from data import Photo, words
from parts import standardise
from torch import Tensor, nn
from train import Plan

# No language model runs, so that a step costs 0.2 seconds of one core.
PLAN = Plan(steps=300, check_every=100, batch=64, captions_per_photo=2, contrast=1.0, seen=0.0, smoothing=0.0)


class Reader(nn.Module):
    """Reads a bag of words off image tokens, by their cosines with the words' embeddings.

    A word is in a caption with probability sigmoid(s), s = log-sum-exp over image tokens of its scaled cosine, plus
    how often captions use the word whatever the picture. Image tokens so come to lie near the embeddings of the words
    for what they show, which is what a language model reads best.
    """

    def __init__(self, projector: nn.Module, embedding_VD: Tensor, tokenizer, photos: list[Photo]):
        super().__init__()
        self.projector, self.drop = projector, nn.Dropout(0.2)
        texts = [set(words(caption)) for photo in photos for caption in photo.captions]
        counts = Counter(word for text in texts for word in text)
        known = sorted(word for word, count in counts.items() if count >= 3)
        self.index = {word: index for index, word in enumerate(known)}
        # A word of several tokens is known by its first.
        first_W = torch.tensor([tokenizer(" " + word)["input_ids"][0] for word in known])
        directions_WD = F.normalize(embedding_VD[first_W] - embedding_VD.mean(0), dim=-1)
        self.register_buffer("directions_WD", directions_WD, persistent=False)
        share_W = torch.tensor([counts[word] / len(texts) for word in known]).clamp(max=0.9)
        self.prior_W = nn.Parameter(share_W.logit() - 1.0)
        self.scale = nn.Parameter(torch.tensor(math.log(10.0)))

    def groups(self) -> list[dict]:
        return [{"params": list(self.projector.parameters()), "rate": 1e-3},
                {"params": [self.prior_W, self.scale], "rate": 5e-3, "weight_decay": 0.0}]  # fmt: skip

    @torch.no_grad()
    def begin(self, features_BPF: Tensor) -> None:
        """Start the projector so that its tokens have no common part and features weigh alike: of unit variance."""
        standardise(self.projector.linear_1, features_BPF)
        second = self.projector.linear_2
        second.weight.normal_(std=second.in_features**-0.5)
        second.bias.zero_()

    def tokens(self, features_BPF: Tensor) -> Tensor:
        return self.projector(self.drop(features_BPF))

    def logprobs(self, tokens_BPD: Tensor, captions: list[list[str]], smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Log-probability of the bag of words of each caption, in one row, and what to minimise: nats per word."""
        cosine_BPW = F.normalize(tokens_BPD, dim=-1) @ self.directions_WD.T
        score_BW = torch.logsumexp(self.scale.exp() * cosine_BPW.float(), 1) - math.log(tokens_BPD.shape[1])
        score_BW = score_BW + self.prior_W
        none_B = -F.softplus(score_BW).sum(1)
        said, count = [], []
        for row, texts in enumerate(captions):
            for text in texts:
                used = [self.index[word] for word in set(words(text)) if word in self.index]
                said.append(none_B[row] + score_BW[row, used].sum())
                count.append(max(1, len(used)))
        said_C = torch.stack(said)
        return said_C, -said_C / torch.tensor(count)
