"""Where a site listens: the operator's Unix socket, and an address of the network for the page.

Rules:
1. The socket is the operator's alone (mode 0600).
2. The page is on this machine's own address (loopback) unless somebody chose another, and on another only under TLS: its own, or
   that of a proxy on this machine whose name was given.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import ssl
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.web.doors import Address
from cloister.web.gate import Gate

PORT = 8480
"""Where the page is, unless it is taken; then at the next free one of `PORTS`."""
PORTS = range(PORT, PORT + 20)


@dataclass(frozen=True)
class PageAt:
    """Where the page is wanted.

    Attributes:
        host: an address of this machine.
        port: its port; `None` for the first free one of `PORTS`.
        certificate: PEM, for TLS.
        key: PEM, for TLS.
        origin: how people write it, where a proxy of this machine stands before it, such as `https://cloister.example`.
        data_folders: whose files people may register as datasets there, besides the node's own `data`.
    """

    host: str = "localhost"
    port: int | None = None
    certificate: Path | None = None
    key: Path | None = None
    origin: str | None = None
    data_folders: tuple[Path, ...] = ()

    @property
    def tls(self) -> bool:
        """Whether this server itself speaks TLS."""
        return self.certificate is not None

    def checked(self) -> PageAt:
        """Itself. Raises `BadInput` where rule 2 does not hold."""
        if (self.certificate is None) != (self.key is None):
            raise BadInput(
                "A certificate comes with its key.", "One of the two is missing.", "Name both files."
            )
        if self.origin is not None:
            parts = urlsplit(self.origin)
            if parts.scheme != "https" or not parts.hostname or parts.path not in {"", "/"}:
                raise BadInput(
                    "The page's name is not usable.",
                    "It is written https://NAME.",
                    "For example https://cloister.example",
                )
        if not loopback(self.host) and not self.tls:
            raise BadInput(
                "The page would be on the network without TLS.",
                "Passwords and results would cross it readable.",
                "Give a certificate and its key, or listen on localhost behind a proxy of this machine.",
            )
        return self

    def address(self, port: int) -> Address:
        """How browsers reach it once it listens at a port."""
        if self.origin is not None:
            parts = urlsplit(self.origin)
            name = f"{parts.hostname}" + (f":{parts.port}" if parts.port else "")
            return Address(
                frozenset({f"{parts.hostname}"}),
                frozenset({f"https://{name}"}),
                secure=True,
                local=False,
                port=parts.port,
            )
        hosts = {"localhost", "127.0.0.1", "::1"} if loopback(self.host) else {self.host.lower()}
        scheme = "https" if self.tls else "http"
        shown = {f"[{host}]" if ":" in host else host for host in hosts}
        origins = {f"{scheme}://{host}:{port}" for host in shown}
        if port == (443 if self.tls else 80):
            origins |= {f"{scheme}://{host}" for host in shown}
        return Address(frozenset(hosts), frozenset(origins), self.tls, loopback(self.host), port)

    def url(self, port: int) -> str:
        """What a person opens."""
        if self.origin is not None:
            return self.origin
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'https' if self.tls else 'http'}://{host}:{port}"


def loopback(host: str) -> bool:
    """Whether only this machine reaches an address."""
    if host == "localhost":
        return True
    with contextlib.suppress(ValueError):
        return ipaddress.ip_address(host).is_loopback
    return False


def listen_page(at: PageAt) -> Gate:
    """A listening socket for the page. Raises `Conflict` if the port, or every one of `PORTS`, is taken."""
    for port in PORTS if at.port is None else (at.port,):
        family = socket.AF_INET6 if ":" in at.host else socket.AF_INET
        made = Gate(family, behind_proxy=at.origin is not None)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            made.bind(("127.0.0.1" if at.host == "localhost" else at.host, port))
        except OSError as error:
            made.close()
            refused = error
            continue
        # Inherited by what is accepted. asyncio does this only for sockets that name their protocol; without it an answer of two writes
        # waits 40 ms for the other side's acknowledgement.
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.listen(128)
        return made
    raise Conflict(
        "The page's port is taken.",
        f"{at.host}: {refused.strerror or ''}.",
        "Choose another: --page localhost:PORT",
    )


def listen_socket(path: Path) -> Gate:
    """The operator's socket (rule 1)."""
    if not hasattr(socket, "AF_UNIX"):
        raise CloisterError(
            "This system has no Unix sockets.",
            "The server's interface for its operator needs one.",
            "Run the server on Linux or macOS; tools run on every system without a server.",
        )
    # The node's folder is locked by this process (see `storage.locking`), so a socket that is there is left over.
    path.unlink(missing_ok=True)
    made = Gate(socket.AF_UNIX)
    before = os.umask(0o177)
    try:
        made.bind(os.fspath(path))
    except OSError:
        made.close()
        raise Conflict(
            "The server's socket could not be made.", f"{path} cannot be bound.", "Check the folder."
        ) from None
    finally:
        os.umask(before)
    with contextlib.suppress(OSError):
        path.chmod(0o600)
    made.listen(64)
    return made


def check_tls(at: PageAt) -> None:
    """Raises `BadInput` if the certificate and key that were given cannot be used."""
    if at.certificate is None or at.key is None:
        return
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(at.certificate, at.key)
    except (OSError, ssl.SSLError):
        raise BadInput(
            "The page's certificate or key cannot be used.",
            "They must be PEM files that belong together.",
            "Check both files.",
        ) from None
