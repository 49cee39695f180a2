"""Flags that commands share come to a command together."""

from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from causal_attrib_cli import common

MORE = {
    "deep": (Annotated[bool, typer.Option("--deep", help="Go deep.")], False),
    "times": (Annotated[int, typer.Option("--times", help="How often.")], 3),
}


@common.flags_as("more", MORE)
def walk(where: Annotated[str, typer.Argument()], fast: bool = False, *, more: dict) -> None:
    """Walk somewhere."""
    print(where, fast, more)


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["park"], "park False {'deep': False, 'times': 3}"),
        (["--times", "7", "park", "--deep", "--fast"], "park True {'deep': True, 'times': 7}"),
    ],
)
def test_shared_flags_come_together(arguments, printed):
    app = typer.Typer()
    app.command()(walk)
    assert CliRunner().invoke(app, arguments).stdout == printed + "\n"
    shown = CliRunner().invoke(app, ["--help"]).stdout
    assert "Walk somewhere." in shown and "Go deep." in shown and "--times" in shown and "more" not in shown
    assert CliRunner().invoke(app, [*arguments, "--more", "x"]).exit_code == 2
