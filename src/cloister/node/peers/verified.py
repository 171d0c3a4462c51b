"""Remembers what was verified, so that a document that is looked at every second costs its signatures once.

Rules:
1. The whole envelope names an entry, signatures included: one changed byte is another document.
2. When anything in the directory of parties changes, all is forgotten: a revoked key counts for nothing at once.
3. Only what held is remembered; a failure is found again each time.
4. So many entries and so many bytes are remembered; what was not looked at for longest goes first.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, TypeVar

from cloister.foundation.digests import digest
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.node.peers.parties import Parties

Found = TypeVar("Found")
_KEEP = 4096
_KEEP_BYTES = 64 << 20


class Verified:
    """The results of verifying envelopes against one directory of parties.

    Args:
        parties: whose keys count.
        keep: entries that are remembered.
        keep_bytes: of all their envelopes; what is made of them takes a few times as much.
    """

    def __init__(self, parties: Parties, keep: int = _KEEP, keep_bytes: int = _KEEP_BYTES) -> None:
        self._parties = parties
        self._keep, self._keep_bytes = keep, keep_bytes
        self._generation = -1
        self._known: OrderedDict[tuple[str, str], tuple[Any, int]] = OrderedDict()
        self._bytes = 0
        self._lock = threading.Lock()

    def get(self, envelope: Envelope, verify: Callable[[Envelope, KeyDirectory], Found]) -> Found:
        """What `verify` makes of the envelope. Raises what it raises."""
        data = envelope.encode()
        key = (getattr(verify, "__name__", ""), digest(data))
        generation = self._parties.generation
        with self._lock:
            if generation != self._generation:
                self._known.clear()
                self._bytes = 0
                self._generation = generation
            if key in self._known:
                self._known.move_to_end(key)
                found: Found = self._known[key][0]
                return found
        made = verify(envelope, self._parties.directory)
        with self._lock:
            if generation == self._generation and key not in self._known:
                self._known[key] = made, len(data)
                self._bytes += len(data)
                while len(self._known) > self._keep or self._bytes > self._keep_bytes:
                    self._bytes -= self._known.popitem(last=False)[1][1]
        return made
