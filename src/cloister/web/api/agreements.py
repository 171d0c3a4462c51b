"""Agreements: proposed, read, signed, stopped."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from pydantic import Field

from cloister.agreements.lifecycle import State
from cloister.agreements.signing import read_terms
from cloister.agreements.words import describe
from cloister.foundation.errors import BadInput
from cloister.web.api.bodies import DOCUMENT_MOST, Body, OpenNode
from cloister.web.routes import Routes


class NewAgreement(Body):
    terms: dict[str, Any]


class Move(Body):
    to: str = Field(max_length=20)
    reason: str | None = Field(default=None, max_length=200)


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Agreements")

    @routes.listing("/api/v1/agreements", "agreements.read", "agreement")
    def agreements() -> Any:
        return [node().agreements.summary(name) for name in node().agreements.digests()]

    @routes.post("/api/v1/agreements", "agreements.sign", body=DOCUMENT_MOST)
    def propose(body: NewAgreement) -> Any:
        return node().agreements.offer(body.terms)

    @routes.get("/api/v1/agreements/{digest}", "agreements.read")
    def agreement(digest: str) -> Any:
        envelope = node().agreements.envelope(digest)
        terms = read_terms(envelope)
        return {
            **node().agreements.summary(digest),
            "terms": terms.to_odrl(),
            "text": describe(terms, node().parties.names()),
            "acts": [item.document() for item in node().agreements.act_envelopes(digest)],
        }

    @routes.post("/api/v1/agreements/{digest}/sign", "agreements.sign")
    def sign(digest: str) -> Any:
        return node().agreements.sign(digest)

    @routes.post("/api/v1/agreements/{digest}/state", "agreements.stop")
    def move(digest: str, body: Move) -> Any:
        allowed = {"suspended", "finalized", "revoked", "terminated"}
        if body.to not in allowed:
            raise BadInput(
                "People do not make that step.", f"Steps: {', '.join(sorted(allowed))}.", "Choose one."
            )
        return node().agreements.move(digest, State(body.to), body.reason)
