"""Where in the picture each word comes from: signed maps by gradients, by hiding regions, by attention."""

from causal_attrib.scores.saliency.baselines import BASELINES
from causal_attrib.scores.saliency.choice import LEVELS, METHODS
from causal_attrib.scores.saliency.saliency import saliency

__all__ = ["BASELINES", "LEVELS", "METHODS", "saliency"]
