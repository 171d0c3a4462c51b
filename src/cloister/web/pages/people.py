"""The people of this server: who there is, what each may do, and what they did."""

from __future__ import annotations

from typing import Annotated

from fastapi import FastAPI, Form, Request, Response

from cloister.foundation.errors import CloisterError
from cloister.people import passwords
from cloister.people.roles import RIGHT_WORDS, RIGHTS, ROLE_NAMES, WORDS
from cloister.web.frame import Pages
from cloister.web.pages.account import tabs
from cloister.web.routes import Routes
from cloister.web.views.browsers import named

_TEXT = Form(max_length=1000)
_PAGE = 50


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "People", page=True)
    accounts = pages.site.accounts

    @routes.get("/people/all", "people.read")
    def listing(request: Request) -> Response:
        people = [
            {
                "person": person,
                "roles": _names(person.roles),
                "passkeys": len(accounts.passkeys.of(person.account)),
                "password": accounts.has_password(person.account),
                "seen": max((item.used for _, item in accounts.sessions(person.account)), default=None),
                "tokens": len(accounts.tokens.of(person.account)),
            }
            for person in accounts.all()
        ]
        return pages.show(
            request,
            "people/list.html",
            title="People",
            lead="Who may use this server, and for what.",
            tabs=tabs(pages, request),
            people=people,
            roles=[(ROLE_NAMES[role], WORDS[role], _rights(role)) for role in WORDS],
        )

    # Adding and changing -------------------------------------------------------------------------------------------

    @routes.get("/people/new", "people.manage")
    def new_page(request: Request) -> Response:
        return _new(request)

    def _new(
        request: Request, name: str = "", roles: tuple[str, ...] = (), error: CloisterError | None = None
    ) -> Response:
        return pages.show(
            request,
            "people/new.html",
            title="Add a person",
            name=name,
            chosen=list(roles),
            roles=_choices(),
            error=error,
        )

    @routes.post("/people/new", "people.manage")
    def new(
        request: Request,
        name: Annotated[str, _TEXT] = "",
        roles: Annotated[list[str] | None, Form(max_length=10)] = None,
    ) -> Response:
        password = passwords.drawn()
        try:
            made = accounts.add(name, roles or (), password, given=True, by=pages.caller(request))
        except CloisterError as error:
            return _new(request, name, tuple(roles or ()), error)
        return _handed(request, made.name, password, made.account)

    def _handed(request: Request, name: str, password: str, account: str) -> Response:
        return pages.show(
            request,
            "people/handed.html",
            title=f"A first password for {name}",
            lead="It is shown this once. Whoever gets it can do nothing but choose another.",
            name=name,
            password=password,
            account=account,
        )

    @routes.get("/people/of/{account}", "people.manage")
    def one(request: Request, account: str) -> Response:
        return _one(request, account)

    def _one(request: Request, account: str, error: CloisterError | None = None) -> Response:
        person = accounts.get(account)
        return pages.show(
            request,
            "people/person.html",
            title=person.name,
            lead=", ".join(_names(person.roles)) if person.enabled else "This account is disabled.",
            who=person,
            chosen=sorted(person.roles),
            roles=_choices(),
            myself=person.account == pages.caller(request).account,
            sessions=[(named(item.browser), item) for _, item in accounts.sessions(account)],
            passkeys=accounts.passkeys.of(account),
            tokens=accounts.tokens.of(account),
            has_password=accounts.has_password(account),
            entries=accounts.trail(10, account=account),
            error=error,
        )

    @routes.post("/people/of/{account}/roles", "people.manage")
    def change_roles(
        request: Request, account: str, roles: Annotated[list[str] | None, Form(max_length=10)] = None
    ) -> Response:
        try:
            person = accounts.change(account, roles=roles or (), by=pages.caller(request))
        except CloisterError as error:
            return _one(request, account, error)
        return _back(request, account, f"{person.name} may do that from now on, after signing in again.")

    @routes.post("/people/of/{account}/enabled", "people.manage")
    def change_enabled(request: Request, account: str, enabled: Annotated[str, _TEXT] = "") -> Response:
        try:
            person = accounts.change(account, enabled=enabled == "yes", by=pages.caller(request))
        except CloisterError as error:
            return _one(request, account, error)
        told = "may sign in again" if person.enabled else "is signed out everywhere and may not sign in"
        return _back(request, account, f"{person.name} {told}.")

    @routes.post("/people/of/{account}/password", "people.manage")
    def new_password(request: Request, account: str) -> Response:
        person, password = accounts.get(account), passwords.drawn()
        accounts.set_password(account, password, given=True, by=pages.caller(request))
        return _handed(request, person.name, password, account)

    @routes.post("/people/of/{account}/sign-out", "people.manage")
    def sign_out(request: Request, account: str) -> Response:
        person = accounts.get(account)
        accounts.end_sessions(account)
        accounts.note(pages.caller(request), "signed somebody out everywhere", person.name)
        return _back(request, account, f"{person.name} is signed out everywhere.")

    def _back(request: Request, account: str, told: str) -> Response:
        # Whoever changed the own account is signed out by that.
        mine = account == pages.caller(request).account
        return pages.go(request, "/sign-in" if mine else f"/people/of/{account}", told=told)

    # What people did -----------------------------------------------------------------------------------------------

    @routes.get("/people/trail", "people.read")
    def trail(request: Request, before: int | None = None) -> Response:
        entries = accounts.trail(_PAGE + 1, before=before)
        more = len(entries) > _PAGE
        return pages.show(
            request,
            "people/trail.html",
            title="What people did",
            lead="Signing in, people, tokens, and what bound the organisation. The newest are kept of each person, and signing in pushes out nothing else.",
            tabs=tabs(pages, request),
            entries=entries[:_PAGE],
            newer="/people/trail" if before is not None else "",
            older=f"/people/trail?before={entries[_PAGE - 1].id}" if more else "",
        )


def _choices() -> list[tuple[str, str, str]]:
    return [(role, ROLE_NAMES[role], WORDS[role]) for role in WORDS]


def _names(roles: frozenset[str]) -> list[str]:
    return [ROLE_NAMES[role] for role in ROLE_NAMES if role in roles]


def _rights(role: str) -> list[str]:
    return [text for right, text in RIGHT_WORDS.items() if right in RIGHTS[role]]  # type: ignore[index]
