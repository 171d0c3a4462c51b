"""Agreements: which there are, what one says in both forms, what has changed, how it went. Signing has pages of its own."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response

from cloister.agreements.signing import read_terms
from cloister.agreements.terms import Terms
from cloister.foundation.canonical import canonical
from cloister.node import agreement_views
from cloister.node.node import Node
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.pages import agreement_drafts, agreement_signing
from cloister.web.routes import Routes
from cloister.web.views import agreements as views
from cloister.web.views import tasks as task_views


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes, those of writing and signing first: their addresses look like an agreement's."""
    agreement_drafts.add(app, pages)
    agreement_signing.add(app, pages)
    routes = Routes(app, "Agreements", page=True)

    @routes.get("/agreements", "agreements.read")
    def listing(request: Request) -> Response:
        node = pages.node()
        return pages.show(
            request,
            "agreements/list.html",
            title="Agreements",
            lead="Who may do what with whose data. Your server enforces exactly what stands in them.",
            found=views.listing(node),
            drafts=[_draft(item) for item in node.drafts.all()],
            seconds=views.second_people(node),
            unreadable=node.agreements.unreadable(),
            two_people=node.signing.two_people,
        )

    @routes.get("/agreements/{digest}", "agreements.read")
    def show(request: Request, digest: str) -> Response:
        return _page(pages, request, digest, "text")

    @routes.get("/agreements/{digest}/changes", "agreements.read")
    def changes(request: Request, digest: str) -> Response:
        return _page(pages, request, digest, "changes")

    @routes.get("/agreements/{digest}/life", "agreements.read")
    def life(request: Request, digest: str) -> Response:
        return _page(pages, request, digest, "life")

    @routes.get("/agreements/{digest}/machine", "agreements.read")
    def machine(digest: str) -> Response:
        terms = read_terms(pages.node().agreements.envelope(digest))
        name = f"agreement-{digest.removeprefix('sha256:')[:12]}.json"
        return Response(
            canonical(terms.to_odrl()),
            media_type="application/json",
            headers=as_file(name),
        )


def _page(pages: Pages, request: Request, digest: str, view: str) -> Response:
    node = pages.node()
    terms = read_terms(node.agreements.envelope(digest))
    card = views.card(node, digest)
    versions = agreement_views.versions(node, terms)
    if view == "text":
        told: dict[str, Any] = _text(node, terms)
    elif view == "changes":
        told = {"changes": views.changes(node, terms)}
    else:
        told = _life(node, digest, terms)
    return pages.show(
        request,
        f"agreements/{view}.html",
        title=terms.title,
        lead=f"Version {terms.version}." if terms.version > 1 else "",
        view=view,
        digest=digest,
        terms=terms,
        card=card,
        versions=[item for item in versions if item["agreement"] != digest],
        suspended=sorted(terms.name_of(party) for party in agreement_views.suspended(node, digest)),
        ours=node.party in agreement_views.suspended(node, digest),
        wish=views.wish_about(node, digest),
        own=node.party,
        states=views.STATES,
        task_words=task_views.WORDS,
        **told,
    )


def _text(node: Node, terms: Terms) -> dict[str, Any]:
    return {
        "sections": views.side_by_side(terms, node.parties.names()),
        "machine": views.pretty(terms.to_odrl()),
    }


def _life(node: Node, digest: str, terms: Terms) -> dict[str, Any]:
    return {
        "history": agreement_views.history(node, digest),
        "budgets": agreement_views.budgets(node, digest, terms),
        "tasks": list(reversed(agreement_views.tasks(node, digest))),
        "results": agreement_views.results(node, digest),
    }


def _draft(item: Any) -> dict[str, Any]:
    return {"id": item.id, "title": item.document["cloister:title"], "name": item.name, "at": item.at}
