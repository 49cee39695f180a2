"""Yes/no questions and the replies to them, from the files of POPE, LLaVA, HallusionBench, MME and their like.

Rows are read from any file that `io.rows` reads; MME's result files (`.txt`, `.tsv`: image,
question, truth and reply between tabs) are read as rows with the same keys. A model that answers by itself makes the
same `Reply` objects as a file.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from causal_attrib.errors import InputError
from causal_attrib.evaluation.yesno import Reply
from causal_attrib.io.parsing import shown
from causal_attrib.io.rows import QUESTIONS, Row, read_rows, read_text
from causal_attrib.words.yes_no import label_of

ID_KEYS = ("question_id", "id")
IMAGE_KEYS = ("image", "image_id")
TEXT_KEYS = ("text", "question", "query")
LABEL_KEYS = ("label", "gt_answer", "ground_truth", "truth", "gt")
REPLY_KEYS = ("answer", "text", "response", "prediction", "model_prediction", "reply", "output")
_OWN_REPLY_KEYS = REPLY_KEYS[2:]  # in a row that holds the question too, "text" and "answer" are about the question
_LOGPROB_KEYS = ("logprob_yes", "logprob_no")
_HALLUSION = ("category", "subcategory", "set_id", "figure_id", "question_id")


@dataclass(frozen=True)
class Question:
    """A yes/no question about an image and the right answer to it.

    key:    what its reply names it by, unique in a file; the line where the file has no ids
    image:  what intervals draw as one
    groups: for each kind of group that it belongs to, which one; a group is right if all of its questions are
    """

    key: str
    image: str
    text: str
    label: bool
    groups: tuple[tuple[str, str], ...] = ()
    where: str = ""


def read_questions(path: str | os.PathLike, *, label_key: str | None = None) -> list[Question]:
    """The questions of a file. An image is needed, since intervals are over images."""
    questions = [_question(row, label_key) for row in _rows(path)]
    seen: dict[str, str] = {}
    for question in questions:
        if question.key in seen:
            raise InputError(f"{question.where} has the id {question.key!r} of {seen[question.key]}; ids must differ.")
        seen[question.key] = question.where
    return questions


def read_replies(path: str | os.PathLike, *, answer_key: str | None = None) -> list[Reply]:
    """The replies of a file that holds only them."""
    return [_reply(row, REPLY_KEYS, answer_key) for row in _rows(path)]


def read_own_replies(path: str | os.PathLike, *, answer_key: str | None = None) -> list[Reply]:
    """The replies that stand in the same rows as their questions."""
    return [_reply(row, _OWN_REPLY_KEYS, answer_key, key=_key(row)) for row in _rows(path)]


def pair(
    questions: Sequence[Question], replies: Sequence[Reply], by: str = "id", *, skip_unanswered: bool = False
) -> list[tuple[Question, Reply]]:
    """Each question with its reply, in the order of the questions.

    `by="id"` takes the reply whose id is the question's. `by="order"` takes the n-th for the n-th, as POPE's script
    does, but never fewer than there are questions. A second or left-over reply is an `InputError`, and so is a missing
    one, unless `skip_unanswered` leaves its question out.
    """
    if by not in ("id", "order"):
        raise InputError(f"Replies cannot be paired by {by!r}; choose id or order.")
    if by == "order":
        if len(questions) != len(replies):
            raise InputError(f"There are {len(questions)} questions and {len(replies)} replies; give one for each.")
        pairs = list(zip(questions, replies, strict=True))
    else:
        pairs = _by_id(questions, replies, skip_unanswered)
    for question, reply in pairs:
        if reply.image is not None and reply.image != question.image:
            raise InputError(
                f"{reply.where} is about image {reply.image!r} and its question ({question.where}) about "
                f"{question.image!r}; give the answers to these questions."
            )
    return pairs


def _by_id(
    questions: Sequence[Question], replies: Sequence[Reply], skip_unanswered: bool
) -> list[tuple[Question, Reply]]:
    by_key: dict[str, Reply] = {}
    known = {question.key for question in questions}
    for reply in replies:
        if reply.key is None:
            raise InputError(f"{reply.where} has no key 'question_id'; add it, or take the order with --pair-by order.")
        if reply.key in by_key:
            raise InputError(f"{reply.where} answers question {reply.key!r} again, after {by_key[reply.key].where}.")
        if reply.key not in known:
            raise InputError(
                f"{reply.where} answers question {reply.key!r}, which is not asked; give the right questions."
            )
        by_key[reply.key] = reply
    missing = [question for question in questions if question.key not in by_key]
    if missing and not skip_unanswered:
        raise InputError(
            f"{len(missing)} questions have no reply, first {missing[0].key!r} ({missing[0].where}); answer them all, "
            "or leave them out with --unanswered skip."
        )
    return [(question, by_key[question.key]) for question in questions if question.key in by_key]


def _question(row: Row, label_key: str | None) -> Question:
    label = row.need(_label_keys(row) if label_key is None else (label_key,), "--label-key")
    answer = label_of(row.value[label])
    if answer is None:
        raise InputError(f"{row.where} has {shown(row.value[label])} under {label!r}; give yes or no.")
    truth = answer == "yes"
    text = row.text(row.need(TEXT_KEYS))
    if _is_hallusion(row):
        category, subcategory, set_id, figure, question = (str(row.value[key]) for key in _HALLUSION)
        of_set = f"{category}/{subcategory}/{set_id}"
        groups: tuple[tuple[str, str], ...] = (("question", f"{of_set}/question {question}"),)
        if not (category == "VS" and figure == "0"):  # no figure is shown
            groups += (("figure", f"{of_set}/figure {figure}"),)
        # Figures of a set share their questions, so a set is what intervals draw.
        return Question(_key(row), of_set, text, truth, groups, row.where)
    image = row.image(row.need(IMAGE_KEYS))
    return Question(_key(row), image, text, truth, (("image", image),), row.where)


def _label_keys(row: Row) -> tuple[str, ...]:
    """ "answer" is the truth in a question file that has no other word for it."""
    return LABEL_KEYS if row.first(LABEL_KEYS) else (*LABEL_KEYS, "answer")


def _key(row: Row) -> str:
    if _is_hallusion(row):
        return "/".join(str(row.value[key]) for key in _HALLUSION)
    named = row.first(ID_KEYS)
    return str(row.value[named]) if named else f"line {row.line}"


def _is_hallusion(row: Row) -> bool:
    return all(key in row.value for key in _HALLUSION)


def _reply(row: Row, keys: tuple[str, ...], answer_key: str | None, key: str | None = None) -> Reply:
    has_logprobs = row.first(_LOGPROB_KEYS) is not None
    found = [name for name in keys if name in row.value] if answer_key is None else [answer_key]
    if len(found) > 1:
        both = " and ".join(repr(name) for name in found)
        raise InputError(f"{row.where} has {both}, either of which may be the reply; name it with --answer-key.")
    text = None if not found and has_logprobs else row.text(row.need(tuple(found) or keys, "--answer-key"))
    if key is None and (named := row.first(ID_KEYS)):
        key = _key(row) if _is_hallusion(row) else str(row.value[named])
    image = row.first(IMAGE_KEYS)
    return Reply(
        text=text,
        logprobs=_logprobs(row) if has_logprobs else None,
        key=key,
        image=row.image(image) if image and not _is_hallusion(row) else None,
        where=row.where,
    )


def _logprobs(row: Row) -> tuple[float, float]:
    values = []
    for name in _LOGPROB_KEYS:
        value = row.value[row.need((name,))]
        if isinstance(value, bool) or not isinstance(value, (int, float)) or math.isnan(value) or value > 0:
            raise InputError(f"{row.where} has {shown(value)} under {name!r}; give a log-probability, 0 or less.")
        values.append(float(value))
    return values[0], values[1]


def _rows(path: str | os.PathLike) -> list[Row]:
    return _tabbed(path) if Path(path).suffix in (".txt", ".tsv") else read_rows(path, of_scenes=QUESTIONS)


def _tabbed(path: str | os.PathLike) -> list[Row]:
    """MME's result files: a line per question, `image, question, truth, reply` between tabs, two lines per image."""
    rows = []
    for number, line in enumerate(read_text(path).splitlines(), start=1):
        if not line.strip():
            continue
        cells = line.split("\t")
        if len(cells) != 4:
            raise InputError(
                f"{path} line {number} has {len(cells)} cells between tabs; give four: image, question, truth, reply."
            )
        image, question, truth, reply = cells
        value = {"question_id": f"{image}/{question}", "image": image, "question": question, "label": truth}
        rows.append(Row({**value, "prediction": reply}, os.fspath(path), number))
    if not rows:
        raise InputError(f"{path} is empty; give a file with rows.")
    return rows
