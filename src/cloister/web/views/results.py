"""Approved results as pages show them: the certificate, what was checked just now, and the way from the data to the tool."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cloister.claims.statements import statements
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import CloisterError
from cloister.foundation.text import party_name, several
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import grouped
from cloister.node.node import Node
from cloister.node.reports import release_content, release_view, releases_view
from cloister.release.bundle import Checked, check_bundle
from cloister.release.certificate import Predicate, read_statement, require_content
from cloister.tools.builtin import with_models
from cloister.tools.install import InstalledTools

CHECKS = {
    "agreement": "made under the agreement, while it held",
    "recipients": "goes only to agreed recipients",
    "claims": "no guarantee is below what was agreed",
    "kind": "is what the computation makes",
    "size": "is not larger than agreed",
    "model": "is the admitted model, but for its weights",
    "finite": "every weight is a proper number",
    "trained": "something was learned",
    "facts": "what is said of its making is what this owner saw",
    "time": "signed now, not later",
    "evidence": "names the yes of everybody, and the log",
    "attempts": "not tried more often than agreed",
    "quality": "good enough on this owner's own records",
}
"""What an owner's gate asks, in words; a check that is not here is told by its name."""


@dataclass(frozen=True)
class Check:
    """Something that was looked at just now, on this server."""

    text: str
    holds: bool
    more: str = ""


@dataclass(frozen=True)
class Link:
    """A place on the way from the data to the tool."""

    step: str
    text: str
    more: str = ""
    path: str = ""
    digest: str = ""
    kind: str = "done"


def listing(node: Node) -> list[dict[str, Any]]:
    """Every release, newest first."""
    return [
        {
            **item,
            "at": parse_rfc3339(item["at"]),
            "state": state_of(item),
            "signers": len(item.get("signed_by", ())),
        }
        for item in reversed(releases_view(node))
    ]


def state_of(item: dict[str, Any]) -> tuple[str, str]:
    """Whether a release may be used, in a word, and how it is to be shown."""
    if item["status"] == "revoked":
        return "revoked", "bad"
    return ("here", "good") if item.get("here") else ("certificate only", "")


def bundle(told: dict[str, Any]) -> bytes:
    """The certificate with its signers' cards, as anybody can check it offline."""
    return canonical({"certificate": told["certificate"], "cards": told["cards"]})


def result_page(node: Node, digest: str) -> dict[str, Any]:
    """One release for its own page. Raises `NotFound`."""
    told = release_view(node, digest)
    predicate = read_statement(Envelope.from_json(told["certificate"])).predicate
    names = node.parties.names()

    def named(party: str) -> str:
        return party_name(party, names)

    checked, checks = _checks(node, told)
    signed = sorted(told.get("signed_by", ()), key=named)
    promised, open_ = statements(predicate.claims)
    tools = installed_from(node, digest)
    return {
        **told,
        "at": parse_rfc3339(told["at"]),
        "state": state_of(told),
        "predicate": predicate,
        "card": predicate.card,
        "checks": checks,
        "holds": all(item.holds for item in checks),
        "signers": [
            {"name": named(party), "fingerprint": grouped(party), "party": party} for party in signed
        ],
        "missing": sorted(named(party) for party in set(predicate.gates.owners) - set(signed)),
        "gates": [(name, CHECKS.get(name, name.replace("-", " "))) for name in predicate.gates.checks],
        "promised": promised,
        "open": open_,
        "heads": [] if checked is None else _heads(checked, named),
        "charges": [dict(item) for item in predicate.charges],
        "audits": [dict(item) for item in predicate.audits],
        "admitted": [(named(party), name) for party, name in sorted(predicate.evidence.admissions.items())],
        "may_revoke": node.party in predicate.gates.owners and told["status"] != "revoked",
        "revoked": _revoked(told, named),
        "lineage": _lineage(node, told, predicate, tools, named),
        "tools": tools,
        "bases": list(with_models()),
    }


def _checks(node: Node, told: dict[str, Any]) -> tuple[Checked | None, list[Check]]:
    """The certificate and the content, checked again now: what holds and what does not."""
    try:
        plan = node.tasks.plan(told["task"])
        terms = node.agreements.get(plan.request.agreement).terms
        owners = sorted(set(plan.offer.seats.get("owner", ())) & set(terms.owners))
        checked = check_bundle(bundle(told), node.clock.now(), owners=owners, quorum=terms.release.quorum)
    except CloisterError as error:
        return None, [Check("The certificate's signatures do not hold.", False, error.why or error.what)]
    predicate = checked.certificate.predicate
    found = [
        Check(
            f"{len(checked.certificate.signed_by)} of {several(len(owners), 'owner')} signed it; needed: {terms.release.quorum}.",
            True,
            "By the owners and the quorum of the agreement that this server holds.",
        ),
        Check("It is of the task and the agreement that this server knows.", predicate.task == told["task"]),
    ]
    if told["status"] == "revoked":
        found.append(Check("One of its owners has taken it back.", False))
    elif told.get("here"):
        try:
            require_content(checked.certificate, release_content(node, told["release"]))
            found.append(Check("The file here is the one that was signed, byte for byte.", True))
        except CloisterError as error:
            found.append(Check("The file here is not the one that was signed.", False, error.why))
    for head in checked.heads:
        found.append(
            Check(
                "The coordinator's log at that time is named, and its signature holds."
                if head.checked
                else "The log that is named could not be checked: its organisation's card is missing.",
                head.checked,
            )
        )
    return checked, found


def _heads(checked: Checked, named: Any) -> list[dict[str, Any]]:
    return [
        {
            "name": named(head.party),
            "size": head.size,
            "root": head.root,
            "at": head.at,
            "witnesses": [named(party) for party in head.cosigned_by],
        }
        for head in checked.heads
    ]


def _revoked(told: dict[str, Any], named: Any) -> dict[str, str] | None:
    if told["status"] != "revoked":
        return None
    by = str(told.get("revoked_by") or "")
    return {"by": named(by) if by else "one of its owners", "reason": str(told.get("revoked_reason") or "")}


def installed_from(node: Node, digest: str) -> list[dict[str, str]]:
    """The tools of this server whose current version has the model of a release."""
    installed = InstalledTools(node.folder.root / "tools")
    found = []
    for state in installed.list():
        try:
            tool = installed.get(state.name).tool
        except CloisterError:
            continue
        if digest in set(tool.manifest.models.values()):
            found.append({"name": state.name, "version": state.current.version, "time": state.current.time})
    return found


def _lineage(
    node: Node, told: dict[str, Any], predicate: Predicate, tools: Iterable[dict[str, str]], named: Any
) -> list[Link]:
    """From the data to the tool, in order."""
    plan = node.tasks.plan(told["task"])
    catalogue = node.datasets.catalogue(plan.request.datasets)
    links = [
        Link(
            "Data",
            f"{catalogue[name].title} of {named(owner)}"
            if name in catalogue
            else f"A dataset of {named(owner)}",
            "stays at its owner's server",
            digest=name,
        )
        for owner, name in sorted(plan.request.datasets.items(), key=lambda item: named(item[0]))
    ]
    links.append(
        Link(
            "Agreement",
            predicate.card.title,
            f"for: {predicate.card.purpose}",
            f"/agreements/{predicate.agreement}",
            predicate.agreement,
        )
    )
    links.append(
        Link(
            "Task",
            predicate.card.method,
            f"asked by {named(plan.request.requester)}",
            f"/tasks/{predicate.task}",
            predicate.task,
        )
    )
    rounds = predicate.facts.get("rounds")
    links.append(
        Link(
            "Candidate",
            f"A {predicate.kind} after {several(rounds, 'round')}" if rounds else f"A {predicate.kind}",
            f"{predicate.size:,} bytes",
        )
    )
    votes = len(told.get("signed_by", ()))
    links.append(
        Link(
            "Owners' gates",
            f"{votes} of {several(len(predicate.gates.owners), 'owner')} approved",
            predicate.card.quality,
        )
    )
    revoked = told["status"] == "revoked"
    links.append(
        Link(
            "Release",
            "Taken back" if revoked else "Approved",
            f"goes to {', '.join(told['recipients'])}",
            digest=told["release"],
            kind="bad" if revoked else "done",
        )
    )
    made = [
        Link("Tool", f"{item['name']} {item['version']}", "installed here", f"/tools/{item['name']}")
        for item in tools
    ]
    return links + (made or [Link("Tool", "None is installed from it here", kind="")])
