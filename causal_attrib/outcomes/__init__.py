"""r(): how right the model is after an edit, as a number in [0, 1]."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.outcomes.base import Outcome, Probe, Reading, checked
    from causal_attrib.outcomes.choose import choose_outcome
    from causal_attrib.outcomes.function import Function
    from causal_attrib.outcomes.grounding import Grounding
    from causal_attrib.outcomes.likelihood import Likelihood
    from causal_attrib.outcomes.match import Match
    from causal_attrib.outcomes.names import check_contrast
    from causal_attrib.outcomes.objects import Objects
    from causal_attrib.outcomes.yesno import YesNo
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "Function": "function",
            "Grounding": "grounding",
            "Likelihood": "likelihood",
            "Match": "match",
            "Objects": "objects",
            "Outcome": "base",
            "Probe": "base",
            "Reading": "base",
            "YesNo": "yesno",
            "check_contrast": "names",
            "checked": "base",
            "choose_outcome": "choose",
        },
    )

__all__ = [
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
