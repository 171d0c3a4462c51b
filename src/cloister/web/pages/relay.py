"""The relay's screens: who is connected, what passed (how much, never what), its log, invitations."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError, NotFound
from cloister.foundation.text import party_name
from cloister.hub.server import Hub
from cloister.ledger.checkpoints import Checkpoint
from cloister.ledger.notes import Note
from cloister.web.frame import Pages
from cloister.web.guard import OPEN
from cloister.web.pages.account import fresh
from cloister.web.routes import Routes


def add(app: FastAPI, pages: Pages, hub: Hub) -> None:
    """Adds the routes."""
    routes = Routes(app, "Relay", page=True)
    accounts = pages.site.accounts

    @routes.get("/", OPEN)
    def home(request: Request) -> Response:
        if accounts.none_yet():
            return pages.go(request, "/welcome")
        if not pages.may(request, "log.read"):
            return pages.go(request, "/people" if pages.caller(request).account else "/sign-in")
        status, passed = hub.status(), hub.traffic()
        parties = [
            {
                "party": party,
                "name": name_of(hub, party),
                "here": party in status.here,
                "sent": sum(item.bytes for item in passed if item.sender == party),
                "received": sum(item.bytes for item in passed if item.recipient == party),
                "messages": sum(item.messages for item in passed if item.sender == party),
            }
            for party in sorted(hub.members.permitted(), key=lambda party: name_of(hub, party).casefold())
        ]
        return pages.show(
            request,
            "relay/overview.html",
            title=hub.name,
            lead="What this relay can see. It passes on sealed messages, and can open none.",
            party=hub.party,
            now=status,
            parties=parties,
            passed=sum(item.bytes for item in passed),
            evidence=sorted(hub.evidence().items()),
        )

    @routes.get("/traffic", "log.read")
    def traffic(request: Request) -> Response:
        rows = sorted(hub.traffic(), key=lambda item: -item.bytes)
        return pages.show(
            request,
            "relay/traffic.html",
            title="Traffic",
            lead="From whom, to whom, how often, how much, since the relay started. Sizes as they travelled, sealed.",
            rows=[
                (name_of(hub, row.sender), name_of(hub, row.recipient), row.messages, row.bytes)
                for row in rows
            ],
        )

    @routes.get("/log", "log.read")
    def log(request: Request) -> Response:
        return pages.show(
            request,
            "relay/log.html",
            title="Log",
            lead="Digests of what organisations entered, in an order that nobody can change unnoticed.",
            head=_head(hub.head()),
            note=hub.head().decode("utf-8", "replace"),
            heads=[
                {"name": name_of(hub, party), "party": party, **_head(note)}
                for party, note in sorted(hub.heads().items())
            ],
            witnesses=[name_of(hub, party) for party in _head(hub.head())["cosigned"]],
        )

    # Who may connect -----------------------------------------------------------------------------------------------

    @routes.get("/invitations", "node.manage")
    def invitations(request: Request) -> Response:
        fresh(pages, request)
        return _invitations(request)

    def _invitations(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "relay/invitations.html",
            title="Invitations",
            lead="An invitation lets one organisation's server connect, once.",
            error=error,
        )

    @routes.post("/invitations", "node.manage")
    def invite(request: Request) -> Response:
        caller = fresh(pages, request)
        made = hub.invite().encode()
        accounts.note(caller, "made an invitation")
        return pages.show(
            request,
            "relay/invitation.html",
            title="An invitation",
            lead="It is shown this once. Pass it on privately: whoever has it can connect in their place.",
            invitation=made,
        )

    @routes.get("/drop/{party}", "node.manage")
    def drop_page(request: Request, party: str) -> Response:
        fresh(pages, request)
        _known(party)
        return pages.show(
            request,
            "relay/drop.html",
            title=f"Let {name_of(hub, party)} connect no more?",
            name=name_of(hub, party),
            party=party,
        )

    @routes.post("/drop", "node.manage")
    def drop(request: Request, party: Annotated[str, Form(max_length=100)] = "") -> Response:
        caller = fresh(pages, request)
        _known(party)
        name = name_of(hub, party)
        hub.drop(party)
        accounts.note(caller, "took the way to the relay from", name)
        return pages.go(request, "/", told=f"{name} may connect no more.")

    def _known(party: str) -> None:
        if party not in hub.members.permitted():
            raise NotFound("No such organisation may connect here.", "", "Look at the overview.")


def name_of(hub: Hub, party: str) -> str:
    """A party's name on its card, as far as the relay knows it."""
    if party == hub.party:
        return hub.name
    return hub.members.known.card(party).name if party in hub.members.known else party_name(party, {})


def _head(note: bytes) -> dict[str, Any]:
    parsed = Note.parse(note)
    checkpoint = Checkpoint.parse(parsed.text)
    own = checkpoint.origin.rpartition("/")[2]
    names = {line.name.rpartition("/")[2] for line in parsed.lines}
    return {"size": checkpoint.size, "root": checkpoint.root.hex(), "cosigned": sorted(names - {own})}
