"""Runs a site until it is told to stop: its application on the operator's socket, and as a page."""

from __future__ import annotations

import contextlib
import logging
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Self

import uvicorn
from starlette.types import ASGIApp

from cloister.foundation.errors import Conflict
from cloister.identity.keystore import Unlock
from cloister.node.setup import socket_path_fits
from cloister.web.app import make_app
from cloister.web.connections import Bounded
from cloister.web.doors import NetworkDoor, SocketDoor
from cloister.web.gate import Gate
from cloister.web.listening import PageAt, check_tls, listen_page, listen_socket
from cloister.web.site import Site
from cloister.web.streaming import streams_of

_LOG = logging.getLogger("cloister.web")


class Serving:
    """A site with its doors, answering while the context lasts.

    Args:
        site: what is behind.
        page: where the page is wanted; `None` for no page.
    """

    def __init__(self, site: Site, page: PageAt | None) -> None:
        self._site = site
        self._app = make_app(site)
        self._servers: list[Server] = []
        self.url = ""
        try:
            self._open(page)
        except BaseException:
            self._close()
            raise

    def _open(self, page: PageAt | None) -> None:
        path = self._site.folder.socket
        self._servers.append(Server(SocketDoor(self._app), listen_socket(path)))
        if page is not None:
            check_tls(page.checked())
            try:
                listening = listen_page(page)
            except Conflict as error:
                if page.port is not None:
                    raise
                # Nobody chose a port: a server that works without a page is better than none.
                _LOG.warning("%s %s", error.what, error.remedy)
                return
            port = listening.getsockname()[1]
            door = NetworkDoor(self._app, self._site.accounts, page.address(port))
            self._servers.append(Server(door, listening, page if page.tls else None))
            self.url = page.url(port)

    def __enter__(self) -> Self:
        for server in self._servers:
            server.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._close()

    def _close(self) -> None:
        streams_of(self._app).stopping = True
        for server in self._servers:
            server.stop()
        self._site.folder.socket.unlink(missing_ok=True)


@contextlib.contextmanager
def serving(folder: Path, unlock: Unlock | None, page: PageAt | None) -> Iterator[tuple[Site, Serving]]:
    """A site and its doors; a node in the folder is opened if there is something to open it with.

    Args:
        folder: the node's, or where it will be.
        unlock: opens its secrets; without it the node stays closed until somebody opens it on the page.
        page: where the page is wanted; `None` for no page.

    Raises:
        Conflict: another process runs it, here or elsewhere; the port is taken.
    """
    socket_path_fits(folder)
    site = Site(folder)
    site.data_folders = () if page is None else page.data_folders
    try:
        if unlock is not None:
            site.folder.config()
            site.open(unlock)
        with Serving(site, page) as open_doors:
            yield site, open_doors
    finally:
        site.close()


def run_site(
    folder: Path, unlock: Unlock | None, page: PageAt | None, ready: Callable[[Site, str], None]
) -> None:
    """Runs it until SIGINT or SIGTERM.

    Args:
        folder: as `serving` takes it.
        unlock: as `serving` takes it.
        page: as `serving` takes it.
        ready: called with the site and the page's address (empty for none) once it answers.
    """
    ended = threading.Event()
    for name in ("SIGINT", "SIGTERM"):
        signal.signal(getattr(signal, name), lambda *_: ended.set())
    with serving(folder, unlock, page) as (site, open_doors):
        ready(site, open_doors.url)
        ended.wait()


class Server:
    """One listening socket, answered in a thread of its own."""

    def __init__(self, app: ASGIApp, listening: Gate, tls: PageAt | None = None) -> None:
        self._socket = listening
        config = uvicorn.Config(
            app,
            http=Bounded,
            loop="cloister.web.connections:Loop",
            log_level="warning",
            access_log=False,
            lifespan="off",
            ws="none",
            server_header=False,
            proxy_headers=False,
            timeout_keep_alive=15,
            timeout_graceful_shutdown=3,
            ssl_certfile=None if tls is None else tls.certificate,
            ssl_keyfile=None if tls is None else tls.key,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._run, name="interface", daemon=True)

    def _run(self) -> None:
        self._server.run(sockets=[self._socket])

    def start(self) -> None:
        """Begins to answer."""
        self._thread.start()

    def stop(self) -> None:
        """Answers what is under way, for some seconds, and ends."""
        self._server.should_exit = True
        if self._thread.is_alive():
            self._thread.join(timeout=10)
        self._socket.close()
