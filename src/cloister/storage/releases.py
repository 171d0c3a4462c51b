"""Releases this node knows of. `facts` is JSON; contents are blobs by digest."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import Row, select

from cloister.foundation.canonical import canonical, parse
from cloister.storage._rows import put
from cloister.storage.database import Transaction
from cloister.storage.tables import releases


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


def _release(row: Row[Any]) -> Release:
    return Release(row.digest, row.task, row.kind, row.status, parse(row.facts), row.certificate, row.at)
