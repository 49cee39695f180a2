"""Rewards: how right a completion is, from 0 to 1.

Every function has the signature that TRL calls, and with it ms-swift and others: completions by name, the columns of
the data by name, and one number per completion back, None where the row says nothing (TRL then leaves it to the other
functions).

    def reward(completions, answer=None, **_: Any): ...

A completion is a string, or a conversation whose last message is the model's. The answer in it is what stands in its
tags or behind "the final answer is", else all of it (`words.reasoning`).
"""

from __future__ import annotations

import inspect
import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, cast

from causal_attrib.errors import InputError
from causal_attrib.io.parsing import shown
from causal_attrib.outcomes.function import import_function
from causal_attrib.outcomes.match import matches, normalise
from causal_attrib.outcomes.objects import Objects, annotated_objects
from causal_attrib.training.recipe.check import check_reward_name
from causal_attrib.training.recipe.keys import REWARDS as NAMES
from causal_attrib.training.scoring.own_reward import checked, is_async
from causal_attrib.words.reasoning import answer_of
from causal_attrib.words.yes_no import label_of

Completion = str | Sequence[dict]
Reward = Callable[..., list[float | None]]

# Relative difference of numbers that count as equal.
CLOSE = 1e-4

_NUMBER = re.compile(r"(?<![\w.])[-+]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:[eE][-+]?\d+)?(?:\s*/\s*\d+)?")
_DIGITS = {word: str(n) for n, word in enumerate("zero one two three four five six seven eight nine ten".split())}
_WORD = re.compile(r"[A-Za-z]+")
# A capital letter by itself, but no article and no I: "A dog", "I see".
_LETTER = re.compile(r"(?<![A-Za-z'])([A-Z])(?![A-Za-z'])(?!(?<=[AI])\s+(?!or\b|and\b)[a-z])")
_OPTION = re.compile(r"\(?([A-Za-z])(?:[).:]|\s|$)")
_ANSWER = re.compile(r"\s*<answer>(.*?)(?:</answer>\s*|$)", re.DOTALL)
_TAGGED = re.compile(
    r"\s*<think>(?=.*?\S.*?</think>)(?:(?!</?think>).)*</think>\s*<answer>(?=.*?\S.*?</answer>)(?:(?!</?answer>).)*"
    r"</answer>\s*",
    re.DOTALL,
)


def text_of(completion: Completion) -> str:
    """What the model wrote, whichever way the trainer hands it over.

    >>> text_of([{"role": "assistant", "content": "a dog"}]), text_of("a dog")
    ('a dog', 'a dog')
    """
    if isinstance(completion, str):
        return completion
    content = completion[-1]["content"]
    return content if isinstance(content, str) else "".join(block.get("text") or "" for block in content)


def answer_in(text: str) -> str:
    """The answer in a text: as `words.reasoning.answer_of`, and in its tags if there is no reasoning before them.

    >>> answer_in("<answer> yes </answer>"), answer_in("<think> a </think> <answer> no </answer>"), answer_in("yes")
    ('yes', 'no', 'yes')
    """
    tagged = _ANSWER.fullmatch(text)
    return tagged[1].strip() if tagged else answer_of(text)


def match(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """1 if the answer agrees with the reference, else 0 (COPO's r(), by the rules of the outcome "match").

    >>> match(["<think> a red bus </think> <answer> Bus. </answer>", "a car"], answer=["the bus", "bus"])
    [1.0, 0.0]
    """
    return _judge(completions, answer, "match", lambda text, wanted: float(matches(answer_in(text), wanted)))


def likeness(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """F1 of the words of the answer against those of the reference, normalised as for "match" (SQuAD's F1, 1606.05250).

    A graded accuracy, which a power mean with other rewards (CE-PO) needs.

    >>> [round(r, 3) for r in likeness(["a red bus", "the bus is red", "a car"], answer=["red bus"] * 3)]
    [1.0, 0.8, 0.0]
    """

    def judge(text: str, wanted: str) -> float:
        said, named = Counter(normalise(answer_in(text)).split()), Counter(normalise(wanted).split())
        shared = (said & named).total()
        return 2 * shared / (said.total() + named.total()) if shared else 0.0

    return _judge(completions, answer, "likeness", judge)


def choice(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """1 if the option letter chosen is the reference's, else 0.

    The letter is the one that the answer begins with, else the only capital letter that stands alone in it.

    >>> choice(["<answer>(B) a dog</answer>", "It must be C", "A or B", "A dog"], answer=["B", "C", "B", "A"])
    [1.0, 1.0, 0.0, 0.0]
    """

    def judge(text: str, wanted: str) -> float:
        option = _OPTION.match(wanted.strip())
        if option is None:
            raise InputError(f"The reward choice got the reference {wanted!r}, which is no option letter; use match.")
        said = answer_in(text)
        return float(matches(said, option[1]) or set(_LETTER.findall(said)) == {option[1].upper()})

    return _judge(completions, answer, "choice", judge)


def numeric(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """1 if the last number of the answer is the reference's, to 4 digits, else 0.

    Thousands commas, fractions and the number words up to ten are understood; units and per cent signs are not read.

    >>> numeric(["there are three dogs", "<answer>1,250.0</answer>", "25 %", "no"], answer=["3", "1250", "1/4", "0"])
    [1.0, 1.0, 0.0, 0.0]
    """

    def judge(text: str, wanted: str) -> float:
        reference, said = last_number(wanted), last_number(answer_in(text))
        if reference is None:
            raise InputError(f"The reward numeric got the reference {wanted!r}, which holds no number; use match.")
        return float(said is not None and math.isclose(said, reference, rel_tol=CLOSE, abs_tol=1e-9))

    return _judge(completions, answer, "numeric", judge)


def yesno(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """1 if the first yes or no said is the reference's, else 0. References may be 1/0 and true/false too.

    >>> yesno(["Yes, there is.", "I see none"], answer=["yes", "no"])
    [1.0, 0.0]
    """

    def judge(text: str, wanted: str) -> float:
        label = label_of(wanted)
        if label is None:
            raise InputError(f"The reward yesno got the reference {wanted!r}, which is neither yes nor no; use match.")
        return float(matches(answer_in(text), label))

    return _judge(completions, answer, "yesno", judge)


def objects(
    completions: Sequence[Completion], objects: Sequence[Sequence[str] | None] | None = None, **_: Any
) -> list[float | None]:
    """F1 of the object classes a caption names against those annotated: CHAIR's matter, graded (Rohrbach et al. 2018).

    precision = 1 - CHAIR_i of this caption by class, recall = annotated classes that are named; COCO's vocabulary.

    >>> [round(r, 3) for r in objects(["a dog and a cat", "grass"], objects=[["dog"], ["dog"]])]
    [0.667, 0.0]
    """

    def judge(text: str, words: Sequence[str]) -> float:
        return Objects(annotated_objects(list(words)))(text)

    return _judge(completions, objects, "objects", judge, column="objects")


def format(completions: Sequence[Completion], **_: Any) -> list[float | None]:
    """1 if a completion is `<think>..</think><answer>..</answer>`, each once and with words in it, else 0.

    >>> format(["<think> a dog </think> <answer> yes </answer>", "yes", "<think></think><answer>yes</answer>"])
    [1.0, 0.0, 0.0]
    """
    return [float(_TAGGED.fullmatch(text_of(completion)) is not None) for completion in completions]


def vicrit(
    completions: Sequence[Completion], answer: Sequence[str | None] | None = None, **_: Any
) -> list[float | None]:
    """1 if the answer is the false word or phrase of a caption, and nothing more, else 0 (ViCrit, arXiv 2506.10128).

    Compared without case, punctuation and articles; the rows are those of `copo vicrit`.

    >>> vicrit(["<think> it is a dog </think> <answer> The 'cat'. </answer>", "a red cat"], answer=["cat", "cat"])
    [1.0, 0.0]
    """
    return _judge(
        completions, answer, "vicrit", lambda text, wanted: float(normalise(answer_in(text)) == normalise(wanted))
    )


_REWARDS: tuple[Reward, ...] = (match, likeness, choice, numeric, yesno, objects, format, vicrit)
REWARDS: dict[str, Reward] = dict(zip(NAMES, _REWARDS, strict=True))


def choose_reward(name: str) -> Reward:
    """A reward of this file, or a function of one's own: `module:function`, or the same with dots only.

    >>> choose_reward("match") is match
    True

    Raises:
        InputError: there is no such reward, module or function, or it does not take whatever columns there are.
    """
    if name in REWARDS:
        return REWARDS[name]
    check_reward_name(name)
    if ":" not in name:
        name = ":".join(name.rsplit(".", 1))
    reward: Reward = cast("Reward", import_function(name))
    if reward in REWARDS.values():
        return reward
    try:
        parameters = list(inspect.signature(reward).parameters.values())
    except (ValueError, TypeError):  # of what is written in C
        parameters = []
    if not any(one.kind is one.VAR_KEYWORD for one in parameters):
        raise InputError(f"The reward {name} is given every column by name; end its parameters with **_.")
    return checked(name, reward)


# What TRL hands to a reward beside the columns of the rows.
_GIVEN = {"prompts", "completions", "completion_ids", "trainer_state", "log_extra", "log_metric", "environments"}
# Columns of the rows that would be taken for these, or that TRL leaves out without a word.
_TAKEN = _GIVEN | {"completion"}


def check_names(rows: Sequence[dict], path: object) -> None:
    """Raises InputError if a row has a column of a name that TRL uses itself when it calls rewards."""
    for number, row in enumerate(rows, start=1):
        for name in row:
            if name in _TAKEN:
                raise InputError(
                    f"{path} row {number} has a column {name!r}, a name that TRL uses itself when it calls rewards; "
                    "rename the column, or leave it out."
                )


def check_not_async(name: str, reward: Reward, where: str) -> None:
    """Raises InputError for an asynchronous reward where it is called by itself; TRL alone awaits them."""
    if is_async(reward):
        raise InputError(f"The reward {name} is asynchronous, which {where} does not take; give a plain function.")


def check_reward(name: str, reward: Reward, rows: Sequence[dict], path: object, *, alone: bool = True) -> None:
    """Let a reward of this file judge an empty completion of each row: what it cannot read it says at once.

    One of the user's own is not called, since it may be slow or cost something; that the rows have what it cannot do
    without is checked.

    Args:
        path: where the rows are from.
        alone: there is no other reward, so that it must have something to say on every row.

    Raises:
        InputError: a row lacks what the reward compares with, or has it in another form.
    """
    if name not in REWARDS:
        columns = set().union(*rows) - {"prompt"}
        for parameter in inspect.signature(reward).parameters.values():
            named = parameter.kind in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY)
            if named and parameter.default is parameter.empty and parameter.name not in _GIVEN | columns:
                raise InputError(
                    f"The reward {name} needs {parameter.name!r}, which is no column of {path}; add it to the rows, or "
                    "give the parameter a default."
                )
        return
    for number, row in enumerate(rows, start=1):
        given = {column: [value] for column, value in row.items() if column != "prompt"}
        try:
            judged = reward(completions=[""], **given)
        except InputError as error:
            raise InputError(f"{path} row {number}: {error}") from None
        if judged == [None] and alone:
            raise InputError(f"{path} row {number} has nothing for the reward {name} to compare with; add it.")
        if name == "vicrit" and row.get("answer") is not None and "prompt" in row:
            asked = " ".join(text_of([turn]) for turn in row["prompt"])
            if normalise(str(row["answer"])) not in normalise(asked):
                raise InputError(
                    f"{path} row {number} has the answer {shown(row['answer'])}, which its prompt does not say; the "
                    "reward vicrit is for the rows that copo vicrit writes, so write them, or choose another reward."
                )


def last_number(text: str) -> float | None:
    """The last number in a text.

    >>> last_number("from 1,200 to 3.5%."), last_number("about 1/2"), last_number("two or 3-4"), last_number("none")
    (3.5, 0.5, 4.0, None)
    """
    found = _NUMBER.findall(_WORD.sub(lambda word: _DIGITS.get(word[0].lower(), word[0]), text))
    if not found:
        return None
    top, _, bottom = found[-1].replace(",", "").partition("/")
    return float(top) / float(bottom or 1) if float(bottom or 1) else None


def _judge(
    completions: Sequence[Completion],
    wanted: Sequence | None,
    name: str,
    judge: Callable[[str, Any], float],
    column: str = "answer",
) -> list[float | None]:
    if wanted is None:
        raise InputError(
            f"The reward {name} needs the column {column!r}; add it to the rows, or choose another reward."
        )
    return [
        None if reference is None else judge(text_of(completion), reference)
        for completion, reference in zip(completions, wanted, strict=True)
    ]
