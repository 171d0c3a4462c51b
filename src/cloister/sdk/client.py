"""A client of one running node, over its Unix socket.

The socket belongs to the node's operator (mode 0600), so there is no password on this way; a network face has its own
sign-in. Errors arrive as the `CloisterError` that the node raised.
"""

from __future__ import annotations

import base64
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Self

import httpx

from cloister.foundation.errors import CloisterError, Unreachable, from_problem

SOCKET_NAME = "node.sock"


class Client:
    """Speaks to the node whose folder is given.

    Args:
        folder: the node's folder; its socket is `node.sock` in it.
        timeout: seconds to wait for one answer.
    """

    def __init__(self, folder: Path, timeout: float = 60.0) -> None:
        self.folder = folder
        self._http = httpx.Client(
            transport=httpx.HTTPTransport(uds=str(folder / SOCKET_NAME)),
            base_url="http://node",
            timeout=timeout,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Closes the connection."""
        self._http.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON answer of a GET under `/api/v1`."""
        return self._ask(
            "GET", path, params={key: value for key, value in query.items() if value is not None}
        )

    def post(self, path: str, body: Mapping[str, Any] | None = None) -> Any:
        """The JSON answer of a POST under `/api/v1`."""
        return self._ask("POST", path, json=dict(body or {}))

    def _ask(self, method: str, path: str, **settings: Any) -> Any:
        try:
            response = self._http.request(method, f"/api/v1{path}", **settings)
        except httpx.TimeoutException:
            raise Unreachable(
                "The node did not answer in time.",
                "It is busy or stopped.",
                "Try again; see `cloister doctor`.",
            ) from None
        except httpx.TransportError:
            raise Unreachable(
                "The node is not running.",
                f"Nothing answers at {self.folder / SOCKET_NAME}.",
                f"Start it with: cloister node up --folder {self.folder}",
            ) from None
        if response.status_code >= 400:
            raise _error(response)
        return response.json()

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
                "The node did not finish its answer.", "It is busy or was stopped.", "Try again."
            ) from None

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


def _error(response: httpx.Response) -> CloisterError:
    try:
        document = response.json()
    except ValueError:
        document = {}
    if not isinstance(document, dict) or "title" not in document:
        return CloisterError(
            f"The node answered with status {response.status_code}.", "", "See the node's log."
        )
    return from_problem(document, own=True)
