"""Which outcomes there are, and what a name and its reference image have to do with each other. No torch."""

from __future__ import annotations

from causal_attrib.choices import OUTCOMES, check_reference
from causal_attrib.errors import InputError
from causal_attrib.outcomes.function import import_outcome

# Chosen by measurement: docs/choosing-an-outcome.md.
BEST_FOR_CAPTIONS = "grounding"


def check_contrast(outcome: str, against: str) -> None:
    """Raises InputError if there is no such contrast, or `outcome` does not hold the picture against anything."""
    check_reference(against)
    if against != "colour" and outcome not in ("auto", BEST_FOR_CAPTIONS):
        raise InputError(
            f"The outcome {outcome} does not hold the picture against another; leave out --against (or against=), or "
            f"take the outcome {BEST_FOR_CAPTIONS}."
        )


def check_given(outcome: str, *, answer: bool, objects: bool) -> None:
    """Raises InputError if there is nothing for `outcome` to compare with."""
    if outcome in ("likelihood", "match") and not answer:
        raise InputError(
            f"The outcome {outcome} needs an answer to compare with: add --question and --answer, or give a caption "
            f"with <think>..</think> <answer>..</answer>."
        )
    if outcome == "objects" and not objects:
        raise InputError("The outcome objects needs the objects in the image: add --objects dog,frisbee.")


def check_name(name: str) -> None:
    """Raises InputError if there is no outcome `name`."""
    if name in OUTCOMES:
        return
    if not isinstance(name, str) or ":" not in name:
        raise InputError(f"There is no outcome {name!r}; choose one of {', '.join(OUTCOMES)}.")
    import_outcome(name)
