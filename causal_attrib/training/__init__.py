"""Training with causal scores: trainers that stand on TRL, the runs of `copo train`, and what other trainers can use.

TRL comes with the extra `train`: rewards, data, selection, recipes and the estimator for verl work without it.
"""
