"""Trainers that stand on TRL, and what they need of a model and its checkpoints."""
