"""`copo eval`: benchmarks of what models say. A benchmark is a file `eval_NAME.py` and a line here."""

from __future__ import annotations

import typer

from causal_attrib_cli.eval_amber import amber
from causal_attrib_cli.eval_background import background
from causal_attrib_cli.eval_chair import chair
from causal_attrib_cli.eval_degradation import degradation
from causal_attrib_cli.eval_faithfulness import faithfulness
from causal_attrib_cli.eval_pope import pope
from causal_attrib_cli.eval_verdict import verdict

app = typer.Typer(no_args_is_help=True, help="Benchmarks of captions and answers, with intervals.")
app.command()(chair)
app.command()(pope)
app.command()(amber)
app.command()(verdict)
app.command()(degradation)
app.command()(faithfulness)
app.command()(background)
