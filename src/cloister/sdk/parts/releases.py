"""Approved results, and the log in which everything stands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cloister.foundation.files import write_atomically
from cloister.sdk.client import Client
from cloister.sdk.parts.lookup import find
from cloister.sdk.records import Release
from cloister.sdk.tables import Table


class Releases:
    """Approved results."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def list(self) -> Table[Release]:
        """All on this server's shelf."""
        return Table(Release(self._client, item) for item in self._client.get("/releases"))

    def get(self, release: str, *, wait: float = 0.0) -> Release:
        """One, by its digest, the beginning of that, or `latest`; waits `wait` seconds for it to come."""
        return Release(self._client, find(self.list, "release", release, wait).facts).refresh()


class Log:
    """This server's tamper-evident log."""

    def __init__(self, client: Client) -> None:
        self._client = client

    def head(self) -> dict[str, Any]:
        """Its size and its signed head."""
        return dict(self._client.get("/ledger"))

    def export(self, path: str | Path) -> Path:
        """Writes the whole of it, as `cloister ledger verify` takes it. Returns the path."""
        write_atomically(Path(path), self._client.download("/ledger/export"))
        return Path(path)
