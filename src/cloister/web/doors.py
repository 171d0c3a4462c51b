"""The two doors of the application: the operator's socket, and the network. Each says who is there.

Rules of the network's door:
1. A request names a host that this site answers to, and a path without tricks; else it is refused before anything else.
2. A session's cookie is `HttpOnly`, `SameSite=Strict`, for this host only, and over TLS `Secure` with the prefix `__Host-`.
3. While there is no account, whoever is on this machine may use the tools, and nothing else.
4. Under a cookie, nothing is changed unless this page sent the request (`origins`). A token needs no such proof; it is looked at only
   in the `Authorization` header, and a request with both counts as the token's.
5. Every answer, an error's too, carries the headers in `HEADERS`.
"""

from __future__ import annotations

from dataclasses import dataclass
from http.cookies import CookieError, SimpleCookie

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.web.accounts import Accounts
from cloister.web.guard import NOBODY, OPERATOR, VISITOR, WHO, Caller
from cloister.web.origins import SAFE, known_host, of_this_page

SITE = "cloister.site"
"""Where a door puts what it knows of the site into a request's scope."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types cloister"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-embedder-policy": "require-corp",
    "permissions-policy": "camera=(), microphone=(), geolocation=(), usb=()",
    "x-frame-options": "DENY",
}
"""Of every answer. Pages are never kept by a browser or in between; what is named by its content is."""


@dataclass(frozen=True)
class Address:
    """Where the page is.

    Attributes:
        hosts: names that it answers to, without ports, in lower case.
        origins: the same with scheme and port, as browsers write them.
        secure: whether browsers speak TLS with it.
        local: whether only this machine reaches it.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool
    local: bool = True

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        return "__Host-cloister" if self.secure else "cloister"


@dataclass(frozen=True)
class Visit:
    """What the network's door knows of a request besides who asks.

    Attributes:
        address: where the page is.
        cookie: the session's secret, if a cookie came.
        remote: the address that the request comes from.
    """

    address: Address
    cookie: str | None
    remote: str


class SocketDoor:
    """Whoever comes this way is the operator of the machine."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Lets everybody in as the operator."""
        if scope["type"] == "http":
            scope[WHO] = OPERATOR
        await self._app(scope, receive, send)


class NetworkDoor:
    """Finds out who asks; refuses what did not come from where it should."""

    def __init__(self, app: ASGIApp, accounts: Accounts, address: Address) -> None:
        self._app, self._accounts, self._address = app, accounts, address

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            return
        headers = Headers(scope=scope)

        async def dressed(message: Message) -> None:
            if message["type"] == "http.response.start":
                given = MutableHeaders(raw=message["headers"])
                for name, value in HEADERS.items():
                    given.setdefault(name, value)
                given.setdefault("cache-control", "no-store")
                if self._address.secure:
                    given.setdefault("strict-transport-security", "max-age=31536000")
                if "server" in given:
                    del given["server"]
                message["headers"] = given.raw
            await send(message)

        if not known_host(headers.get("host"), self._address.hosts):
            answer: ASGIApp = PlainTextResponse("This server does not answer to that name.\n", 421)
        elif scope["method"] in SAFE or _by_token(headers) or of_this_page(headers, self._address.origins):
            scope[WHO], scope[SITE] = await run_in_threadpool(self._who, scope, headers)
            answer = self._app
        else:
            answer = PlainTextResponse(
                "This was not sent by Cloister's own page, and was refused. Open the page and try again.\n",
                403,
            )
        await answer(scope, receive, dressed)

    def _who(self, scope: Scope, headers: Headers) -> tuple[Caller, Visit]:
        cookie = _cookie(headers, self._address.cookie)
        client = scope.get("client")
        visit = Visit(self._address, cookie, client[0] if client else "")
        if _by_token(headers):
            return self._accounts.caller_of_token(headers["authorization"][7:].strip()[:200]), visit
        if cookie is not None:
            return self._accounts.caller(cookie), visit
        if self._address.local and self._accounts.none_yet():
            return VISITOR, visit
        return NOBODY, visit


def _by_token(headers: Headers) -> bool:
    return headers.get("authorization", "")[:7].lower() == "bearer "


def _cookie(headers: Headers, name: str) -> str | None:
    found = SimpleCookie()
    try:
        found.load(headers.get("cookie", "")[:8192])
    except CookieError:
        return None
    return found[name].value[:200] if name in found else None
