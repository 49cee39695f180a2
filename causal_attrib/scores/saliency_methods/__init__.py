"""Where in the picture each word comes from: signed maps by gradients, by hiding regions, by attention."""

from causal_attrib.scores.saliency_methods.baselines import BASELINES
from causal_attrib.scores.saliency_methods.choice import LEVELS, METHODS
from causal_attrib.scores.saliency_methods.maps import saliency

__all__ = ["BASELINES", "LEVELS", "METHODS", "saliency"]
