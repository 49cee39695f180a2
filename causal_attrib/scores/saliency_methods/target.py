"""What a map explains: the log-probability of some tokens of the response, or its lead over a foil's.

    logprob   f(I) = sum over t in the word of log p(o_t | I, o_<t)
    answer    f(I) = log p(answer | I, response, cue)
    foil      f(I) = f(I) of the word (or answer) - that of the foil in its place: why "dog" and not "cat"

All are in nats. The log-probability of a word is that of all its tokens, by the chain rule.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from causal_attrib.errors import InputError
from causal_attrib.scores.saliency_methods.choice import check_words, plain_word, words_named
from causal_attrib.vlm import VLM, Encoding
from causal_attrib.vlm.text import tokenize

# Tokens of the response.
Unit = tuple[int, ...]


@dataclass(frozen=True)
class Part:
    """The tokens `positions` of row `row`, whose log-probabilities are added (sign 1) or taken away (sign -1)."""

    row: int
    positions: tuple[int, ...]
    sign: int = 1


@dataclass(frozen=True)
class Target:
    """M functions of the picture.

    rows:   what is put behind the prompt, R lists of ids; every function reads from these
    parts:  what each function adds up
    labels: text of each
    tokens: response tokens of each; () for the answer
    name:   "logprob", "answer" or "foil"
    foil:   the word or answer they are set against
    """

    rows: tuple[tuple[int, ...], ...]
    parts: tuple[tuple[Part, ...], ...]
    labels: tuple[str, ...]
    tokens: tuple[tuple[int, ...], ...]
    name: str
    foil: str | None = None


def choose_target(
    vlm: VLM, encoding: Encoding, of: str, words: str | Sequence[str] | None = None, foil: str | None = None
) -> Target:
    """The functions that are asked for.

    Args:
        of: "word" or "token" for one function per scored word or token, "answer" for one in all.
        words: only these words of the response; a string may name several.
        foil: a word to put in the place of each (or, with "answer", another answer).

    Raises:
        InputError: a word that the response has not, an answer where there is none, or a foil that does not fit.
    """
    check_words(of, words, foil)
    if of == "answer":
        return _answer(vlm, encoding, words, foil)
    units = encoding.units(of)
    if words is not None:
        units = _named(encoding, units, words)
    row = encoding.response_ids
    labels = tuple("".join(_text(encoding, t) for t in unit) for unit in units)
    if foil is None:
        return Target((row,), tuple((Part(0, unit),) for unit in units), labels, units, "logprob")
    rows, parts = [row], []
    for unit, label in zip(units, labels, strict=True):
        foil_ids = _in_place_of(vlm, encoding, unit, label, foil)
        parts.append((Part(0, unit), Part(len(rows), _next(unit[0], len(foil_ids)), -1)))
        rows.append(row[: unit[0]] + foil_ids)
    return Target(tuple(rows), tuple(parts), labels, units, "foil", foil)


def _answer(vlm: VLM, encoding: Encoding, words: str | Sequence[str] | None, foil: str | None) -> Target:
    if encoding.answer is None or not encoding.answers_a_question:
        raise InputError("There is no answer to make a map of; give a question and its answer, or reasoning with tags.")
    body = encoding.response_ids[: encoding.end] + encoding.cue_ids
    answers = [encoding.answer_ids]
    if foil is not None:
        other = vlm.encode(encoding.picture, encoding.prompt, encoding.response_ids, foil, question=encoding.question)
        answers.append(other.answer_ids)
    rows = tuple(body + ids for ids in answers)
    parts = tuple(
        Part(i, _next(len(body), len(ids)), sign) for i, (ids, sign) in enumerate(zip(answers, (1, -1), strict=False))
    )
    return Target(rows, (parts,), (encoding.answer,), ((),), "answer" if foil is None else "foil", foil)


def _named(encoding: Encoding, units: Sequence[Unit], words: str | Sequence[str]) -> tuple[Unit, ...]:
    """The units that belong to the words named, in the order of the response."""
    wanted = words_named(words)
    name_of = [plain_word(_word_text(encoding, encoding.words[unit[0]])) for unit in units]
    missing = next((word for word in wanted or [""] if plain_word(word) not in name_of), None)
    if missing is not None:
        raise InputError(
            f"{missing!r} is not a word of the response; choose from {', '.join(filter(None, dict.fromkeys(name_of)))}."
        )
    chosen = {plain_word(word) for word in wanted}
    return tuple(unit for unit, name in zip(units, name_of, strict=True) if name in chosen)


def _in_place_of(vlm: VLM, encoding: Encoding, unit: Unit, label: str, foil: str) -> tuple[int, ...]:
    """Ids of the foil as the model would say it where the word stands."""
    talk = vlm.family.converse(encoding.prompt)
    lead = vlm.family.lead(talk.before)
    start = encoding.spans[unit[0]][0]
    gap = label[: len(label) - len(label.lstrip())]
    if start == 0:
        ids, _ = tokenize(vlm.tokenizer, talk.separator + gap + foil.strip(), after=lead)
    else:
        before = lead + talk.separator + encoding.response[:start]
        ids, _ = tokenize(vlm.tokenizer, gap + foil.strip(), after=before)
    if ids == tuple(encoding.response_ids[t] for t in unit):
        raise InputError(f"The foil {foil!r} is the word itself; give another word.")
    return ids


def _next(start: int, count: int) -> tuple[int, ...]:
    return tuple(range(start, start + count))


def _text(encoding: Encoding, token: int) -> str:
    return encoding.response[slice(*encoding.spans[token])]


def _word_text(encoding: Encoding, word: int) -> str:
    return "".join(_text(encoding, t) for t, owner in enumerate(encoding.words) if owner == word)
