"""Which words of a caption does the picture bear out?

>>> import causal_attrib
>>> vlm = causal_attrib.load()                                                        # doctest: +SKIP
>>> causal_attrib.score("park.png", "a dog on the grass at sunset", model=vlm)        # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily
from causal_attrib.version import __version__

if TYPE_CHECKING:
    from causal_attrib.batch.many import score_many
    from causal_attrib.errors import InputError
    from causal_attrib.evaluation.faithfulness.proof import prove
    from causal_attrib.results.attribution import Attribution, Token
    from causal_attrib.results.maps import Maps
    from causal_attrib.scores import coherence, interactions, saliency, score
    from causal_attrib.vlm import VLM, Encoding, load
else:
    # torch takes seconds to import; `copo --help` and readers of saved results should not wait for it.
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "Attribution": "results.attribution",
            "Encoding": "vlm",
            "InputError": "errors",
            "Maps": "results.maps",
            "Token": "results.attribution",
            "VLM": "vlm",
            "__version__": "version",
            "coherence": "scores",
            "interactions": "scores",
            "load": "vlm",
            "prove": "evaluation.faithfulness.proof",
            "saliency": "scores",
            "score": "scores",
            "score_many": "batch.many",
        },
    )

__all__ = [
    "VLM",
    "Attribution",
    "Encoding",
    "InputError",
    "Maps",
    "Token",
    "__version__",
    "coherence",
    "interactions",
    "load",
    "prove",
    "saliency",
    "score",
    "score_many",
]
