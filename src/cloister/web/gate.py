"""A listening socket that counts who is connected: from the moment a connection is taken, before anything is read or decrypted.

Rules:
1. At most `MOST` connections are held at a door, and never more than half of the files that this process may open.
2. At most `EACH` of them come from one address (of IPv6 the first 64 bits: one line has all the rest), so that one machine that opens
   hundreds and says nothing keeps nobody else out. More are closed at once, unread.
3. Behind a proxy of this machine everybody has this machine's address, which then has no share of its own; the proxy counts.
4. A connection counts until its file is closed, however it ends: also while TLS begins or says goodbye.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import threading
import weakref
from collections import Counter
from typing import Any

MOST = 300
EACH = 50
_AT_ONCE = 256
"""Refused in one go; between two of them the server does something else."""


class Counted(socket.socket):
    """A connection that says when its file is closed (rule 4)."""

    ended: weakref.finalize[Any, Any] | None = None

    def close(self) -> None:
        """Closes it."""
        super().close()
        if self.ended is not None:
            self.ended()


class Gate(socket.socket):
    """A listening socket whose connections are counted.

    Args:
        family: as a socket takes it.
        behind_proxy: whether a proxy of this machine stands before it (rule 3).
    """

    def __init__(self, family: int, *, behind_proxy: bool = False) -> None:
        super().__init__(family, socket.SOCK_STREAM)
        self._behind_proxy = behind_proxy
        self._counting = threading.Lock()
        self._held: Counter[str] = Counter()
        self._most = half_of_the_files()

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection within the limits; those beyond are closed. Raises `BlockingIOError` if there is none."""
        for _ in range(_AT_ONCE):
            file, address = self._accept()  # type: ignore[attr-defined]
            connection = Counted(self.family, self.type, self.proto, fileno=file)
            if (line := self._enter(address)) is not None:
                connection.ended = weakref.finalize(connection, self._leave, line)
                connection.ended.atexit = False
                connection.setblocking(self.gettimeout() is None)
                return connection, address
            connection.close()
        raise BlockingIOError

    def held(self) -> int:
        """How many connections there are."""
        with self._counting:
            return self._held.total()

    def _enter(self, address: Any) -> str | None:
        """Whose share a connection is of; `None` if it is one too many."""
        line = line_of(address)
        with self._counting:
            if self._held.total() >= min(MOST, self._most):
                return None
            if self._held[line] >= EACH and self._has_share(line):
                return None
            self._held[line] += 1
        return line

    def _leave(self, line: str) -> None:
        with self._counting:
            self._held[line] -= 1
            if self._held[line] <= 0:
                del self._held[line]

    def _has_share(self, line: str) -> bool:
        if not line:
            return False  # the operator's socket: whoever may open it is the operator
        return not (self._behind_proxy and ipaddress.ip_network(line).is_loopback)


def line_of(address: Any) -> str:
    """What is counted as one of where a connection comes from; empty for what is no address of a network."""
    if not isinstance(address, tuple) or not address:
        return ""
    with contextlib.suppress(ValueError):
        parsed = ipaddress.ip_address(str(address[0]).partition("%")[0])
        if isinstance(parsed, ipaddress.IPv6Address):
            if parsed.ipv4_mapped is not None:
                return f"{parsed.ipv4_mapped}/32"
            # `::1` shares its first 64 bits with addresses that lead elsewhere.
            return f"{parsed}/128" if parsed.is_loopback else str(ipaddress.ip_network((parsed, 64), False))
        return f"{parsed}/32"
    return ""


def half_of_the_files() -> int:
    """Half of the files that this process may open."""
    try:
        import resource
    except ImportError:  # a system without such limits
        return MOST
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return MOST if soft == resource.RLIM_INFINITY else max(soft // 2, 8)
