"""Writes and opens one node's messages: its keys (present and earlier), its peers, its clock, its sequence numbers."""

from __future__ import annotations

import threading
from collections import Counter

from cloister.foundation.clock import Clock
from cloister.identity.keys import SecretKeys
from cloister.transport import envelope
from cloister.transport.envelope import Content, Header, Limits, Opened
from cloister.transport.peers import Peers


class Frames:
    """See `envelope` for what holds of every frame.

    Args:
        party: this party's fingerprint.
        keys: its present keys.
        peers: the other parties' present keys.
        clock: tells the time.
        limits: what is let pass.
    """

    def __init__(self, party: str, keys: SecretKeys, peers: Peers, clock: Clock, limits: Limits) -> None:
        self.party = party
        self._keys: tuple[SecretKeys, ...] = (keys,)
        self._peers, self._clock, self._limits = peers, clock, limits
        self._sequence: Counter[str] = Counter()
        self._lock = threading.Lock()

    def pack(
        self, to: str, method: str, key: str, content: Content, body: bytes, due: int, reply_to: str = ""
    ) -> tuple[Header, bytes]:
        """The header and the frame of a message; `due` in seconds since the epoch. Raises as `envelope.pack`."""
        with self._lock:
            self._sequence[to] += 1
            sequence = self._sequence[to]
        return envelope.pack(
            sender=self.party,
            keys=self._keys[0],
            recipient=to,
            peers=self._peers,
            method=method,
            key=key,
            body=body,
            deadline=due,
            content=content,
            sequence=sequence,
            reply_to=reply_to,
        )

    def open(self, frame: bytes) -> Opened:
        """A request that came. Raises as `envelope.open_`."""
        return envelope.open_(
            frame,
            party=self.party,
            keys=self._keys,
            peers=self._peers,
            now=self._clock.now(),
            limits=self._limits,
        )

    def open_answer(self, frame: bytes, request: Header, method: str, key: str) -> Opened:
        """The answer to `request`. Raises as `envelope.open_answer`."""
        return envelope.open_answer(
            frame,
            request,
            method,
            key,
            keys=self._keys,
            peers=self._peers,
            now=self._clock.now(),
            limits=self._limits,
        )

    def expect(self, keys: SecretKeys) -> None:
        """Also opens what is sealed to `keys` from now on."""
        if keys.public.keyset not in {item.public.keyset for item in self._keys}:
            self._keys = (*self._keys[:3], keys)

    def rotate(self, keys: SecretKeys) -> None:
        """Signs with `keys` from now on; what is sealed to the keys before is still opened."""
        before = tuple(item for item in self._keys if item.public.keyset != keys.public.keyset)
        self._keys = (keys, *before[:2])
