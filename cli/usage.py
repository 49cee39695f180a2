"""How commands are asked for help and told of wrong use: help that fits two screens, and errors in one sentence."""

from __future__ import annotations

import functools
import re
import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import groupby
from typing import Any

import typer
from typer.core import TyperCommand, TyperGroup

# Two terminals of 80 x 24.
MOST_LINES = 48
_ALL = "--help-all"
# In this order, as many are left out of a help as it takes to fit: what is seldom needed, and then all but these.
_RARE = frozenset(
    "revision device_map load_in_4bit load_in_8bit attn_implementation allow_pickle trust_remote_code max_pixels "
    "batch_size debug".split()
)
_FIRST = {
    "score": "question answer objects also outcome level verdict out json summary fail_above input fresh model device "
    "seed quiet",
    "saliency": "question answer of token foil method object_mask out proof report json model device seed quiet",
    "train": "config model method data reward output_dir resume dry_run num_generations max_completion_length "
    "learning_rate max_steps num_train_epochs lambda_s lambda_n outcome full json seed quiet",
    "chair": "captions model images save max_new_tokens fresh objects instances references compare group_by bootstrap "
    "seed json out quiet",
    "detection": "captions model images save max_new_tokens fresh drawn_captions objects instances signals fit curves "
    "bootstrap seed json out quiet",
    "pope": "questions answers compare corrected model images save max_new_tokens fresh bootstrap seed json out quiet",
}

# Names of TRL and of earlier versions, for the names there are; they are in no help.
_SPELLINGS = {"model-name-or-path": "model"}


def spellings(more: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Context settings of a command: the one spelling of a flag. People coming from TRL and transformers write
    --batch_size for --batch-size.

    Args:
        more: other names of this command's flags.
    """
    known = _SPELLINGS | dict(more or {})

    def spelling(name: str) -> str:
        name = name.replace("_", "-")
        return known.get(name, name)

    return {"help_option_names": ["-h", "--help"], "token_normalize_func": spelling}


class Command(TyperCommand):
    """A command whose help fits two screens; `--help-all` shows the rest.

    Its help is there whatever stands in the file of settings; with a wrong one it does nothing else.
    """

    needs_settings = True

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if _ALL in args:
            ctx.meta[_ALL] = True
            args = ["--help"]
        return super().parse_args(ctx, args)

    def invoke(self, ctx: Any) -> Any:
        fault = _fault(ctx)
        if fault is not None and self.needs_settings:
            from causal_attrib_cli import common

            with common.told_plainly(debug=bool(ctx.find_root().params.get("debug")), quiet=False):
                raise fault
        return super().invoke(ctx)

    def format_help(self, ctx: Any, formatter: Any) -> None:
        params = [param for param in self.get_params(ctx) if not getattr(param, "hidden", False)]
        needed = [param.name for param in params if param.required or param.param_type_name == "argument"]
        order = [*needed, *_FIRST.get(ctx.info_name, "").split()]
        first = {*order, "help"}
        steps: list[Callable[[str], bool]] = [lambda name: True]
        if _ALL not in ctx.meta:
            steps += [lambda name: name not in _RARE]
            steps += [lambda name: name in first] if ctx.info_name in _FIRST else []
        for number, is_shown in enumerate(steps):
            shown = [param for param in params if is_shown(param.name or "")]
            if number == 2:
                shown.sort(key=lambda param: order.index(param.name) if param.name in order else len(order))
            written = _help(self, ctx, shown, formatter.width, brief=number == 2, more=len(shown) < len(params))
            if written.count("\n") <= MOST_LINES:
                break
        formatter.write(written)


class Group(TyperGroup):
    """A command of commands that tells of wrong use as of wrong input: in one sentence, with exit code 2."""

    def format_help(self, ctx: Any, formatter: Any) -> None:
        self.format_usage(ctx, formatter)
        self.format_help_text(ctx, formatter)
        self.format_options(ctx, formatter)

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,
        windows_expand_args: bool = True,
        **extra: Any,
    ) -> Any:
        run = functools.partial(super().main, args, prog_name, complete_var, False, windows_expand_args, **extra)
        if not standalone_mode:
            return run()
        try:
            sys.exit(run() or 0)
        except typer.Abort:
            sys.exit(1)
        except Exception as error:
            # What click raises for wrong use; where the class is to be had depends on the version of typer.
            if not hasattr(error, "format_message"):
                raise
            context = getattr(error, "ctx", None)
            if type(error).__name__ == "NoArgsIsHelpError":
                print(error.format_message(), file=sys.stderr)
            else:
                from causal_attrib_cli import common

                command = context.command_path if context is not None else self.name
                said = error.format_message().rstrip(".")
                # A flag that seems to be missing may stand in the file that cannot be read.
                fault = None if context is None else _fault(context)
                common.tell(f"Error: {said}; see {command} --help." if fault is None else f"Error: {fault}", "red")
            sys.exit(getattr(error, "exit_code", 1))


def _fault(ctx: Any) -> Exception | None:
    """What is wrong with the file of settings."""
    return getattr(ctx.find_root().obj, "fault", None)


def _help(command: Any, ctx: Any, shown: Sequence[Any], width: int, *, brief: bool, more: bool) -> str:
    """
    Args:
        brief: one list of flags, in place of one for each panel.
        more: there are others.
    """
    formatter = ctx.make_formatter()
    formatter.width = width
    command.format_usage(ctx, formatter)
    command.format_help_text(ctx, formatter)
    for panel, params in groupby(_in_panels(shown), key=_brief_panel if brief else _panel):
        with formatter.section(panel):
            formatter.write_dl([_line(param, ctx) for param in params], col_max=34)
    if more:
        formatter.write_paragraph()
        formatter.write_text(f"More flags: {ctx.command_path} {_ALL}.")
    return formatter.getvalue()


def _panel(param: Any) -> str:
    if param.param_type_name == "argument":
        return "Arguments"
    return getattr(param, "rich_help_panel", None) or "Options"


def _brief_panel(param: Any) -> str:
    return "Arguments" if param.param_type_name == "argument" else "Flags"


def _in_panels(params: Collection[Any]) -> list[Any]:
    """Those of one panel together, panels in the order in which they first come; general options last."""
    order = list(dict.fromkeys(map(_panel, params)))
    return sorted(params, key=lambda param: (_panel(param) == "Options", order.index(_panel(param))))


def _line(param: Any, ctx: Any) -> tuple[str, str]:
    flags, said = param.get_help_record(ctx) or (param.name, "")
    of_text = "" if param.param_type_name == "argument" else " TEXT"
    for kind, shown in ((" <str>", of_text), (" <list[str]>", " TEXT"), (" <int>", " N"), (" <float>", " X")):
        flags = flags.replace(kind, shown)
    return flags, _default(said)


def _default(said: str) -> str:
    """A help text without "default:" and the brackets that are for words in place of a value.

    >>> _default("Pixels.  [default: (all); x>=1]"), _default("Text.  [env var: T; default: (none here)]")
    ('Pixels. [all; x>=1]', 'Text.  [env var: T; none here]')
    """
    said = re.sub(r"default: \((.*?)\)(?=[;\]])", r"default: \1", said)
    return said.replace("  [default: ", " [").replace("; default: ", "; ")
