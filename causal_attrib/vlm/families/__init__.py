"""Architectures: one small file for each that differs from `base.Family`."""

from causal_attrib.vlm.families.base import Family
from causal_attrib.vlm.families.choose import choose_family

__all__ = ["Family", "choose_family"]
