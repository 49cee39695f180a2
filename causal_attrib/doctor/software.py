"""Are the packages the ones this version was made for?"""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, requires, version
from importlib.util import find_spec

from packaging.requirements import Requirement

from causal_attrib.doctor.report import Check


def environment() -> Check:
    """Every package that copo asks for is there in a version it asks for.

    A torchvision that does not fit its torch is told of, and is no fault: `causal_attrib.vlm.torchvision` sets
    it aside.
    """
    faults = _misfits()
    good = f"torch {version('torch')} and transformers {version('transformers')} are among those supported."
    # Where there is none, torch, which takes seconds, is not imported to find that out.
    if "causal_attrib.vlm" in sys.modules or find_spec("torchvision") is not None:
        from causal_attrib.vlm.torchvision import remedy, torchvision_state

        if torchvision_state() == "broken":
            good += f" torchvision does not work beside this torch and is set aside; mend it with {remedy()}."
    return Check.at_most("environment", len(faults), 0, "packages", good=good, bad=" ".join(faults))


def _misfits() -> list[str]:
    try:
        wanted = [Requirement(line) for line in requires("copo") or ()]
    except PackageNotFoundError:
        return ["copo runs from files that were never installed: pip install copo."]
    # One that belongs to an extra is not asked for here.
    wanted = [need for need in wanted if need.marker is None or need.marker.evaluate({"extra": ""})]
    faults = []
    for need in wanted:
        try:
            found = version(need.name)
        except PackageNotFoundError:
            faults.append(f"{need.name} is not installed: pip install '{need.name}{need.specifier}'.")
            continue
        if not need.specifier.contains(found, prereleases=True):
            faults.append(f"{need.name} is {found}: pip install '{need.name}{need.specifier}'.")
    return faults
