"""`copo eval`: benchmarks of what models say. A benchmark is a file `eval_NAME.py` and a line here."""

from __future__ import annotations

import typer

from causal_attrib_cli.eval.amber import amber
from causal_attrib_cli.eval.background import background
from causal_attrib_cli.eval.chair import chair
from causal_attrib_cli.eval.degradation import degradation
from causal_attrib_cli.eval.detection import detection
from causal_attrib_cli.eval.faithfulness import faithfulness
from causal_attrib_cli.eval.pope import pope
from causal_attrib_cli.eval.verdict import verdict

app = typer.Typer(no_args_is_help=True, help="Benchmarks of captions and answers, with intervals.")
app.command()(chair)
app.command()(pope)
app.command()(amber)
app.command()(verdict)
app.command()(detection)
app.command()(degradation)
app.command()(faithfulness)
app.command()(background)
