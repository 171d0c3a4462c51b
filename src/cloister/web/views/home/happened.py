"""What happened lately at this server, as far as whoever looks may know of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from cloister.foundation.errors import CloisterError
from cloister.foundation.text import party_name
from cloister.node.node import Node
from cloister.node.tasks.happenings import in_words
from cloister.people.roles import Right
from cloister.storage.events import Event
from cloister.web.views.agreements import STATES
from cloister.web.views.home.items import events_of

_HAPPENED = 12
_TOLD = (
    "agreement.signatures", "agreement.state", "task.proposed", "task.refused", "task.started", "task.finished",
    "task.failed", "task.stopped", "budget.charged", "release.stored", "release.revoked", "duty.deleted",
    "disclosure.given", "disclosure.received", "disclosure.withdrawn", "disclosure.deleted", "disclosure.confirmed",
    "disclosure.overdue", "disclosure.delivered", "disclosure.arrived", "figures.asked", "figures.answered",
    "figures.forbidden",
)  # fmt: skip
_DISCLOSED = {
    "disclosure.given": ("Records were sealed to another organisation", "done"),
    "disclosure.received": ("Records that another organisation disclosed were opened", "done"),
    "disclosure.withdrawn": ("A disclosure was withdrawn", "warn"),
    "disclosure.deleted": ("This server deleted disclosed records", "done"),
    "disclosure.confirmed": ("The recipient of disclosed records confirmed something", "done"),
    "disclosure.delivered": ("The sealed records arrived at the other organisation's server", "done"),
    "disclosure.arrived": ("Another organisation sent a sealed package of records", "warn"),
    "disclosure.overdue": ("The deletion of disclosed records is overdue", "bad"),
}


_RIGHTS: Mapping[str, Right] = {
    "agreement": "agreements.read",
    "disclosure": "disclosures.read",
    "figures": "tasks.read",
}


@dataclass(frozen=True)
class Happening:
    """A line of what happened lately."""

    at: int
    text: str
    link: str = ""
    kind: str = "done"


def happened(node: Node, may: Callable[[Right], bool]) -> list[Happening]:
    """What happened lately, newest first, as far as whoever looks may know of it."""
    kinds = [
        kind
        for kind in _TOLD
        if may(_RIGHTS.get(kind.partition(".")[0], "tasks.read"))
        and (kind != "budget.charged" or may("budgets.read"))
    ]
    names = node.parties.names()
    found: list[Happening] = []
    seen: set[object] = set()
    for item in events_of(node, kinds, 4 * _HAPPENED):
        told = _told(node, item, names)
        # Signatures and acts of an agreement come one by one, of each party: only how it stands now.
        agreed = item.kind.startswith("agreement.")
        key = (item.kind, item.facts.get("agreement"), item.facts.get("to")) if agreed else item.id
        if told is not None and key not in seen:
            seen.add(key)
            found.append(told)
    return found[:_HAPPENED]


def _told(node: Node, item: Event, names: Mapping[str, str]) -> Happening | None:
    facts = item.facts
    if item.kind.startswith("agreement."):
        digest = str(facts.get("agreement"))
        try:
            title = node.agreements.get(digest).terms.title
        except CloisterError:
            return None
        link = f"/agreements/{digest}"
        if item.kind == "agreement.signatures":
            signed = [party_name(party, names) for party in facts.get("signed") or ()]
            return Happening(item.at, f"“{title}” is signed by {', '.join(signed)}", link)
        if facts.get("to") not in {"finalized", "suspended", "revoked", "terminated"}:
            return None
        bad = "warn" if facts["to"] != "finalized" else "done"
        return Happening(item.at, f"“{title}” is {STATES[facts['to']][0]}", link, bad)
    if item.kind.startswith("figures."):
        return _of_figures(node, item, names)
    if item.kind in _DISCLOSED:
        text, kind = _DISCLOSED[item.kind]
        if item.kind == "disclosure.arrived":
            return Happening(item.at, text, "/disclosures", kind)
        try:
            node.disclosures.one(str(facts.get("disclosure")))
        except CloisterError:
            return None  # withdrawn before it was opened here: there is nothing to show
        return Happening(item.at, text, f"/disclosures/{facts.get('disclosure')}", kind)
    if item.kind == "release.stored":
        return Happening(item.at, "A result was approved and is here", f"/tasks/{item.task}")
    words = in_words({"kind": item.kind, "facts": facts}, names)
    if not words:
        return None
    kinds = {"task.failed": "bad", "task.refused": "warn", "release.revoked": "warn", "task.stopped": "warn"}
    try:
        node.tasks.plan(item.task)
    except CloisterError:
        return None
    return Happening(
        item.at,
        f"Task {item.task.removeprefix('sha256:')[:8]}: {words}",
        f"/tasks/{item.task}",
        kinds.get(item.kind, "done"),
    )


def _of_figures(node: Node, item: Event, names: Mapping[str, str]) -> Happening | None:
    if item.kind == "figures.forbidden":
        who = party_name(str(item.facts.get("researcher")), names)
        text = f"{who} asked how a tool does on {item.facts.get('dataset')}, and was turned away: {item.facts.get('why')}"
        return Happening(item.at, text, "/figures", "warn")
    try:
        asked = node.figures.one(str(item.facts.get("question")))
    except CloisterError:
        return None
    if item.kind == "figures.asked":
        who = party_name(asked["researcher"], names)
        return Happening(item.at, f"{who} asked how a tool does on {asked['dataset']}", "/figures", "done")
    what = "refused to say" if asked["refused"] else "told"
    who = party_name(asked["owner"], names)
    return Happening(item.at, f"{who} {what} how a tool does on {asked['dataset']}", "/figures", "done")
