"""What waits for a person: one sentence with its link; and the events that such sentences are made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from cloister.node.node import Node
from cloister.people.roles import Right
from cloister.storage.events import Event, Events

Kind = Literal["", "warn", "bad"]


@dataclass(frozen=True)
class Item:
    """Something that waits.

    Attributes:
        screen: the entry of the rail that it belongs to.
        rights: it concerns whoever has one of these.
        text: a sentence.
        link: where something can be done about it.
        action: what the link is called.
        since: when it began to wait; seconds since the epoch.
        kind: how bad it is.
        counted: whether the rail counts it.
        account: it does not concern this person (who asked for it).
    """

    screen: str
    rights: frozenset[Right]
    text: str
    link: str
    action: str
    since: int | None = None
    kind: Kind = ""
    counted: bool = True
    account: str | None = None


def events_of(node: Node, kinds: Iterable[str], limit: int) -> list[Event]:
    """The newest events of some kinds, newest first."""
    with node.durable.database.read() as tx:
        return Events(tx).latest(kinds, limit)
