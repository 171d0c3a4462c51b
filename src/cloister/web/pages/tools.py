"""Tools: what may be used on this machine, by whoever may use them."""

from __future__ import annotations

from fastapi import FastAPI, Request, Response

from cloister.tools.builtin import BUILTIN
from cloister.web.pages.frame import Pages
from cloister.web.routes import Routes


def add(app: FastAPI, pages: Pages) -> None:
    """Adds the routes."""
    routes = Routes(app, "Tools", page=True)

    @routes.get("/tools", "tools.use")
    def listing(request: Request) -> Response:
        tools = [{"name": name, **item.about} for name, item in BUILTIN.items()]
        return pages.show(request, "tools/list.html", title="Tools", tools=tools)
