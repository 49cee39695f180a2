"""Can scores of this model, on this machine, be trusted? A handful of checks, each of which can fail.

>>> from causal_attrib.doctor import examine
>>> report = examine(vlm, "park.png", "a dog and a red frisbee on the grass at noon")      # doctest: +SKIP
>>> report.passed                                                                           # doctest: +SKIP
True
"""

from causal_attrib.doctor.examination import examine
from causal_attrib.doctor.report import Check, Report
from causal_attrib.doctor.software import environment

__all__ = ["Check", "Report", "environment", "examine"]
