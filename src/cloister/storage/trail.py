"""What people did at this node: who, when, from where; short, bounded, for its auditors.

Rules:
1. An entry holds names and identifiers, never a record, a password, a token or a question's text.
2. The newest `MOST` entries are kept; older ones go.
"""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import delete, select

from cloister.foundation.text import one_line
from cloister.storage._rows import inserting
from cloister.storage.database import Transaction
from cloister.storage.tables import trail

MOST = 10_000
_TIDY = 256


@dataclass(frozen=True)
class Entry:
    """Something that somebody did.

    Attributes:
        at: when, seconds since the epoch.
        account: whose; none for the operator of the machine, or nobody known.
        name: the person's, as it was then.
        what: what was done, so that it reads on after the name: `signed in`.
        about: what it was done to: a name, a digest.
        address: from where, if that is known.
        id: only grows.
    """

    at: int
    account: str | None
    name: str
    what: str
    about: str = ""
    address: str = ""
    id: int = 0


class Trail:
    """The entries, in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, entry: Entry) -> None:
        """Appends an entry, in one line each and not longer than a line; its `id` is given here."""
        made = self._connection.execute(
            inserting(trail),
            {
                "at": entry.at,
                "account": entry.account,
                "name": one_line(entry.name)[:100],
                "what": one_line(entry.what)[:100],
                "about": one_line(entry.about)[:300],
                "address": one_line(entry.address)[:60],
            },
        )
        key = made.inserted_primary_key
        if key is not None and key[0] % _TIDY == 0:
            self._connection.execute(delete(trail).where(trail.c.id <= key[0] - MOST))

    def newest(
        self, limit: int = 100, *, before: int | None = None, account: str | None = None
    ) -> list[Entry]:
        """Up to `limit` entries, newest first; older than entry `before`, and of one account, if given."""
        query = select(trail).order_by(trail.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(trail.c.id < before)
        if account is not None:
            query = query.where(trail.c.account == account)
        return [
            Entry(row.at, row.account, row.name, row.what, row.about, row.address, row.id)
            for row in self._connection.execute(query)
        ]
