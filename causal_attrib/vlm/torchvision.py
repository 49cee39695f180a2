"""torchvision, which is optional: is it there, does it work, and which one fits.

A torchvision fits one torch only. Beside another it cannot be imported ("operator torchvision::nms does not exist"),
and since transformers asks no more than whether the package is there, most of transformers goes down with it.
"""

from __future__ import annotations

import functools
import importlib.util
import sys
from importlib.metadata import version


@functools.cache
def torchvision_state() -> str:
    """ "absent", "works" or "broken" (installed, but it cannot be imported)."""
    if importlib.util.find_spec("torchvision") is None:
        return "absent"
    try:
        import torchvision  # noqa: F401
    except Exception:
        return "broken"
    return "works"


def remedy() -> str:
    """The command that installs the torchvision of this torch: 0.21 goes with torch 2.6, 0.28 with 2.13 and so on."""
    torch, _, build = version("torch").partition("+")
    index = f" --index-url https://download.pytorch.org/whl/{build}" if build else ""
    return f"pip install 'torchvision==0.{int(torch.split('.')[1]) + 15}.*'{index}"


# A broken one is made to look absent, so that transformers takes its paths that do without. That has to be done before
# transformers looks; `causal_attrib.vlm` imports this module first of all.
if torchvision_state() == "broken":
    sys.modules["torchvision"] = None  # type: ignore[assignment]  # this is how Python is told that there is none
    if "transformers" in sys.modules:
        sys.modules["transformers"].utils.is_torchvision_available.cache_clear()
