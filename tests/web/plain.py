"""A site that shows pages of a test's own making: real doors, headers, frame and files; nothing behind them."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import jinja2
from fastapi import FastAPI, Request, Response

from cloister.web import assets, problems
from cloister.web.doors import NetworkDoor
from cloister.web.frame import Pages
from cloister.web.guard import OPEN
from cloister.web.listening import PageAt, listen_page
from cloister.web.routes import Routes
from cloister.web.server import Server
from cloister.web.site import Site


@contextmanager
def plain_site(
    folder: Path,
    templates: Mapping[str, str],
    more: Callable[[Routes, Pages], None] = lambda *_: None,
    **values: Any,
) -> Iterator[str]:
    """The address of a site with a page for each template (`{"name": text}`, at `/name`), each within the frame.

    Args:
        folder: an empty one.
        templates: what the pages extend is `frame.html`; text without `extends` becomes its content.
        more: registers further routes.
        values: for the templates; `title` is "A page" unless given.
    """
    site = Site(folder)
    app = FastAPI(openapi_url=None)
    pages = Pages(site)
    problems.add(app, pages)
    routes = Routes(app, "Plain", page=True)
    own = {
        name: text
        if "{% extends" in text
        else f'{{% extends "frame.html" %}}{{% block content %}}{text}{{% endblock %}}'
        for name, text in templates.items()
    }
    pages._templates.loader = jinja2.ChoiceLoader([pages._templates.loader, jinja2.DictLoader(own)])
    assets.add(app)

    @routes.get("/favicon.ico", OPEN)
    def none() -> Response:
        return Response(status_code=204)

    more(routes, pages)

    @routes.get("/{name}", OPEN)
    def show(request: Request, name: str) -> Response:
        return pages.show(request, name, **({"title": "A page"} | values))

    at = PageAt(port=0)
    listening = listen_page(at)
    port = listening.getsockname()[1]
    server = Server(NetworkDoor(app, site.accounts, at.address(port)), listening)
    server.start()
    try:
        yield at.url(port)
    finally:
        server.stop()
        site.close()
