"""Every part of the style on one page: it looks the same in tests as on the screens, and holds what every screen has to hold."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
from fastapi import FastAPI, Request, Response

from cloister.foundation.errors import Refused
from cloister.web import assets
from cloister.web.doors import NetworkDoor
from cloister.web.guard import OPEN
from cloister.web.listening import PageAt, listen_page
from cloister.web.pages.frame import Pages
from cloister.web.routes import Routes
from cloister.web.server import _Server
from cloister.web.site import Site
from web.browser import check_page, settle, shoot, tab_through

ERROR = Refused("The task was not admitted.", "Clause 4 allows 0.8 of the budget for a task; this asks for 1.2.", "Ask for less.")


@pytest.fixture(scope="module")
def style(tmp_path_factory):
    site = Site(tmp_path_factory.mktemp("style"))
    app = FastAPI(openapi_url=None)
    pages = Pages(site)
    own = jinja2.FileSystemLoader(Path(__file__).parent / "templates")
    pages._templates.loader = jinja2.ChoiceLoader([pages._templates.loader, own])
    assets.add(app)

    @Routes(app, "Style", page=True).get("/style", OPEN)
    def show(request: Request) -> Response:
        return pages.show(
            request, "style.html", title="Every part", lead="What pages are made of, on one page.", error_shown=ERROR
        )

    at = PageAt(port=0)
    listening = listen_page(at)
    port = listening.getsockname()[1]
    server = _Server(NetworkDoor(app, site.accounts, at.address(port)), listening)
    server.start()
    yield at.url(port) + "/style"
    server.stop()
    site.close()


def test_every_part_holds_what_screens_hold(visit, style, tmp_path):
    page = visit(style)
    check_page(page)
    shoot(page, "style", tmp_path)
