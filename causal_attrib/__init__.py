"""Which words of a caption does the picture bear out?

>>> import causal_attrib
>>> vlm = causal_attrib.load()                                                        # doctest: +SKIP
>>> causal_attrib.score("park.png", "a dog on the grass at sunset", model=vlm)        # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from causal_attrib.version import __version__

if TYPE_CHECKING:
    from causal_attrib.errors import InputError
    from causal_attrib.evaluation.faithfulness.proof import prove
    from causal_attrib.results.attribution import Attribution, Token
    from causal_attrib.results.maps import Maps
    from causal_attrib.scores import coherence, saliency, score
    from causal_attrib.vlm import VLM, Encoding, load

_HOME = {
    "Attribution": "results.attribution",
    "Token": "results.attribution",
    "InputError": "errors",
    "Maps": "results.maps",
    "coherence": "scores",
    "saliency": "scores",
    "score": "scores",
    "VLM": "vlm",
    "Encoding": "vlm",
    "load": "vlm",
    "prove": "evaluation.faithfulness.proof",
}

__all__ = [
    "VLM",
    "Attribution",
    "Encoding",
    "InputError",
    "Maps",
    "Token",
    "__version__",
    "coherence",
    "load",
    "prove",
    "saliency",
    "score",
]


def __getattr__(name: str) -> object:
    # torch takes seconds to import; `copo --help` and readers of saved results should not wait for it.
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"causal_attrib.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    # What completion offers: without it, names that are imported late are not seen.
    return sorted(__all__)
