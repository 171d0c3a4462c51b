"""What crossed the wire for a task, as this node saw it: how much, of which kind, to whom and from whom.

Rules:
1. Counted is what was delivered and acknowledged, or accepted here. Sizes are of the message's body: sealing, signatures and what is
   repeated on the way come on top, and are in the traffic by organisation (`Node.traffic`).
2. A node sees its own messages only. What two others told each other is not known here, and not guessed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeAlias

from cloister.journal.durable import Durable
from cloister.storage.events import Event

EVENTS_MOST = 50_000
"""Events of one task that are looked at, at most."""
_PART = 1000

Direction: TypeAlias = Literal["sent", "received"]

CONTENTS = {
    "announce": "public keys for one round",
    "gather": "everybody's public keys for one round",
    "share": "sealed key shares, which only their recipients can open",
    "relay": "sealed key shares that the coordinator passes on",
    "mask": "an owner's contribution under a mask; alone it tells nothing",
    "collect": "signed list of who is in the sum",
    "endorse": "signature under the list of who is in the sum",
    "confirm": "everybody's signatures under that list",
    "reveal": "key shares that take the masks off the sum, not off any single part",
    "total": "the sum, which only owners can open",
    "weights": "the model's weights before a round",
    "update": "one owner's update",
    "finished": "the end of the training",
    "result": "digest and size of the trained model",
    "candidate": "what the owners are asked to approve",
    "vote": "an owner's vote and signature",
    "certificate": "the signed certificate",
    "release": "the certificate with the result",
    "content": "the approved result, to its recipients",
    "stored": "confirmation that it was kept",
    "stored-by-owner": "confirmation that it was kept",
    "withdrawn": "notice that there is no release",
    "left": "notice that somebody left, and at which step",
}
"""What a kind of message carries, in words; a kind that is not here is told by its name."""


@dataclass(frozen=True)
class Crossed:
    """Messages of one kind with one party, one way.

    Attributes:
        party: the other one.
        direction: from here, or to here.
        kind: of message, without its round.
        messages: how many.
        size: of their bodies together, bytes.
        about: what such a message carries.
    """

    party: str
    direction: Direction
    kind: str
    messages: int
    size: int
    about: str


def events_of(durable: Durable, task: str, most: int = EVENTS_MOST) -> Iterator[Event]:
    """A task's events, oldest first, up to `most`."""
    last, seen = 0, 0
    while seen < most:
        found = durable.events(last, task=task, limit=min(_PART, most - seen))
        if not found:
            return
        yield from found
        last, seen = found[-1].id, seen + len(found)


def crossed(events: Iterable[Event]) -> list[Crossed]:
    """What crossed, by party, direction and kind, in that order."""
    sums: dict[tuple[str, Direction, str], tuple[int, int]] = {}
    for event in events:
        found = _message(event)
        if found is not None:
            party, direction, kind, size = found
            count, total = sums.get((party, direction, kind), (0, 0))
            sums[party, direction, kind] = (count + 1, total + size)
    return [
        Crossed(party, direction, kind, count, size, CONTENTS.get(kind, kind.replace("-", " ")))
        for (party, direction, kind), (count, size) in sorted(sums.items())
    ]


def stem(kind: str) -> str:
    """A kind of message without the round that it belongs to: `mask` of `mask-3`."""
    name, _, number = kind.rpartition("-")
    return name if name and number.isdecimal() else kind


def _message(event: Event) -> tuple[str, Direction, str, int] | None:
    facts, direction = event.facts, _DIRECTIONS.get(event.kind)
    if direction is None:
        return None
    party = str(facts.get("to" if direction == "sent" else "from", ""))
    size = facts.get("bytes")
    return party, direction, stem(str(facts.get("kind", ""))), size if isinstance(size, int) else 0


_DIRECTIONS: dict[str, Direction] = {"message.delivered": "sent", "message.accepted": "received"}
