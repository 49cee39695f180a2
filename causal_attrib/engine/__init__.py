"""Outcomes of many edits."""

from causal_attrib.engine.gumbel import COUPLINGS
from causal_attrib.engine.plain import Cost, PlainEngine

__all__ = ["COUPLINGS", "Cost", "PlainEngine"]
