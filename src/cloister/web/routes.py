"""How routes are registered: with the right that each needs, and no other way."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from fastapi import FastAPI

from cloister.web.guard import BODY_MOST, GuardedRoute, Needed, needs

F = TypeVar("F", bound=Callable[..., Any])


class Routes:
    """Registers the routes of one subject.

    Args:
        app: the application.
        tag: the subject, as the interface's description groups them.
        page: whether they answer with pages, which the description leaves out.

    A route that takes more than `BODY_MOST` bytes says how many: `body=`.
    """

    def __init__(self, app: FastAPI, tag: str, *, page: bool = False) -> None:
        app.router.route_class = GuardedRoute
        self._app, self._tag, self._page = app, tag, page

    def get(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is read."""
        return self._route(self._app.get, path, right, settings)

    def post(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is done."""
        return self._route(self._app.post, path, right, settings)

    def delete(self, path: str, right: Needed, **settings: Any) -> Callable[[F], F]:
        """What is ended."""
        return self._route(self._app.delete, path, right, settings)

    def _route(self, register: Any, path: str, right: Needed, settings: dict[str, Any]) -> Callable[[F], F]:
        body = settings.pop("body", BODY_MOST)
        settings.setdefault("include_in_schema", not self._page)
        made: Callable[[F], F] = register(path, tags=[self._tag], **needs(right, body), **settings)
        return made
