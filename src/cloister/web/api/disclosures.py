"""Records that this organisation disclosed to others, and others to it.

Rules:
1. To disclose and to withdraw binds the organisation; whoever does it is named in the decision that the log holds.
2. What is opened lies in a folder of the server; no route hands out its files.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.routing import APIRoute
from pydantic import Field

from cloister.disclosure.documents import MAX_DELETION_DAYS, MAX_RECORDS
from cloister.disclosure.package import MAX_PACKAGE
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import BadInput
from cloister.identity.envelopes import Envelope
from cloister.node.chores import DISCLOSURES
from cloister.node.disclosures.giving import Offer
from cloister.web.api.bodies import Asker, Body, OpenNode, Reason
from cloister.web.routes import Routes
from cloister.web.uploads import Sent, body_limit, taking


class NewDisclosure(Body):
    dataset: str = Field(max_length=100)
    records: list[Annotated[str, Field(max_length=255)]] = Field(min_length=1, max_length=MAX_RECORDS)
    recipient: str = Field(max_length=80)
    purpose: str = Field(min_length=1, max_length=200)
    until: str = Field(max_length=20)
    deletion_days: int = Field(default=1, ge=0, le=MAX_DELETION_DAYS)
    tell_scale: bool = False


class NewSettings(Body):
    name: str = Field(max_length=64)
    title: str = Field(max_length=200)
    settings: dict[str, Any]
    micrometres_per_pixel: float | None = Field(default=None, gt=0, lt=1e6)


class SignedDocument(Body):
    document: str = Field(max_length=128 << 10)


def add(app: FastAPI, node: OpenNode) -> None:
    """Adds the routes."""
    routes = Routes(app, "Disclosures")
    one_file = Depends(taking(1))

    @routes.listing("/api/v1/disclosures", "disclosures.read", "disclosure")
    def disclosures() -> Any:
        """Lists the records that this organisation disclosed, and those that were disclosed to it."""
        return node().disclosures.listing()

    @routes.get("/api/v1/disclosures/{digest}", "disclosures.read")
    def disclosure(digest: str) -> Any:
        """Tells one disclosure: to whom, what for, until when, and how it stands."""
        return node().disclosures.one(digest)

    @routes.post("/api/v1/disclosures", "disclosures.give")
    def disclose(caller: Asker, body: NewDisclosure) -> Any:
        """Seals selected records of a dataset to one organisation, for a purpose and until a date."""
        return node().disclosures.giving.give(
            Offer(
                dataset=body.dataset,
                records=tuple(body.records),
                recipient=body.recipient,
                purpose=body.purpose,
                until=parse_rfc3339(body.until),
                deletion_days=body.deletion_days,
                by=caller.name,
                tell_scale=body.tell_scale,
            )
        )

    @routes.get("/api/v1/disclosures/{digest}/package", "disclosures.read")
    def package(digest: str) -> Any:
        """Hands out the sealed package of a disclosure, which only its recipient opens."""
        return {"content": base64.b64encode(node().disclosures.giving.package(digest)).decode()}

    @routes.post("/api/v1/disclosures/{digest}/withdraw", "disclosures.give")
    def withdraw(caller: Asker, digest: str, body: Reason) -> Any:
        """Takes a disclosure back for ever; the recipient's server deletes the records and says so."""
        told = node().disclosures.giving.withdraw(digest, body.reason, caller.name)
        node().steward.wake(DISCLOSURES)
        return told

    @routes.post("/api/v1/disclosures/{digest}/send", "disclosures.give")
    def send(caller: Asker, digest: str) -> Any:
        """Sends the sealed package over the relay: the recipient's server fetches it while the disclosure stands."""
        node().disclosures.sending.send(digest, caller.name)
        node().steward.wake(DISCLOSURES)
        return node().disclosures.one(digest)

    @routes.listing("/api/v1/disclosed-packages", "disclosures.read", "disclosure")
    def packages() -> Any:
        """Lists the sealed packages that were sent to this server and that nobody has opened."""
        return node().disclosures.arriving.listing()

    @routes.post("/api/v1/disclosed-packages/{digest}/open", "disclosures.receive")
    def open_arrived(caller: Asker, digest: str) -> Any:
        """Opens a package that was sent to this server into a folder of it, once."""
        told = node().disclosures.arriving.open(digest, caller.name)
        node().steward.wake(DISCLOSURES)
        return told

    @routes.post("/api/v1/disclosed-packages/{digest}/refuse", "disclosures.receive")
    def refuse(digest: str) -> Any:
        """Deletes a package that was sent to this server, unopened."""
        node().disclosures.arriving.refuse(digest)
        return {"disclosure": digest}

    @routes.post("/api/v1/disclosures/open", "disclosures.receive", body=body_limit(MAX_PACKAGE))
    def open_package(caller: Asker, sent: Sent = one_file) -> Any:
        """Opens a sealed package (a form with `file`) into a folder of this server, once."""
        if not sent.files:
            raise BadInput("No file came.", "", "Send it as `file` in a form (multipart/form-data).")
        told = node().disclosures.receiving.open(sent.files[0].data, caller.name)
        node().steward.wake(DISCLOSURES)
        return told

    _takes_a_file(app)

    @routes.post("/api/v1/disclosures/{digest}/delete", "disclosures.receive")
    def delete(digest: str) -> Any:
        """Deletes this server's copy of disclosed records, and signs for its owner that it did."""
        told = node().disclosures.receiving.delete(digest)
        node().steward.wake(DISCLOSURES)
        return told

    @routes.get("/api/v1/disclosures/{digest}/documents", "disclosures.read")
    def documents(digest: str) -> Any:
        """Hands out what this organisation signed about a disclosure since: its withdrawal, or its receipts."""
        return {"documents": [data.decode() for data in node().disclosures.exchange.documents(digest)]}

    @routes.post("/api/v1/disclosures/documents", "disclosures.receive")
    def take(body: SignedDocument) -> Any:
        """Takes in a withdrawal or a receipt that came as a file."""
        told = node().disclosures.exchange.take(body.document.encode())
        node().steward.wake(DISCLOSURES)
        return told

    @routes.post("/api/v1/factory-settings", "disclosures.give")
    def publish(body: NewSettings) -> Any:
        """Signs what people say of this organisation's pictures, so that others draw such pictures without seeing one."""
        publishing = node().disclosures.publishing
        envelope = publishing.publish(body.name, body.title, body.settings, body.micrometres_per_pixel)
        return {"document": envelope.encode().decode(), "digest": envelope.digest}

    @routes.post("/api/v1/factory-settings/check", "disclosures.read")
    def check(body: SignedDocument) -> Any:
        """Tells what published settings say, once their owner is found to have signed them."""
        return node().disclosures.publishing.check(Envelope.decode(body.document.encode()))


def _takes_a_file(app: FastAPI) -> None:
    """Says in the interface's description that the route registered last takes a form with a file."""
    route = app.router.routes[-1]
    assert isinstance(route, APIRoute)
    file = {
        "type": "object",
        "properties": {"file": {"type": "string", "format": "binary"}},
        "required": ["file"],
    }
    told = {"required": True, "content": {"multipart/form-data": {"schema": file}}}
    route.openapi_extra = {**(route.openapi_extra or {}), "requestBody": told}
