"""Who talked to whom, how often and how much: what a relay can see, for people to look at.

The carrier's wheel does not count, so nodes report their own counters, which is what the hub could count itself; the
figures are for showing, and nothing is decided by them.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cloister.foundation.errors import BadInput
from cloister.identity.keys import PARTY_PATTERN

MAX_PEERS = 1000


@dataclass(frozen=True)
class Passed:
    """What went from one party to another: messages, and bytes as they travelled (sealed)."""

    sender: str
    recipient: str
    messages: int
    bytes: int


class TrafficBook:
    """The counters that nodes reported, the larger of both ends' word for each direction."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last: dict[tuple[str, str], tuple[int, ...]] = {}
        self._before: dict[tuple[str, str], tuple[int, ...]] = {}

    def report(self, sender: str, peers: Mapping[str, Sequence[int]]) -> None:
        """Takes a node's counters since its start, per peer: sent, bytes sent, received, bytes received."""
        if len(peers) > MAX_PEERS:
            raise _malformed()
        for party, counts in peers.items():
            if not _is_party(party) or not _are_counts(counts):
                raise _malformed()
        with self._lock:
            known = {party for reporter, party in self._last if reporter == sender}
            if len(known | set(peers)) > MAX_PEERS:  # ever new names would fill the hub's memory
                raise _malformed()
            for party, counts in peers.items():
                key, now = (sender, party), tuple(counts)
                last = self._last.get(key, (0, 0, 0, 0))
                # Smaller than before: the node was started again and counts from zero.
                if any(new < old for new, old in zip(now, last, strict=True)):
                    before = self._before.get(key, (0, 0, 0, 0))
                    self._before[key] = tuple(a + b for a, b in zip(before, last, strict=True))
                self._last[key] = now

    def all(self) -> list[Passed]:
        """Every direction in which something passed, by sender and recipient."""
        with self._lock:
            totals = {
                key: tuple(a + b for a, b in zip(last, self._before.get(key, (0, 0, 0, 0)), strict=True))
                for key, last in self._last.items()
            }
        best: dict[tuple[str, str], tuple[int, int]] = {}
        for (party, peer), (sent, sent_bytes, received, received_bytes) in totals.items():
            for key, seen in (
                ((party, peer), (sent, sent_bytes)),
                ((peer, party), (received, received_bytes)),
            ):
                best[key] = max(best.get(key, (0, 0)), seen)
        return [Passed(*key, *seen) for key, seen in sorted(best.items()) if seen[0]]


def _is_party(text: str) -> bool:
    return re.fullmatch(PARTY_PATTERN[1:-1], text) is not None


def _are_counts(counts: Sequence[int]) -> bool:
    return (
        isinstance(counts, list)
        and len(counts) == 4
        and all(isinstance(item, int) and not isinstance(item, bool) and 0 <= item < 2**53 for item in counts)
    )


def _malformed() -> BadInput:
    return BadInput(
        "A traffic report could not be read.",
        "Its form is not the one expected.",
        "Use the same release of Cloister at the relay and here.",
    )
