"""What people see of tasks, releases and the log: views put together from several services; nothing is decided here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from cloister.claims.offers import Plan
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import BadInput, CloisterError, NotFound, Refused
from cloister.foundation.text import party_name
from cloister.identity.envelopes import Envelope
from cloister.ledger.checkpoints import party_of
from cloister.ledger.export import write_export
from cloister.ledger.notes import Note
from cloister.node.budgets import views
from cloister.release.certificate import Certificate, in_words, read_statement
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.documents import Documents
from cloister.storage.log import LogRows
from cloister.storage.releases import Release, Releases

if TYPE_CHECKING:
    from cloister.node.node import Node


def tasks_view(node: Node) -> list[dict[str, Any]]:
    """All tasks, oldest first."""
    return [_task(node, task) for task in node.tasks.digests()]


def task_view(node: Node, task: str) -> dict[str, Any]:
    """One task: who admitted or refused it; where it is when it runs; how it ended; what it costs of a budget here."""
    return {**_task(node, task), "budget": _budget(node, node.tasks.plan(task))}


def _task(node: Node, task: str) -> dict[str, Any]:
    found = node.tasks.summary(task)
    plan = node.tasks.plan(task)
    found["names"] = {party: node.parties.name(party) for party in plan.parties}
    found["recipients"], found["owners"] = sorted(plan.request.recipients), sorted(plan.request.datasets)
    row = node.durable.task(task)
    if row is not None:
        found.update(
            status=row.status,
            program=row.program,
            phase=row.phase,
            seat=row.seat,
            failure=dict(row.failure) if row.failure else None,
        )
    with node.durable.database.read() as tx:
        found["releases"] = [item.digest for item in Releases(tx).find(task)]
    return found


def _budget(node: Node, plan: Plan) -> dict[str, Any] | None:
    """What a task costs this party's population; nothing where the agreement cannot be read any more."""
    try:
        terms = node.agreements.get(plan.request.agreement).terms
        return views.about(node.budgets, plan, terms)
    except CloisterError:
        return None


def budgets_view(node: Node) -> dict[str, Any]:
    """Every population of this node, and whether its memory of them can be relied on."""
    agreements = [(digest, node.agreements.get(digest).terms) for digest in node.agreements.digests()]
    trouble = node.budgets.health.trouble
    return {
        "trouble": None if trouble is None else trouble.problem(),
        "populations": views.listing(node.budgets, agreements),
    }


def population_view(node: Node, name: str) -> dict[str, Any]:
    """One of them. Raises `NotFound`."""
    for item in budgets_view(node)["populations"]:
        if item["population"] == name:
            return dict(item)
    raise NotFound("This server has no population of that name.", "", "See: cloister budget list")


def releases_view(node: Node) -> list[dict[str, Any]]:
    """All releases on this node's shelf."""
    with node.durable.database.read() as tx:
        return [_release(item) for item in Releases(tx).find()]


def release_view(node: Node, digest: str) -> dict[str, Any]:
    """One release with its certificate, in words and as signed. Raises `NotFound`."""
    with node.durable.database.read() as tx:
        found = Releases(tx).get(digest)
        data = Documents(tx).get(found.certificate) if found is not None and found.certificate else None
    if found is None or data is None:
        raise NotFound("There is no such release here.", "", "See: cloister release list")
    plan = node.tasks.plan(found.task)
    envelope = Envelope.decode(data)
    parsed = read_statement(envelope)
    certificate = Certificate(envelope, digest, parsed.predicate, frozenset(found.facts.get("signed_by", [])))
    # The coordinator's card is for the log head among the evidence; its signature approves nothing.
    signers = {*parsed.predicate.gates.owners, parsed.predicate.coordinator}
    chains = [node.parties.chain(party) for party in sorted(signers) if node.parties.known(party)]
    return {
        **_release(found),
        "recipients": [node.parties.name(party) for party in sorted(plan.request.recipients)],
        "receives": node.party in plan.request.recipients,
        "text": _revocation(found, node.parties.names()) + in_words(certificate, node.parties.names()),
        "certificate": envelope.model_dump(mode="json"),
        "statement": envelope.document(),
        "cards": [[card.model_dump(mode="json") for card in chain] for chain in chains],
    }


def _revocation(item: Release, names: Mapping[str, str]) -> str:
    """What stands above the certificate of a release that an owner took back; nothing for others."""
    if item.status != "revoked":
        return ""
    by = str(item.facts.get("revoked_by") or "")
    who = f" by {party_name(by, names)}" if by else ""
    # One line, ended as a sentence, whatever its writer wrote.
    reason = " ".join(str(item.facts.get("revoked_reason") or "").split()).rstrip(".")
    return f"REVOKED{who}{f': {reason}' if reason else ''}. Do not use it; delete your copies.\n\n"


def release_content(node: Node, digest: str) -> bytes:
    """A release's bytes, where they are due to this node.

    Raises:
        NotFound: there is no such release, or only its certificate. An owner that holds what was released, but is no
            recipient, has no more than its certificate: it may judge the result, not use it.
        Refused: an owner has revoked it (clause `release-revoked`).
    """
    with node.durable.database.read() as tx:
        found = Releases(tx).get(digest)
    if found is None:
        raise NotFound("There is no such release here.", "", "See: cloister release list")
    if found.status == "revoked":
        raise Refused(
            "The release was revoked.",
            str(found.facts.get("revoked_reason") or "One of its owners took it back."),
            "Delete your copies; ask the owners for a new one.",
            clause="release-revoked",
        )
    if not found.facts.get("here"):
        raise NotFound(
            "This server holds the certificate only.",
            "Under the agreement the result goes to its recipients, and to owners only where they are among them.",
            "Ask one of the recipients for it: cloister release show RELEASE",
        )
    return node.contents.get(digest)


def _release(item: Release) -> dict[str, Any]:
    return {
        "release": item.digest,
        "task": item.task,
        "kind": item.kind,
        "status": item.status,
        "at": rfc3339(item.at),
        **item.facts,
    }


def export_ledger(node: Node) -> bytes:
    """This node's whole log as a file that anybody can verify offline."""
    node.ledger.checkpoint()
    origin = node.ledger.origin
    with node.durable.database.read() as tx:
        leaves = [row.leaf for row in LogRows(tx).scan()]
        kept = Checkpoints(tx)
        notes = [Note.parse(data) for _size, data in kept.all(origin)]
    witnesses = sorted(
        {
            party_of(line.name)
            for note in notes
            for line in note.lines
            if line.name != origin and _is_party(line.name)
        }
    )
    chains = [node.parties.chain(party) for party in [node.party, *witnesses] if node.parties.known(party)]
    return b"".join(write_export(origin, leaves, notes, chains, witnesses))


def _is_party(name: str) -> bool:
    try:
        party_of(name)
    except BadInput:
        return False
    return True
