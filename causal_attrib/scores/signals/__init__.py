"""What tells a word that the picture bears out from one that it does not: signals of the field, one file each."""

from causal_attrib.scores.signals.choice import SIGNALS, Signal, take, take_all
from causal_attrib.scores.signals.readings import Readings

__all__ = ["SIGNALS", "Readings", "Signal", "take", "take_all"]
