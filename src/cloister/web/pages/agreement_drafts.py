"""Writing agreements: from a template by answering its questions, or as a document by whoever knows the form."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response

from cloister.agreements.enforceable import check_enforceable
from cloister.agreements.signing import read_terms
from cloister.agreements.terms import Terms
from cloister.agreements.usual_cases import USUAL_CASES, UsualCase
from cloister.foundation.canonical import parse
from cloister.foundation.errors import CloisterError, NotFound
from cloister.node.drafts import kinds_of, may_change, not_built
from cloister.node.node import Node
from cloister.planner.satisfiable import unmet
from cloister.web.frame import Pages
from cloister.web.guard import DOCUMENT_MOST
from cloister.web.routes import Routes
from cloister.web.views import agreement_form as form
from cloister.web.views import agreements as views
from cloister.web.views.agreements import signer

_DOCUMENT = Form(max_length=900_000)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Agreements", page=True)
    _from_template(routes, pages)
    _drafts(routes, pages)
    _as_document(routes, pages)


def _from_template(routes: Routes, pages: Pages) -> None:
    @routes.get("/agreements/new", "agreements.draft")
    def choose(request: Request) -> Response:
        pages.node()
        cases = [(case, not_built(case.name)) for case in USUAL_CASES.values()]
        usable = [item for item in cases if len(item[1]) < len(kinds_of(item[0].name))]
        return pages.show(
            request,
            "agreements/new.html",
            title="A new agreement",
            lead="Start from what is usual. Everything can be changed before you sign, and nothing is sent before.",
            usable=sorted(usable, key=lambda item: len(item[1])),
            later=[item for item in cases if item not in usable],
            kinds=views.KINDS,
        )

    @routes.get("/agreements/new/{template}", "agreements.draft")
    def ask(request: Request, template: str, draft: str | None = None) -> Response:
        node, case = pages.node(), _case(template)
        answers = form.empty(case, node)
        if draft is not None:
            kept = node.drafts.own(draft, signer(request)).answers
            answers = form.from_kept(kept) if kept is not None else answers
        return _form(request, case, answers, draft)

    def _form(
        request: Request,
        case: UsualCase,
        answers: form.Answers,
        draft: str | None,
        error: CloisterError | None = None,
    ) -> Response:
        node = pages.node()
        return pages.show(
            request,
            "agreements/form.html",
            title=case.title,
            lead=case.says,
            case=case,
            answers=answers,
            draft=draft or "",
            organisations=form.organisations(node),
            datasets=form.datasets(node),
            metrics=[("", "no least quality"), *form.METRICS],
            more=not form.folded(answers),
            kinds=views.KINDS,
            missing=not_built(case.name),
            every=kinds_of(case.name),
            error=error,
        )

    @routes.post("/agreements/new/{template}", "agreements.draft")
    def answered(
        request: Request,
        template: str,
        answers: Annotated[form.Answers, Form()],
        draft: str | None = None,
    ) -> Response:
        node, case = pages.node(), _case(template)
        try:
            kept = form.kept(answers, case, node)
            made = node.drafts.from_template(template, kept, signer(request), draft)
        except CloisterError as error:
            return _form(request, case, answers, draft, error)
        return pages.go(request, f"/agreements/drafts/{made.id}", told="The draft is kept. Nothing was sent.")


def _drafts(routes: Routes, pages: Pages) -> None:
    @routes.get("/agreements/drafts/{draft}", "agreements.read")
    def show(request: Request, draft: str) -> Response:
        node = pages.node()
        found = node.drafts.get(draft)
        terms = Terms.from_odrl(found.document)
        return pages.show(
            request,
            "agreements/draft.html",
            title=terms.title,
            lead="A draft: nobody else has seen it, and nothing in it holds yet.",
            draft=found,
            terms=terms,
            digest=terms.digest,
            sections=views.side_by_side(terms, node.parties.names()),
            machine=views.pretty(terms.to_odrl()),
            changes=views.changes(node, terms),
            unmet=unmet(terms, node.protections),
            kinds=views.KINDS,
            strangers=_strangers(node, terms),
            member=terms.member(node.party) is not None,
            wish=node.signing.wish("offer", terms.digest),
            own=may_change(found, signer(request).account),
        )

    @routes.post("/agreements/drafts/{draft}/delete", "agreements.draft")
    def delete(request: Request, draft: str) -> Response:
        pages.node().drafts.delete(draft, signer(request))
        return pages.go(request, "/agreements", told="The draft is deleted.")

    @routes.post("/agreements/drafts/{draft}/copy", "agreements.draft")
    def copy(request: Request, draft: str) -> Response:
        made = pages.node().drafts.copy(draft, signer(request))
        return pages.go(
            request,
            f"/agreements/drafts/{made.id}",
            told="This copy is yours. The other draft stays as it is.",
        )

    @routes.post("/agreements/{digest}/next", "agreements.draft")
    def next_version(request: Request, digest: str) -> Response:
        node = pages.node()
        terms = read_terms(node.agreements.envelope(digest))
        made = node.drafts.next_version(terms, signer(request))
        told = f"A draft of version {terms.version + 1}. Change what is to be different."
        return pages.go(request, f"/agreements/drafts/{made.id}/edit", told=told)


def _as_document(routes: Routes, pages: Pages) -> None:
    @routes.get("/agreements/drafts/{draft}/edit", "agreements.draft")
    def edit(request: Request, draft: str) -> Response:
        return _editor(request, draft, views.pretty(pages.node().drafts.own(draft, signer(request)).document))

    def _editor(
        request: Request, draft: str, text: str, error: CloisterError | None = None, found: Any = ()
    ) -> Response:
        return pages.show(
            request,
            "agreements/edit.html",
            title="Edit the document",
            lead="The agreement as servers read it. They accept one form of it, and only clauses that they can enforce.",
            draft=draft,
            text=text,
            found=found,
            error=error,
        )

    @routes.post("/agreements/drafts/{draft}/edit", "agreements.draft", body=DOCUMENT_MOST)
    def edited(request: Request, draft: str, document: Annotated[str, _DOCUMENT] = "") -> Response:
        parsed: Any = None
        try:
            parsed = parse(document.encode("utf-8", "replace"))
            pages.node().drafts.from_document(parsed, signer(request), draft)
        except NotFound:
            raise
        except CloisterError as error:
            found = [] if parsed is None else check_enforceable(parsed)[:50]
            return _editor(request, draft, document, error, found)
        return pages.go(request, f"/agreements/drafts/{draft}", told="The draft is kept. Nothing was sent.")


def _case(template: str) -> UsualCase:
    case = USUAL_CASES.get(template)
    if case is None:
        raise NotFound("There is no template of that name.", "", "Choose one of those listed.")
    return case


def _strangers(node: Node, terms: Terms) -> list[str]:
    return [terms.name_of(party) for party in terms.parties if not node.parties.trusted(party)]
