"""No word to anybody: nothing here calls the network unless a model is named that lies there."""

from __future__ import annotations


class OfflineMixin:
    """Put it before a trainer of TRL, which otherwise reports on each one that is made."""

    def _send_telemetry(self) -> None:
        return
