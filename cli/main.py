"""The `copo` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli import common, settings
from causal_attrib_cli.diff import diff
from causal_attrib_cli.doctor import doctor
from causal_attrib_cli.env import Env, env
from causal_attrib_cli.eval import app as evaluations
from causal_attrib_cli.merge import merge
from causal_attrib_cli.merge_adapter import merge_adapter
from causal_attrib_cli.pairs import pairs
from causal_attrib_cli.pope import app as pope
from causal_attrib_cli.report import report
from causal_attrib_cli.saliency import saliency
from causal_attrib_cli.scenes import scenes
from causal_attrib_cli.score import Score, score
from causal_attrib_cli.select import select
from causal_attrib_cli.serve import serve
from causal_attrib_cli.train import train
from causal_attrib_cli.usage import Command, Group, spellings
from causal_attrib_cli.vicrit import vicrit

app = typer.Typer(
    name="copo",
    cls=Group,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings=spellings(),
)
_OF_MAPS = {"html": "report", "level": "map-level", "samples": "map-samples"}
_OF_TRL = {"allow_extra_args": True, "ignore_unknown_options": True}
_LENGTH = {"max-completion-length": "max-new-tokens"}
# The short helps are for the list of commands, on 80 columns.
app.command(cls=Score, context_settings=spellings({"output": "out"}))(score)
app.command(cls=Command, short_help="Join the files that copo score --shard wrote.")(merge)
app.command(cls=Command, short_help="What changed between two files of scored captions.")(diff)
app.command(cls=Command)(report)
app.command(cls=Command, context_settings=spellings(_OF_MAPS), short_help="Map each word to its part of the image.")(
    saliency
)
app.command(cls=Command, context_settings=_OF_TRL, short_help="Fine-tune a vision-language model.")(train)
app.command(cls=Command, context_settings=spellings(_LENGTH), short_help="Keep the prompts worth training on.")(select)
app.command(cls=Command, short_help="Write rows with a contrastive picture as plain pairs.")(pairs)
app.command(cls=Command, short_help="Write rows whose captions have one false word.")(vicrit)
app.command(cls=Command, short_help="Add an adapter to its base model.")(merge_adapter)
app.command(cls=Command, short_help="Check that scores of a model can be trusted.")(doctor)
app.command(cls=Command, short_help="Render labelled scenes, whose truth is known.")(scenes)
app.command(cls=Command, short_help="A page and an HTTP API on a model that stays loaded.")(serve)
app.command(cls=Env, short_help="Versions, devices and settings, for bug reports.")(env)
app.add_typer(evaluations, name="eval")
app.add_typer(pope, name="pope")


def _print_version(asked: bool) -> None:
    if asked:
        from causal_attrib import __version__

        print(f"copo {__version__}")
        raise typer.Exit


@app.callback()
def copo(
    context: typer.Context,
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
    debug: Annotated[bool, typer.Option("--debug", help="As of every command.")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="As of every command.")] = False,
) -> None:
    """Which words of a caption rest on the image? Per-token causal attribution of vision-language models."""
    with common.told_plainly(debug=debug, quiet=quiet):
        given = {name: True for name, is_set in (("debug", debug), ("quiet", quiet)) if is_set}
        context.obj, context.default_map = settings.in_force(context.command, given)


def main() -> None:
    app()


if __name__ == "__main__":
    main()
