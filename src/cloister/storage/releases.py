"""Releases this node knows of, and the tools installed on it. `facts` is JSON; contents are blobs by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select, update

from cloister.foundation.canonical import canonical, parse
from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import releases, tools


@dataclass(frozen=True)
class Release:
    """A result: `digest` of its content, how far it is (`status`), and its certificate's digest once there is one."""

    digest: str
    task: str
    kind: str
    status: str
    facts: dict[str, Any]
    certificate: str | None = None
    at: int = 0


@dataclass(frozen=True)
class InstalledTool:
    """A tool's version; `current` is the one that runs when no version is named."""

    name: str
    version: str
    digest: str
    facts: dict[str, Any]
    current: bool = True
    at: int = 0


class Releases:
    """The releases in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, release: Release) -> None:
        """Keeps a release, new or not."""
        values = {**vars(release), "facts": canonical(release.facts)}
        del values["digest"]
        put(self._connection, releases, {"digest": release.digest}, values)

    def get(self, digest: str) -> Release | None:
        """The release of that content, or `None`."""
        row = self._connection.execute(select(releases).where(releases.c.digest == digest)).one_or_none()
        return None if row is None else _release(row)

    def find(self, task: str | None = None) -> list[Release]:
        """The releases, oldest first; of one task if given."""
        query = select(releases).order_by(releases.c.at, releases.c.digest)
        if task is not None:
            query = query.where(releases.c.task == task)
        return [_release(row) for row in self._connection.execute(query)]


class Tools:
    """The tools in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def put(self, tool: InstalledTool) -> None:
        """Keeps a version; if it is `current`, no other of its name is any more."""
        if tool.current:
            self._connection.execute(update(tools).where(tools.c.name == tool.name).values(current=False))
        values = {
            "digest": tool.digest,
            "facts": canonical(tool.facts),
            "current": tool.current,
            "at": tool.at,
        }
        put(self._connection, tools, {"name": tool.name, "version": tool.version}, values)

    def current(self, name: str) -> InstalledTool | None:
        """The version in use, or `None`."""
        return next((tool for tool in self.all() if tool.name == name and tool.current), None)

    def all(self) -> list[InstalledTool]:
        """Every version of every tool."""
        query = select(tools).order_by(tools.c.name, tools.c.at, tools.c.version)
        return [
            InstalledTool(row.name, row.version, row.digest, parse(row.facts), bool(row.current), row.at)
            for row in self._connection.execute(query)
        ]


def _release(row: Row[Any]) -> Release:
    return Release(row.digest, row.task, row.kind, row.status, parse(row.facts), row.certificate, row.at)
