"""Where in the picture each word comes from: signed maps by gradients, by hiding regions, by attention."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.choices import BASELINES, METHODS
    from causal_attrib.scores.saliency_methods.choice import LEVELS
    from causal_attrib.scores.saliency_methods.maps import saliency
else:
    __getattr__, __dir__ = lazily(
        __name__, {"BASELINES": "choice", "LEVELS": "choice", "METHODS": "choice", "saliency": "maps"}
    )

__all__ = ["BASELINES", "LEVELS", "METHODS", "saliency"]
