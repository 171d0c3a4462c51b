"""The relay itself: a Zenoh router in the hub's process, which lets enrolled parties through and nobody else.

Its access rules are fixed when it opens, so admitting or dropping a party opens it again; nodes connect again by
themselves within about a second. Changes that come close together are taken in one go.

Rules (the settings are in `transport.zenoh_settings`):
1. Only certificates of the hub's authority, and only common names on the list, get anything through.
2. A dropped party is cut off when the router opens again, whatever certificate it holds.

A router that closes keeps links that it accepted in the same moment, for as long as the other side wants: the carrier
has no way to end them. Who is on one reaches nobody at the new router, so nodes and the hub's own sessions look whether
they reach the hub, and leave (`transport.zenoh`).
"""

from __future__ import annotations

import contextlib
import logging
import socket
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from cloister.foundation.errors import CloisterError, Conflict
from cloister.transport.zenoh_settings import Credentials, configuration, many_threads, router

_LOG = logging.getLogger("cloister.hub.router")
DEBOUNCE = 0.25
_TRIES = 5
PAUSE = 2.0
"""Seconds between two openings: links that come and go all the time are where the carrier has had bugs."""


@dataclass(frozen=True)
class Status:
    """What the relay is doing.

    Attributes:
        running: whether it is open.
        host, port: where.
        parties: how many may connect.
        restarts: how often it was opened again since it started.
        settled: everybody who may connect can: no opening again is due.
    """

    running: bool
    host: str
    port: int
    parties: int
    restarts: int
    settled: bool = True


class Router:
    """The embedded router.

    Args:
        host: address to listen on, for example `0.0.0.0`.
        port: TCP port; 0 takes a free one, which stays the same across restarts.
        credentials: the authority's certificate, the hub's server certificate and its key.
        parties: fingerprints of those who may connect.
    """

    def __init__(self, host: str, port: int, credentials: Credentials, parties: Iterable[str] = ()) -> None:
        self._host, self._port = host, port
        self._credentials = credentials
        self._parties = frozenset(parties)
        self._session: Any = None
        self._restarts = 0
        self._timer: threading.Timer | None = None
        self._lock = threading.RLock()
        self._running = False
        self._opened = float("-inf")

    @property
    def port(self) -> int:
        """The port in use."""
        return self._port

    def start(self) -> None:
        """Opens the router.

        Raises:
            Conflict: the port is in use.
        """
        with self._lock:
            if self._running:
                return
            asked = self._port
            for left in reversed(range(1 if asked else _TRIES)):
                self._port = free_port(self._host, asked)
                try:
                    self._open()
                except Conflict:
                    # Another program has taken the free port in between; nobody asked for this one.
                    if not left:
                        raise
                else:
                    break
            self._running = True

    @property
    def identity(self) -> str:
        """Which opening of the relay this is: the router's own name, another each time; empty while it is closed."""
        session = self._session
        return "" if session is None else str(session.zid())

    def permit(self, parties: Iterable[str], *, at_once: bool = False) -> None:
        """Sets who may connect. The router opens again shortly after, or before this returns with `at_once`."""
        with self._lock:
            wanted = frozenset(parties)
            if wanted == self._parties and self._timer is None:
                return
            self._parties = wanted
            if not self._running:
                return
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            if at_once:
                self._reopen()
            else:
                wait = max(DEBOUNCE, self._opened + PAUSE - time.monotonic())
                self._timer = threading.Timer(wait, self._reopen)
                self._timer.daemon = True
                self._timer.start()

    def renew(self, credentials: Credentials) -> None:
        """Goes over to a new server certificate."""
        with self._lock:
            self._credentials = credentials
            if self._running:
                self._reopen()

    def reopen(self) -> None:
        """Closes the router and opens it again; nodes connect again by themselves."""
        self._reopen()

    def status(self) -> Status:
        """What the relay is doing."""
        with self._lock:
            opened = self._running and self._session is not None
            settled = self._timer is None and opened
            return Status(opened, self._host, self._port, len(self._parties), self._restarts, settled)

    def close(self) -> None:
        """Closes the router; nodes wait for it to come back."""
        with self._lock:
            self._running = False
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._shut()

    def _reopen(self) -> None:
        with self._lock:
            self._timer = None
            if not self._running:
                return
            self._shut()
            self._restarts += 1
            # The system may hold the port for a moment after the old router let it go.
            for attempt in range(20):
                try:
                    self._open()
                    return
                except Conflict:
                    if attempt == 19:
                        # It stays closed; whoever sees that (`Hub.heal`) opens it again once the port is free.
                        _LOG.error("The relay's port %s is taken; it could not be opened again", self._port)
                    else:
                        time.sleep(0.1)

    def _open(self) -> None:
        many_threads()
        import zenoh

        endpoint = f"{bracketed(self._host)}:{self._port}"
        try:
            self._session = zenoh.open(configuration(router([endpoint], self._credentials, self._parties)))
            self._opened = time.monotonic()
        except zenoh.ZError as error:
            if "in use" in str(error).lower():
                raise port_in_use(self._host, self._port) from None
            raise CloisterError(
                "The relay could not be opened.",
                str(error)[:300],
                "Check the address to listen on, and the relay's certificates.",
            ) from None

    def _shut(self) -> None:
        session, self._session = self._session, None
        if session is None:
            return
        import zenoh

        def close() -> None:
            with contextlib.suppress(zenoh.ZError):
                session.close()

        # A router that a bug of the carrier left unusable may not close; then its port stays taken, which is told.
        closing = threading.Thread(target=close, name="cloister-router-close", daemon=True)
        closing.start()
        closing.join(10)


def bracketed(host: str) -> str:
    """A host as it stands before a port: IPv6 addresses in brackets (RFC 3986, section 3.2.2)."""
    return f"[{host}]" if ":" in host else host


def free_port(host: str, port: int) -> int:
    """The port to use: `port` itself once it is known to be free, or a free one for 0. Raises `Conflict`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise port_in_use(host, port) from None
        return int(probe.getsockname()[1])


def port_in_use(host: str, port: int) -> Conflict:
    """The error for a port that another program holds, or an address that this machine does not have."""
    return Conflict(
        f"The relay cannot listen on {host}:{port}.",
        "Another program uses this port, or the address is not one of this machine's.",
        "Stop the other program, or choose another port or address.",
        port=port,
    )
