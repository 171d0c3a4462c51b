"""Which right each route needs, and whether whoever asks has it.

Rules:
1. A route without a right is closed: it answers nobody, not even the operator. A test lists what is open to all.
2. Who has not signed in is told to (401); who has, and may not, is told which right it takes (403). Neither learns whether what
   was asked for exists.
3. A right in `BINDING` acts for the organisation: it takes a session whose person has just shown the password or passkey.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from fastapi import Request, Response
from fastapi.routing import APIRoute

from cloister.foundation.errors import CloisterError
from cloister.people.roles import ALL, Right

OPEN: Literal["open"] = "open"
"""In place of a right: anybody may ask, signed in or not."""
Needed: TypeAlias = Right | Literal["open"]
BINDING: frozenset[Right] = frozenset({"agreements.sign", "tasks.approve", "people.manage"})
WHO = "cloister.who"
"""Where a door puts the `Caller` into a request's scope."""
_FIELD = "x-cloister-right"


class NotSignedIn(CloisterError):
    """Nobody is signed in, and this is not for everybody."""

    status = 401


class NotAllowed(CloisterError):
    """The person may not do this."""

    status = 403


class NotFresh(CloisterError):
    """The person may do this once the password or passkey was shown again."""

    status = 403


@dataclass(frozen=True)
class Caller:
    """Who asks.

    Attributes:
        name: for this node's own records; empty for nobody.
        rights: what may be done.
        fresh: whether the organisation may be bound now.
        account: the person's account, if it is one.
    """

    name: str = ""
    rights: frozenset[Right] = frozenset()
    fresh: bool = False
    account: str | None = None


NOBODY = Caller()
OPERATOR = Caller("the operator of this machine", ALL, fresh=True)
"""Whoever may open the node's socket (mode 0600)."""


def allow(caller: Caller, needed: str | None) -> None:
    """Returns if `caller` may do what needs this right, else raises `NotSignedIn`, `NotAllowed` or `NotFresh`."""
    if needed == OPEN:
        return
    if needed is None or needed not in ALL:
        raise NotAllowed("This is closed.", "Nothing says who may do it.", "Tell the makers of this version.")
    if needed in caller.rights:
        if needed in BINDING and not caller.fresh:
            raise NotFresh(
                "Show your password again.",
                "This binds your organisation, or changes who may.",
                "Enter the password, then go on.",
            )
        return
    if caller.account is None and not caller.name:
        raise NotSignedIn("Nobody is signed in.", "This is not open to everybody.", "Sign in.")
    raise NotAllowed(
        "Your account may not do this.",
        f"It takes the right {needed}.",
        "Ask whoever runs this server.",
        right=needed,
    )


def needs(right: Needed) -> dict[str, Any]:
    """What a route's registration says of the right it needs; it stands in the interface's description too."""
    return {"openapi_extra": {_FIELD: right}}


def right_of(route: APIRoute) -> str | None:
    """The right that a route needs; `None` where its registration did not say."""
    return (route.openapi_extra or {}).get(_FIELD)


class GuardedRoute(APIRoute):
    """A route that answers only those who have its right; one that names none answers nobody."""

    def get_route_handler(self) -> Callable[[Request], Awaitable[Response]]:
        """Looks at the caller before anything of the request is read."""
        handle, needed = super().get_route_handler(), right_of(self)

        async def guarded(request: Request) -> Response:
            allow(request.scope.get(WHO, NOBODY), needed)
            return await handle(request)

        return guarded
