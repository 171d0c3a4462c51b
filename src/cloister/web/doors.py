"""The two doors of the application: the operator's socket, and the network. Each says who is there.

Rules of the network's door:
1. A request names a host that this site answers to (`origins`), and its head is without tricks (`targets`); else it is refused before
   anything else.
2. A session's cookie is `HttpOnly`, `SameSite=Strict`, for this host only, and over TLS `Secure` with the prefix `__Host-`. Its name
   has the port, since browsers keep one jar for all ports of a host. It counts only where `origins` says so.
3. While there is no account, whoever is on this machine may use the tools, and nothing else; where a cookie would count. Browsers
   are told apart by a random cookie of the same kind, so that nobody is given what another has dropped, nor answers what another's
   passkey was asked; it lets nobody in.
4. Under a cookie, nothing is changed unless this page sent the request (`origins`). A token needs no such proof; it is looked at only
   in the `Authorization` header, and a request with both counts as the token's.
5. Every answer, an error's too, carries the headers in `HEADERS`.
6. What fails here is told by its class, in an answer and in the log, and nobody is let in.
"""

from __future__ import annotations

import logging
import re
import secrets
from dataclasses import dataclass, replace

from anyio import CapacityLimiter, to_thread
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cloister.web.accounts import Accounts
from cloister.web.guard import NOBODY, OPERATOR, VISITOR, WHO, Caller
from cloister.web.origins import SAFE, cookie_counts, known_host, of_this_page
from cloister.web.targets import wrong_with

_LOG = logging.getLogger("cloister.web")
_COOKIES_MOST, _SECRET_MOST = 16_384, 200
_VISITOR = re.compile(r"[A-Za-z0-9_-]{43}")
_MADE = "cloister.visitor-made"
SITE = "cloister.site"
"""Where a door puts what it knows of the site into a request's scope."""

HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; font-src 'self';"
        " connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none';"
        " require-trusted-types-for 'script'; trusted-types cloister"
    ),
    "x-content-type-options": "nosniff",
    # Not `no-referrer`: browsers would then write `Origin: null` into this page's own forms.
    "referrer-policy": "same-origin",
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
        port: as browsers write it, if they do.
    """

    hosts: frozenset[str]
    origins: frozenset[str]
    secure: bool
    local: bool = True
    port: int | None = None

    @property
    def cookie(self) -> str:
        """The name of the session's cookie."""
        name = "__Host-cloister" if self.secure else "cloister"
        return name if self.port is None else f"{name}-{self.port}"

    @property
    def visitor(self) -> str:
        """The name of the cookie that tells apart browsers where nobody has signed in."""
        name = "__Host-cloister-visitor" if self.secure else "cloister-visitor"
        return name if self.port is None else f"{name}-{self.port}"


@dataclass(frozen=True)
class Visit:
    """What the network's door knows of a request besides who asks.

    Attributes:
        address: where the page is.
        cookie: the session's secret, if a cookie came.
        remote: the address that the request comes from.
        visitor: the secret of the browser's cookie for visitors, perhaps just made; empty where cookies do not count.
    """

    address: Address
    cookie: str | None
    remote: str
    visitor: str = ""


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
        self._threads = CapacityLimiter(8)

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
                if (made := scope.get(_MADE)) is not None:
                    # An answer that sets a cookie is nobody else's, and is kept nowhere.
                    given.append("set-cookie", made)
                    given["cache-control"] = "no-store"
                if "server" in given:
                    del given["server"]
                message["headers"] = given.raw
            await send(message)

        answer: ASGIApp
        try:
            answer = await self._answer(scope, headers)
        except Exception as error:
            _LOG.error("a request failed at the door: %s", type(error).__name__)
            answer = PlainTextResponse(
                "Something went wrong inside the server. See `cloister doctor`.\n", 500
            )
        await answer(scope, receive, dressed)

    async def _answer(self, scope: Scope, headers: Headers) -> ASGIApp:
        if not known_host(headers.get("host"), self._address.hosts):
            return _refusal(scope, 421, "This server does not answer to that name.")
        wrong = wrong_with(scope)
        if wrong is not None:
            return _refusal(scope, *wrong)
        if scope["method"] in SAFE or _by_token(headers) or of_this_page(headers, self._address.origins):
            # Threads of its own: who asks is found out also while others' requests hold all that there are.
            scope[WHO], scope[SITE] = await to_thread.run_sync(
                self._who, headers, scope.get("client"), limiter=self._threads
            )
            visit: Visit = scope[SITE]
            if cookie_counts(headers) and not _by_token(headers) and not scope["path"].startswith("/static/"):
                scope[SITE] = self._told_apart(scope, headers, visit)
            if scope[WHO].account is not None and _by_token(headers) and not _for_programs(scope["path"]):
                return PlainTextResponse("A token is for the interface under /api/v1, not for pages.\n", 403)
            return self._app
        return _refusal(
            scope,
            403,
            "This was not sent by Cloister's own page, and was refused.",
            "Open the page and try again; programs use a token.",
        )

    def _told_apart(self, scope: Scope, headers: Headers, visit: Visit) -> Visit:
        """The visit of a browser that is told apart from others; its cookie is made if it has none."""
        had = _cookie(headers, self._address.visitor) or ""
        if _VISITOR.fullmatch(had):
            return replace(visit, visitor=had)
        if headers.get("sec-fetch-site", "none") not in {"same-origin", "none"}:
            return visit  # somebody followed a link from elsewhere: the cookie is there, and was not sent
        made = secrets.token_urlsafe(32)
        secure = "; Secure" if self._address.secure else ""
        scope[_MADE] = f"{self._address.visitor}={made}; HttpOnly; Path=/; SameSite=strict{secure}"
        return replace(visit, visitor=made)

    def _who(self, headers: Headers, client: tuple[str, int] | None) -> tuple[Caller, Visit]:
        counts = cookie_counts(headers)
        cookie = _cookie(headers, self._address.cookie) if counts else None
        visit = Visit(self._address, cookie, client[0] if client else "")
        if _by_token(headers):
            return self._accounts.caller_of_token(headers["authorization"][7:].strip()[:_SECRET_MOST]), visit
        if cookie is not None:
            return self._accounts.caller(cookie), visit
        if counts and self._address.local and self._accounts.none_yet():
            return VISITOR, visit
        return NOBODY, visit


def _refusal(scope: Scope, status: int, what: str, remedy: str = "Check the address.") -> Response:
    if not str(scope["path"]).startswith("/api/"):
        return PlainTextResponse(f"{what} {remedy}\n", status)
    kind = "urn:cloister:problem:" + (
        "error" if status >= 500 else "bad-input" if status != 403 else "refused"
    )
    document = {"type": kind, "title": what, "status": status, "detail": "", "remedy": remedy}
    return JSONResponse(document, status, media_type="application/problem+json")


def _for_programs(path: str) -> bool:
    return path.startswith(("/api/", "/static/"))


def _by_token(headers: Headers) -> bool:
    return headers.get("authorization", "")[:7].lower() == "bearer "


def _cookie(headers: Headers, name: str) -> str | None:
    # Read one by one: another program on this host may have set one that cannot be read, or a second of that name.
    values = set()
    for part in headers.get("cookie", "")[:_COOKIES_MOST].split(";"):
        key, _, value = part.strip().partition("=")
        if key == name:
            values.add(value)
    value = values.pop() if len(values) == 1 else ""
    return value if value and len(value) <= _SECRET_MOST else None
