"""Agreements that wait for a signature, and whose fingerprints nobody compared."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cloister.node.node import Node
from cloister.people.roles import Right
from cloister.web.views.agreements import second_people
from cloister.web.views.home.items import Item, events_of

_UNSIGNED = frozenset({"requested", "offered", "accepted", "agreed", "none"})


def of_agreements(node: Node, summaries: list[dict[str, Any]]) -> Iterable[Item]:
    """What there is to sign, to compare, and to confirm as a second person."""
    began = {
        item.facts.get("agreement"): item.at
        for item in events_of(node, ("agreement.signatures",), 1000)  # the oldest comes last and counts
    }
    signs: frozenset[Right] = frozenset({"agreements.sign"})
    strangers: dict[str, str] = {}
    for summary in summaries:
        digest = summary["agreement"]
        if summary["state"] not in _UNSIGNED:
            continue
        others = [item for item in summary["parties"] if item["party"] != node.party]
        if any(item["signed"] for item in summary["parties"] if item["party"] == node.party):
            continue
        by = ", ".join(item["name"] for item in others if item["signed"]) or "Somebody"
        for item in others:
            if not item["trusted"]:
                strangers.setdefault(item["party"], summary["title"])
        yield Item(
            "/agreements",
            signs,
            f"{by} asks you to sign “{summary['title']}”.",
            f"/agreements/{digest}",
            "Read it",
            began.get(digest),
        )
    for party, title in sorted(strangers.items()):
        yield Item(
            "/parties",
            frozenset({"parties.trust"}),
            f"Nobody here has compared the fingerprint of {node.parties.name(party)}; “{title}” cannot be signed before.",
            f"/parties/{party}",
            "Compare it",
        )
    for found in second_people(node):
        wish = found["wish"]
        what = "one person to sign again" if wish.kind == "one-person" else f"“{found['title']}” signed"
        yield Item(
            "/agreements",
            signs,
            f"{wish.name} wants {what}; a second person has to agree.",
            found["path"],
            "Read it",
            wish.at,
            account=wish.account,
        )
