"""What people did at this node, as it is written down.

Rules (with those of `storage.trail`):
1. What people did to accounts is written down in the same transaction, or was not done.
2. What strangers or everybody can cause again and again is written as what it is (`Kind`), so that it goes before what matters.
"""

from __future__ import annotations

from cloister.foundation.clock import Clock
from cloister.storage.database import Database, Transaction
from cloister.storage.trail import Entry, Kind, Trail
from cloister.web.guard import Caller


class Diary:
    """Writes down what people did, and shows it.

    Args:
        database: where it is kept.
        clock: tells the time.
    """

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database, self._clock = database, clock

    def note(
        self,
        caller: Caller,
        what: str,
        about: str = "",
        address: str = "",
        tx: Transaction | None = None,
        *,
        kind: Kind = "binds",
    ) -> None:
        """Writes down what somebody did, for this node's auditors.

        Args:
            caller: who.
            what: what was done, so that it reads on after the name: `signed the agreement`.
            about: what it was done to: a name or a digest, nothing of a record or a question's text.
            address: from where.
            tx: the transaction it belongs to (rule 1); one of its own if absent.
            kind: what it is (rule 2).
        """
        name = caller.name or "somebody"
        entry = Entry(self._clock.now(), caller.account, name, what, about, address, kind=kind)
        if tx is not None:
            Trail(tx).add(entry)
            return
        with self._database.transaction() as own:
            Trail(own).add(entry)

    def trail(
        self, limit: int = 100, *, before: int | None = None, account: str | None = None
    ) -> list[Entry]:
        """What people did, newest first."""
        with self._database.read() as tx:
            return Trail(tx).newest(limit, before=before, account=account)
