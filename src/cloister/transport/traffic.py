"""Counts what passed between this node and each other party."""

from __future__ import annotations

import threading
from dataclasses import dataclass


@dataclass(frozen=True)
class Traffic:
    """What passed between this node and one other: messages, and bytes as they travel (sealed)."""

    sent: int
    sent_bytes: int
    received: int
    received_bytes: int


class Counter:
    """Traffic by party, since this node started."""

    def __init__(self) -> None:
        self._counts: dict[str, list[int]] = {}
        self._lock = threading.Lock()

    def add(self, party: str, *, sent: int = 0, received: int = 0) -> None:
        """Counts a message of so many bytes, in one direction."""
        with self._lock:
            counts = self._counts.setdefault(party, [0, 0, 0, 0])
            if sent:
                counts[0] += 1
                counts[1] += sent
            if received:
                counts[2] += 1
                counts[3] += received

    def all(self) -> dict[str, Traffic]:
        """What was counted so far."""
        with self._lock:
            return {party: Traffic(*counts) for party, counts in self._counts.items()}
