"""Can scores of this model, on this machine, be trusted? A handful of checks, each of which can fail.

>>> from causal_attrib.doctor import examine
>>> report = examine(vlm, "park.png", "a dog and a red frisbee on the grass at noon")      # doctest: +SKIP
>>> report.passed                                                                           # doctest: +SKIP
True
"""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.doctor.examination import examine
    from causal_attrib.doctor.report import Check, Report
    from causal_attrib.doctor.software import environment
else:
    __getattr__, __dir__ = lazily(
        __name__, {"Check": "report", "Report": "report", "environment": "software", "examine": "examination"}
    )

__all__ = ["Check", "Report", "environment", "examine"]
