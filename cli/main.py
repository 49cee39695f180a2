"""The `copo` command and its subcommands."""

from __future__ import annotations

from typing import Annotated

import typer

from causal_attrib_cli.diff import diff
from causal_attrib_cli.doctor import doctor
from causal_attrib_cli.env import env
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
from causal_attrib_cli.vicrit import vicrit

# TRL's name for the flag.
_ALIASES = {"model-name-or-path": "model"}


def _spelling(name: str) -> str:
    """The one spelling of a flag: people coming from TRL and transformers write --batch_size for --batch-size."""
    name = name.replace("_", "-")
    return _ALIASES.get(name, name)


app = typer.Typer(
    name="copo",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "token_normalize_func": _spelling},
)
app.command(cls=Score)(score)
app.command()(merge)
app.command()(diff)
app.command()(report)
app.command()(saliency)
app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})(train)
app.command()(select)
app.command()(pairs)
app.command()(vicrit)
app.command()(merge_adapter)
app.command()(doctor)
app.command()(scenes)
app.command()(serve)
app.command()(env)
app.add_typer(evaluations, name="eval")
app.add_typer(pope, name="pope")


def _print_version(asked: bool) -> None:
    if asked:
        from causal_attrib import __version__

        print(f"copo {__version__}")
        raise typer.Exit


@app.callback()
def copo(
    show_version: Annotated[
        bool, typer.Option("--version", help="Print the version.", callback=_print_version, is_eager=True)
    ] = False,
) -> None:
    """Which words of a caption rest on the image? Per-token causal attribution of vision-language models."""


def main() -> None:
    app()


if __name__ == "__main__":
    main()
