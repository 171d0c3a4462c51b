"""Questions about a tool's figures: asked of owners here; what others ask of our pictures, decided here; and what came of both."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from fastapi import Depends, FastAPI, Request, Response
from starlette.concurrency import run_in_threadpool

from cloister.disclosure.figure_permission import MAX_SUBJECTS
from cloister.foundation.clock import parse_rfc3339
from cloister.foundation.errors import BadInput, CloisterError, Unreachable
from cloister.node.figures.asking import MAX_TOOL, Wanted
from cloister.node.figures.service import MEASURING, TELLING
from cloister.node.node import Node
from cloister.node.toolroom.paces import TooOften
from cloister.web.frame import Pages
from cloister.web.routes import Routes
from cloister.web.slow import slow_of
from cloister.web.uploads import Sent, body_limit, taking
from cloister.web.views import typed
from cloister.web.views.tools import who

STATES = {
    "unsent": ("Not sent yet", ""),
    "waiting": ("Waits for a person", "warn"),
    "approved": ("Being measured", ""),
    "refusing": ("Refused", "bad"),
    "refused": ("Refused", "bad"),
    "answered": ("Answered", "good"),
}
"""Each state as a page marks it."""
REFUSALS = {
    "a-person": "A person of the owner said no.",
    "too-few-records": "There are too few labelled pictures.",
    "agreement": "An agreement does not permit it.",
    "budget": "No privacy budget pays for it.",
    "number-of-questions": "Enough different questions were measured on these pictures.",
    "dataset": "The pictures are not there any more, or are too many.",
    "tool": "The tool cannot be run.",
}
FIGURES = {
    "count-accuracy": ("Count", "1 less the relative error of the count"),
    "f1": ("Objects found", "F1: how many centres are found, and how many found ones are none"),
    "d50-accuracy": ("Median diameter", "1 less the relative error of the median diameter"),
}
"""Each figure in words; 1 is best."""


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Figures", page=True)
    _ask(app, routes, pages)

    @routes.get("/figures", "tasks.read")
    def listing(request: Request) -> Response:
        return shown(request)

    def shown(request: Request, error: CloisterError | None = None) -> Response:
        node = pages.node()
        items = sorted(
            node.figures.listing(), key=lambda item: (not _waits_here(item), -parse_rfc3339(item["made"]))
        )
        return pages.show(
            request,
            "figures/list.html",
            title="Figures of tools",
            lead="How well a tool does on pictures that stay at their owner, as far as the owner lets it be told.",
            items=items,
            stands={
                item["question"]: node.figures.answering.stand(item["question"])
                for item in items
                if _waits_here(item)
            },
            titles={digest: node.agreements.get(digest).terms.title for digest in node.agreements.digests()},
            most=MAX_SUBJECTS,
            states=STATES,
            refusals=REFUSALS,
            words=FIGURES,
            error=error,
        )

    @routes.post("/figures/{digest}/approve", "tasks.approve")
    def approve(request: Request, digest: str) -> Response:
        return decided(request, digest, approve=True)

    @routes.post("/figures/{digest}/refuse", "tasks.approve")
    def refuse(request: Request, digest: str) -> Response:
        return decided(request, digest, approve=False)

    def decided(request: Request, digest: str, *, approve: bool) -> Response:
        node = pages.node()
        try:
            node.figures.answering.decide(digest, pages.caller(request).name, approve=approve)
        except CloisterError as error:
            return shown(request, error)
        node.steward.wake(MEASURING, TELLING)
        told = "The tool is measured here now; its figures leave as soon as they are there."
        return pages.go(request, "/figures", told=told if approve else "Refused. Whoever asked is told.")


def _ask(app: FastAPI, routes: Routes, pages: Pages) -> None:
    one_file = Depends(taking(1))
    slow = slow_of(app)

    @routes.get("/figures/new", "tasks.ask")
    async def form(request: Request) -> Response:
        return await run_in_threadpool(_form, request, {})

    def _form(request: Request, given: Mapping[str, str], error: CloisterError | None = None) -> Response:
        tools = [
            (card.name, f"{card.title}, {card.version}")
            for card in pages.site.tools.shelf.cards()
            if card.error is None
        ]
        return pages.show(
            request,
            "figures/new.html",
            title="How does a tool do on others' pictures?",
            lead="The tool goes to the owner. The pictures stay there; a few rounded means come back, or a refusal.",
            datasets=_datasets(pages.node()),
            tools=[*tools, ("", "Another one, from its file")],
            words=FIGURES,
            most=MAX_TOOL,
            given=given,
            error=error,
        )

    @routes.post("/figures/new", "tasks.ask", body=body_limit(MAX_TOOL))
    async def ask(request: Request, sent: Sent = one_file) -> Response:
        try:
            return await slow.run(who(request).key, partial(_asked, request, sent))
        except (TooOften, Unreachable) as error:
            return await run_in_threadpool(_form, request, sent.fields, error)

    def _asked(request: Request, sent: Sent) -> Response:
        node = pages.node()
        try:
            wanted = _wanted(sent, pages.caller(request).name)
            node.figures.asking.ask(wanted)
        except CloisterError as error:
            return _form(request, sent.fields, error)
        node.steward.wake(TELLING)
        told = "Asked. What comes back is shown here."
        return pages.go(request, "/figures", told=told)

    def _wanted(sent: Sent, by: str) -> Wanted:
        fields = sent.fields
        owner, _, dataset = fields.get("dataset", "").partition(" ")
        if not dataset:
            raise BadInput("No pictures were chosen.", "", "Choose a dataset.")
        if not (purpose := fields.get("purpose", "").strip()):
            raise BadInput("What it is for is missing.", "The owner decides by it.", "Say it in a few words.")
        if sent.files:
            tool = sent.files[0].data
        elif name := fields.get("tool", ""):
            tool = pages.site.tools.shelf.export(name)
        else:
            raise BadInput("No tool was chosen.", "", "Choose one, or the file of one.")
        cost = fields.get("epsilon", "").strip()
        epsilon = typed.number(cost, "What it may cost", above=0, most=10, example="1") if cost else None
        figures = [name for name in FIGURES if fields.get(f"figure-{name}")]
        return Wanted(owner, dataset, tool, figures, purpose[:200], epsilon, by)


def _datasets(node: Node) -> list[tuple[str, str]]:
    """Pictures of trusted organisations: what the form sends, and what people read."""
    found = {
        (item.owner, item.name): item
        for item in node.datasets.catalogue().values()
        if item.kind == "image-points" and item.owner != node.party and node.parties.trusted(item.owner)
    }
    return [
        (f"{owner} {name}", f"{node.parties.name(owner)}: {item.title} ({name})")
        for (owner, name), item in sorted(found.items())
    ]


def _waits_here(item: Mapping[str, Any]) -> bool:
    return bool(item["side"] == "to-answer" and item["state"] == "waiting")
