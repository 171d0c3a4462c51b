"""Which keys speak for which party: the port through which the transport asks, so that it depends on no directory."""

from __future__ import annotations

from typing import Protocol

from cloister.identity.envelopes import KeyDirectory
from cloister.identity.keys import PublicKeys


class Peers(Protocol):
    """Knows the other parties. `identity` keeps the real one; tests use a dictionary."""

    def keys_for(self, party: str) -> PublicKeys:
        """The keys that speak for `party` now. Raises `NotTrusted` if it is unknown, revoked or stale."""
        ...

    @property
    def directory(self) -> KeyDirectory:
        """Every key that spoke for a party at some time, for older signed documents."""
        ...
