"""The relay's page, for its operator: who is connected, how much passes, how its log stands. Never what passes.

Rules:
1. The same doors, accounts and pace as a server's page (`doors`, `accounts`); the accounts lie in the relay's own database, and the
   first is made with the start key that the relay shows where it was started.
2. It shows what a relay can see, and no more can be asked for: the relay holds no content.
3. What it does (invite, drop) takes somebody who has just shown who it is, and is written down.
"""

from __future__ import annotations

from pathlib import Path
from typing import cast

from fastapi import FastAPI

from cloister.foundation.clock import Clock, SystemClock
from cloister.hub.server import Hub
from cloister.web import assets, problems
from cloister.web.accounts import Accounts
from cloister.web.api import passkeys
from cloister.web.doors import NetworkDoor
from cloister.web.frame import Pages, Screen
from cloister.web.listening import PageAt, check_tls, listen_page
from cloister.web.pages import account, people, relay, signing_in
from cloister.web.server import Server
from cloister.web.site import Site

SCREENS = (
    Screen("/", "Overview", "log.read"),
    Screen("/traffic", "Traffic", "log.read"),
    Screen("/log", "Log", "log.read"),
    Screen("/invitations", "Invitations", "node.manage"),
    Screen("/people", "People", "own-account"),
)


class RelaySite:
    """What is behind the relay's page: as much of `site.Site` as the frame and the pages of people need."""

    state = "open"
    node = None

    def __init__(self, hub: Hub, folder: Path, clock: Clock | None = None) -> None:
        self.hub, self.folder = hub, folder
        self.clock = clock or SystemClock()
        self.accounts = Accounts(hub.database, self.clock)

    @property
    def organisation(self) -> str:
        """The relay's name."""
        return self.hub.name


def make_relay_app(site: RelaySite) -> FastAPI:
    """The application of a relay's page."""
    app = FastAPI(title="Cloister relay", version="1", docs_url=None, redoc_url=None, openapi_url=None)
    # The pages that are added below ask for no more of a site.
    pages = Pages(cast("Site", site), screens=SCREENS, name=lambda party: relay.name_of(site.hub, party))
    problems.add(app, pages)
    for subject in (assets, passkeys, signing_in, account, people):
        subject.add(app, pages)
    relay.add(app, pages, site.hub)
    return app


class RelayPage:
    """The page of a running relay.

    Args:
        hub: the relay.
        folder: its folder.
        page: where the page is wanted.

    Raises:
        Conflict: the port is taken.
        BadInput: a page on the network without TLS.
    """

    def __init__(self, hub: Hub, folder: Path, page: PageAt) -> None:
        check_tls(page.checked())
        self.site = RelaySite(hub, folder)
        self.app = make_relay_app(self.site)
        listening = listen_page(page)
        port = listening.getsockname()[1]
        door = NetworkDoor(self.app, self.site.accounts, page.address(port))
        self._server = Server(door, listening, page if page.tls else None)
        self.url = page.url(port)

    def start(self) -> None:
        """Begins to answer."""
        self._server.start()

    def stop(self) -> None:
        """Ends; before the relay closes."""
        self._server.stop()
