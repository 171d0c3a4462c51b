"""Which right each route needs, and whether whoever asks has it.

Rules:
1. A route without a right is closed: it answers nobody, not even the operator. A test lists what is open to all.
2. Who has not signed in is told to (401); who has, and may not, is told which right it takes (403). Neither learns whether what
   was asked for exists.
3. A body that is larger than its route takes is refused before it is read, or where its length was not told, as soon as it is.
   One that comes too slowly, or stands still, is given up, so that nobody keeps a place for ever by sending a byte now and then.
   What all bodies hold together is bounded (`held`).
4. A right in `BINDING` acts for the organisation: it takes a session whose person has just shown the password or passkey.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from anyio import fail_after
from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute
from starlette.types import Message, Receive

from cloister.foundation.errors import NotAllowed, NotFresh, NotSignedIn, TooLarge
from cloister.people.roles import ALL, Right
from cloister.web.held import held_of

OPEN: Literal["open"] = "open"
"""In place of a right: anybody may ask, signed in or not."""
Needed: TypeAlias = Right | Literal["open"]
BINDING: frozenset[Right] = frozenset(
    {
        "agreements.sign",
        "tasks.approve",
        "people.manage",
        "budgets.write",
        "parties.trust",
        "results.revoke",
        "disclosures.give",
    }
)
WHO = "cloister.who"
"""Where a door puts the `Caller` into a request's scope."""
_FIELD = "x-cloister-right"
_BODY = "x-cloister-body-bytes"
BODY_MOST = 1 << 20
"""Bytes of a request's body, unless its route says otherwise."""
DOCUMENT_MOST = 8 << 20
"""Bytes of a body that holds a document as it is signed."""
MODEL_BODY_MOST = 128 << 20
"""Bytes of a body that holds a model, in base64."""
BODY_SECONDS, BODY_PACE = 30.0, 16_384
"""So many seconds a body may be waited for; so many bytes that come earn a second again, never more than there were at first: whoever
sent much at once does not rest on it."""


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
VISITOR = Caller("a visitor on this machine", frozenset({"tools.use", "samples.read", "samples.write"}))
"""Whoever opens the page on this machine while there is no account."""
OPERATOR = Caller("the operator of this machine", ALL, fresh=True)
"""Whoever may open the node's socket (mode 0600)."""


def allow(caller: Caller, needed: str | None) -> None:
    """Returns if `caller` may do what needs this right, else raises `NotSignedIn`, `NotAllowed` or `NotFresh`."""
    if needed == OPEN:
        return
    if needed is None or needed not in ALL:
        raise NotAllowed("This is closed.", "Nothing says who may do it.", "Tell the makers of this version.")
    if needed in caller.rights:
        if needed in BINDING:
            require_fresh(caller, "This binds your organisation, or changes who may.")
        return
    if caller.account is None and not caller.name:
        raise NotSignedIn("Nobody is signed in.", "This is not open to everybody.", "Sign in.")
    raise NotAllowed(
        "Your account may not do this.",
        f"It takes the right {needed}.",
        "Ask whoever runs this server.",
        right=needed,
    )


def caller_of(request: Request) -> Caller:
    """Who asks, as the door found out; nobody where no door was."""
    found: Caller = request.scope.get(WHO, NOBODY)
    return found


def require_fresh(caller: Caller, why: str) -> None:
    """Returns if the person has just shown the password or passkey, or it is the machine's operator; else raises `NotFresh`."""
    if not caller.fresh:
        raise NotFresh("Enter your password, or use your passkey, again.", why, "Do so, then go on.")


def needs(right: Needed, body: int = BODY_MOST) -> dict[str, Any]:
    """What a route's registration says of the right it needs and the bytes it takes; both stand in the interface's description."""
    return {"openapi_extra": {_FIELD: right, _BODY: body}}


def right_of(route: APIRoute) -> str | None:
    """The right that a route needs; `None` where its registration did not say."""
    return (route.openapi_extra or {}).get(_FIELD)


class GuardedRoute(APIRoute):
    """A route that answers only those who have its right; one that names none answers nobody."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Looks at the caller before anything of the request is read."""
        handle, needed = self.answering(), right_of(self)
        most = int((self.openapi_extra or {}).get(_BODY, BODY_MOST))

        async def guarded(request: Request) -> Response:
            caller = caller_of(request)
            allow(caller, needed)
            client = request.scope.get("client") or (caller.name,)
            with held_of(request.app).share(caller.account or str(client[0])) as take:
                return await handle(Request(request.scope, _limited(request, most, take)))

        return guarded

    def answering(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers those who may ask."""
        return super().get_route_handler()


def _limited(request: Request, most: int, take: Callable[[int], None]) -> Receive:
    """What comes in, as long as it is no more than `most` bytes, whatever its length was said to be; each piece is told to `take`."""
    said = request.headers.get("content-length", "0")
    if not said.isdecimal() or int(said[:20]) > most:
        raise _too_large(most)
    receive, had, done, patience = request.receive, 0, False, BODY_SECONDS

    async def counted() -> Message:
        nonlocal had, done, patience
        if done:
            return await receive()  # waits for whoever asked to go away
        begun = time.monotonic()
        try:
            with fail_after(max(patience, 0.0)):
                message = await receive()
        except TimeoutError:
            raise HTTPException(408) from None
        size = len(message.get("body", b""))
        patience = min(patience - (time.monotonic() - begun) + size / BODY_PACE, BODY_SECONDS)
        had += size
        done = not message.get("more_body", False)
        if had > most:
            raise _too_large(most)
        take(size)
        return message

    return counted


def _too_large(most: int) -> TooLarge:
    return TooLarge("That is too large.", f"At most {most >> 10} KiB are taken here.", "Send less.")
