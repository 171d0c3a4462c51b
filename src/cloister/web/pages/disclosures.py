"""Disclosed records: selected on a screen where each is looked at, listed with how they stand, withdrawn, deleted.

Rules:
1. Whoever decides sees what goes: pictures are shown, one by one, to those who may disclose (`disclosures.give`), and to nobody else.
2. Nothing is ticked beforehand, and there is no button for all.
3. What was opened is not shown here: it lies in a folder of the server.
"""

from __future__ import annotations

import io
from typing import Annotated, Any
from urllib.parse import quote

from fastapi import FastAPI, Form, Request, Response

from cloister.data.images import ImageLimits, decode_image
from cloister.disclosure.documents import DAY, MAX_DAYS
from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.node.chores import DISCLOSURES
from cloister.node.disclosures.giving import Offer
from cloister.node.disclosures.selecting import names_of
from cloister.node.node import Node
from cloister.web.downloads import as_file
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views import typed

_TEXT = Form(max_length=400)
_SHOWN = 24
_THUMB = 320
_LIMITS = ImageLimits(max_bytes=64 << 20, max_pixels=50_000_000)
STATES = {
    "offered": ("Sealed, not opened", ""),
    "received": ("Opened", "good"),
    "withdrawn": ("Withdrawn", "warn"),
    "expired": ("Over", "warn"),
    "overdue": ("Deletion overdue", "bad"),
    "deleted": ("Deleted", ""),
}
"""Each state as a page marks it."""


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Disclosures", page=True)
    _list(routes, pages)
    _select(routes, pages)


def _list(routes: Routes, pages: Pages) -> None:
    @routes.get("/disclosures", "disclosures.read")
    def show_all(request: Request) -> Response:
        return listing(request)

    def listing(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "disclosures/list.html",
            title="Disclosed records",
            lead="Records that an owner's people selected for one organisation, for a purpose and until a date.",
            items=[(item, _many(item)) for item in reversed(pages.node().disclosures.listing())],
            waiting=pages.node().disclosures.arriving.listing(),
            states=STATES,
            error=error,
        )

    @routes.get("/disclosures/{digest}", "disclosures.read")
    def show(request: Request, digest: str) -> Response:
        return _show(request, digest)

    def _show(request: Request, digest: str, error: CloisterError | None = None) -> Response:
        item = pages.node().disclosures.one(digest)
        return pages.show(
            request,
            "disclosures/show.html",
            title=_many(item),
            lead=f"For: {item['purpose']}",
            item=item,
            states=STATES,
            error=error,
        )

    @routes.get("/disclosures/{digest}/package", "disclosures.read")
    def package(digest: str) -> Response:
        data = pages.node().disclosures.giving.package(digest)
        name = f"{digest.removeprefix('sha256:')[:16]}.package"
        return Response(data, media_type="application/octet-stream", headers=as_file(name))

    @routes.post("/disclosures/{digest}/send", "disclosures.give")
    def send(request: Request, digest: str) -> Response:
        node = pages.node()
        try:
            node.disclosures.sending.send(digest, pages.caller(request).name)
        except CloisterError as error:
            return _show(request, digest, error)
        node.steward.wake(DISCLOSURES)
        told = "Sent. Their server fetches it when both are connected."
        return pages.go(request, f"/disclosures/{digest}", told=told)

    @routes.post("/disclosed-packages/{digest}/open", "disclosures.receive")
    def open_arrived(request: Request, digest: str) -> Response:
        node = pages.node()
        try:
            node.disclosures.arriving.open(digest, pages.caller(request).name)
        except CloisterError as error:
            return listing(request, error)
        node.steward.wake(DISCLOSURES)
        return pages.go(request, f"/disclosures/{digest}", told="Opened. The owner is told.")

    @routes.post("/disclosed-packages/{digest}/refuse", "disclosures.receive")
    def refuse(request: Request, digest: str) -> Response:
        try:
            pages.node().disclosures.arriving.refuse(digest)
        except CloisterError as error:
            return listing(request, error)
        return pages.go(request, "/disclosures", told="Deleted, unopened.")

    @routes.post("/disclosures/{digest}/withdraw", "disclosures.give")
    def withdraw(
        request: Request, digest: str, reason: Annotated[str, _TEXT] = "", sure: Annotated[str, _TEXT] = ""
    ) -> Response:
        node = pages.node()
        try:
            if sure != "yes":
                raise BadInput("Nothing was withdrawn.", "It is final.", "Tick that you know it.")
            node.disclosures.giving.withdraw(digest, reason, pages.caller(request).name)
        except CloisterError as error:
            return _show(request, digest, error)
        node.steward.wake(DISCLOSURES)
        return pages.go(request, f"/disclosures/{digest}", told="Withdrawn. The recipient's server is told.")

    @routes.post("/disclosures/{digest}/delete", "disclosures.receive")
    def delete(request: Request, digest: str) -> Response:
        node = pages.node()
        try:
            node.disclosures.receiving.delete(digest)
        except CloisterError as error:
            return _show(request, digest, error)
        node.steward.wake(DISCLOSURES)
        return pages.go(request, f"/disclosures/{digest}", told="Deleted. The owner is told.")


def _select(routes: Routes, pages: Pages) -> None:
    @routes.get("/datasets/own/{name}/disclose", "disclosures.give")
    def select(request: Request, name: str, start: int = 0) -> Response:
        return _form(request, name, {}, start=start)

    def _form(
        request: Request,
        name: str,
        given: dict[str, Any],
        error: CloisterError | None = None,
        start: int = 0,
    ) -> Response:
        node = pages.node()
        item = node.datasets.one(name)
        files = names_of(node.datasets.glance(item["commitment"]))
        start = max(0, min(start, max(0, len(files) - 1))) // _SHOWN * _SHOWN
        here = f"/datasets/own/{quote(name)}/disclose"
        return pages.show(
            request,
            "disclosures/new.html",
            title=f"Disclose some of {name}",
            lead="What somebody was shown cannot be made unseen.",
            name=name,
            table=item["catalogue"]["kind"] == "table",
            scale=(item["catalogue"].get("image") or {}).get("micrometres_per_pixel"),
            pictures=list(enumerate(files))[start : start + _SHOWN],
            newer=f"{here}?start={start - _SHOWN}" if start else "",
            older=f"{here}?start={start + _SHOWN}" if start + _SHOWN < len(files) else "",
            recipients=_recipients(node),
            given=given,
            error=error,
            days=MAX_DAYS,
        )

    @routes.get("/datasets/own/{name}/disclose/pictures/{number}", "disclosures.give")
    def picture(name: str, number: int) -> Response:
        headers = {"cache-control": "no-store"}
        return Response(_thumbnail(pages.node(), name, number), media_type="image/png", headers=headers)

    @routes.post("/datasets/own/{name}/disclose", "disclosures.give")
    def disclose(
        request: Request,
        name: str,
        recipient: Annotated[str, _TEXT] = "",
        purpose: Annotated[str, _TEXT] = "",
        until: Annotated[str, _TEXT] = "",
        rows: Annotated[str, _TEXT] = "",
        sure: Annotated[str, _TEXT] = "",
        scale: Annotated[str, _TEXT] = "",
        record: Annotated[list[str] | None, Form(max_length=_SHOWN)] = None,
        start: Annotated[int, Form()] = 0,
    ) -> Response:
        chosen = [*(record or ()), *rows.replace(",", " ").split()]
        given = {
            "recipient": recipient, "purpose": purpose, "until": until, "rows": rows, "record": record or [], "scale": scale,
        }  # fmt: skip
        try:
            if sure != "yes":
                raise BadInput("Nothing was disclosed.", "It cannot be undone.", "Tick that you know it.")
            last = typed.begins(typed.day(until, "The last day"))
            told = pages.node().disclosures.giving.give(
                Offer(
                    name,
                    tuple(chosen),
                    recipient,
                    purpose.strip(),
                    last + DAY,
                    1,
                    pages.caller(request).name,
                    tell_scale=scale == "yes",
                )
            )
        except CloisterError as error:
            return _form(request, name, given, error, start)
        return pages.go(
            request,
            f"/disclosures/{told['disclosure']}",
            told="Sealed. Send it to their server, or download the package and hand it over.",
        )


def _many(item: dict[str, Any]) -> str:
    what = "row" if item["kind"] == "table" else "picture"
    return f"{item['records']} {what}{'' if item['records'] == 1 else 's'} of {item['dataset']}"


def _recipients(node: Node) -> list[tuple[str, str]]:
    return [
        (item["party"], item["name"])
        for item in node.parties.listing()
        if not item["own"] and node.parties.trusted(item["party"])
    ]


def _thumbnail(node: Node, name: str, number: int) -> bytes:
    """A small picture of an own dataset as a PNG of pixels alone."""
    from PIL import Image

    registration = node.datasets.glance(node.datasets.one(name)["commitment"])
    files = names_of(registration)
    if not 0 <= number < len(files):
        raise NotFound("There is no such picture.", "", "Choose one from the list.")
    home = registration.source / "images"
    file = (home if home.is_dir() else registration.source) / files[number]
    small = Image.fromarray(decode_image(file, _LIMITS))
    small.thumbnail((_THUMB, _THUMB))
    stream = io.BytesIO()
    small.save(stream, "PNG")
    return stream.getvalue()
