"""r(): how right the model is after an edit, as a number in [0, 1]."""

from causal_attrib.outcomes.base import Outcome, Probe, Reading, checked
from causal_attrib.outcomes.choose import NAMES, check_contrast, choose_outcome
from causal_attrib.outcomes.function import Function
from causal_attrib.outcomes.grounding import Grounding
from causal_attrib.outcomes.likelihood import Likelihood
from causal_attrib.outcomes.match import Match
from causal_attrib.outcomes.objects import Objects
from causal_attrib.outcomes.yesno import YesNo

__all__ = [
    "NAMES",
    "Function",
    "Grounding",
    "Likelihood",
    "Match",
    "Objects",
    "Outcome",
    "Probe",
    "Reading",
    "YesNo",
    "check_contrast",
    "checked",
    "choose_outcome",
]
