"""The one error that is the user's to mend."""

import math


class InputError(ValueError):
    """Bad input or bad usage: the message is one sentence that says what is wrong and what to do.

    The command line prints it and exits with code 2. Everything else that is raised is a fault of ours. Control
    characters and half characters, which names of strangers' files may hold, are escaped, so that it stays one line.
    """

    def __init__(self, message: str) -> None:
        escaped = (one if one.isprintable() else one.encode("unicode_escape").decode() for one in message)
        super().__init__(message if message.isprintable() else "".join(escaped))


def check_range(name: str, value: float, low: float, high: float = math.inf) -> None:
    """
    Raises:
        InputError: the setting is NaN, infinite or outside [low, high].
    """
    if not (math.isfinite(value) and low <= value <= high):
        bounds = f"from {low:g} to {high:g}" if high < math.inf else f"from {low:g} up"
        raise InputError(f"{name} is {value}, but it must be a number {bounds}.")
