"""Settings that stand in a file or in the environment: what flags are where they are not given.

`copo.toml` in the folder where a command is called, or the table [tool.copo] of its pyproject.toml:

    model = "path/to/folder"        # of every command that scores; also device, dtype, seed, batch-size, ...
    device = "cuda:0"

    [score]                         # of one command; [eval.verdict] and the like for those of copo eval
    verdict = true

A flag goes before the environment (COPO_MODEL, COPO_DEVICE), and that before the file. `copo train` has a recipe for
it, and takes none of these. What lets a model run code on this machine is taken as a flag alone: a file may have come
along with somebody's data.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NoReturn

from causal_attrib.errors import InputError

ENVIRONMENT = {"COPO_MODEL": "model", "COPO_DEVICE": "device"}
# What stands outside of a command's table means the same everywhere.
EVERYWHERE = (
    *("model", "revision", "dtype", "device", "device_map", "load_in_4bit", "load_in_8bit", "attn_implementation"),
    *("batch_size", "max_pixels", "seed", "quiet", "debug"),
)
# Here a model that is named lets it speak, where files of what was said are expected else.
_MODEL_IS_A_MODE = ("chair", "pope", "amber", "detection")
_FLAGS_ALONE = ("trust_remote_code", "allow_pickle")
_HAS_A_RECIPE = ("train",)


@dataclass(frozen=True)
class InForce:
    """What `read` found.

    source:   the file, if there is one
    file:     what stands in it
    variables: of the environment, those that are set
    fault:    what is wrong with the file: help is given all the same, and `copo env` says it; nothing else is done
    """

    source: str | None = None
    file: dict[str, Any] = field(default_factory=dict)
    variables: dict[str, str] = field(default_factory=dict)
    fault: InputError | None = None

    def lines(self) -> list[str]:
        """Each setting with where it comes from."""
        told = [f"{name} = {value!r} ({self.source})" for name, value in _flat(self.file).items()]
        return told + [f"{ENVIRONMENT[name]} = {value!r} ({name})" for name, value in self.variables.items()]


def in_force(root: Any, given: Mapping[str, Any]) -> tuple[InForce, dict[str, Any]]:
    """The settings of this folder and of the environment, and what they are for `root`, the group of all commands; what
    is wrong with the file is in `fault`.

    Args:
        given: flags that stood before the command.
    """
    variables = {name: os.environ[name] for name in ENVIRONMENT if os.environ.get(name)}
    found = InForce(variables=variables)
    try:
        found = read(variables)
        return found, defaults(found, root, given)
    except InputError as error:
        return replace(found, fault=error), {}


def read(variables: dict[str, str]) -> InForce:
    """The settings of this folder.

    Raises:
        InputError: the file is no TOML.
    """
    for name in ("copo.toml", "pyproject.toml"):
        path = Path(name)
        if not path.is_file():
            continue
        content = _toml(path)
        if name == "pyproject.toml":
            tools = content.get("tool")
            own = tools.get("copo") if isinstance(tools, dict) else None
            if own is None:
                continue
            name = "pyproject.toml, [tool.copo]"
            if not isinstance(own, dict):
                _fail(InForce(name), "is no table; write keys and values under [tool.copo]")
            content = own
        return InForce(name, content, variables)
    return InForce(variables=variables)


def defaults(found: InForce, root: Any, given: Mapping[str, Any]) -> dict[str, Any]:
    """What click takes for its `default_map`: for each command, or group of commands, values of flags by their names.

    Args:
        root: the group of all commands.
        given: flags that stood before the command.

    Raises:
        InputError: the file names a command or a flag that there is not, or one that may only be a flag.
    """
    general = {_plain(name): value for name, value in found.file.items() if not isinstance(value, dict)}
    for name in general:
        _refuse(found, name)
        if name not in EVERYWHERE:
            _fail(found, f"has {name!r} outside of a command's table; put it under one, such as [score]")
    general |= {ENVIRONMENT[name]: value for name, value in found.variables.items()} | dict(given)
    tables = {name: value for name, value in found.file.items() if isinstance(value, dict)}
    return _of_group(found, root, general, tables)


def _of_group(
    found: InForce, group: Any, general: dict[str, Any], tables: dict[str, Any], before: str = ""
) -> dict[str, Any]:
    values: dict[str, Any] = {}
    for name in tables:
        if name not in group.commands:
            _fail(found, f"has a table {name!r}, which is no command; choose one of {', '.join(group.commands)}")
    for name, command in group.commands.items():
        own = tables.get(name, {})
        if not isinstance(own, dict):
            _fail(found, f"has a value for {name}, which is a command; make it a table, [{name}]")
        if hasattr(command, "commands"):
            values[name] = _of_group(found, command, general, own, f"{before}{name} ")
            continue
        options = [param for param in command.params if param.param_type_name == "option"]
        flags = {_plain(flag.lstrip("-")): option for option in options for flag in option.opts if flag[:2] == "--"}
        # Earlier spellings too.
        spelt = command.context_settings.get("token_normalize_func", str)
        taken = {flag: value for flag, value in general.items() if flag in flags and _is_for(name, flag)}
        spellings: dict[str, str] = {}
        for given, value in own.items():
            flag = _plain(spelt(given))
            if flag in spellings:
                _fail(found, f"has both {spellings[flag]!r} and {given!r} for copo {before}{name}, which are one flag")
            spellings[flag] = given
            _refuse(found, flag, value)
            if flag not in flags or name in _HAS_A_RECIPE:
                why = "which takes its settings from a recipe" * (name in _HAS_A_RECIPE)
                _fail(found, f"has {given!r} for copo {before}{name}, {why or 'which has no such flag'}")
            taken[flag] = value
        for flag, value in taken.items():
            _check_kind(found, flag, flags[flag], value)
        values[name] = {flags[flag].name: value for flag, value in taken.items()}
    return values


def _check_kind(found: InForce, flag: str, option: Any, value: object) -> None:
    """Refuse what would be read as the text of a list, or as the number of a yes."""
    several = isinstance(value, list)
    if isinstance(value, dict) or several != option.multiple and not (option.multiple and isinstance(value, str)):
        wanted = "a list of texts" if option.multiple else "one value (names in one text, with commas)"
        _fail(found, f"has {value!r} for {flag}, which takes {wanted}")
    if isinstance(value, bool) and not option.is_flag:
        _fail(found, f"has {value!r} for {flag}, which is no switch; give it a value")


def _is_for(command: str, flag: str) -> bool:
    if command in _HAS_A_RECIPE:
        return flag in ("quiet", "debug")
    return flag != "model" or command not in _MODEL_IS_A_MODE


def _refuse(found: InForce, flag: str, value: object = None) -> None:
    if flag in _FLAGS_ALONE or (flag in ("outcome", "reward") and ":" in str(value)):
        _fail(found, f"sets {flag}, which lets code of others run; give it as a flag, --{flag.replace('_', '-')}")


def _fail(found: InForce, what: str) -> NoReturn:
    raise InputError(f"{found.source} {what}.")


def _plain(name: str) -> str:
    return name.replace("-", "_")


def _flat(values: Mapping[str, Any], before: str = "") -> dict[str, Any]:
    told: dict[str, Any] = {}
    for name, value in values.items():
        told |= _flat(value, f"{before}{name}.") if isinstance(value, dict) else {f"{before}{name}": value}
    return told


def _toml(path: Path) -> dict[str, Any]:
    if sys.version_info >= (3, 11):
        import tomllib
    else:
        import tomli as tomllib

    try:
        return tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); check it, or take it away.") from None
    except (ValueError, RecursionError) as error:
        if path.name == "pyproject.toml":
            return {}  # not ours, and not ours to judge
        raise InputError(f"{path} is no TOML ({error}); mend it, or take it away.") from None
