"""The last results of a server, for whoever wants to download them."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from dataclasses import dataclass

from causal_attrib.results.attribution import Attribution
from causal_attrib.results.maps import Maps
from causal_attrib.serve.limits import Limits


@dataclass(frozen=True)
class Kept:
    """data: the bytes of the picture."""

    data: bytes
    found: Attribution | Maps


class Results:
    """By an id that cannot be guessed: several people may share a server."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._kept: OrderedDict[str, Kept] = OrderedDict()
        self._lock = threading.Lock()

    def keep(self, data: bytes, found: Attribution | Maps) -> str:
        """The id of a new result; the oldest ones go where there is no room."""
        key = secrets.token_urlsafe(16)
        with self._lock:
            self._kept[key] = Kept(data, found)
            while len(self._kept) > self._limits.kept or self._bytes() > self._limits.kept_bytes:
                self._kept.popitem(last=False)
        return key

    def get(self, key: str) -> Kept | None:
        with self._lock:
            return self._kept.get(key)

    def _bytes(self) -> int:
        return sum(len(kept.data) for kept in self._kept.values())
