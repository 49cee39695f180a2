"""What settings are chosen from: the names of each, once, and what checks them.

Neither torch nor numpy is imported: the help of the command line is made of this, and wrong values are told at once.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import field, fields
from numbers import Integral
from typing import Any, Literal, get_args

from causal_attrib.errors import InputError

# What "right" means; beside these, `module:function` names one of the user's own.
OutcomeName = Literal["auto", "likelihood", "match", "objects", "yesno", "grounding"]
# What a picture is held against: one of one colour, or the picture itself blurred.
Against = Literal["colour", "blur"]
# What takes the place of a hidden token. "zero" is the paper's mask (methods: a mask token whose value is zero).
Fill = Literal["zero", "mean", "token", "delete"]
Estimator = Literal["paired", "mean_gain", "product"]
Coupling = Literal["independent", "gumbel"]
# "auto" takes sentences first, then the words of those that matter.
Level = Literal["token", "word", "sentence", "auto"]
EngineName = Literal["auto", "packed", "plain"]
BatchSize = int | Literal["auto"]
# Which words an outcome looks at: all of them, or those that claim something (`words.claims`).
OutcomeWords = Literal["all", "content"]

Method = Literal[
    "occlusion", "regions", "integrated_gradients", "gradient_x_input", "gradient", "smoothgrad", "attention"
]
# What a map is taken over.
MapLevel = Literal["pixel", "embedding", "region"]
# What a map is of.
MapKind = Literal["word", "token", "answer"]
Baseline = Literal["neutral", "blur", "mean", "swap"]
Reduction = Literal["norm", "sum"]

OUTCOMES: tuple[str, ...] = (*get_args(OutcomeName), "module:function")
REFERENCES: tuple[Against, ...] = get_args(Against)
FILLS: tuple[Fill, ...] = get_args(Fill)
ESTIMATORS: tuple[Estimator, ...] = get_args(Estimator)
COUPLINGS: tuple[Coupling, ...] = get_args(Coupling)
LEVELS: tuple[Level, ...] = get_args(Level)
# Of scores that each word has.
WORD_LEVELS: tuple[Level, ...] = ("token", "word")
ENGINES: tuple[EngineName, ...] = get_args(EngineName)
METHODS: tuple[Method, ...] = get_args(Method)
MAP_LEVELS: tuple[MapLevel, ...] = get_args(MapLevel)
MAP_KINDS: tuple[MapKind, ...] = get_args(MapKind)
BASELINES: tuple[Baseline, ...] = get_args(Baseline)
REDUCTIONS: tuple[Reduction, ...] = get_args(Reduction)
OUTCOME_WORDS: tuple[OutcomeWords, ...] = get_args(OutcomeWords)

# What signals hold a picture against, by the end of their names, and those that exist for each of these
# (`scores.signals`, where it says what they are).
SIGNAL_REFERENCES = {"": "colour", "_blur": "blur", "_patches": "patches", "_other": "other"}
SIGNALS: tuple[str, ...] = (
    *("logprob", "entropy", "margin", "rank", "position"),
    *(f"{name}{end}" for name in ("evidence", "prior", "kl", "k3") for end in SIGNAL_REFERENCES),
    *("logit_lens", "image_logit", "image_logit_gain", "glsim", "attention_ratio"),
)


# What torch takes.
MOST_SEED = 2**63 - 1
# Ceilings of counts, above which a run would not end or not fit into memory: tokens of a text, what is drawn of one
# thing, and rendered scenes.
MOST_TOKENS, MOST_DRAWN, MOST_SCENES = 131_072, 10_000, 10_000
# What a model is asked where nothing is said of it.
DEFAULT_PROMPT = "Describe this image."


def setting(
    default: Any, help: str, *, shown: str | None = None, metavar: str | None = None, flag: str | None = None
) -> Any:
    """A field of a class of settings, with what the help of the command line says of it.

    Args:
        shown: the default in words, where the value would not say it.
        metavar: what stands for the value in the help.
        flag: what the flag is called, where the name of the field is the flag of something else.
    """
    return field(default=default, metadata={"help": help, "shown": shown, "metavar": metavar, "flag": flag})


def flag_of(settings: type, name: str) -> str:
    """The flag of a field of settings."""
    (about,) = (each.metadata for each in fields(settings) if each.name == name)
    return f"--{about['flag'] or name.replace('_', '-')}"


def kind_of(settings: type, name: str) -> type:
    """What the value of a field of settings is read as: a switch or a number where the field takes one, else a text."""
    (told,) = (str(each.type) for each in fields(settings) if each.name == name)
    kinds = [part.strip() for part in told.split("|")]
    return next((kind for kind in (bool, int, float) if kind.__name__ in kinds), str)


def one_of(what: str, value: str | None, allowed: Sequence[str]) -> None:
    """Raise an `InputError` that names the choices, unless the value is one of them."""
    if value not in allowed:
        raise InputError(f"There is no {what} {value!r}; choose one of {', '.join(allowed)}.")


def signal_names(signals: str | Sequence[str]) -> tuple[str, ...]:
    """The signals that a text with commas between them or a list names, each once; "all" is all of them.

    >>> signal_names("kl, k3,kl"), signal_names(["kl"])
    (('kl', 'k3'), ('kl',))

    Raises:
        InputError: there is no such signal.
    """
    if not isinstance(signals, str | Iterable):
        raise InputError(f"The signals are {signals!r:.40}; give their names with commas between them, or a list.")
    names = [name.strip() for name in signals.split(",")] if isinstance(signals, str) else list(signals)
    if names == ["all"]:
        return SIGNALS
    unknown = [str(name) for name in names if name not in SIGNALS]
    if unknown or not names:
        raise InputError(f"There is no signal {', '.join(unknown)!r}; choose from {', '.join(SIGNALS)}, or all.")
    return tuple(dict.fromkeys(names))


def check_reference(against: str) -> None:
    """Raises InputError if a picture cannot be held against `against`."""
    if against not in REFERENCES:
        raise InputError(f"A picture cannot be held against {against!r}; choose one of {', '.join(REFERENCES)}.")


def check_flag(name: str, value: object) -> None:
    """Raises InputError unless the value is True or False: a text such as "no" would pass for True."""
    if not isinstance(value, bool):
        raise InputError(f"{name} is {value!r:.40}, but it is True or False.")


def check_batch_size(batch_size: object) -> None:
    """Raises InputError unless forwards can have so many rows."""
    whole = isinstance(batch_size, int) and not isinstance(batch_size, bool) and batch_size >= 1
    if batch_size != "auto" and not whole:
        raise InputError(f"The batch size is {batch_size!r}, but it must be a whole number from 1 up, or auto.")


def check_count(what: str, count: object, most: int, least: int = 1) -> None:
    """Raises InputError unless `count` is a whole number from `least` to `most`.

    >>> check_count("The number of new tokens", 0, MOST_TOKENS)
    Traceback (most recent call last):
    causal_attrib.errors.InputError: The number of new tokens is 0, but it must be a whole number from 1 to 131,072.
    """
    if not isinstance(count, Integral) or isinstance(count, bool) or not least <= int(count) <= most:
        shown = str(count)[:40] if isinstance(count, Integral) else f"{count!r}"[:40]
        raise InputError(f"{what} is {shown}, but it must be a whole number from {least} to {most:,}.")


def check_scenes(count: int, seed: int, least: int = 2) -> None:
    """Raises InputError for numbers that give no scenes, or more than a run comes to the end of."""
    if isinstance(count, Integral) and count < least:
        raise InputError(f"{count} scenes tell nothing; ask for {least} or more.")
    check_count("The number of scenes", count, MOST_SCENES)
    check_seed(seed)


def check_seed(seed: int) -> None:
    """Raises InputError unless random numbers can be drawn from the seed."""
    if not (isinstance(seed, Integral) and 0 <= seed <= MOST_SEED):
        raise InputError(f"The seed is {seed}, but it must be a whole number from 0 to {MOST_SEED}.")
