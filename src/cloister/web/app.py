"""The application of one site: the JSON interface and the pages, every route with the right that it needs."""

from __future__ import annotations

from fastapi import FastAPI

from cloister.foundation.errors import Conflict
from cloister.node.node import Node
from cloister.web import problems
from cloister.web.api import agreements, budgets, datasets, parties, releases, tasks
from cloister.web.routes import Routes
from cloister.web.site import Site

_SUBJECTS = (parties, datasets, agreements, budgets, tasks, releases)


def make_app(site: Site) -> FastAPI:
    """The application. Doors say who comes in (`doors`); a route without a right answers nobody (`guard`)."""
    app = FastAPI(title="Cloister node", version="1", docs_url=None, redoc_url=None, openapi_url=None)

    def node() -> Node:
        if site.node is None:
            raise Conflict(
                "The server is closed." if site.state == "closed" else "There is no server here yet.",
                "Its secrets have not been opened since it started." if site.state == "closed" else "",
                "Open it on the page, with the passphrase." if site.state == "closed" else "Make one on the page.",
            )
        return site.node

    problems.add(app)
    for subject in _SUBJECTS:
        subject.add(app, node)

    @Routes(app, "Interface").get("/api/v1/openapi.json", "own-account", include_in_schema=False)
    def description() -> dict[str, object]:
        return app.openapi()

    return app


__all__ = ["make_app"]
