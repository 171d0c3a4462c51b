"""This node, and the organisations that it knows."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query
from pydantic import Field

from cloister.identity.envelopes import Envelope
from cloister.node.chores import DOCUMENTS
from cloister.web.api.bodies import Body, OpenNode
from cloister.web.guard import DOCUMENT_MOST
from cloister.web.routes import Routes


class NewCard(Body):
    cards: list[dict[str, Any]] = Field(min_length=1, max_length=1000)


class Compared(Body):
    fingerprint: str = Field(max_length=200)


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Parties")

    @routes.get("/api/v1/status", "tasks.read")
    def status() -> Any:
        """Tells who this server is, whether the relay is reached, and who else is there."""
        return node().status()

    @routes.get("/api/v1/events", "tasks.read")
    def events(
        since: Annotated[int, Query(ge=0, lt=1 << 53)] = 0,
        wait: Annotated[float, Query(ge=0, le=60, allow_inf_nan=False)] = 0.0,
    ) -> Any:
        """Lists what happened after the event `since`; waits up to `wait` seconds for something."""
        return node().events(since, wait)

    @routes.get("/api/v1/traffic", "tasks.read")
    def traffic() -> Any:
        """Tells how many messages and bytes were exchanged with each organisation."""
        return node().traffic()

    @routes.listing("/api/v1/parties", "parties.read", "party")
    def parties() -> Any:
        """Lists the organisations that this server knows, and whether their fingerprints were compared."""
        return node().parties.listing()

    @routes.post("/api/v1/parties", "parties.trust", body=DOCUMENT_MOST)
    def add_party(body: NewCard) -> Any:
        """Learns another organisation's card; nobody is trusted by that."""
        card = node().parties.accept_chain([Envelope.from_json(item) for item in body.cards])
        return {"party": card.party, "name": card.name}

    @routes.post("/api/v1/parties/{party}/trust", "parties.trust")
    def trust(party: str, body: Compared) -> Any:
        """Records that people have compared an organisation's fingerprint."""
        node().parties.pin(party, body.fingerprint)
        node().steward.wake(DOCUMENTS)
        return {"party": party, "trust": "pinned"}

    @routes.post("/api/v1/parties/{party}/distrust", "parties.trust")
    def distrust(party: str) -> Any:
        """Takes back that an organisation's fingerprint was compared."""
        node().parties.unpin(party)
        return {"party": party, "trust": "unpinned"}
