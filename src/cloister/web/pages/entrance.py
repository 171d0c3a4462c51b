"""What comes after the first account: the organisation and its keys, a relay, opening the server.

Rule: whoever is signed in may open the server with its passphrase, at the pace at which people sign in (`people.attempts`).
"""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError
from cloister.identity.keystore import Passphrase
from cloister.identity.passphrases import clean
from cloister.web.frame import Pages
from cloister.web.guard import require_fresh
from cloister.web.pages.account import account_of
from cloister.web.routes import Routes
from cloister.web.twice import require_same

_TEXT = Form(max_length=1000)
_PARTY_ROLES = ("owner", "researcher", "user", "witness")

_BINDS = "This makes your organisation's keys, or connects its server."


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Entrance", page=True)
    site = pages.site

    @routes.get("/organisation", "node.manage")
    def organisation_page(request: Request) -> Response:
        if site.state != "new":
            return pages.go(request, "/")
        return _organisation(request)

    def _organisation(request: Request, name: str = "", error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "entrance/organisation.html",
            title="Your organisation",
            lead="Its keys are made on this machine and stay here.",
            bare=True,
            name=name,
            error=error,
        )

    @routes.post("/organisation", "node.manage")
    def found(
        request: Request,
        name: Annotated[str, _TEXT] = "",
        passphrase: Annotated[str, _TEXT] = "",
        again: Annotated[str, _TEXT] = "",
    ) -> Response:
        require_fresh(pages.caller(request), _BINDS)
        try:
            require_same(passphrase, again, "passphrases")
            opener = Passphrase(clean(passphrase, new=True))
            site.found(name.strip(), _PARTY_ROLES, opener, opener)
        except CloisterError as error:
            return _organisation(request, name, error)
        site.accounts.note(pages.caller(request), "made the organisation's keys", site.organisation)
        return pages.go(request, "/connect", told=f"{site.organisation} has keys of its own now.")

    @routes.get("/connect", "node.manage")
    def connect_page(request: Request) -> Response:
        return _connect(request)

    def _connect(request: Request, invitation: str = "", error: CloisterError | None = None) -> Response:
        node = pages.node()
        return pages.show(
            request,
            "entrance/connect.html",
            title="Connect to others, or work alone",
            lead="Servers of several organisations meet at a relay. It passes on what it cannot read.",
            bare=True,
            connected=node.link is not None,
            invitation=invitation,
            recovery=str(site.recovery_file) if site.recovery_file.exists() else "",
            error=error,
        )

    @routes.post("/connect", "node.manage")
    def connect(request: Request, invitation: Annotated[str, Form(max_length=100_000)] = "") -> Response:
        require_fresh(pages.caller(request), _BINDS)
        try:
            site.join(invitation)
        except CloisterError as error:
            return _connect(request, invitation, error)
        site.accounts.note(pages.caller(request), "connected the server to a relay")
        return pages.go(request, "/", told="Connected to the relay.")

    @routes.get("/unlock", "own-account")
    def unlock_page(request: Request) -> Response:
        if site.state != "closed":
            return pages.go(request, "/")
        return _unlock(request)

    def _unlock(request: Request, error: CloisterError | None = None) -> Response:
        return pages.show(
            request,
            "entrance/unlock.html",
            title="Open the server",
            lead="Its keys are sealed with a passphrase, which is kept nowhere.",
            bare=True,
            error=error,
        )

    @routes.post("/unlock", "own-account")
    def unlock(request: Request, passphrase: Annotated[str, _TEXT] = "") -> Response:
        caller, remote = pages.caller(request), pages.visit(request).remote
        try:
            with site.accounts.tried(f"to open the server: {account_of(caller)}", remote):
                site.open(Passphrase(clean(passphrase, new=False)))
        except CloisterError as error:
            return _unlock(request, error)
        site.accounts.note(caller, "opened the server", "", remote)
        return pages.go(request, "/", told="The server is open.")
