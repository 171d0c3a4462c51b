"""Remembers what was verified, so that a document that is looked at every second costs its signatures once.

Rules:
1. The whole envelope names an entry, signatures included: one changed byte is another document.
2. When anything in the directory of parties changes, all is forgotten: a revoked key counts for nothing at once.
3. Only what held is remembered; a failure is found again each time.
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


class Verified:
    """The results of verifying envelopes against one directory of parties."""

    def __init__(self, parties: Parties) -> None:
        self._parties = parties
        self._generation = -1
        self._known: OrderedDict[tuple[str, str], Any] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, envelope: Envelope, verify: Callable[[Envelope, KeyDirectory], Found]) -> Found:
        """What `verify` makes of the envelope. Raises what it raises."""
        key = (getattr(verify, "__name__", ""), digest(envelope.encode()))
        generation = self._parties.generation
        with self._lock:
            if generation != self._generation:
                self._known.clear()
                self._generation = generation
            if key in self._known:
                self._known.move_to_end(key)
                found: Found = self._known[key]
                return found
        made = verify(envelope, self._parties.directory)
        with self._lock:
            if generation == self._generation:
                self._known[key] = made
                while len(self._known) > _KEEP:
                    self._known.popitem(last=False)
        return made
