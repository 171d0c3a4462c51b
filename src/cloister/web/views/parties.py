"""The organisations that this server knows, as people see them: who is here, who is trusted, what passed between us."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted
from cloister.identity.envelopes import Envelope
from cloister.node.folder import CONFIG_LIMIT
from cloister.node.node import Node

CARD_MOST = CONFIG_LIMIT
LAST_GROUPS = 3
"""So many of the last groups of a fingerprint somebody types at least, as the other side reads them out."""
ROLES: Mapping[str, str] = {
    "owner": "has data",
    "researcher": "asks for computations",
    "user": "uses results",
    "witness": "watches logs",
    "auditor": "audits",
    "hub": "relay",
}


def listing(node: Node) -> list[dict[str, Any]]:
    """Everybody but ourselves: who waits to be compared first, then by name."""
    here = node.link.transport.here() if node.link is not None else frozenset()
    hub = node.link.hub if node.link is not None else None
    traffic = node.traffic()
    found = []
    for item in node.parties.listing():
        if item["own"]:
            continue
        found.append(
            item
            | {
                "here": item["party"] in here,
                "relay": item["party"] == hub or "hub" in item["roles"],
                "told": [ROLES.get(role, role) for role in item["roles"]],
                "traffic": traffic.get(item["party"]),
            }
        )
    return sorted(found, key=lambda item: (item["relay"], item["name"].casefold(), item["party"]))


def own(node: Node) -> dict[str, Any]:
    """This organisation."""
    return next(item for item in node.parties.listing() if item["own"])


def one(node: Node, party: str) -> dict[str, Any]:
    """One organisation, with the agreements that it is in. Raises `NotFound`."""
    for item in listing(node):
        if item["party"] == party:
            return item | {"agreements": _agreements(node, party)}
    raise NotFound(
        "No such organisation is known here.", "Nobody gave its card to this server.", "Add its card."
    )


def _agreements(node: Node, party: str) -> list[dict[str, Any]]:
    found = []
    for digest in node.agreements.digests():
        try:
            summary = node.agreements.summary(digest)
        except CloisterError:
            continue
        if any(item["party"] == party for item in summary["parties"]):
            found.append(summary)
    return list(reversed(found))


def read_cards(text: str) -> list[Envelope]:
    """A chain of cards as somebody pasted or uploaded it, not yet checked. Raises `BadInput`."""
    data = text.strip().encode("utf-8", "replace")
    if not data:
        raise BadInput("There is no card.", "Nothing was pasted or chosen.", "Paste the text of card.json.")
    try:
        value = parse(data, max_bytes=CARD_MOST)
    except BadInput:
        value = None
    if isinstance(value, dict) and isinstance(value.get("cards"), list):
        value = value["cards"]
    if not isinstance(value, list) or not value or not all(isinstance(item, dict) for item in value):
        raise BadInput(
            "That is no card.",
            "A card file is a list of signed cards.",
            "Ask that organisation for the file that its page calls “our card”.",
        )
    return [Envelope.from_json(item) for item in value]


def compared(party: str, typed: str) -> str:
    """What somebody heard and typed of a fingerprint, as the directory takes it: whole, or at least its last three groups.

    Raises `NotTrusted` if it is another, `BadInput` if it is too little.
    """
    given = re.sub(r"[\s-]", "", typed).lower()
    if len(given) < 4 * LAST_GROUPS:
        raise BadInput(
            "That is too little to compare.",
            f"At least the last {LAST_GROUPS} groups are needed, as the other side reads them out.",
            "Call them, and type what you hear.",
        )
    if party.endswith(given):
        return party
    raise NotTrusted(
        "The fingerprints differ.",
        "What you typed is not how this card's fingerprint ends.",
        "If they read it out like that, do not trust this card: ask them for their card by another way.",
        clause="fingerprint",
    )
