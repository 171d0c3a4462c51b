"""The two halves of each ceremony with a passkey, for `passkeys.js`: what to ask the browser, and its answer.

Rule: these are for this site's page alone. A token cannot use them, and no secret is in an answer: the session's goes into its cookie.
"""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.responses import JSONResponse
from pydantic import Field

from cloister.people.passkeys import MOST_ANSWER
from cloister.web.api.bodies import Body
from cloister.web.cookies import with_session
from cloister.web.frame import Pages, here_only
from cloister.web.guard import OPEN
from cloister.web.routes import Routes

_LINE = Field(default="", max_length=1000)


class Asked(Body):
    """Who it is about, as typed."""

    name: str = _LINE
    key: str = _LINE


class Answer(Body):
    """What the browser said, as JSON, and what was typed beside it."""

    answer: str = Field(max_length=MOST_ANSWER)
    title: str = _LINE
    next: str = Field(default="/", max_length=2000)


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Passkeys", page=True)
    passkeys = pages.site.accounts.passkeys

    def go(request: Request, path: str, told: str = "", secret: str = "") -> Response:
        answer = JSONResponse({"go": pages.go(request, path, told).headers["location"]})
        return with_session(answer, pages.visit(request).address, secret) if secret else answer

    @routes.post("/api/v1/passkeys/add/ask", "own-account", secret=True)
    def ask_to_add(request: Request) -> dict[str, Any]:
        """What a browser is asked so that a passkey can be added to one's own account."""
        return passkeys.ask_to_add(_cookie(request), _host(request), pages.site.organisation)

    @routes.post("/api/v1/passkeys/add", "own-account", secret=True)
    def add_one(request: Request, body: Answer) -> Response:
        """Adds the passkey that the browser made."""
        made = passkeys.add(_cookie(request), body.answer, body.title, pages.visit(request).address.origins)
        return go(request, "/people", f"The passkey “{made.title}” is added.")

    @routes.post("/api/v1/passkeys/confirm/ask", "own-account", secret=True)
    def ask_again(request: Request) -> dict[str, Any]:
        """What a browser is asked so that somebody shows again who it is."""
        return passkeys.ask_again(_cookie(request), _host(request))

    @routes.post("/api/v1/passkeys/confirm", "own-account", secret=True)
    def confirm(request: Request, body: Answer) -> Response:
        """Checks its answer; the session is fresh after that."""
        visit = pages.visit(request)
        secret = passkeys.show_again(visit.cookie or "", body.answer, visit.remote, visit.address.origins)
        return go(request, here_only(body.next), secret=secret)

    @routes.post("/api/v1/passkeys/sign-in/ask", OPEN, secret=True)
    def ask_to_sign_in(request: Request, body: Asked) -> dict[str, Any]:
        """What a browser is asked so that somebody signs in; the same whether the account is there or not."""
        return passkeys.ask_to_sign_in(body.name, pages.visit(request).visitor, _host(request))

    @routes.post("/api/v1/passkeys/sign-in", OPEN, secret=True)
    def sign_in(request: Request, body: Answer) -> Response:
        """Checks its answer and begins a session."""
        visit = pages.visit(request)
        secret = passkeys.sign_in(
            body.answer,
            visit.visitor,
            visit.remote,
            _browser(request),
            visit.address.origins,
            visit.cookie,
        )
        return go(request, here_only(body.next), secret=secret)

    @routes.post("/api/v1/passkeys/first/ask", OPEN, secret=True)
    def ask_first(request: Request, body: Asked) -> dict[str, Any]:
        """What a browser is asked for the first account, shown the start key."""
        visit = pages.visit(request)
        return passkeys.ask_first(body.name, body.key, visit.visitor, visit.remote, _host(request))

    @routes.post("/api/v1/passkeys/first", OPEN, secret=True)
    def first(request: Request, body: Answer) -> Response:
        """Makes the first account with a passkey, and begins a session."""
        visit = pages.visit(request)
        secret = passkeys.first(
            body.answer, visit.visitor, visit.remote, _browser(request), visit.address.origins
        )
        return go(request, "/", secret=secret)

    def _cookie(request: Request) -> str:
        return pages.visit(request).cookie or ""


def _host(request: Request) -> str:
    return request.headers.get("host", "")[:300]


def _browser(request: Request) -> str:
    return request.headers.get("user-agent", "")[:1000]
