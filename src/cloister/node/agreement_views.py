"""What this node's people see of an agreement besides its text: its life, its versions, its budgets, what stopping it would stop."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cloister.agreements.lifecycle import Act, open_act, suspended_by
from cloister.agreements.signing import AGREEMENT_TYPE
from cloister.agreements.terms import Terms
from cloister.agreements.timeline import DID, MOVED, SIGNED, STOPPED, Happening, Tone, timeline
from cloister.claims.offers import PLAN_TYPE
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError
from cloister.foundation.text import party_name
from cloister.journal.statuses import ENDED
from cloister.node.budgets import views
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.releases import Release, Releases

if TYPE_CHECKING:
    from cloister.node.node import Node

_DEEDS = {
    "sign": "signed here",
    "offer": "signed and offered it here",
    "suspend": "suspended it here",
    "resume": "resumed it here",
    "revoke": "revoked it here",
    "decline": "declined it here",
}
_ENDS: dict[str, tuple[str, Tone]] = {
    "done": ("A task ended with a result.", "done"),
    "failed": ("A task failed.", "bad"),
    "stopped": ("A task was stopped.", "warn"),
    "refused": ("A task was refused.", "warn"),
}


@dataclass(frozen=True)
class Stops:
    """What suspending or ending an agreement stops at this node, and what it leaves.

    Attributes:
        running: tasks whose phases run here now.
        waiting: tasks that were proposed, or approved, and have not begun.
        budgets: this party's populations of which nothing more would be spent under it.
        results: approved results that stay with those who have them.
    """

    running: tuple[dict[str, Any], ...]
    waiting: tuple[dict[str, Any], ...]
    budgets: tuple[dict[str, Any], ...]
    results: tuple[Release, ...]


def tasks(node: Node, digest: str) -> list[dict[str, Any]]:
    """The tasks under an agreement that are known here, oldest first: digest, status, purpose, requester, times, failure."""
    with node.durable.database.read() as tx:
        names = [name for name, _ in Documents(tx).find(PLAN_TYPE, agreement=digest)]
    found = []
    for name in names:
        told = node.tasks.summary(name)
        row = node.durable.task(name)
        began, ended, failure = None, None, None
        if row is not None:
            told["status"], began = row.status, row.created
            failure = dict(row.failure) if row.failure else None
            ended = row.updated if row.status in ENDED else None
        found.append(
            {
                "task": name,
                "status": told["status"],
                "kind": told["kind"],
                "purpose": told["purpose"],
                "requester": told["requester"],
                "created": parse_rfc3339(told["created"]),
                "began": began,
                "ended": ended,
                "failure": failure,
                "phase": row.phase if row is not None else None,
            }
        )
    return found


def results(node: Node, digest: str) -> list[Release]:
    """The approved results of an agreement's tasks that this node knows of, oldest first."""
    under = {item["task"] for item in tasks(node, digest)}
    with node.durable.database.read() as tx:
        return [item for item in Releases(tx).find() if item.task in under and item.certificate]


def budgets(node: Node, digest: str, terms: Terms) -> list[dict[str, Any]]:
    """What may be spent, and was, of this party's populations under an agreement."""
    if not any(item.owner == node.party for item in terms.budgets):
        return []
    return [
        {**part, "population": population["population"], "unit": population["unit"]}
        for population in views.listing(node.budgets, [(digest, terms)])
        for part in population["agreements"]
    ]


def stops(node: Node, digest: str) -> Stops:
    """What suspending or ending it would stop here."""
    terms = node.agreements.get(digest).terms
    known = tasks(node, digest)
    return Stops(
        tuple(item for item in known if item["status"] == "running"),
        tuple(item for item in known if item["status"] != "running" and item["status"] not in ENDED),
        tuple(budgets(node, digest, terms)),
        tuple(results(node, digest)),
    )


def versions(node: Node, terms: Terms) -> list[dict[str, Any]]:
    """Every version of an agreement that is here, by number: digest, version, state."""
    with node.durable.database.read() as tx:
        names = [name for name, _ in Documents(tx).find(AGREEMENT_TYPE, uid=terms.uid)]
    found = []
    for name in names:
        try:
            told = node.agreements.summary(name)
        except CloisterError:
            continue  # one that cannot be read is told elsewhere
        found.append(
            {
                "agreement": name,
                "version": told["version"],
                "state": told["state"],
                "title": told["title"],
                "previous": node.agreements.get(name).terms.previous,
            }
        )
    return sorted(found, key=lambda item: (item["version"], item["agreement"]))


def acts(node: Node, digest: str) -> list[Act]:
    """The acts on an agreement whose signatures hold."""
    found = []
    for envelope in node.agreements.act_envelopes(digest):
        try:
            found.append(open_act(envelope, node.parties.directory))
        except CloisterError:
            continue  # its signer was revoked since: it counts no more
    return found


def suspended(node: Node, digest: str) -> frozenset[str]:
    """The parties whose suspensions stand."""
    return suspended_by(node.agreements.get(digest), acts(node, digest), node.clock.now())


def history(node: Node, digest: str) -> tuple[Happening, ...]:
    """An agreement's life, as far as this node knows it; oldest first."""
    found = node.agreements.get(digest)
    with node.durable.database.read() as tx:
        seen = Events(tx).of_kind("", "agreement.signatures")
    signatures = [(item.at, item.facts["signed"]) for item in seen if item.facts["agreement"] == digest]
    others = [*_people(node, digest), *_tasks(node, digest), *_results(node, digest)]
    others += _versions(node, digest, found.terms)
    return timeline(
        found, signatures, acts(node, digest), others, node.clock.now(), _namer(node, found.terms)
    )


def _namer(node: Node, terms: Terms) -> Any:
    own = node.parties.names()

    def name(party: str) -> str:
        return terms.name_of(party) if terms.member(party) is not None else party_name(party, own)

    return name


def _people(node: Node, digest: str) -> list[Happening]:
    lines = []
    for item in node.signing.signed_by(digest):
        more = f"{item.first_name} had asked for it." if item.first_name else ""
        order = SIGNED if item.kind in ("sign", "offer") else MOVED
        lines.append(
            Happening(item.at, f"{item.name} {_DEEDS.get(item.kind, 'acted here')}.", more, order=order)
        )
    return lines


def _tasks(node: Node, digest: str) -> list[Happening]:
    lines = []
    name = _namer(node, node.agreements.get(digest).terms)
    for item in tasks(node, digest):
        text = f"{name(item['requester'])} asked for a task: {item['purpose']}."
        lines.append(Happening(item["created"], text, about=item["task"], kind="task"))
        if item["ended"] is not None:
            text, tone = _ENDS[item["status"]]
            why = str((item["failure"] or {}).get("title", ""))
            order = DID if item["status"] == "done" else STOPPED
            lines.append(Happening(item["ended"], text, why, tone, item["task"], "task", order))
    return lines


def _results(node: Node, digest: str) -> list[Happening]:
    return [
        Happening(item.at, "The owners approved a result.", "", "done", item.digest, "release")
        for item in results(node, digest)
    ]


def _versions(node: Node, digest: str, terms: Terms) -> list[Happening]:
    lines = []
    for item in versions(node, terms):
        if item["previous"] == digest:
            with node.durable.database.read() as tx:
                seen = Events(tx).of_kind("", "agreement.signatures")
            first = min((e.at for e in seen if e.facts["agreement"] == item["agreement"]), default=0)
            text = f"Version {item['version']} was proposed."
            lines.append(Happening(first, text, about=item["agreement"], kind="agreement"))
    return lines
