"""Training with causal scores: trainers that stand on TRL, and what they share with other trainers.

TRL comes with the extra `train` and is imported by `copo_trainer` and `symmpo_trainer` alone: rewards, data, selection
and the estimator for verl work without it.
"""
