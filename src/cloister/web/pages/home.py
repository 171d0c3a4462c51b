"""Home: what needs somebody now."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from cloister.people.roles import Right
from cloister.web.desk.waiting import Waiting
from cloister.web.frame import Pages
from cloister.web.guard import OPEN
from cloister.web.routes import Routes
from cloister.web.views.home.beginning import first_steps, running
from cloister.web.views.home.happened import happened
from cloister.web.views.tools import who
from cloister.web.words import shown_words


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

        def may(right: Right) -> bool:
            return right in caller.rights

        return pages.show(
            request,
            "home/home.html",
            title="Home",
            lead="What needs you now.",
            items=[] if node is None else waiting.of(caller),
            steps=first_steps(pages.site, who(request), may),
            happened=[] if node is None else happened(node, may),
            running=[] if node is None else running(node, waiting.in_force, may),
        )

    @routes.get("/words", "own-account")
    def words(request: Request) -> Response:
        return pages.show(
            request,
            "home/words.html",
            title="Words used here",
            lead="Each in a sentence or two.",
            words=shown_words(),
        )
