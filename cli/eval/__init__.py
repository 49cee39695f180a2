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
from causal_attrib_cli.usage import Command, Group, spellings

app = typer.Typer(cls=Group, no_args_is_help=True, help="Benchmarks of captions and answers, with intervals.")
app.command(cls=Command, context_settings=spellings({"against": "compare"}))(chair)
app.command(cls=Command, context_settings=spellings({"baseline": "compare"}))(pope)
app.command(cls=Command)(amber)
app.command(cls=Command)(verdict)
app.command(cls=Command, context_settings=spellings({"samples": "drawn-captions"}))(detection)
app.command(cls=Command)(degradation)
app.command(cls=Command)(faithfulness)
app.command(cls=Command)(background)
