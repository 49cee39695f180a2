"""Training with causal scores: trainers that stand on TRL, the runs of `copo train`, and what other trainers can use.

TRL comes with the extra `train`: rewards, data, selection, recipes and the estimator for verl work without it.

>>> from causal_attrib.training import CopoGRPOTrainer, SymMPOTrainer      # doctest: +SKIP
"""

from typing import TYPE_CHECKING

from causal_attrib.lazy import lazily

if TYPE_CHECKING:
    from causal_attrib.training.trainers.copo_trainer import CopoGRPOTrainer
    from causal_attrib.training.trainers.symmpo_trainer import SymMPOTrainer
else:
    # TRL takes seconds to import, and need not be there for the rest of this package.
    __getattr__, __dir__ = lazily(
        __name__,
        {"CopoGRPOTrainer": "trainers.copo_trainer", "SymMPOTrainer": "trainers.symmpo_trainer"},
    )

__all__ = ["CopoGRPOTrainer", "SymMPOTrainer"]
