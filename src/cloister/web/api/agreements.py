"""Agreements: written, proposed, read in both forms, compared, signed, stopped.

Signing goes through `node.signing`, as it does on the page: where two people are needed, the first answer is `waiting` with the wish,
and nothing is signed until another person asks for the same.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from fastapi import FastAPI, Request
from pydantic import Field

from cloister.agreements.lifecycle import State
from cloister.agreements.signing import read_terms
from cloister.agreements.terms import Terms
from cloister.agreements.usual_cases import USUAL_CASES
from cloister.agreements.words import describe
from cloister.foundation.errors import BadInput
from cloister.node import agreement_views
from cloister.node.drafts import kinds_of, not_built
from cloister.node.node import Node
from cloister.node.signing import Outcome
from cloister.planner.satisfiable import unmet
from cloister.storage.signing import Draft
from cloister.web.api.bodies import Body, OpenNode
from cloister.web.guard import DOCUMENT_MOST, caller_of
from cloister.web.routes import Routes
from cloister.web.views import agreements as views
from cloister.web.views.agreements import require_may_move, signer


class NewAgreement(Body):
    terms: dict[str, Any]


class NewDraft(Body):
    """Either `terms`, in their written form, or `template` with `answers`."""

    terms: dict[str, Any] | None = None
    template: str | None = Field(default=None, max_length=60)
    answers: dict[str, Any] | None = None


class Move(Body):
    to: str = Field(max_length=20)
    reason: str | None = Field(default=None, max_length=200)


class TwoPeople(Body):
    needed: bool


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    _reading(Routes(app, "Agreements"), node)
    _binding(Routes(app, "Agreements"), node)
    _writing(Routes(app, "Agreements"), node)


def _reading(routes: Routes, node: OpenNode) -> None:
    @routes.listing("/api/v1/agreements", "agreements.read", "agreement")
    def agreements() -> Any:
        """Lists the agreements that this organisation is in: their titles, states and parties."""
        return [node().agreements.summary(name) for name in node().agreements.digests()]

    @routes.get("/api/v1/agreements/{digest}", "agreements.read")
    def agreement(digest: str) -> Any:
        """Tells one agreement: its terms as they are signed and in plain words, who signed it, and the wish that waits for a second person."""
        envelope = node().agreements.envelope(digest)
        terms = read_terms(envelope)
        return {
            **node().agreements.summary(digest),
            "terms": terms.to_odrl(),
            "text": describe(terms, node().parties.names()),
            "sections": views.side_by_side(terms, node().parties.names()),
            "acts": [item.document() for item in node().agreements.act_envelopes(digest)],
            "wish": views.wish_of(views.wish_about(node(), digest)),
        }

    @routes.get("/api/v1/agreements/{digest}/differences", "agreements.read")
    def differences(digest: str) -> Any:
        """Tells what changed since the version before, and for whom each change protects more or less; nothing for a first version."""
        terms = read_terms(node().agreements.envelope(digest))
        found = views.changes(node(), terms)
        return {
            "previous": terms.previous,
            "differences": None if found is None else [views.difference(item) for item in found],
        }

    @routes.get("/api/v1/agreements/{digest}/history", "agreements.read")
    def history(digest: str) -> Any:
        """Tells what happened to an agreement, in order: who proposed, signed, stopped."""
        return [
            {"at": item.at, "text": item.text, "more": item.more, "kind": item.kind, "about": item.about}
            for item in agreement_views.history(node(), digest)
        ]

    @routes.get("/api/v1/agreements/{digest}/stops", "agreements.read")
    def stops(digest: str) -> Any:
        """Tells what would end with an agreement: tasks that run or wait, budgets, results."""
        found = agreement_views.stops(node(), digest)
        return {
            "running": list(found.running),
            "waiting": list(found.waiting),
            "budgets": list(found.budgets),
            "results": [item.digest for item in found.results],
        }


def _binding(routes: Routes, node: OpenNode) -> None:
    @routes.post("/api/v1/agreements", "agreements.sign", body=DOCUMENT_MOST)
    def propose(request: Request, body: NewAgreement) -> Any:
        """Signs terms for this organisation and offers them to the other parties; where two people are needed, the first asks only."""
        digest = Terms.from_odrl(body.terms).digest
        return _signed(node(), digest) or _outcome(node().signing.offer(body.terms, signer(request)))

    @routes.post("/api/v1/agreements/{digest}/sign", "agreements.sign")
    def sign(request: Request, digest: str) -> Any:
        """Signs an agreement for this organisation; where two people are needed, the first asks only."""
        return _signed(node(), digest) or _outcome(node().signing.sign(digest, signer(request)))

    @routes.post("/api/v1/agreements/{digest}/withdraw", "agreements.sign")
    def withdraw(request: Request, digest: str) -> Any:
        """Takes back the wish to sign, before a second person has agreed."""
        wish = views.wish_about(node(), digest)
        node().signing.withdraw("sign" if wish is None else wish.kind, digest, signer(request))
        return node().agreements.summary(digest)

    @routes.post("/api/v1/agreements/{digest}/state", "agreements.stop")
    def move(request: Request, digest: str, body: Move) -> Any:
        """Suspends, resumes, revokes or terminates an agreement for this organisation, and tells the others."""
        allowed = {"suspended", "finalized", "revoked", "terminated"}
        if body.to not in allowed:
            raise BadInput(
                "People do not make that step.", f"Steps: {', '.join(sorted(allowed))}.", "Choose one."
            )
        require_may_move(caller_of(request), State(body.to))
        if body.to == "finalized":
            return _outcome(node().signing.resume(digest, body.reason, signer(request)))
        return {**node().signing.move(digest, State(body.to), body.reason, signer(request)), "waiting": None}

    @routes.get("/api/v1/signing", "agreements.read")
    def signing() -> Any:
        """Tells whether it takes two people to sign here, and which wishes wait for the second one."""
        return _signing(node())

    @routes.post("/api/v1/signing", "agreements.sign")
    def two_people(request: Request, body: TwoPeople) -> Any:
        """Says whether it takes two people to sign here; to switch it off takes two."""
        node().signing.set_two_people(needed=body.needed, signer=signer(request))
        return _signing(node())


def _writing(routes: Routes, node: OpenNode) -> None:
    @routes.listing("/api/v1/agreement-templates", "agreements.read", "name")
    def templates() -> Any:
        """Lists the usual cases that an agreement can begin with, and what of each is not built yet."""
        return [
            {
                **dataclasses.asdict(case),
                "kinds": list(kinds_of(case.name)),
                "not_built": [dataclasses.asdict(item) for item in not_built(case.name)],
            }
            for case in USUAL_CASES.values()
        ]

    @routes.listing("/api/v1/agreement-drafts", "agreements.read", "draft")
    def drafts() -> Any:
        """Lists agreements that are being written here; nobody else sees them."""
        return [_draft(node(), item) for item in node().drafts.all()]

    @routes.post("/api/v1/agreement-drafts", "agreements.draft", body=DOCUMENT_MOST)
    def write(request: Request, body: NewDraft) -> Any:
        """Keeps a draft, made from terms or from a template with its answers."""
        service = node().drafts
        if (body.terms is None) == (body.template is None):
            raise BadInput(
                "A draft is made of one thing.", "", "Send either terms, or a template with its answers."
            )
        if body.terms is not None:
            return _draft(node(), service.from_document(body.terms, signer(request)))
        made = service.from_template(body.template or "", body.answers or {}, signer(request))
        return _draft(node(), made)

    @routes.get("/api/v1/agreement-drafts/{draft}", "agreements.read")
    def read(draft: str) -> Any:
        """Tells one draft, with what no protection here could fulfil."""
        return _draft(node(), node().drafts.get(draft))

    @routes.delete("/api/v1/agreement-drafts/{draft}", "agreements.draft")
    def forget(request: Request, draft: str) -> Any:
        """Deletes a draft."""
        node().drafts.delete(draft, signer(request))
        return {"deleted": draft}


def _signed(node: Node, digest: str) -> dict[str, Any] | None:
    """The answer to a program that asks for what is done already; `None` if it is not."""
    if node.agreements.find(digest) is None or node.party not in node.agreements.get(digest).signed_by:
        return None
    return {**node.agreements.summary(digest), "waiting": None}


def _outcome(outcome: Outcome) -> dict[str, Any]:
    return {**outcome.told, "waiting": views.wish_of(outcome.wish)}


def _signing(node: Node) -> dict[str, Any]:
    return {
        "two_people": node.signing.two_people,
        "wishes": [views.wish_of(item) for item in node.signing.wishes()],
    }


def _draft(node: Node, item: Draft) -> dict[str, Any]:
    terms = Terms.from_odrl(item.document)
    return {
        "draft": item.id,
        "agreement": terms.digest,
        "title": terms.title,
        "terms": item.document,
        "template": item.template,
        "answers": item.answers,
        "written_by": item.name,
        "at": item.at,
        "warnings": [dataclasses.asdict(warning) for warning in unmet(terms, node.protections)],
    }
