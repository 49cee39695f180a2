"""Small tokenizers of the kinds that vision-language models use, trained on a few lines."""

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

CORPUS = [
    "a dog and a red frisbee on the grass at sunset",
    "USER: what is it? ASSISTANT: a cat, two cows and the sheep. It's a picture",
    "the quick brown fox jumps over the lazy dog",
] * 4
IMAGE = {"image_token": "<image>"}
SPECIAL = ["<s>", "</s>", "<pad>", "<unk>", "<image>"]


def _finish(tokenizer: Tokenizer, named: dict[str, str], **more) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        pad_token="<pad>",
        unk_token="<unk>",
        extra_special_tokens=named,
        **more,
    )


def byte_level(vocab_size: int = 400, named: dict[str, str] = IMAGE) -> PreTrainedTokenizerFast:
    """As in GPT-2, Llama 3 and Qwen: bytes, leading spaces inside the token.

    named: special tokens by the attribute that a processor looks them up by.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=SPECIAL, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _finish(tokenizer, named)


def metaspace(named: dict[str, str] = IMAGE) -> PreTrainedTokenizerFast:
    """As in Llama 2 and Gemma: a mark for the space, bytes where a character is unknown."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="first")
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), decoders.Strip(" ", 1, 0)]
    )
    byte_tokens = [f"<0x{byte:02X}>" for byte in range(256)]
    trainer = trainers.BpeTrainer(vocab_size=600, special_tokens=SPECIAL + byte_tokens)
    tokenizer.train_from_iterator(CORPUS, trainer)
    return _finish(tokenizer, named)


def word_piece(named: dict[str, str] = IMAGE) -> PreTrainedTokenizerFast:
    """As in BLIP and BERT: lower case, no accents, spaces dropped."""
    tokenizer = Tokenizer(models.WordPiece(unk_token="<unk>"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    tokenizer.train_from_iterator(CORPUS, trainers.WordPieceTrainer(vocab_size=200, special_tokens=SPECIAL))
    # BERT's closing and opening tokens.
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $0 </s>", special_tokens=[("<s>", 0), ("</s>", 1)]
    )
    return _finish(tokenizer, named, cls_token="<s>", sep_token="</s>")


TOKENIZERS = {"byte-level": byte_level(), "metaspace": metaspace(), "word-piece": word_piece()}
