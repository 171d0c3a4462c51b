"""The people of this server, and what they did. What changes people takes somebody who has just shown who it is; a token never has."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from pydantic import Field

from cloister.people import passwords
from cloister.people.sessions import Person
from cloister.web.api.bodies import Body
from cloister.web.frame import Pages
from cloister.web.routes import Routes

_TRAIL_MOST = 10_000


class NewPerson(Body):
    """Somebody to be added; the answer holds a first password to hand over."""

    name: str = Field(max_length=80)
    roles: list[str] = Field(min_length=1, max_length=10)


class Change(Body):
    """What somebody may do from now on; what is left out stays as it is."""

    roles: list[str] | None = Field(default=None, max_length=10)
    enabled: bool | None = None


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "People")
    accounts = pages.site.accounts

    @routes.listing("/api/v1/people", "people.read", "account")
    def people() -> Any:
        """Lists who may use this server, with their roles."""
        return [_told(person) for person in accounts.all()]

    @routes.post("/api/v1/people", "people.manage", secret=True)
    def new(request: Request, body: NewPerson) -> Any:
        """Adds somebody; the answer holds a first password to hand over, told once."""
        password = passwords.drawn()
        made = accounts.add(body.name, body.roles, password, given=True, by=pages.caller(request))
        return _told(made) | {"first_password": password}

    @routes.post("/api/v1/people/{account}", "people.manage")
    def change(request: Request, account: str, body: Change) -> Any:
        """Changes somebody's roles, or blocks or unblocks the account."""
        by = pages.caller(request)
        return _told(accounts.change(account, roles=body.roles, enabled=body.enabled, by=by))

    @routes.post("/api/v1/people/{account}/password", "people.manage", secret=True)
    def new_password(request: Request, account: str) -> Any:
        """Gives somebody a new first password to hand over, told once; the sessions of the account end."""
        password = passwords.drawn()
        accounts.set_password(account, password, given=True, by=pages.caller(request))
        return {"account": account, "first_password": password}

    @routes.listing("/api/v1/trail", "people.read", "id")
    def trail() -> Any:
        """Lists what people did here, newest first."""
        return [vars(entry) for entry in accounts.trail(_TRAIL_MOST)]


def _told(person: Person) -> dict[str, Any]:
    return {
        "account": person.account,
        "name": person.name,
        "roles": sorted(person.roles),
        "enabled": person.enabled,
        "first_password_given": person.given,
    }
