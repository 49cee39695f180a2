"""Training data: rows, their layouts, pairs, and which prompts are worth training on."""

from causal_attrib.training.data.reading import read_data, to_dataset, write_data

__all__ = ["read_data", "to_dataset", "write_data"]
