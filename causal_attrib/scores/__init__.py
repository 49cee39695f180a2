"""What each token did to the outcome: a plan of edits, and a few lines of algebra over their outcomes."""

from causal_attrib.scores.coherence_channels.channels import coherence
from causal_attrib.scores.completeness import causal_completeness
from causal_attrib.scores.entropy import logprob_and_entropy
from causal_attrib.scores.saliency_methods import saliency
from causal_attrib.scores.scoring import score

__all__ = ["causal_completeness", "coherence", "logprob_and_entropy", "saliency", "score"]
