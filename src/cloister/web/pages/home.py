"""Home: what needs somebody now."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from cloister.web.guard import OPEN
from cloister.web.pages.frame import Pages
from cloister.web.routes import Routes
from cloister.web.views.home import Waiting, happened


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Home", page=True)
    waiting = Waiting(pages.site)
    pages.waiting = waiting.counts

    @routes.get("/", OPEN)
    def home(request: Request) -> Response:
        caller = pages.caller(request)
        if pages.site.accounts.none_yet():
            return pages.go(request, "/tools")
        if not caller.rights:
            return pages.go(request, "/sign-in")
        if pages.site.state == "new" and "node.manage" in caller.rights:
            return pages.go(request, "/organisation")
        if pages.site.state == "closed" and "node.manage" in caller.rights:
            return pages.go(request, "/unlock")
        node = pages.site.node
        return pages.show(
            request,
            "home/home.html",
            title="Home",
            lead="What needs you now.",
            items=[] if node is None else waiting.of(caller),
            happened=[] if node is None else happened(node, lambda right: pages.may(request, right)),
            alone=node is not None and node.link is None,
        )
