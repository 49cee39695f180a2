"""What commands share: flags with the same meaning everywhere, and how errors, warnings and progress are told."""

from __future__ import annotations

import errno
import functools
import inspect
import io
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, TypeVar, cast

import typer

from causal_attrib.choices import flag_of, kind_of
from causal_attrib.scores.settings import Settings

if TYPE_CHECKING:
    from rich.console import Console

    from causal_attrib.io.failures import Failure
    from causal_attrib.vlm import VLM

# Seconds; what takes less needs no announcement.
LONG = 2.0

MODEL = "Model"
_ABOUT = "Messages"

# Flags by the name of their parameter: the annotation that typer reads, and the default.
Flags = Mapping[str, tuple[object, object]]
# Called with what is done and how much there is in all, if that is known.
Progress = Callable[[int, int | None], None]
Command = TypeVar("Command", bound=Callable[..., Any])


def option(settings: type, name: str, panel: str | None = None) -> Any:
    """The flag of a field of settings: its help, its default in words and what stands for its value."""
    about = next(field.metadata for field in fields(settings) if field.name == name)
    return typer.Option(
        flag_of(settings, name),
        help=about["help"],
        show_default=about["shown"] or True,
        metavar=about["metavar"],
        rich_help_panel=panel,
    )


def flags_of(settings: type, names: Sequence[str], panel: str | None = None) -> Flags:
    """Fields of settings as flags. A name that is not among the choices is left for the settings to tell."""
    flags: dict[str, tuple[object, object]] = {}
    for name in names:
        default = getattr(settings, name)
        flags[name] = (Annotated[_read_as(settings, name), option(settings, name, panel)], default)
    return flags


def _read_as(settings: type, name: str) -> Any:
    """What a flag's value is read as; without the flag it may be nothing."""
    (told,) = (str(field.type) for field in fields(settings) if field.name == name)
    kind = kind_of(settings, name)
    return kind | None if "None" in [part.strip() for part in told.split("|")] else kind


def flags_as(
    name: str, flags: Flags, make: Callable[..., object] = dict, *, before: str | None = None
) -> Callable[[Command], Command]:
    """Give a command more flags, which it gets together: its parameter `name` is what `make` makes of their values.

    Args:
        flags: for each its annotation and its default.
        before: the parameter that the help shows them before; by default they come last.
    """

    def decorate(command: Command) -> Command:
        own = inspect.signature(command, eval_str=True).parameters
        more = [
            inspect.Parameter(flag, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=annotation)
            for flag, (annotation, default) in flags.items()
        ]
        parameters = [
            parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
            for parameter in own.values()
            if parameter.name != name
        ]
        place = len(parameters) if before is None else [one.name for one in parameters].index(before)
        parameters[place:place] = more

        def with_flags(**given: Any) -> Any:
            return command(**{name: make(**{flag: given.pop(flag) for flag in flags})}, **given)

        with_flags.__name__, with_flags.__doc__ = command.__name__, command.__doc__
        # What typer reads.
        with_flags.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        with_flags.__annotations__ = {one.name: one.annotation for one in parameters}
        return cast(Command, with_flags)

    return decorate


def rows_per_forward(batch_size: str) -> Any:
    """The value of --batch-size; what is no number is left for the check of settings."""
    return int(batch_size) if batch_size.isdecimal() else batch_size


Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        "-m",
        metavar="ID_OR_PATH",
        help="Hub id or folder of a vision-language model.",
        show_default="the small one in the package",
        rich_help_panel=MODEL,
    ),
]
Revision = Annotated[
    str | None, typer.Option("--revision", help="Branch, tag or commit of a hub model.", rich_help_panel=MODEL)
]
Dtype = Annotated[
    str,
    typer.Option("--dtype", metavar="NAME", help="Precision: auto, float32, bfloat16, float16.", rich_help_panel=MODEL),
]
Device = Annotated[
    str, typer.Option("--device", metavar="NAME", help="Where to run: auto, cpu, cuda:0, mps.", rich_help_panel=MODEL)
]
DeviceMap = Annotated[
    str | None,
    typer.Option(
        "--device-map", metavar="NAME", help="Spread a model over several devices: auto.", rich_help_panel=MODEL
    ),
]
LoadIn4Bit = Annotated[
    bool, typer.Option("--load-in-4bit", help="Quantise; needs the extra quant.", rich_help_panel=MODEL)
]
LoadIn8Bit = Annotated[
    bool, typer.Option("--load-in-8bit", help="Quantise; needs the extra quant.", rich_help_panel=MODEL)
]
AttnImplementation = Annotated[
    str | None,
    typer.Option(
        "--attn-implementation",
        metavar="NAME",
        help="Attention kernel: sdpa, eager, flex_attention, flash_attention_2.",
        show_default="the model's own",
        rich_help_panel=MODEL,
    ),
]
AllowPickle = Annotated[
    bool, typer.Option("--allow-pickle", help="Take pickled weights, which can hide code.", rich_help_panel=MODEL)
]
TrustRemoteCode = Annotated[
    bool,
    typer.Option("--trust-remote-code", help="Run code that the model brings along.", rich_help_panel=MODEL),
]
BatchSize = Annotated[str, option(Settings, "batch_size", MODEL)]
MaxPixels = Annotated[
    int | None,
    typer.Option(
        "--max-pixels",
        metavar="N",
        min=1,
        help="Largest width times height of a picture that is read.",
        show_default="89478485",
    ),
]
# How a model is loaded, with defaults: keywords of `causal_attrib.load`.
LOADING: Flags = {
    "revision": (Revision, None),
    "dtype": (Dtype, "auto"),
    "device": (Device, "auto"),
    "device_map": (DeviceMap, None),
    "load_in_4bit": (LoadIn4Bit, False),
    "load_in_8bit": (LoadIn8Bit, False),
    "attn_implementation": (AttnImplementation, None),
    "allow_pickle": (AllowPickle, False),
    "trust_remote_code": (TrustRemoteCode, False),
}
Seed = Annotated[int, option(Settings, "seed")]
Debug = Annotated[bool, typer.Option("--debug", help="Show tracebacks and all warnings.", rich_help_panel=_ABOUT)]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress, notes or warnings.", rich_help_panel=_ABOUT)]


def reads_pictures(command: Command) -> Command:
    """Give a command the flag --max-pixels, which every reader of pictures keeps to while the command runs."""
    signature = inspect.signature(command, eval_str=True)
    own = [one.replace(kind=inspect.Parameter.KEYWORD_ONLY) for one in signature.parameters.values()]
    flag = inspect.Parameter("max_pixels", inspect.Parameter.KEYWORD_ONLY, default=None, annotation=MaxPixels)

    def limited(*, max_pixels: int | None, **given: Any) -> Any:
        from causal_attrib.io.pictures import at_most

        with at_most(max_pixels):
            return command(**given)

    limited.__name__, limited.__doc__ = command.__name__, command.__doc__
    # What typer reads.
    limited.__signature__ = inspect.Signature([*own, flag])  # type: ignore[attr-defined]
    limited.__annotations__ = {one.name: one.annotation for one in (*own, flag)}
    return cast(Command, limited)


def stdout() -> Console:
    """Where data goes. Colours on a terminal only; a pipe gets lines wide enough that no table is squeezed."""
    from rich.console import Console

    # What the terminal's encoding cannot show becomes "?" where it would end the command with an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    free = sys.stdout.isatty() or "COLUMNS" in os.environ
    return Console(width=None if free else 120, highlight=False)


def tell(message: str, style: str = "") -> None:
    """One line on stderr, where notes, warnings and errors go."""
    from rich.console import Console
    from rich.text import Text

    Console(stderr=True).print(Text(message, style), soft_wrap=True)


def tell_failure(failure: Failure) -> None:
    """A row that failed, on stderr."""
    tell(f"{failure.where} failed: {failure.reason}", "red")


def end_of_rows(failed: Mapping[str, Sequence[Failure]]) -> None:
    """End with exit code 1 if rows of an output failed, and say where they are listed."""
    from causal_attrib.io.failures import failures_path

    for output, failures in failed.items():
        if failures:
            tell(f"{len(failures)} rows failed; they are listed in {failures_path(output)}.", "red")
    if any(failed.values()):
        raise typer.Exit(1)


@contextmanager
def told_plainly(*, debug: bool, quiet: bool) -> Iterator[None]:
    """Run a command so that what goes wrong is told in one sentence, and only our own warnings are shown.

    Exit code 2 says that the user can mend it (`InputError`), 1 that something failed. `debug` lets every warning
    through, and shows where an error comes from.
    """
    try:
        with warnings.catch_warnings():
            if not debug:
                warnings.simplefilter("ignore")
            if not (debug or quiet):
                warnings.filterwarnings("always", module="causal_attrib")
                # Once each: of many captions all may give the same cause.
                tell_once = functools.cache(tell)
                warnings.showwarning = lambda message, *_: tell_once(f"Warning: {message}", "yellow")
            yield
    except (typer.Exit, typer.Abort):
        raise
    except Exception as error:
        from causal_attrib.errors import InputError

        if isinstance(error, OSError) and error.errno == errno.EPIPE:
            raise  # the reader of our pipe has gone (`| head`): typer ends quietly
        if debug:
            traceback.print_exc()
        if isinstance(error, InputError):
            tell(f"Error: {error}", "red")
            raise typer.Exit(2) from None
        where = "see above where" if debug else "run again with --debug to see where"
        tell(f"Error: {type(error).__name__} ({_first_line(error)}); {where}.", "red")
        raise typer.Exit(1) from None


def check_outputs(outputs: Sequence[str | None], inputs: Sequence[str | None]) -> None:
    """Raise an `InputError` if a file that is to be written is one that is read, or one that is written besides."""
    from causal_attrib.errors import InputError
    from causal_attrib.io.atomic import check_not_input, is_stream

    written = [output for output in outputs if output not in (None, "-")]
    for place, output in enumerate(written):
        before = [os.path.realpath(str(one)) for one in written[:place]]
        if os.path.realpath(str(output)) in before and not is_stream(str(output)):
            raise InputError(f"{output} would be written over by another result; choose another place for one of them.")
        check_not_input(output, [one for one in (*inputs, *written[:place]) if one is not None])


def check_model(model: str | None, loading: Mapping[str, Any]) -> None:
    """Raise an `InputError` for a model that is not there, before torch is imported."""
    from causal_attrib.io.model_options import check_choice

    check_choice(model, **loading)


def load(model: str | None, *, debug: bool, checked: bool = False, **options: Any) -> VLM:
    """`causal_attrib.load`, without what transformers has to say of it (unless `debug`).

    Args:
        checked: that the model is there need not be looked at first.
    """
    import causal_attrib
    from causal_attrib_cli.lean import import_models

    if not checked:
        check_model(model, options)

    if model is None:
        import_models()
    if not debug:
        from transformers.utils import logging

        # What matters of its load reports and bars is in our own errors and warnings.
        logging.set_verbosity_error()
        logging.disable_progress_bar()
    return causal_attrib.load(model, **options)


# A folder to write is named by its place or by a flag (`place`).
Folder = Annotated[str | None, typer.Argument(metavar="DIR", help="Folder to write, or --out.", show_default=False)]
FolderFlag = Annotated[
    str | None, typer.Option("--out", "-o", metavar="DIR", help="Folder to write.", show_default=False)
]
Json = Annotated[bool, typer.Option("--json", help="JSON on stdout of what was done.", rich_help_panel=_ABOUT)]


def told(message: str, record: Mapping[str, object], *, json: bool, quiet: bool) -> None:
    """What a command did: the record on stdout as JSON if that was asked for, else the message on stderr."""
    if json:
        import json as json_format

        print(json_format.dumps(record, ensure_ascii=False, allow_nan=False))
    elif not quiet:
        tell(message)


def place(out: str | None, positional: str | None, what: str) -> str:
    """Where results go: --out, or the place at which it stood in earlier versions.

    Raises:
        InputError: neither is given, or both.
    """
    from causal_attrib.errors import InputError

    if out is not None and positional is not None:
        raise InputError(f"{positional} and --out {out} are two places for one result; leave one of them out.")
    given = out if out is not None else positional
    if given is None:
        raise InputError(f"There is no place for the result; add --out {what}.")
    return given


def announce(interventions: int, positions: int, seconds: float) -> None:
    """Say what is about to be run, if it takes long enough to wonder."""
    if seconds >= LONG:
        about = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
        tell(f"{interventions:,} interventions, at most {positions:,} positions, about {about}")


@contextmanager
def progress(what: str, *, quiet: bool) -> Iterator[Progress | None]:
    """A bar on stderr that goes away when done, as a callable of (done, total); None when there is nobody to watch."""
    if quiet or not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _first_line(error: Exception) -> str:
    first, *others = str(error).strip().splitlines() or ["no message"]
    # What transformers cannot import it announces in one line, and says why in the next.
    return f"{first} {others[0]}" if first.endswith(":") and others else first
