"""Kind `fastvlm`: EfficientNet-lite0 and SmolLM2-135M in transformers' class of FastVLM, a decoder that is prompted."""

from __future__ import annotations

from pathlib import Path

import torch
from data import Photo
from parts import CELLS, TOWER, WIDTH, image_processor, load_language_model
from PIL import Image
from reader import Reader
from torch import Tensor, nn
from train import Plan
from transformers import (
    CLIPImageProcessor,
    EfficientNetConfig,
    EfficientNetModel,
    FastVlmConfig,
    FastVlmForConditionalGeneration,
    GenerationConfig,
    LlamaForCausalLM,
    LlavaProcessor,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

PROMPT = "Describe this image."
LONGEST = 28
# Of 30. The projector is taught beforehand, so that no gradient has to pass through them: a step costs 2.4 seconds of
# one core, of which 1.4 are the forward.
FROZEN_LAYERS = 22
# Length of an image token, in lengths of a word's embedding without what all have in common. Tried on 16 photographs of
# the fit split, whose captions the untaught language model finds likelier behind their own photograph than behind
# another in .75 of pairs at 4 and in .70 at 8.
LENGTH = 4.0
# A word of the tokenizer that no caption uses stands for the image, so that the vocabulary does not grow.
SPARE = "<filename>"
TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'user' %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% endif %}{% endfor %}"
    "{% for part in message['content'] %}{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}"
    "{% endif %}\n{% else %}"
    "{{ message['content'] if message['content'] is string else message['content'][0]['text'] }}<|im_end|>"
    "{% endif %}{% endfor %}"
)
PLAN = Plan(
    steps=130, batch=8, captions_per_photo=3, check_every=26, contrast=0.3, seen=0.0, smoothing=0.0, fit_photos=24,
    fit_others=3, gate_others=5,
)  # fmt: skip


def with_image_token(tokenizer: PreTrainedTokenizerBase) -> PreTrainedTokenizerFast:
    from tokenizers import Tokenizer

    named = tokenizer.backend_tokenizer.to_str().replace(f'"{SPARE}"', '"<image>"')
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_str(named), bos_token="<|im_start|>", eos_token="<|im_end|>",
        unk_token="<|endoftext|>", pad_token="<|endoftext|>",
    )  # fmt: skip


def sentence(caption: str) -> str:
    text = caption.strip().replace(" .", ".").replace(" ,", ",").rstrip(". ")
    return text[:1].upper() + text[1:] + "."


class FastVlmCaptioner(nn.Module):
    """The captioner while it is taught: features of the tower in, log-probabilities of captions out."""

    end_of_turn = "<|im_end|>"
    longest = LONGEST
    not_learnt = -100  # an id that is read and not learnt

    def __init__(self, tower: EfficientNetModel):
        super().__init__()
        language, self.tokenizer = self.parts()
        self.processor = LlavaProcessor(
            image_processor=image_processor(CLIPImageProcessor), tokenizer=self.tokenizer, patch_size=32,
            vision_feature_select_strategy="full", image_token="<image>", num_additional_image_tokens=0,
            chat_template=TEMPLATE.replace("<|im_end|>", self.end_of_turn),
        )  # fmt: skip
        self.end = self.tokenizer.eos_token_id
        config = FastVlmConfig(
            vision_config=EfficientNetConfig(hidden_size=WIDTH, **TOWER), text_config=language.config,
            image_token_index=self.tokenizer.convert_tokens_to_ids("<image>"), image_seq_length=CELLS,
            tie_word_embeddings=True,
        )  # fmt: skip
        self.model = FastVlmForConditionalGeneration(config)
        self.model.model.vision_tower.load_state_dict(tower.state_dict())
        self.model.model.language_model.load_state_dict(language.model.state_dict())
        self.model.tie_weights()
        self.model.generation_config = GenerationConfig(
            bos_token_id=self.tokenizer.bos_token_id, eos_token_id=self.end, pad_token_id=self.tokenizer.pad_token_id,
            max_new_tokens=self.longest,
        )  # fmt: skip
        self.language, self.projector = self.model.model.language_model, self.model.model.multi_modal_projector
        for part in [self.model.model.vision_tower, *self.frozen()]:
            part.requires_grad_(False)
        self.drop = nn.Dropout(0.1)
        content = [{"type": "image"}, {"type": "text", "text": PROMPT}]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
        ids_T = self.processor(images=Image.new("RGB", (64, 64)), text=text, return_tensors="pt")["input_ids"][0]
        is_image_T = ids_T == config.image_token_index
        if not is_image_T[:CELLS].all() or is_image_T[CELLS:].any():
            raise SystemExit("The prompt should begin with one token per cell of the picture, and does not.")
        self.asked_T = ids_T[CELLS:]

    def parts(self) -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
        """The language model, and its tokenizer with a word that stands for the image."""
        language, tokenizer = load_language_model()
        return language, with_image_token(tokenizer)

    def frozen(self) -> list[nn.Module]:
        """What is not learnt, beside the tower."""
        return [self.language.embed_tokens, *self.language.layers[:FROZEN_LAYERS]]

    def ids(self, caption: str) -> list[int]:
        return [*self.tokenizer(sentence(caption))["input_ids"][: self.longest], self.end]

    def train(self, mode: bool = True):
        super().train(mode)
        self.model.model.vision_tower.eval()  # its batch norms keep what they learnt on ImageNet
        return self

    def groups(self) -> list[dict]:
        return [{"params": [one for one in self.language.parameters() if one.requires_grad], "rate": 4e-4}]

    def reader(self, photos: list[Photo]) -> Reader:
        """What teaches the projector, before the language model is taught."""
        return Reader(self.projector, self.language.embed_tokens.weight.detach(), self.tokenizer, photos)

    @torch.no_grad()
    def begin(self, features_BPF: Tensor) -> None:
        """Freeze the projector, which is taught by now, with tokens where the embeddings of words are."""
        self.projector.requires_grad_(False)
        words_VD = self.language.embed_tokens.weight
        length = (words_VD - words_VD.mean(0)).norm(dim=-1).mean()
        factor = LENGTH * length / self.projector(features_BPF).norm(dim=-1).mean()
        self.projector.linear_2.weight.mul_(factor)
        self.projector.linear_2.bias.mul_(factor).add_(words_VD.mean(0))

    def tokens(self, features_BPF: Tensor) -> Tensor:
        return self.projector(self.drop(features_BPF))

    def logprobs(self, tokens_BPD: Tensor, captions: list[list[str]], smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
        """Log-probability of the captions of each photograph, in one row, and what to minimise: nats per token.

        All captions of a photograph share one sequence, so that it is read once: each sees the prompt and itself.
        """
        ids = [[self.ids(one) for one in row] for row in captions]
        prompt = CELLS + len(self.asked_T)
        length = max(prompt + sum(map(len, row)) for row in ids)
        ids_BT = torch.full((len(ids), length), self.end)
        ids_BT[:, CELLS:prompt] = self.asked_T
        position_BT = torch.arange(length).repeat(len(ids), 1)
        part_BT = torch.full((len(ids), length), -1)  # 0: the prompt; 1, 2, ...: its captions; -1: nothing
        part_BT[:, :prompt] = 0
        source, target, whose = [], [], []
        number = 0
        for row, texts in enumerate(ids):
            start = prompt
            for part, text in enumerate(texts, 1):
                end = start + len(text)
                ids_BT[row, start:end], part_BT[row, start:end] = torch.tensor(text), part
                position_BT[row, start:end] = torch.arange(prompt, prompt + len(text))
                source += [(row, prompt - 1), *((row, place) for place in range(start, end - 1))]
                target += text
                whose += [number] * len(text)
                start, number = end, number + 1
        same_BTT = part_BT[:, :, None] == part_BT[:, None, :]
        sees_BTT = (same_BTT | (part_BT[:, None, :] == 0)) & torch.ones(length, length, dtype=torch.bool).tril()
        words_BTD = self.language.embed_tokens(ids_BT[:, CELLS:])
        states_BTD = self.language(
            inputs_embeds=torch.cat([tokens_BPD.to(words_BTD.dtype), words_BTD], 1),
            attention_mask=sees_BTT[:, None], position_ids=position_BT, use_cache=False,
        ).last_hidden_state  # fmt: skip
        rows_N, places_N = torch.tensor(source).unbind(1)
        logits_NV = self.model.lm_head(states_BTD[rows_N, places_N]).float()
        target_N, whose_N = torch.tensor(target), torch.tensor(whose)
        target_N[target_N == self.not_learnt] = -100
        count_C = torch.zeros(number).index_add(0, whose_N, (target_N != -100).float()).clamp(min=1)

        def by_caption(label_smoothing: float) -> Tensor:
            loss_N = nn.functional.cross_entropy(logits_NV, target_N, reduction="none", label_smoothing=label_smoothing)
            return torch.zeros(number).index_add(0, whose_N, loss_N)

        sum_C = by_caption(0.0)
        return -sum_C, (by_caption(smoothing) if smoothing else sum_C) / count_C

    def save(self, folder: Path) -> None:
        self.model.save_pretrained(folder)
        self.processor.save_pretrained(folder)

    def write(self, features_BPF: Tensor, **how) -> list[str]:
        """A caption of each photograph, by `generate`."""
        words_TD = self.language.embed_tokens(self.asked_T)
        given_BTD = torch.cat([self.tokens(features_BPF), words_TD.expand(len(features_BPF), -1, -1)], 1)
        mask_BT = torch.ones(given_BTD.shape[:2], dtype=torch.long)
        ids_BT = self.model.generate(inputs_embeds=given_BTD, attention_mask=mask_BT, **how)
        return [text.strip() for text in self.tokenizer.batch_decode(ids_BT, skip_special_tokens=True)]
