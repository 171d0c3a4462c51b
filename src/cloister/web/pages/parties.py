"""Organisations: whom this server knows, whom people here have compared fingerprints with, who is connected, what passed.

Rules:
1. A card makes an organisation known, wherever it comes from. Only a person who compared the fingerprint makes it trusted, and
   has to type what the other side read out: agreeing with a click compares nothing.
2. Trust says whom this organisation signs with, so it takes a password shown just now (`guard.BINDING`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, File, Form, Request, Response, UploadFile

from cloister.foundation.errors import CloisterError, TooLarge
from cloister.foundation.files import read_limited
from cloister.node.chores import DOCUMENTS
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views import parties as views
from cloister.web.views.agreements import STATES


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Organisations", page=True)

    @routes.get("/parties", "parties.read")
    def listing(request: Request) -> Response:
        node = pages.node()
        return pages.show(
            request,
            "parties/list.html",
            title="Organisations",
            lead="Whom this server knows. You sign agreements only with those whose fingerprint you compared.",
            own=views.own(node),
            parties=views.listing(node),
            connected=node.link is not None,
        )

    @routes.get("/parties/own/card.json", "parties.read")
    def card() -> Response:
        node = pages.node()
        return Response(
            read_limited(node.folder.card_file, views.CARD_MOST),
            media_type="application/json",
            headers=as_file("card.json"),
        )

    @routes.get("/parties/add", "parties.trust")
    def add_page(request: Request) -> Response:
        return _add(request)

    def _add(request: Request, text: str = "", error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "parties/add.html",
            title="Add an organisation",
            lead="Its card says its name and its keys. Cards of whoever is at the same relay come by themselves.",
            text=text,
            error=error,
        )

    @routes.post("/parties/add", "parties.trust", body=2 * views.CARD_MOST)
    def add_party(
        request: Request,
        text: Annotated[str, Form(max_length=views.CARD_MOST)] = "",
        card: Annotated[UploadFile | None, File()] = None,
    ) -> Response:
        try:
            if card is not None and card.filename:
                data = card.file.read(views.CARD_MOST + 1)
                if len(data) > views.CARD_MOST:
                    raise TooLarge("The card file is too large.", "", "Ask for the file again.")
                text = data.decode("utf-8", "replace")
            found = pages.node().parties.accept_chain(views.read_cards(text))
        except CloisterError as error:
            return _add(request, text[: views.CARD_MOST], error)
        return pages.go(
            request,
            f"/parties/{found.party}",
            told=f"{found.name} is known now. Compare its fingerprint before you trust it.",
        )

    @routes.get("/parties/{party}", "parties.read")
    def one(request: Request, party: str) -> Response:
        node = pages.node()
        found = views.one(node, party)
        return pages.show(
            request,
            "parties/one.html",
            title=found["name"],
            lead=", ".join(found["told"]),
            party=found,
            connected=node.link is not None,
            state=lambda name: STATES[name],
        )

    @routes.get("/parties/{party}/compare", "parties.trust")
    def compare(request: Request, party: str) -> Response:
        return _compare(request, party)

    def _compare(
        request: Request, party: str, typed: str = "", error: CloisterError | None = None
    ) -> Response:
        node = pages.node()
        found = views.one(node, party)
        return pages.show(
            request,
            "parties/compare.html",
            title=f"Compare with {found['name']}",
            lead="On the telephone, or face to face: not over anything that could have brought you a false card.",
            party=found,
            own=views.own(node),
            typed=typed,
            groups=views.LAST_GROUPS,
            error=error,
        )

    @routes.post("/parties/{party}/trust", "parties.trust")
    def trust(request: Request, party: str, typed: Annotated[str, Form(max_length=300)] = "") -> Response:
        node = pages.node()
        name = views.one(node, party)["name"]
        try:
            node.parties.pin(party, views.compared(party, typed))
        except CloisterError as error:
            return _compare(request, party, typed, error)
        node.steward.wake(DOCUMENTS)
        return pages.go(request, f"/parties/{party}", told=f"{name} is trusted from now on.")

    @routes.post("/parties/{party}/distrust", "parties.trust")
    def distrust(request: Request, party: str) -> Response:
        node = pages.node()
        name = views.one(node, party)["name"]
        node.parties.unpin(party)
        return pages.go(
            request,
            f"/parties/{party}",
            told=f"{name} is not trusted any more. What it signed before stays signed; agreements can be suspended.",
        )
