"""What every screen shares: the frame around it, who looks at it, sentences that are told once."""

from __future__ import annotations

import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import jinja2
from fastapi import Request, Response
from fastapi.responses import HTMLResponse, RedirectResponse

from cloister.foundation.errors import CloisterError, Conflict
from cloister.foundation.text import party_name
from cloister.node.node import Node
from cloister.people.roles import Right
from cloister.web import filters
from cloister.web.assets import static
from cloister.web.doors import SITE, Visit
from cloister.web.guard import VISITOR, Caller, caller_of
from cloister.web.site import Site

_BELOW = {
    "/ask": "/tasks",
    "/calibrations": "/tools",
    "/disclosures": "/datasets",
    "/figures": "/datasets",
}
"""Pages that are reached from a screen and do not lie under its path."""
_TOLD_MOST = 1000
_SOON = 5


@dataclass(frozen=True)
class Screen:
    """An entry of the rail.

    Attributes:
        path: where it is.
        title: what it is called.
        right: what it takes to see it.
        states: of the site, in which there is something to see.
    """

    path: str
    title: str
    right: Right
    states: frozenset[str] = frozenset({"open"})


ALWAYS = frozenset({"new", "closed", "open"})
SCREENS = (
    Screen("/", "Home", "own-account", ALWAYS),
    Screen("/tools", "Tools", "tools.use", ALWAYS),
    Screen("/samples", "Samples", "samples.read", ALWAYS),
    Screen("/datasets", "Datasets", "datasets.read"),
    Screen("/agreements", "Agreements", "agreements.read"),
    Screen("/tasks", "Tasks", "tasks.read"),
    Screen("/results", "Results", "results.read"),
    Screen("/log", "Log", "log.read"),
    Screen("/parties", "Organisations", "parties.read"),
    Screen("/people", "People", "own-account", ALWAYS),
    Screen("/settings", "Settings", "node.manage", ALWAYS),
)


class Pages:
    """Shows templates within the frame.

    Args:
        site: what is behind.
        waiting: how many things wait for this caller on a screen, by its path; shown in the rail.
        screens: what the rail leads to.
        name: what an organisation is called, by its fingerprint; as the node knows it if absent.
    """

    def __init__(
        self,
        site: Site,
        waiting: Callable[[Caller], dict[str, int]] | None = None,
        *,
        screens: Sequence[Screen] = SCREENS,
        name: Callable[[str], str] | None = None,
    ) -> None:
        self.site = site
        self.waiting = waiting
        self._screens = tuple(screens)
        self._told: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._lock = threading.Lock()
        self._templates = jinja2.Environment(
            loader=jinja2.PackageLoader("cloister.web", "templates"),
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._templates.globals |= {"static": static}
        self._templates.filters |= filters.FILTERS
        self._templates.filters["name"] = name or self._name

    # Who and what --------------------------------------------------------------------------------------------------

    def node(self) -> Node:
        """The open node. Raises `Conflict` while it is closed, or there is none."""
        if self.site.node is None:
            closed = self.site.state == "closed"
            raise Conflict(
                "The server is closed." if closed else "There is no server here yet.",
                "Its secrets have not been opened since it started."
                if closed
                else "This takes an organisation with keys of its own.",
                "Open it with its passphrase." if closed else "Make one: it takes a name and a passphrase.",
            )
        return self.site.node

    @staticmethod
    def caller(request: Request) -> Caller:
        """Who asks."""
        return caller_of(request)

    @staticmethod
    def visit(request: Request) -> Visit:
        """What the network's door knows of a request. Raises `Conflict` at the operator's socket, which has no pages."""
        found = request.scope.get(SITE)
        if not isinstance(found, Visit):
            raise Conflict(
                "This is for browsers.", "The operator's socket has no sessions.", "Open the page."
            )
        return found

    def may(self, request: Request, right: Right) -> bool:
        """Whether who asks has a right; for leaving out what would be refused, never instead of refusing it."""
        return right in self.caller(request).rights

    # Answers -------------------------------------------------------------------------------------------------------

    def show(
        self,
        request: Request,
        template: str,
        *,
        title: str,
        lead: str = "",
        status: int | None = None,
        error: CloisterError | None = None,
        bare: bool = False,
        **values: Any,
    ) -> Response:
        """A page.

        Args:
            request: what is answered.
            template: its name under `templates/`.
            title: the page's heading, and the window's.
            lead: a sentence under it.
            status: of the answer; the error's, or 200, if absent.
            error: what went wrong with what was sent; told above the content.
            bare: without the rail (sign-in and the like).
            values: for the template.
        """
        caller = self.caller(request)
        rail, here = self._rail(caller, request.url.path)
        frame = {
            "request": request,
            "title": title,
            "lead": lead,
            "error": error,
            "bare": bare,
            "organisation": self.site.organisation,
            "state": self.site.state,
            "person": caller.name if caller.account else "",
            "caller": caller,
            "may": lambda right: right in caller.rights,
            "screens": rail,
            "here": here,
            "told": self._said(request, caller),
        }
        if status is None:
            status = 200 if error is None else error.status
        content = self._templates.get_template(template).render(frame | values)
        return HTMLResponse(content, status, headers_of(error))

    def part(self, request: Request, template: str, **values: Any) -> Response:
        """A part of a page, for scripts that replace it."""
        caller = self.caller(request)
        frame = {"request": request, "caller": caller, "may": lambda right: right in caller.rights}
        return HTMLResponse(self._templates.get_template(template).render(frame | values))

    def go(self, request: Request, path: str, told: str = "") -> RedirectResponse:
        """On to another page of this site, after something was done (303).

        Args:
            request: what is answered.
            path: where; anything but a path of this site leads home.
            told: a sentence that is shown there, once.
        """
        path = here_only(path)
        if told:
            key = secrets.token_urlsafe(12)
            with self._lock:
                self._told[key] = (self._whose(request, self.caller(request)), told)
                while len(self._told) > _TOLD_MOST:
                    self._told.popitem(last=False)
            path += ("&" if "?" in path else "?") + "told=" + quote(key)
        return RedirectResponse(path, 303)

    # Inside --------------------------------------------------------------------------------------------------------

    def _rail(self, caller: Caller, path: str) -> tuple[list[dict[str, Any]], str]:
        seen = [
            screen
            for screen in self._screens
            if screen.right in caller.rights and self.site.state in screen.states
        ]
        path = _BELOW.get("/" + path.split("/")[1], path)
        here = max(
            (s.path for s in seen if path == s.path or (s.path != "/" and path.startswith(s.path + "/"))),
            default="",
            key=len,
        )
        waiting = self.waiting(caller) if self.waiting is not None and self.site.node is not None else {}
        rail = [{"path": s.path, "title": s.title, "count": waiting.get(s.path, 0)} for s in seen]
        if further := self._further(caller):
            rail.append({"path": further[0], "title": further[1], "count": 0})
        return rail, here

    def _further(self, caller: Caller) -> tuple[str, str] | None:
        """The next step of somebody whose server is not set up, or closed: where, and what it is called."""
        if caller == VISITOR:
            return "/welcome", "Set up this server"
        if self.site.state == "new" and "node.manage" in caller.rights:
            return "/organisation", "Name the organisation"
        if self.site.state == "closed" and "own-account" in caller.rights:
            return "/unlock", "Open the server"
        return None

    def _said(self, request: Request, caller: Caller) -> str:
        key = request.query_params.get("told", "")
        with self._lock:
            whose, told = self._told.pop(key, ("", ""))
        return told if whose == self._whose(request, caller) else ""

    @staticmethod
    def _whose(request: Request, caller: Caller) -> str:
        visit = request.scope.get(SITE)
        return caller.account or f"at {visit.remote if isinstance(visit, Visit) else ''}"

    def _name(self, party: str) -> str:
        return party_name(party, {} if self.site.node is None else self.site.node.parties.names())


def headers_of(error: CloisterError | None) -> dict[str, str]:
    """When to come again, where an error says so (`Retry-After`, RFC 9110), as the header of its answer."""
    detail = {} if error is None else error.detail
    usual = _SOON if detail.get("clause") == "too-often" else None
    seconds = detail.get("retry_after", detail.get("seconds", usual))
    return {"retry-after": str(max(1, seconds))} if isinstance(seconds, int) else {}


def here_only(path: str) -> str:
    """A path of this site; home for anything that would lead elsewhere, or is not plain text."""
    here = path.startswith("/") and not path.startswith("//") and "\\" not in path
    return path if here and path.isprintable() and " " not in path and len(path) <= 2000 else "/"
