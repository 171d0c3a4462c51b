"""What a carrier must do: bring bytes to a party's node and its reply back. It is trusted with nothing.

`MemoryCarrier` does it within one process, `ZenohCarrier` through the hub. Everything that gives a guarantee
(signatures, seals, idempotency, limits) is above, in `messenger`, and is the same for both.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, Protocol, TypeAlias

Lane: TypeAlias = Literal["call", "blob"]
"""Control and bulk travel apart, so that a small call is never behind a large body."""

Reply: TypeAlias = Callable[[bytes], None]
Receiver: TypeAlias = Callable[[str, bytes, Reply], None]
"""Takes the sender's name (as far as the carrier knows it), its bytes, and how to reply; returns at once."""


class NoReply(Exception):
    """Nothing came back.

    Args:
        absent: whether the carrier knows of no such node now, rather than having waited in vain.
    """

    def __init__(self, *, absent: bool) -> None:
        super().__init__("no such node" if absent else "no reply")
        self.absent = absent


class Carrier(Protocol):
    """Carries bytes for one party."""

    def exchange(self, to: str, lane: Lane, data: bytes, timeout: float) -> bytes:
        """Sends `data` and waits up to `timeout` seconds for the reply. Raises `NoReply`."""
        ...

    def receive(self, lane: Lane, receiver: Receiver) -> None:
        """Hands what arrives on `lane` to `receiver`."""
        ...

    def watch(self, seen: Callable[[str, bool], None]) -> None:
        """Calls `seen(party, here)` whenever a party's node comes or goes, beginning with those that are here."""
        ...

    def close(self) -> None:
        """Ends everything; pending exchanges raise `NoReply`."""
        ...
