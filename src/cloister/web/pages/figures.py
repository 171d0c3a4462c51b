"""Questions about a tool's figures: what others ask of our pictures, decided here, and the answers to what we asked."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from cloister.foundation.errors import CloisterError
from cloister.node.figures.service import MEASURING, TELLING
from cloister.web.frame import Pages
from cloister.web.routes import Routes

STATES = {
    "unsent": ("not sent yet", ""),
    "waiting": ("waits for a person", "warn"),
    "approved": ("being measured", ""),
    "refusing": ("refused", "bad"),
    "refused": ("refused", "bad"),
    "answered": ("answered", "good"),
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


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Figures", page=True)

    @routes.get("/figures", "tasks.read")
    def listing(request: Request) -> Response:
        return shown(request)

    def shown(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "figures/list.html",
            title="Figures of tools",
            lead="How well a tool does on pictures that stay at their owner, as far as the owner lets it be told.",
            items=list(reversed(pages.node().figures.listing())),
            states=STATES,
            refusals=REFUSALS,
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
        return pages.go(request, "/figures", told="It is measured and answered." if approve else "Refused.")
