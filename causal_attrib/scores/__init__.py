"""What each token did to the outcome: a plan of edits, and a few lines of algebra over their outcomes."""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.scores.coherence_channels.channels import coherence
    from causal_attrib.scores.completeness import causal_completeness
    from causal_attrib.scores.entropy import logprob_and_entropy
    from causal_attrib.scores.pair_effects import interactions
    from causal_attrib.scores.saliency_methods.maps import saliency
    from causal_attrib.scores.scoring import score
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "causal_completeness": "completeness",
            "coherence": "coherence_channels.channels",
            "interactions": "pair_effects",
            "logprob_and_entropy": "entropy",
            "saliency": "saliency_methods.maps",
            "score": "scoring",
        },
    )

__all__ = ["causal_completeness", "coherence", "interactions", "logprob_and_entropy", "saliency", "score"]
