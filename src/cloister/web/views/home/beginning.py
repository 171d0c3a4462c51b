"""What a new server begins with, and what runs at it. A first step is there until it is done."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from cloister.foundation.text import several
from cloister.node.node import Node
from cloister.node.toolroom.room import Who
from cloister.people.roles import Right
from cloister.storage.datasets import Datasets
from cloister.storage.samples import Wanted

if TYPE_CHECKING:
    from cloister.web.site import Site

_FIRST_TOOL = "/tools/crystals"
May = Callable[[Right], bool]


@dataclass(frozen=True)
class Step:
    """Something to do first.

    Attributes:
        title: what.
        text: what comes of it.
        links: where, each with what the link is called; the first is the way that most people take.
    """

    title: str
    text: str
    links: tuple[tuple[str, str], ...]


def first_steps(site: Site, asked: Who, may: May) -> list[Step]:
    """What is left to do of the first three things, as far as this person may do them."""
    steps = []
    if may("tools.use") and not _used(site, asked):
        steps.append(
            Step(
                "Count crystals in a picture",
                "Take one of your own, or one that this server draws. You see the result in seconds, and nothing leaves"
                " this machine.",
                ((_FIRST_TOOL, "Use the crystal tool"),),
            )
        )
    node = site.node
    if node is None:
        return steps
    if may("datasets.write") and not _registered(node):
        steps.append(
            Step(
                "Register your data",
                "A table or a folder of pictures. It stays where it is; you see beforehand what others will be told of it.",
                (("/datasets/new", "Register a dataset"),),
            )
        )
    if may("node.manage") and node.link is None:
        steps.append(
            Step(
                "Join a relay",
                "Servers of several organisations meet there. Its operator gives you an invitation. Alone, tools and"
                " datasets work all the same.",
                (("/connect", "I have an invitation"),),
            )
        )
    return steps


def _used(site: Site, asked: Who) -> bool:
    return bool(site.tools.recent(asked)) or site.tools.history.page(Wanted(), limit=1).total > 0


@dataclass(frozen=True)
class Running:
    """A line of what runs here: of what, how it is, the page about it."""

    term: str
    text: str
    path: str = ""


def running(node: Node, in_force: int, may: May) -> list[Running]:
    """What runs at this server, as far as this person may know of it; `in_force` counts agreements."""
    found = []
    if may("parties.read"):
        found.append(_relay(node))
    if may("datasets.read"):
        count = len(_registered(node))
        found.append(Running("Datasets", f"{count} registered" if count else "none registered", "/datasets"))
    if may("agreements.read"):
        found.append(
            Running("Agreements", f"{in_force} in force" if in_force else "none in force", "/agreements")
        )
    if may("tasks.read"):
        count = sum(row.status == "running" for row in node.runner.tasks())
        found.append(Running("Tasks", f"{count} running" if count else "none running", "/tasks"))
    if may("log.read"):
        size = node.ledger.size()
        found.append(Running("Log", "1 entry" if size == 1 else f"{size} entries", "/log"))
    return found


def _registered(node: Node) -> dict[str, str]:
    # By name alone: whether their files are as they were takes a look at each file.
    with node.durable.database.read() as tx:
        return Datasets(tx).names()


def _relay(node: Node) -> Running:
    link = node.link
    if link is None:
        return Running("Relay", "none: this server works alone")
    here = link.transport.here()
    if link.hub is not None and link.hub not in here:
        return Running("Relay", "cannot be reached", "/parties")
    others = len(here - {node.party, link.hub})
    return Running("Relay", f"connected; {several(others, 'other server')} there now", "/parties")
