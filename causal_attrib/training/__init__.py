"""Training with causal scores: trainers that stand on TRL, the runs of `copo train`, and what other trainers can use.

TRL comes with the extra `train`: rewards, data, selection, recipes and the estimator for verl work without it.

>>> from causal_attrib.training import CopoGRPOTrainer, SymMPOTrainer      # doctest: +SKIP
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from causal_attrib.training.trainers.copo_trainer import CopoGRPOTrainer
    from causal_attrib.training.trainers.symmpo_trainer import SymMPOTrainer

_HOME = {"CopoGRPOTrainer": "copo_trainer", "SymMPOTrainer": "symmpo_trainer"}

__all__ = ["CopoGRPOTrainer", "SymMPOTrainer"]


def __getattr__(name: str) -> object:
    # TRL takes seconds to import, and need not be there for the rest of this package.
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(f"causal_attrib.training.trainers.{_HOME[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
