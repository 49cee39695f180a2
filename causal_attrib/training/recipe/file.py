"""Recipes from YAML files and flags, and back to a file.

What a flag says goes before what the file says, and that before the defaults.
"""

from __future__ import annotations

import difflib
import math
import os
import re
import typing
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from causal_attrib.errors import InputError
from causal_attrib.io.atomic import replace_file
from causal_attrib.io.parsing import shown
from causal_attrib.training.recipe.keys import METHOD, Recipe, keys

# Keys of which one word is none, for which no is written.
_NONE = ("spoil", "center", "normalise", "report_to")


class _Loader(yaml.SafeLoader):
    """YAML in which 1e-5 is a number, as it is everywhere but in YAML 1.1."""


# Values in all and levels of a recipe, which has fewer than a hundred and three; anchors can multiply them.
_MANY, _DEEP = 10_000, 20

_Loader.yaml_implicit_resolvers = {letter: list(kinds) for letter, kinds in _Loader.yaml_implicit_resolvers.items()}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(?:\.\d*)?[eE][-+]?\d+"), list("+-0123456789")
)


def read_recipe(path: str | os.PathLike | None, flags: Mapping[str, Any] | None = None) -> Recipe:
    """The recipe of a file and of flags.

    Args:
        path: YAML file, or None for the defaults.
        flags: by name; None stands for a flag that was not given.

    Raises:
        InputError: the file cannot be read, or a value is not of its key's kind. Keys that nobody knows are found by
            `arguments`, which knows TRL's.
    """
    given = {} if path is None else _read(Path(path))
    told = {name: value for name, value in (flags or {}).items() if value is not None}
    if "method" in told and told["method"] != given.get("method", told["method"]):
        # The file's block is that of another method.
        settings = {key.name for key in keys() if key.metadata["group"] == METHOD}
        given = {name: value for name, value in given.items() if name not in settings}
    hints = typing.get_type_hints(Recipe)
    ours = {key.name for key in keys()}
    own, rest = {}, {}
    for name, value in (given | told).items():
        if name not in ours:
            rest[name] = value
        elif value is not None:
            own[name] = _converted(name, value, hints[name])
    return Recipe(**own, others=rest)


def split_words(words: Sequence[str]) -> tuple[dict[str, Any], list[str]]:
    """Flags that the command does not declare, as keys with values read as YAML; and the words that are of no flag.

    >>> split_words(["--top-p", "0.9", "--epsilon_high=0.28", "--disable-dropout"])
    ({'top_p': 0.9, 'epsilon_high': 0.28, 'disable_dropout': True}, [])
    """
    told: dict[str, Any] = {}
    name, bare = None, []
    for word in words:
        if word.startswith("--"):
            name, equals, value = word[2:].partition("=")
            name = name.replace("-", "_")
            told[name] = read_value(value) if equals else True
            name = None if equals else name
        elif name is None:
            bare.append(word)
        else:
            told[name], name = read_value(word), None
    return told, bare


def write_recipe(path: str | os.PathLike, values: Mapping[str, Any], comment: str) -> None:
    """A recipe as a YAML file that `read_recipe` reads."""
    text = yaml.safe_dump(dict(values), sort_keys=False, allow_unicode=True)
    replace_file(path, f"# {comment}\n{text}".encode())


def unknown_key(name: str, known: Iterable[str]) -> InputError:
    """What to say of a key that nobody knows.

    >>> print(unknown_key("lamda_s", ["lambda_s", "lambda_n"]))
    There is no key 'lamda_s' in a recipe; did you mean 'lambda_s'?
    """
    near = difflib.get_close_matches(name, list(known), n=1)
    advice = f"did you mean {near[0]!r}?" if near else "copo train --help lists them."
    return InputError(f"There is no key {name!r} in a recipe; {advice}")


def _read(path: Path) -> dict[str, Any]:
    try:
        read = yaml.load(path.read_text("utf-8"), _Loader)
        _check_size(read)
    except FileNotFoundError:
        raise InputError(f"There is no recipe {path}; check the path.") from None
    except (OSError, UnicodeDecodeError):
        raise InputError(f"{path} cannot be read; give a recipe as a YAML file.") from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = "" if mark is None else f" line {mark.line + 1}"
        problem = " ".join(str(getattr(error, "problem", None) or error).split())
        raise InputError(f"{path}{where} is not YAML ({problem[:200]}); mend it.") from None
    except (RecursionError, OverflowError):
        raise InputError(f"{path} is nested too deeply for a recipe, or refers to itself; write plain keys.") from None
    except ValueError as error:  # of a number of thousands of digits, or a date that is none
        raise InputError(f"{path} holds a value that cannot be read ({str(error)[:80]}); mend it.") from None
    if read is None:
        return {}
    if not isinstance(read, dict) or not all(isinstance(name, str) for name in read):
        raise InputError(f"{path} holds no keys with values; write lines such as 'method: copo'.")
    return {name.replace("-", "_"): value for name, value in read.items()}


def read_value(text: str) -> Any:
    """A text as YAML reads it, or as it is where it is no YAML."""
    try:
        value = yaml.load(text, _Loader)
        _check_size(value)
        return value
    except (yaml.YAMLError, ValueError, RecursionError):
        return text


def _check_size(value: Any) -> None:
    """Raises RecursionError for a value that is nested too deeply, or without end, or holds too much."""
    waiting, seen = [(value, 0)], 0
    while waiting:
        one, depth = waiting.pop()
        seen += 1
        if depth > _DEEP or seen > _MANY:
            raise RecursionError
        if isinstance(one, (list, tuple, set)):
            waiting += [(part, depth + 1) for part in one]
        elif isinstance(one, dict):
            waiting += [(part, depth + 1) for part in (*one, *one.values())]


def _converted(name: str, value: Any, hint: Any) -> Any:
    """`value` as the kind that the key has."""
    kind = next(part for part in typing.get_args(hint) if part is not type(None)) if _is_optional(hint) else hint
    if typing.get_origin(kind) is list:
        (part,) = typing.get_args(kind)
        if part is float and isinstance(value, str) and "," in value:
            raise InputError(f"The key {name!r} of the recipe is {shown(value)}; give a list, such as [1, 0.5].")
        return [_converted(name, one, part) for one in (value if isinstance(value, list) else [value])]
    if kind is str and isinstance(value, (str, int, float)) and not isinstance(value, bool):
        return str(value)
    if isinstance(value, float) and math.isnan(value):
        raise InputError(f"The key {name!r} of the recipe is nan; give a number.")
    if kind is float and isinstance(value, (int, float)) and not isinstance(value, bool):
        try:
            return float(value)
        except OverflowError:
            return math.inf
    if kind is int and not isinstance(value, bool) and (isinstance(value, int) or _is_whole(value)):
        return int(value)
    if kind is bool and isinstance(value, bool):
        return value
    if kind is str and isinstance(value, bool):
        words, meant = ("yes and on", "") if value else ("no and off", "none, or " if name in _NONE else "")
        raise InputError(
            f"The key {name!r} of the recipe is {str(value).lower()}, which YAML makes of {words}; give {meant}"
            "the text in quotes."
        )
    wanted = {str: "text", float: "a number", int: "a whole number", bool: "true or false"}[kind]
    raise InputError(f"The key {name!r} of the recipe is {shown(value)}; give {wanted}.")


def _is_whole(value: Any) -> bool:
    return isinstance(value, float) and value.is_integer()


def _is_optional(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def changes(before: Mapping[str, Any], after: Mapping[str, Any]) -> list[str]:
    """What differs between two recipes, in words.

    >>> changes({"seed": 0, "max_steps": 10}, {"seed": 0, "max_steps": 20})
    ['max_steps was 10 and is 20']
    """
    names = [*before, *(name for name in after if name not in before)]
    return [
        f"{name} was {before.get(name)!r} and is {after.get(name)!r}"
        for name in names
        if before.get(name) != after.get(name)
    ]
