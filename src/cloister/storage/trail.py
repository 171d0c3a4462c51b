"""What people did at this node: who, when, from where; short, bounded, for its auditors.

Rules:
1. An entry holds names and identifiers, never a record, a password, a token or a question's text.
2. Each account has room of its own for each kind of entry (`MOST`); its older ones go. Nobody's entries push out another's, and
   signing in pushes out nothing that matters.
3. What somebody wrote of no account (strangers who try, the operator of the machine) counts as one account's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal, TypeAlias

from sqlalchemy import delete, func, select

from cloister.foundation.text import one_line
from cloister.storage._rows import inserting
from cloister.storage.database import Transaction
from cloister.storage.tables import trail

Kind: TypeAlias = Literal["binds", "own", "sign-in"]
"""What binds the organisation or changes who may do what; what somebody did to the own account or samples; signing in, or trying to."""

MOST: Mapping[Kind, int] = MappingProxyType({"binds": 20_000, "own": 2_000, "sign-in": 1_000})
"""Entries of one kind that are kept of one account."""
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
        kind: what it is, which says how many are kept.
    """

    at: int
    account: str | None
    name: str
    what: str
    about: str = ""
    address: str = ""
    id: int = 0
    kind: Kind = "binds"


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
                "kind": entry.kind,
            },
        )
        key = made.inserted_primary_key
        if key is not None and key[0] % _TIDY == 0:
            self._tidy()

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
            Entry(row.at, row.account, row.name, row.what, row.about, row.address, row.id, row.kind)
            for row in self._connection.execute(query)
        ]

    def _tidy(self) -> None:
        for kind, most in MOST.items():
            of_kind = trail.c.kind == kind
            full = (
                select(trail.c.account).where(of_kind).group_by(trail.c.account).having(func.count() > most)
            )
            for account in self._connection.execute(full).scalars().all():
                own = of_kind & trail.c.account.is_not_distinct_from(account)
                last = select(trail.c.id).where(own).order_by(trail.c.id.desc()).offset(most).limit(1)
                newest_to_go = self._connection.execute(last).scalar_one_or_none()
                if newest_to_go is not None:
                    self._connection.execute(delete(trail).where(own, trail.c.id <= newest_to_go))
