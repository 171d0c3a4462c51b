"""Whether this node's memory of its privacy budgets can be relied on, and what is done where it cannot.

Rules:
1. Nothing is spent by a node whose memory of its budgets is older than its log, or was changed; it runs, and says so.
2. How many charges there have been is also kept in a file beside the database, so that restoring the database alone is
   noticed here. Restoring the whole folder is noticed by witnesses (`charges`, rule 3).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, CloisterError, Tampered
from cloister.node.folder import Folder
from cloister.privacy import budgets
from cloister.privacy.filters import pair
from cloister.storage.budgets import BudgetRows
from cloister.storage.database import Database, Transaction


class Health:
    """Looked at when the node starts, and before each charge.

    Args:
        folder, database, clock: the node's.
        log: appends a leaf about a document, inside the transaction that keeps it.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        clock: Clock,
        log: Callable[[Transaction, str, str], object],
    ) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._log = log
        self._lock = threading.Lock()
        self._logged = 0
        self._changed: CloisterError | None = None
        self._look()

    @property
    def logged(self) -> int:
        """How many leaves of kind `charge` the newest known state of this node's log has."""
        return self._logged

    def _look(self) -> None:
        """Reads how many charges there have been, and checks the totals; at the start."""
        with self._database.read() as tx:
            book = BudgetRows(tx)
            kept = book.logged()
            try:
                kept = max(kept, self._read_mark())
                budgets.check(book)
            except CloisterError as error:
                self._changed = error
        self._logged = kept
        if self._changed is None and kept:
            self.mark(kept)

    def _read_mark(self) -> int:
        path = self._folder.budgets_file
        if not path.exists():
            return 0
        try:
            value = self._folder.read_json(path)
        except BadInput:
            value = None
        number = value.get("charges") if isinstance(value, dict) else None
        if not isinstance(number, int) or isinstance(number, bool) or number < 0:
            raise Tampered(
                "How many privacy charges there have been cannot be read.",
                f"{path.name} in the server's folder was changed.",
                "Restore it from the newest backup.",
                clause="budget-mark",
            )
        return number

    def mark(self, charges: int) -> None:
        """Notes it beside the database, after the commit: a mark that is behind does no harm."""
        with self._lock:
            self._logged = max(self._logged, charges)
            self._folder.write_json(self._folder.budgets_file, {"charges": self._logged})

    @property
    def trouble(self) -> CloisterError | None:
        """Why nothing is spent here, or `None`."""
        if self._changed is not None:
            return self._changed
        with self._database.read() as tx:
            try:
                budgets.require_current(BudgetRows(tx), self._logged)
            except CloisterError as error:
                return error
        return None

    def require_sound(self) -> None:
        """Raises `Refused` or `Tampered` while nothing is spent here (rule 1)."""
        if (trouble := self.trouble) is not None:
            raise trouble

    def reconcile(self, missing: Mapping[str, Mapping[str, tuple[float, float]] | None]) -> None:
        """Writes off what charges that this node forgot may have spent (`privacy.budgets.reconcile`).

        Args:
            missing: population → what its missing charges spent at most, as (epsilon, delta), by agreement (uid); `None`:
                all that is left is gone.
        """
        losses = {
            name: None if parts is None else {scope: pair(*most) for scope, most in parts.items()}
            for name, parts in missing.items()
        }
        if self._changed is not None:
            raise self._changed
        with self._database.transaction() as tx:
            book = BudgetRows(tx)
            budgets.reconcile(
                book,
                losses,
                logged=self._logged,
                log=lambda document: self._log(tx, "charge", document),
                now=self._clock.now(),
            )
            leaves = book.leaves()
        self.mark(leaves)
