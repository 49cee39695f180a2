"""Text to token ids and back, with exact character spans."""

from __future__ import annotations

from transformers import PreTrainedTokenizerBase

from causal_attrib.words.segmentation import Span


def tokenize(
    tokenizer: PreTrainedTokenizerBase, text: str, *, after: str = ""
) -> tuple[tuple[int, ...], tuple[Span, ...]]:
    """Token ids of `text` as it stands behind `after`, and the characters of `text` that each token covers.

    Tokenizers treat a word at the beginning of a text unlike one that follows another (a leading space or mark), so the
    end of the text that comes before is tokenized too and cut off again. Special tokens written out in `text` are
    ordinary characters here: `<image>` in a caption is eight characters, not a picture.

    The spans tile `text`: they are ascending, do not overlap and leave no gap, so joining them gives `text` back. A
    character of several tokens belongs to its first token; the others get empty spans.
    """
    anchor = _plain_tail(tokenizer, after)
    ids, offsets = _tokenize_plain(tokenizer, anchor + text)
    first = next((i for i, (_, end) in enumerate(offsets) if end > len(anchor)), len(ids))
    # Where a token straddles the border (or the text is lost in it), the text is tokenized on its own.
    if text and (first == len(ids) or offsets[first][0] < len(anchor)):
        anchor, first = "", 0
        ids, offsets = _tokenize_plain(tokenizer, text)
    return tuple(ids[first:]), tile([end - len(anchor) for _, end in offsets[first:]], len(text))


def tile(ends: list[int], length: int) -> tuple[Span, ...]:
    """Spans that tile [0, length) from where each token ends; the last one reaches to the end of the text.

    >>> tile([2, 2, 4, 6], 7)
    ((0, 2), (2, 2), (2, 4), (4, 7))
    """
    if not ends:
        return ()
    bounds = [0]
    for end in ends[:-1]:
        bounds.append(min(max(end, bounds[-1]), length))
    bounds.append(length)
    return tuple(zip(bounds, bounds[1:], strict=False))


def spans_of_ids(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> tuple[str, tuple[Span, ...]]:
    """The text that `ids` decode to and the characters each id adds: for text the model wrote itself.

    Ids are kept as they are, since tokenizing the decoded text again can give other ids.
    """
    text = decode(tokenizer, ids)
    # Half a character decodes to U+FFFD until its last byte is there.
    ends = [len(decode(tokenizer, ids[: count + 1]).rstrip("\ufffd")) for count in range(len(ids))]
    return text, tile(ends, len(text))


def decode(tokenizer: PreTrainedTokenizerBase, ids: tuple[int, ...]) -> str:
    """The text of `ids`, special tokens left out, spaces as they are."""
    return str(tokenizer.decode(list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False))


def special_token_in(tokenizer: PreTrainedTokenizerBase, text: str) -> str | None:
    """The first special token that is written out in `text`, or None."""
    return next((token for token in _special_tokens(tokenizer) if token in text), None)


def _special_tokens(tokenizer: PreTrainedTokenizerBase) -> list[str]:
    """All tokens that are no text, those without a role of their own (such as image placeholders) included."""
    added = [token.content for token in tokenizer.added_tokens_decoder.values() if token.special]
    return list(dict.fromkeys([*tokenizer.all_special_tokens, *added]))


def _plain_tail(tokenizer: PreTrainedTokenizerBase, text: str) -> str:
    """The end of `text` behind its last special token: what the next token is glued to."""
    cut = 0
    for token in _special_tokens(tokenizer):
        position = text.rfind(token)
        if position >= 0:
            cut = max(cut, position + len(token))
    return text[cut:]


def _tokenize_plain(tokenizer: PreTrainedTokenizerBase, text: str) -> tuple[list[int], list[Span]]:
    encoded = tokenizer(text, add_special_tokens=False, split_special_tokens=True, return_offsets_mapping=True)
    return encoded["input_ids"], encoded["offset_mapping"]
