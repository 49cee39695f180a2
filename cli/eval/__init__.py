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
# The short helps are for the list of commands, on 80 columns.
_CHAIR, _POPE, _DETECTION = {"against": "compare"}, {"baseline": "compare"}, {"samples": "drawn-captions"}
app.command(cls=Command, context_settings=spellings(_CHAIR), short_help="Objects that captions name and images lack.")(
    chair
)
app.command(cls=Command, context_settings=spellings(_POPE), short_help="Yes/no questions, of POPE or your own.")(pope)
app.command(cls=Command, short_help="AMBER: captions by their words, questions exactly.")(amber)
app.command(cls=Command, short_help="How often verdicts on words err; --fit calibrates them.")(verdict)
app.command(
    cls=Command, context_settings=spellings(_DETECTION), short_help="Which signal finds your model's hallucinations?"
)(detection)
app.command(cls=Command, short_help="Is a model less sure of itself where it sees less?")(degradation)
app.command(cls=Command, short_help="Do saliency maps beat chance, and find the object?")(faithfulness)
app.command(cls=Command, short_help="Do answers lean on the background?")(background)
