"""Outcomes of many edits."""

from causal_attrib.engine.base import Engine, Job
from causal_attrib.engine.choose import SharedEngine, choose_engine
from causal_attrib.engine.cost import Cost
from causal_attrib.engine.packed import PackedEngine
from causal_attrib.engine.plain import PlainEngine

__all__ = [
    "Cost",
    "Engine",
    "Job",
    "PackedEngine",
    "PlainEngine",
    "SharedEngine",
    "choose_engine",
]
