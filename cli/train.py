"""`copo train`: fine-tune a model by a recipe."""

from __future__ import annotations

import contextlib
import functools
import json as json_format
import typing
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from causal_attrib.training.recipe.keys import PREFERENCES, Recipe, keys
from causal_attrib_cli import common

if TYPE_CHECKING:
    from causal_attrib.training.plan import Plan
    from causal_attrib.views.completions import ShownSample
    from causal_attrib.vlm import VLM


def _keys_as_flags() -> common.Flags:
    """Every key of a recipe as a flag; one that is not given is None."""
    hints, defaults = typing.get_type_hints(Recipe), Recipe()
    flags: dict[str, tuple[object, object]] = {}
    for key in keys():
        dashed, hint = key.name.replace("_", "-"), hints[key.name] | None
        option = typer.Option(
            f"--{dashed}/--no-{dashed}" if hint == bool | None else f"--{dashed}",
            help=key.metadata["help"],
            show_default=key.metadata["shown"] or _in_words(getattr(defaults, key.name)),
            rich_help_panel=key.metadata["group"],
        )
        flags[key.name] = (Annotated[hint, option], None)
    return flags


def _in_words(default: object) -> str | bool:
    """A default as help shows it; False is none to show."""
    if isinstance(default, bool):
        return "yes" if default else "no"
    if isinstance(default, list):
        return ", ".join(default) or False
    return False if default is None else str(default)


@common.reads_pictures
@common.flags_as("flags", _keys_as_flags())
def train(
    context: typer.Context,
    flags: dict[str, Any],
    config: Annotated[
        str | None,
        typer.Option("--config", "-c", metavar="FILE", help="Recipe in YAML; flags go before it.", show_default=False),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option(
            "--resume", help="Go on from the last checkpoint in the output folder, or from one named behind the flag."
        ),
    ] = False,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Two batches through every phase: seconds, memory, an estimate; no training."),
    ] = False,
    json: Annotated[
        bool, typer.Option("--json", help="JSON on stdout of what was done; what is told on the way stays on stderr.")
    ] = False,
    debug: common.Debug = False,
    quiet: common.Quiet = False,
) -> None:
    """Fine-tune a vision-language model: GRPO, COPO, HERO, CE-PO, VPPO, PGPO, PAPO, SymMPO or DPO.

    Each flag below is also a key of the recipe (--lambda-s is lambda_s). All others of TRL's GRPOConfig (for symmpo
    and dpo DPOConfig) are taken too, under TRL's names.
    Several GPUs: accelerate launch -m causal_attrib_cli.main train ...
    """
    with common.told_plainly(debug=debug, quiet=quiet), contextlib.ExitStack() as stack:
        from causal_attrib.errors import InputError
        from causal_attrib.training.recipe.file import read_recipe, split_words

        of_trl, bare = split_words(context.args)
        if len(bare) > resume:
            raise InputError(f"{bare[-1]!r} belongs to no flag; copo train takes flags alone.")
        checkpoint = (bare or ["last"])[0] if resume else None
        recipe = read_recipe(config, flags | of_trl)
        from causal_attrib.training.recipe.check import check_recipe

        check_recipe(recipe, checkpoint)
        _need_packages()
        if not debug:
            _quieten()
        from causal_attrib.training.data.reading import no_empty_folder
        from causal_attrib.training.plan import make_plan

        stack.enter_context(no_empty_folder(recipe.folder))
        with common.progress("Opening pictures", quiet=quiet) as progress:
            plan = make_plan(recipe, checkpoint, progress)
        load = functools.partial(common.load, debug=debug, anew=True)  # it is going to be changed
        quiet = quiet or plan.arguments.process_index > 0  # one of several processes speaks
        tell = _silent if quiet else common.tell
        tell(
            f"{recipe.method} on {len(plan.rows)} rows, {plan.updates} updates, seed {recipe.seed}, into "
            f"{recipe.output_dir}"
        )
        if dry_run:
            _show_dry_run(plan, load, json=json)
            return
        if checkpoint is not None:
            begins = plan.checkpoint or "the beginning: there is no whole checkpoint yet"
            tell(f"Going on from {begins}{', which is the end: nothing is trained' * plan.finished}.")
        if recipe.method in PREFERENCES:
            tell(f"{recipe.method} learns from preferences: the keys of rewards and of sampling are not used.")
        else:
            tell("A loss near 0 is normal here: advantages of a group sum to nothing. Watch the reward.")

        from causal_attrib.training.run import train

        with common.progress("Training", quiet=quiet) as progress:
            train(plan, tell=tell, load=load, progress=progress, show=None if quiet else _show)
        tell(f"Wrote {recipe.output_dir}")
        if json and plan.arguments.process_index == 0:
            record = {"out": str(recipe.output_dir), "method": recipe.method, "updates": plan.updates}
            print(json_format.dumps(record | {"rows": len(plan.rows), "adapter": not recipe.full}))
        if not recipe.full:
            tell(f"An adapter: --model takes it as it is, copo merge-adapter {recipe.output_dir} DIR makes one model.")


def _need_packages() -> None:
    from importlib.util import find_spec

    from causal_attrib.errors import InputError

    missing = [name for name in ("trl", "peft", "accelerate", "datasets") if find_spec(name) is None]
    if missing:
        raise InputError(f"copo train needs {', '.join(missing)}: pip install 'copo[train]' (Python 3.11 or later).")


def _quieten() -> None:
    """Of what TRL, datasets and torch log, we say what matters ourselves."""
    import logging

    from datasets.utils.logging import disable_progress_bar

    disable_progress_bar()
    for name in ("trl", "transformers", "accelerate", "datasets", "torch"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _silent(_: str) -> None:
    return


def _show(samples: Sequence[ShownSample]) -> None:
    """Completions on the terminal; the file has them in any case."""
    import sys

    from rich.console import Console

    from causal_attrib.views.completions import completions

    if sys.stderr.isatty():
        Console(stderr=True).print(completions(samples))


def _show_dry_run(plan: Plan, load: Callable[..., VLM], *, json: bool) -> None:
    from rich.table import Table

    from causal_attrib.training.dry_run import dry_run
    from causal_attrib.views.completions import completions

    found = dry_run(plan, load)
    if plan.arguments.process_index:
        return
    if json:
        phases = [dict(zip(("phase", "seconds", "bytes"), phase, strict=True)) for phase in found.phases]
        record = {"phases": phases, "updates": found.updates, "seconds": found.total, "saved": found.saved}
        print(json_format.dumps(record | {"warnings": list(found.signs)}))
        return
    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False)
    table.add_column("phase")
    table.add_column("seconds", justify="right")
    table.add_column("memory", justify="right")
    for name, seconds, memory in found.phases:
        table.add_row(name, f"{seconds:.2f}", f"{memory / 1e9:.2f} GB")
    out = common.stdout()
    if found.samples:
        out.print(completions(found.samples))
        out.print()
    out.print(table)
    out.print(
        f"{found.updates} updates of {found.seconds:.2f} s, and {_duration(found.once)} beside them: about "
        f"{_duration(found.total)}; the model takes {found.saved / 1e6:.1f} MB on disk"
    )
    for sign in found.signs:
        common.tell(f"Warning: {sign}", "yellow")


def _duration(seconds: float) -> str:
    if seconds < 120:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 7200 else f"{seconds / 3600:.1f} h"
