"""Signing, declining, suspending, resuming, revoking: what binds the organisation, and what frees it.

Signing and resuming take the right to sign, also to look at the page: who may not, or has not just shown the password, gets no
button; with four eyes the second person's word does either. What stops something takes the right to stop, and first shows what it stops.
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Form, Request, Response

from cloister.agreements.lifecycle import State
from cloister.agreements.signing import read_terms
from cloister.agreements.terms import Terms
from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.node import agreement_views
from cloister.node.node import Node
from cloister.node.signing import Outcome
from cloister.people.four_eyes import Kind
from cloister.planner.satisfiable import unmet
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views import agreements as views
from cloister.web.views.agreements import require_may_move, signer

_REASON = Form(max_length=200)
_WORD = Form(max_length=100)
_STOPS = {
    "suspend": (State.SUSPENDED, "Suspend this agreement", "It can be resumed, by your organisation alone."),
    "revoke": (State.REVOKED, "Revoke this agreement", "For ever, and for everybody in it."),
    "decline": (
        State.TERMINATED,
        "Decline this agreement",
        "For ever, and for everybody in it: it does not come into force.",
    ),
}
_DONE = {
    "suspend": "The agreement is suspended. Nothing runs under it until your organisation resumes it.",
    "revoke": "The agreement is revoked, for ever. What was released stays released.",
    "decline": "The agreement is declined. It does not come into force.",
}
_WAITS = "Your word is kept. A second person has to confirm it within a week."


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    _signing(Routes(app, "Agreements", page=True), pages)
    _two_people(Routes(app, "Agreements", page=True), pages)
    _stopping(Routes(app, "Agreements", page=True), pages)


def _signing(routes: Routes, pages: Pages) -> None:
    @routes.get("/agreements/drafts/{draft}/sign", "agreements.sign")
    def offer_page(request: Request, draft: str) -> Response:
        return _offer(request, draft)

    def _offer(request: Request, draft: str, error: CloisterError | None = None) -> Response:
        terms = Terms.from_odrl(pages.node().drafts.get(draft).document)
        back = f"/agreements/drafts/{draft}"
        return _sheet(pages, request, terms, "offer", back, error)

    @routes.post("/agreements/drafts/{draft}/sign", "agreements.sign")
    def offer(
        request: Request,
        draft: str,
        digest: Annotated[str, _WORD] = "",
        read: Annotated[str, _WORD] = "",
    ) -> Response:
        node = pages.node()
        try:
            document = node.drafts.get(draft).document
            if Terms.from_odrl(document).digest != digest:
                raise Conflict(
                    "The draft was changed since you read it.",
                    "You would sign something else.",
                    "Read it again.",
                )
            _require_read(read)
            outcome = node.signing.offer(document, signer(request))
        except CloisterError as error:
            return _offer(request, draft, error)
        if not outcome.done:
            return pages.go(request, f"/agreements/drafts/{draft}", told=_WAITS)
        node.drafts.remove(draft)
        return pages.go(
            request, f"/agreements/{digest}", told=_signed(outcome, "Signed, and offered to the others.")
        )

    @routes.get("/agreements/{digest}/sign", "agreements.sign")
    def sign_page(request: Request, digest: str) -> Response:
        return _sign(request, digest)

    def _sign(request: Request, digest: str, error: CloisterError | None = None) -> Response:
        terms = read_terms(pages.node().agreements.envelope(digest))
        return _sheet(pages, request, terms, "sign", f"/agreements/{digest}", error)

    @routes.post("/agreements/{digest}/sign", "agreements.sign")
    def sign(request: Request, digest: str, read: Annotated[str, _WORD] = "") -> Response:
        try:
            _require_read(read)
            outcome = pages.node().signing.sign(digest, signer(request))
        except CloisterError as error:
            return _sign(request, digest, error)
        told = _signed(outcome, "Signed.") if outcome.done else _WAITS
        return pages.go(request, f"/agreements/{digest}", told=told)

    @routes.post("/agreements/{digest}/withdraw", "agreements.sign")
    def withdraw(request: Request, digest: str) -> Response:
        node = pages.node()
        wish = views.wish_about(node, digest)
        kind = "sign" if wish is None else wish.kind
        node.signing.withdraw(kind, digest, signer(request))
        told = "It stays suspended: the wish is withdrawn."
        if kind == "sign":
            told = "The wish to sign is withdrawn."
        return pages.go(request, f"/agreements/{digest}", told=told)

    @routes.post("/agreements/drafts/{draft}/withdraw", "agreements.sign")
    def withdraw_draft(request: Request, draft: str) -> Response:
        node = pages.node()
        node.signing.withdraw(
            "offer", Terms.from_odrl(node.drafts.get(draft).document).digest, signer(request)
        )
        return pages.go(request, f"/agreements/drafts/{draft}", told="The wish to sign is withdrawn.")


def _sheet(
    pages: Pages, request: Request, terms: Terms, kind: Kind, back: str, error: CloisterError | None
) -> Response:
    """What one signs: all of it in words, what needs care, what changed, the digest."""
    node = pages.node()
    wish = node.signing.wish(kind, terms.digest)
    account = pages.caller(request).account
    return pages.show(
        request,
        "agreements/sign.html",
        title="Sign and offer" if kind == "offer" and len(terms.members) > 1 else "Sign",
        lead=terms.title,
        terms=terms,
        digest=terms.digest,
        sections=views.side_by_side(terms, node.parties.names()),
        cares=views.cares(terms, node.parties.names()),
        changes=views.changes(node, terms),
        unmet=unmet(terms, node.protections),
        kinds=views.KINDS,
        strangers=[terms.name_of(party) for party in terms.parties if not node.parties.trusted(party)],
        member=terms.member(node.party) is not None,
        signed=kind == "sign" and node.party in node.agreements.get(terms.digest).signed_by,
        two_people=node.signing.two_people,
        wish=wish,
        own_wish=wish is not None and wish.account == account,
        back=back,
        path=f"{back}/sign",
        error=error,
    )


def _two_people(routes: Routes, pages: Pages) -> None:
    @routes.get("/agreements/two-people", "agreements.sign")
    def page(request: Request) -> Response:
        return _page(request)

    def _page(request: Request, error: CloisterError | None = None) -> Response:
        node = pages.node()
        wish = node.signing.wish("one-person", "")
        return pages.show(
            request,
            "agreements/two_people.html",
            title="Two people sign",
            lead="Whether one person is enough to bind your organisation.",
            two_people=node.signing.two_people,
            wish=wish,
            own_wish=wish is not None and wish.account == pages.caller(request).account,
            error=error,
        )

    @routes.post("/agreements/two-people", "agreements.sign")
    def change(request: Request, needed: Annotated[str, _WORD] = "") -> Response:
        try:
            if needed not in ("yes", "no"):
                raise BadInput("Nothing was chosen.", "", "Choose one of the two.")
            outcome = pages.node().signing.set_two_people(needed=needed == "yes", signer=signer(request))
        except CloisterError as error:
            return _page(request, error)
        if needed == "yes":
            told = "From now on two people sign for your organisation."
        else:
            told = "One person may sign again." if outcome.done else _WAITS
        return pages.go(request, "/agreements/two-people", told=told)

    @routes.post("/agreements/two-people/withdraw", "agreements.sign")
    def withdraw(request: Request) -> Response:
        pages.node().signing.withdraw("one-person", "", signer(request))
        return pages.go(request, "/agreements/two-people", told="It stays as it is: two people sign.")


def _stopping(routes: Routes, pages: Pages) -> None:
    def shown(
        request: Request, digest: str, how: str, reason: str = "", error: CloisterError | None = None
    ) -> Response:
        node = pages.node()
        terms = read_terms(node.agreements.envelope(digest))
        _, title, lead = _STOPS[how]
        return pages.show(
            request,
            "agreements/stop.html",
            title=title,
            lead=lead,
            how=how,
            digest=digest,
            terms=terms,
            card=views.card(node, digest),
            stops=agreement_views.stops(node, digest),
            names=_namer(node, terms),
            reason=reason,
            error=error,
        )

    def stopped(request: Request, digest: str, how: str, reason: str) -> Response:
        try:
            pages.node().signing.move(digest, _STOPS[how][0], _reason(reason), signer(request))
        except CloisterError as error:
            return shown(request, digest, how, reason, error)
        return pages.go(request, f"/agreements/{digest}", told=_DONE[how])

    def register(how: str) -> None:
        @routes.get(f"/agreements/{{digest}}/{how}", "agreements.stop")
        def page(request: Request, digest: str) -> Response:
            require_may_move(pages.caller(request), _STOPS[how][0])
            return shown(request, digest, how)

        @routes.post(f"/agreements/{{digest}}/{how}", "agreements.stop")
        def stop(request: Request, digest: str, reason: Annotated[str, _REASON] = "") -> Response:
            require_may_move(pages.caller(request), _STOPS[how][0])
            return stopped(request, digest, how, reason)

    for how in _STOPS:
        register(how)

    @routes.get("/agreements/{digest}/resume", "agreements.sign")
    def resume_page(request: Request, digest: str) -> Response:
        return _resume(request, digest)

    def _resume(
        request: Request, digest: str, reason: str = "", error: CloisterError | None = None
    ) -> Response:
        node = pages.node()
        terms = read_terms(node.agreements.envelope(digest))
        others = agreement_views.suspended(node, digest) - {node.party}
        wish = node.signing.wish("resume", digest)
        return pages.show(
            request,
            "agreements/resume.html",
            title="Resume this agreement",
            lead=terms.title,
            digest=digest,
            others=sorted(terms.name_of(party) for party in others),
            two_people=node.signing.two_people,
            wish=wish,
            own_wish=wish is not None and wish.account == pages.caller(request).account,
            reason=reason,
            error=error,
        )

    @routes.post("/agreements/{digest}/resume", "agreements.sign")
    def resume(request: Request, digest: str, reason: Annotated[str, _REASON] = "") -> Response:
        try:
            outcome = pages.node().signing.resume(digest, _reason(reason), signer(request))
        except CloisterError as error:
            return _resume(request, digest, reason, error)
        after = "The agreement is in force again."
        if not outcome.done:
            after = _WAITS
        elif outcome.told["state"] != "finalized":
            after = "Your suspension is lifted; another party's still stands."
        return pages.go(request, f"/agreements/{digest}", told=after)


def _namer(node: Node, terms: Terms) -> dict[str, str]:
    return {**node.parties.names(), **{member.party: member.name for member in terms.members}}


def _reason(text: str) -> str | None:
    return " ".join(text.split()) or None


def _require_read(read: str) -> None:
    if read != "yes":
        raise BadInput(
            "You have not said that you have read it.",
            "It was not signed.",
            "Read it, tick the box, then sign.",
        )


def _signed(outcome: Outcome, first: str) -> str:
    if len(outcome.told["parties"]) == 1:
        return " ".join(["Signed. It is in force.", *outcome.told.get("budgets", [])])
    missing = [item["name"] for item in outcome.told["parties"] if not item["signed"]]
    rest = f"Not signed yet by: {', '.join(missing)}." if missing else "Everybody has signed."
    return " ".join([first, rest, *outcome.told.get("budgets", [])])
