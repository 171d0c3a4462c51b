"""What one step of an aggregation gives back, and how the state between two steps is kept.

Rules:
1. A state belongs to one context, party and stage; a step asked for out of order, or on another's state, is refused. So each step is done once, on what the one before it left.
2. States are read within limits, like foreign bytes, and carry their own digest: one that was damaged on disk is
   noticed before anything looks at it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

from numpy.typing import NDArray

from cloister.aggregation import messages
from cloister.aggregation.context import Context, Digest
from cloister.foundation.digests import same
from cloister.foundation.documents import Document
from cloister.foundation.errors import BadInput, Conflict
from cloister.identity.keys import PartyId


@dataclass(frozen=True)
class Turn:
    """A step's outcome: commit the state and the messages together, then send.

    Attributes:
        state: for the next step. A participant's is secret.
        send: recipient → body.
        left_out: party → why its answer does not count; public, for people.
        vector: what a coordinator keeps beside its state for `Coordinator.total`; empty but of `Coordinator.collect`.
    """

    state: bytes = field(repr=False)
    send: Mapping[str, bytes] = field(repr=False)
    left_out: Mapping[str, str] = field(default_factory=dict)
    vector: bytes = field(repr=False, default=b"")


@dataclass(frozen=True)
class Opened:
    """A sum, after its owners took off the outer mask and checked it.

    Attributes:
        total: shape (length,), int64 or float64 as the encoding says.
        contributors: whose vectors are in it, sorted.
    """

    total: NDArray[Any] = field(repr=False)
    contributors: tuple[str, ...]


class State(Document):
    """What every state has."""

    stage: str
    context: Digest
    party: PartyId


AnyState = TypeVar("AnyState", bound=State)


def keep(state: State) -> bytes:
    """A state's bytes, for `load`."""
    body = messages.write(state)
    return hashlib.sha256(body).digest() + body


def load(kind: type[AnyState], state: bytes, context: Context, party: str) -> AnyState:
    """A state by rules 1 and 2. Raises `Conflict`."""
    try:
        body = memoryview(state)[messages.HASH :]
        if not same(hashlib.sha256(body).digest(), bytes(state[: messages.HASH])):
            raise out_of_order()
        found, _ = messages.read(kind, body)
    except BadInput:
        raise out_of_order() from None
    if found.context != context.name or found.party != party:
        raise out_of_order()
    return found


def out_of_order() -> Conflict:
    """A step was asked for that does not follow on the state."""
    return Conflict(
        "A step of a secure aggregation is out of order.",
        "Its state is of another step or another aggregation, or was damaged.",
        "Start the aggregation again, as a new attempt.",
        clause="aggregation-order",
    )
