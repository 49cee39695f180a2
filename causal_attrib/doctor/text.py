"""Is the model shown the words and image tokens that it is said to be shown?"""

from __future__ import annotations

import re
import unicodedata

from causal_attrib.doctor.case import Case
from causal_attrib.doctor.report import Check
from causal_attrib.vlm.text import decode

_TASK = re.compile(r"<\w+>")


def spans(case: Case) -> Check:
    """The pieces of the caption that scores are printed beside are what the token ids decode to.

    Compared is all text up to each token, since a character may take several tokens and a decoder may glue words.
    """
    encoding, tokenizer = case.encoding, case.vlm.tokenizer
    edges = [0, *(end for _, end in encoding.spans)]
    if [start for start, _ in encoding.spans] != edges[:-1] or edges[-1] != len(encoding.response):
        return Check(
            "spans", False, "The tokens' pieces do not make up the caption, so scores stand beside wrong words."
        )
    said = [decode(tokenizer, encoding.response_ids[: t + 1]) for t in range(len(encoding.response_ids))]
    lossless = said[-1].lstrip() == encoding.response.lstrip()
    same = str.lstrip if lossless else _letters
    wrong = [
        t
        for t, text in enumerate(said)
        # Half a character decodes to U+FFFD until its last token is there.
        if not text.endswith("\ufffd") and same(text) != same(encoding.response[: edges[t + 1]])
    ]
    return Check.at_most(
        "spans",
        len(wrong),
        0,
        "tokens",
        good="Every token's piece of the caption is the text that its id stands for.",
        bad=f"From token {wrong[0] if wrong else 0} on the ids do not decode to the caption: the tokenizer drops or "
        "changes characters, or does not know a word; use other words, or report it.",
    )


def prompt(case: Case) -> Check:
    """What the model is asked is among the ids it is given."""
    encoding = case.encoding
    row = encoding.prompt_inputs.get("input_ids")
    if row is None or not encoding.prompt.strip():
        return Check.skipped("prompt", "This model is asked nothing.")
    if _TASK.fullmatch(encoding.prompt):
        return Check.skipped("prompt", f"{encoding.prompt} is a task, which the processor spells out in its own words.")
    asked, read = _letters(encoding.prompt), _letters(case.vlm.tokenizer.decode(row[0]))
    if asked not in read and any(map(str.isalnum, asked)):
        # Tokenizers of words alone leave out the punctuation.
        asked, read = ("".join(filter(str.isalnum, text)) for text in (asked, read))
    return Check.at_least(
        "prompt",
        read.count(asked),
        1,
        "times",
        good=f'"{encoding.prompt}" stands in the text before the caption.',
        bad=f'"{encoding.prompt}" is not in the ids before the caption: the chat template drops it; give the model '
        "folder a template that keeps it.",
    )


def image_tokens(case: Case) -> Check:
    """The places taken for the picture's are the placeholders, all of them, and fill their grid."""
    encoding, config = case.encoding, case.vlm.model.config
    # Not every architecture has one; those that look by cross-attention have a single mark or none.
    placeholder = getattr(config, "image_token_id", None)
    row = encoding.prompt_inputs.get("input_ids")
    marks = [] if row is None else [i for i, token in enumerate(row[0].tolist()) if token == placeholder]
    if len(marks) <= 1:
        return Check.skipped("image tokens", "This model has no placeholders: the image is not among its words.")
    wrong = len(set(marks) ^ set(encoding.image_positions))
    missing = 0
    if encoding.grid is not None:
        rows, columns = encoding.grid
        missing = abs(rows * columns - sum(box is not None for box in encoding.layout.boxes))
    shape = "" if encoding.grid is None else f" in a grid of {encoding.grid[0]} x {encoding.grid[1]}"
    return Check.at_most(
        "image tokens",
        wrong + missing,
        0,
        "tokens",
        good=f"All {len(marks)} image tokens are found{shape}.",
        bad=f"{len(marks)} placeholders, {len(encoding.image_positions)} places taken for image tokens{shape}: maps "
        "would lie wrong on the image; report it, naming the model.",
    )


def _letters(text: str) -> str:
    """Text without what tokenizers may drop: spaces, case, accents."""
    decomposed = unicodedata.normalize("NFKD", text).casefold()
    return "".join(letter for letter in decomposed if not letter.isspace() and not unicodedata.combining(letter))
