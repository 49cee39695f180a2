"""`copo env`: what a bug report should say, and which settings are in force."""

from __future__ import annotations

import json as json_format
import platform
from typing import Annotated

import typer

from causal_attrib import __version__
from causal_attrib_cli.settings import InForce
from causal_attrib_cli.usage import Command

_PACKAGES = (
    "torch",
    "transformers",
    "tokenizers",
    "captum",
    "trl",
    "peft",
    "accelerate",
    "bitsandbytes",
    "torchvision",
)


class Env(Command):
    """The command, which tells what is wrong with the settings where others end."""

    needs_settings = False


def env(
    context: typer.Context,
    json: Annotated[bool, typer.Option("--json", help="JSON in place of a list.")] = False,
) -> None:
    """Print versions, devices, and the settings of copo.toml and the environment, for bug reports."""
    facts: dict[str, object] = {
        "copo": __version__,
        "python": platform.python_version(),
        "platform": platform.platform(),
        **{name: _version(name) for name in _PACKAGES},
    }
    problems = []
    try:
        facts |= _devices()
    except Exception as error:  # whatever is wrong with an installation is what the report is for
        problems.append(f"torch cannot be used ({error}); install it again")
    else:
        problems += _torchvision_problems()
    in_force: InForce = context.obj or InForce()
    facts["settings"] = in_force.lines() or ["none"]
    if in_force.fault is not None:
        problems.append(str(in_force.fault).rstrip("."))
    if problems:
        facts["problems"] = problems
    if json:
        print(json_format.dumps(facts, indent=2))
    else:
        for name, value in facts.items():
            print(f"{name:<13}{', '.join(value) if isinstance(value, list) else value}")


def _version(name: str) -> str:
    # Takes as long to import as much of the rest of the command line.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"


def _devices() -> dict[str, object]:
    import torch

    devices = [f"cpu ({torch.get_num_threads()} threads)"]
    devices += [f"cuda:{index} ({torch.cuda.get_device_name(index)})" for index in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    return {"cuda": torch.version.cuda or "not in this torch", "devices": devices}


def _torchvision_problems() -> list[str]:
    from causal_attrib.vlm.torchvision import remedy, torchvision_state

    if torchvision_state() != "broken":
        return []
    return [f"torchvision does not work beside this torch and is set aside; mend it with {remedy()}, or uninstall it"]
