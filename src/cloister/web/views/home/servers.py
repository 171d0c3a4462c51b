"""What is wrong with this server or around it: its log, the relay, servers that are away, keys in the wrong place."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from cloister.foundation.text import several
from cloister.node.node import Node
from cloister.people.roles import Right
from cloister.web.views.home.items import Item


def of_trouble(node: Node) -> Iterable[Item]:
    """What an operator has to look at."""
    runs: frozenset[Right] = frozenset({"node.manage"})
    if node.twin:
        yield Item(
            "/settings",
            frozenset({"node.manage", "tasks.approve"}),
            "Another server runs with this organisation's identity. Neither admits anything until one is stopped.",
            "/settings",
            "Look",
            kind="bad",
        )
    if node.ledger.locked is not None:
        yield Item(
            "/log",
            frozenset({"node.manage", "log.read"}),
            "The log contradicts what a witness saw of it. Nothing is signed or spent until that is settled.",
            "/log",
            "See the log",
            kind="bad",
        )
    link = node.link
    if link is not None and link.hub is not None and link.hub not in link.transport.here():
        yield Item(
            "/settings", runs, "The relay cannot be reached. Nobody else can be, either.", "/settings", "Look", kind="bad",
            counted=False,
        )  # fmt: skip
    if node.hub_witness is not None and node.hub_witness.evidence() is not None:
        yield Item(
            "/settings",
            runs,
            "The relay showed two logs that contradict each other.",
            "/settings",
            "Look",
            kind="bad",
        )
    if unreadable := node.agreements.unreadable():
        yield Item(
            "/agreements",
            frozenset({"agreements.sign", "node.manage"}),
            f"{several(len(unreadable), 'agreement')} cannot be read any more: {unreadable[0]['reason']}"[
                :300
            ],
            "/agreements",
            "See agreements",
            kind="warn",
        )


def needed_of(node: Node, summaries: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Whom agreements in force need, and how many agreements; without this organisation."""
    needed: dict[str, int] = {}
    for summary in summaries:
        if summary["state"] == "finalized":
            for item in summary["parties"]:
                if item["party"] != node.party:
                    needed[item["party"]] = needed.get(item["party"], 0) + 1
    return needed


def of_absent(node: Node, needed: Mapping[str, int], away: Mapping[str, int]) -> list[Item]:
    """Organisations that are needed and not connected; `away` says since when."""
    return [
        Item(
            "/parties",
            frozenset({"tasks.ask", "tasks.approve", "node.manage"}),
            f"{node.parties.name(party)} is not connected. {several(needed[party], 'agreement')} in force"
            f" need{'s' if needed[party] == 1 else ''} it.",
            f"/parties/{party}",
            "See it",
            away[party],
            "warn",
            counted=False,
        )
        for party in sorted(away, key=node.parties.name)
    ]


def of_recovery_keys(recovery: Path) -> list[Item]:
    """The recovery keys, while they lie where the other keys are."""
    try:
        made = int(recovery.stat().st_mtime)
    except OSError:
        return []
    return [
        Item(
            "/settings",
            frozenset({"node.manage"}),
            "The recovery keys are still on this machine. Move them to a place off it.",
            "/connect",
            "Where they are",
            made,
            "warn",
            counted=False,
        )
    ]
