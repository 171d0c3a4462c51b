"""How much a node does at once, and how long it tries."""

from __future__ import annotations

from dataclasses import dataclass, field

from cloister.transport.envelope import Limits


@dataclass(frozen=True)
class Tuning:
    """How much a node does at once, and how long it tries.

    Attributes:
        inline: the largest body in bytes that travels within its message.
        body: the largest body in bytes at all.
        handlers: calls answered at the same time.
        pulls: large bodies pulled at the same time; never two of one sender.
        queue: large bodies of one sender that may wait for its turn.
        running: calls of one sender that may be unanswered at the same time.
        stall: seconds without a further chunk until a pull for a handler is given up.
        slowest: bytes a second that a pull for a handler must reach, after `stall` seconds.
        window: chunks of one body on their way at the same time, at most.
        waiting: calls that may wait for a handler.
        patience: seconds for which a call is repeated to a party of whom the carrier knows nothing.
        attempt: seconds until an unanswered call is sent again under its key; doubles up to eightfold.
        chunk_first: seconds until a chunk is asked for again while nothing is known of a party's pace.
        chunk_least: the same, at least, once its pace is known.
        chunk_most: the same, at most.
        limits: see `envelope.Limits`.
    """

    inline: int = 256 << 10
    body: int = 1 << 30
    handlers: int = 8
    pulls: int = 4
    queue: int = 16
    running: int = 64
    stall: float = 60.0
    slowest: int = 32 << 10
    window: int = 4
    waiting: int = 256
    patience: float = 10.0
    attempt: float = 3.0
    chunk_first: float = 4.0
    chunk_least: float = 2.0
    chunk_most: float = 60.0
    limits: Limits = field(default_factory=Limits)
