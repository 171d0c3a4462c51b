"""The privacy budgets of this node's populations.

What is decided is decided in `privacy` (`budgets`, `charging`) and `agreements`; here it is put together with the node's
database, its log, its datasets and its agreements: `populations` (opened, bound), `charges` (asked and spent by tasks),
`health` (whether the memory of it all can be relied on), `views` (what people see).
"""

from __future__ import annotations

from collections.abc import Callable

from cloister.agreements.terms import Terms
from cloister.foundation.clock import Clock
from cloister.node.budgets.charges import CHARGED, Charges
from cloister.node.budgets.health import Health
from cloister.node.budgets.populations import Populations
from cloister.node.datasets_service import DatasetsService
from cloister.node.folder import Folder
from cloister.storage.database import Database, Transaction

__all__ = ["CHARGED", "BudgetsService", "Charges", "Health", "Populations"]


class BudgetsService:
    """All of it for one node.

    Args:
        folder, database, clock: the node's.
        party: whose node this is.
        datasets: this party's.
        log: appends a leaf about a document, inside the transaction that keeps it.
        witnessed: has a witness of an agreement see the log as it is; see `Charges`.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        clock: Clock,
        party: str,
        datasets: DatasetsService,
        log: Callable[[Transaction, str, str], object],
        witnessed: Callable[[Terms], None],
    ) -> None:
        self.database = database
        self.party = party
        self.health = Health(folder, database, clock, log)
        self.populations = Populations(database, clock, party, datasets, log)
        self.charges = Charges(database, clock, party, datasets, log, self.health, witnessed)
