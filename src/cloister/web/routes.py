"""How routes are registered: with the right that each needs, and no other way."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from fastapi import FastAPI, Request, Response

from cloister.foundation.errors import BadInput
from cloister.web.guard import BODY_MOST, GuardedRoute, Needed, needs
from cloister.web.idempotency import HEADER, once
from cloister.web.paging import RESPONSES, paged

F = TypeVar("F", bound=Callable[..., Any])
TAKES_NO_KEY = "x-cloister-no-key"


class SiteRoute(GuardedRoute):
    """A guarded route; under `/api/`, what is done with a key is done once (`idempotency`)."""

    def answering(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers those who may ask."""
        handle = super().answering()
        if "POST" not in (self.methods or ()) or not self.path.startswith("/api/"):
            return handle
        takes = not (self.openapi_extra or {}).get(TAKES_NO_KEY)

        async def keyed(request: Request) -> Response:
            if HEADER not in request.headers:
                return await handle(request)
            if not takes:
                raise BadInput(
                    f"This takes no {HEADER}.", "Its answer holds a secret.", "Leave the header out."
                )
            return await once(request, handle)

        return keyed


class Routes:
    """Registers the routes of one subject.

    Args:
        app: the application.
        tag: the subject, as the interface's description groups them.
        page: whether they answer with pages, which the description leaves out.

    A route that takes more than `BODY_MOST` bytes says how many: `body=`. One whose answer holds a secret says `secret=True`.
    """

    def __init__(self, app: FastAPI, tag: str, *, page: bool = False) -> None:
        app.router.route_class = SiteRoute
        self._app, self._tag, self._page = app, tag, page

    def get(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is read."""
        return self._route(self._app.get, path, right, settings)

    def listing(self, path: str, right: Needed, key: str, **settings: Any) -> Callable[[F], F]:
        """A list that is read in pages (`paging`); `key` is the field that names an entry."""
        settings.setdefault("responses", RESPONSES)
        register = self.get(path, right, **settings)

        def listed(handle: F) -> F:
            register(paged(handle, key))
            return handle

        return listed

    def post(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is done."""
        return self._route(self._app.post, path, right, settings)

    def delete(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is ended."""
        return self._route(self._app.delete, path, right, settings)

    def _route(self, register: Any, path: str, right: Needed, settings: dict[str, Any]) -> Callable[[F], F]:
        told = needs(right, settings.pop("body", BODY_MOST))
        if settings.pop("secret", False):
            told["openapi_extra"][TAKES_NO_KEY] = True
        settings.setdefault("include_in_schema", not self._page)

        def made(handle: F) -> F:
            # What the description says of a route is its handler's docstring.
            summary = (inspect.getdoc(handle) or "").partition("\n\n")[0].replace("\n", " ")
            register(path, tags=[self._tag], **{"summary": summary or None, **told, **settings})(handle)
            return handle

        return made
