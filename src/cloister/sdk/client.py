"""A client of one running server: JSON over its Unix socket, or over the network with a token.

The socket belongs to the server's operator (mode 0600), so there is no password on this way. On the network a token says who asks;
it is sent under TLS, or to this machine itself, and nowhere else. Errors arrive as the `CloisterError` that the server raised.
"""

from __future__ import annotations

import base64
import ipaddress
import json
import secrets
import ssl
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self
from urllib.parse import urlsplit

import httpx

from cloister.foundation.errors import BadInput, CloisterError, Unreachable, from_problem

SOCKET_NAME = "node.sock"
_KEY = "idempotency-key"


class Client:
    """Speaks to a server.

    Args:
        folder: the server's folder; its socket is `node.sock` in it.
        timeout: seconds to wait for one answer.
        url: the server's page, such as `https://cloister.example`, in place of a folder.
        token: with `url`: made on the page, under People.
        ca: with `url`: a file with the certificate that vouches for the server's, where the system does not know it.
    """

    def __init__(
        self,
        folder: Path | None = None,
        timeout: float = 60.0,
        *,
        url: str | None = None,
        token: str | None = None,
        ca: Path | None = None,
    ) -> None:
        if (folder is None) == (url is None):
            raise BadInput("Say which server.", "", "Give its folder on this machine, or its address.")
        self.folder = folder
        self._place = url or str(folder)
        if folder is not None:
            self._http = httpx.Client(
                transport=httpx.HTTPTransport(uds=str(folder / SOCKET_NAME)),
                base_url="http://node",
                timeout=timeout,
            )
        else:
            assert url is not None
            self._http = httpx.Client(
                base_url=_checked(url, token),
                headers={"authorization": f"Bearer {token}"} if token else {},
                timeout=timeout,
                verify=_verified(ca),
                trust_env=False,
                follow_redirects=False,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET under `/api/v1`; of a list that comes in pages, all of them."""
        asked = {key: value for key, value in query.items() if value is not None}
        response = self._ask("GET", f"/api/v1{path}", params=asked)
        found = response.json()
        while isinstance(found, list) and "next" in response.links:
            response = self._ask("GET", response.links["next"]["url"])
            found += response.json()
        return found

    def post(self, path: str, body: Mapping[str, Any] | None = None, *, once: bool = False) -> Any:
        """The JSON answer of a POST under `/api/v1`.

        Args:
            path: after `/api/v1`.
            body: JSON values.
            once: asks again, with the same key, if the connection breaks before the answer; the server acts once.
        """
        headers = {_KEY: secrets.token_urlsafe(24)} if once else {}
        try:
            return self._ask("POST", f"/api/v1{path}", json=dict(body or {}), headers=headers).json()
        except _Broken as broken:
            if not once:
                raise broken.error from None
        try:
            return self._ask("POST", f"/api/v1{path}", json=dict(body or {}), headers=headers).json()
        except _Broken as broken:
            raise broken.error from None

    def delete(self, path: str) -> Any:
        """The JSON answer of a DELETE under `/api/v1`."""
        return self._ask("DELETE", f"/api/v1{path}").json()

    def pieces(self, path: str, body: Mapping[str, Any]) -> Iterator[bytes]:
        """The answer of a POST under `/api/v1` that is not held in memory: raw bytes, piece by piece."""
        try:
            with self._http.stream("POST", f"/api/v1{path}", json=dict(body)) as response:
                if response.status_code >= 400:
                    response.read()
                    raise _error(response)
                yield from response.iter_bytes()
        except httpx.TransportError:
            raise Unreachable(
                "The server did not finish its answer.", "It is busy or was stopped.", "Try again."
            ) from None

    def send_file(self, path: str, name: str, data: bytes, fields: Mapping[str, str] | None = None) -> Any:
        """The JSON answer of a POST of a form with one file."""
        files = {"file": (name, data, "application/octet-stream")}
        return self._ask("POST", f"/api/v1{path}", files=files, data=dict(fields or {})).json()

    def happenings(self, since: int = 0, path: str = "/events/stream") -> Iterator[dict[str, Any] | None]:
        """What happens, as it happens (server-sent events), until the server says that nothing more comes.

        Args:
            since: the number of the event after which it begins.
            path: whose; after `/api/v1`.

        Yields:
            Events as `events` gives them; `None` every few seconds in which nothing happens.
        """
        last, failed = since, 0
        while True:
            try:
                headers = {"last-event-id": str(last)} if last else {}
                with self._http.stream("GET", f"/api/v1{path}", headers=headers) as response:
                    if response.status_code >= 400:
                        response.read()
                        raise _error(response)
                    for number, kind, data in _events(response.iter_lines()):
                        last, failed = max(last, number), 0
                        if kind == "end":
                            return
                        yield json.loads(data) if kind else None
            except (httpx.TransportError, httpx.TimeoutException):
                failed += 1
                if failed > 5:
                    raise self._away() from None
                time.sleep(0.2 * failed)

    def _ask(self, method: str, path: str, **settings: Any) -> httpx.Response:
        try:
            response = self._http.request(method, path, **settings)
        except httpx.TimeoutException:
            raise Unreachable(
                "The server did not answer in time.",
                "It is busy or stopped.",
                "Try again; see `cloister doctor`.",
            ) from None
        except httpx.ConnectError:
            raise self._away() from None
        except httpx.TransportError:
            if _KEY in settings.get("headers", {}):
                raise _Broken(self._away()) from None
            raise self._away() from None
        if response.status_code >= 400:
            raise _error(response)
        if response.status_code >= 300:
            raise CloisterError(
                "That is no Cloister server's interface.", "It sends elsewhere.", "Check the address."
            )
        return response

    def _away(self) -> Unreachable:
        if self.folder is None:
            return Unreachable(
                "The server is not reached.",
                f"Nothing that is trusted answers at {self._place}.",
                "Check the address, the certificate and that the server runs.",
            )
        return Unreachable(
            "The server is not running.",
            f"Nothing answers at {self.folder / SOCKET_NAME}.",
            f"Start it with: cloister node up --folder {self.folder}",
        )

    # What people do, by name ---------------------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """Who this node is, whether the relay is reached, who else is here."""
        return dict(self.get("/status"))

    def wait_ready(self, seconds: float = 30.0) -> dict[str, Any]:
        """Waits until the node answers. Raises `Unreachable` after `seconds`."""
        end = time.monotonic() + seconds
        while True:
            try:
                return self.status()
            except Unreachable:
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)

    def task(self, task: str) -> dict[str, Any]:
        """A task's state at this node."""
        return dict(self.get(f"/tasks/{task}"))

    def budgets(self) -> dict[str, Any]:
        """This party's protected populations: limits, what was spent by which tasks, what is left; and what is wrong."""
        return dict(self.get("/budgets"))

    def events(self, since: int = 0, wait: float = 0.0) -> list[dict[str, Any]]:
        """What happened here after event `since`; waits up to `wait` seconds for something."""
        return list(self.get("/events", since=since, wait=wait))

    def download(self, path: str) -> bytes:
        """Bytes that the node hands out as base64 in `content`."""
        return base64.b64decode(self.get(path)["content"])


class _Broken(Exception):
    """The connection broke after something was sent."""

    def __init__(self, error: CloisterError) -> None:
        super().__init__()
        self.error = error


def _checked(url: str, token: str | None) -> str:
    parts = urlsplit(url)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username or parts.password:
        raise BadInput("The server's address is not usable.", "", "For example https://cloister.example")
    if token is not None and parts.scheme == "http" and not _here(parts.hostname):
        raise BadInput(
            "The token would cross the network readable.", "The address has no TLS.", "Use its https address."
        )
    return f"{parts.scheme}://{parts.netloc}"


def _here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _verified(ca: Path | None) -> ssl.SSLContext:
    try:
        return ssl.create_default_context(cafile=None if ca is None else str(ca))
    except (OSError, ssl.SSLError):
        raise BadInput(
            "The certificate cannot be used.", "It must be a PEM file.", "Check the file."
        ) from None


def _events(lines: Iterator[str]) -> Iterator[tuple[int, str, str]]:
    number, kind, data = 0, "", list[str]()
    for line in lines:
        if not line:
            yield number, kind, "\n".join(data)
            kind, data = "", []
            continue
        field, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if field == "id" and value.isdecimal():
            number = int(value)
        elif field == "event":
            kind = value
        elif field == "data":
            data.append(value)


def _error(response: httpx.Response) -> CloisterError:
    try:
        document = response.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict) or "title" not in document:
        return CloisterError(
            f"The server answered with status {response.status_code}.", "", "See the server's log."
        )
    return from_problem(document, own=True)
