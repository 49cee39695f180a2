"""What a server takes from strangers, at most."""

from __future__ import annotations

from dataclasses import dataclass, fields

from causal_attrib.choices import setting
from causal_attrib.errors import InputError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """
    body:       bytes of a request, picture and texts together
    pixels:     width times height of a picture
    characters: of a caption, prompt, question or answer
    samples:    sampled completions per prefix
    steps:      of integrated gradients, noisy copies and orders of regions
    queue:      requests that wait for the model; more are told to come again
    waiting:    bytes of the pixels of those that wait
    seconds:    from the arrival of a request to its answer
    kept:       results that can be downloaded, the last ones
    kept_bytes: of their pictures together

    Raises:
        InputError: a limit that is not above zero.
    """

    body: int = setting(20_000_000, "Bytes of a request, at most.", metavar="N")
    pixels: int = setting(40_000_000, "Pixels of a picture, at most.", metavar="N")
    characters: int = setting(4_000, "Characters of a caption, at most.", metavar="N")
    samples: int = 16
    steps: int = 256
    queue: int = setting(32, "Requests that wait, at most; more are told to come again.", metavar="N")
    waiting: int = 1_000_000_000
    seconds: float = setting(120.0, "Seconds until a request is given up.", metavar="S")
    kept: int = 64
    kept_bytes: int = 200_000_000

    def __post_init__(self) -> None:
        for limit in fields(self):
            value = getattr(self, limit.name)
            if not 0 < value < float("inf"):
                raise InputError(f"The limit {limit.name} is {value}, but it must be a number above 0.")
