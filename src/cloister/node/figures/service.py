"""Questions about figures of one node, put together: what the interface, the chores and other nodes reach."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound
from cloister.identity.keys import SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.budgets import BudgetsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures.sending import Caller
from cloister.node.figures.answering import Answering
from cloister.node.figures.asking import Asking
from cloister.node.figures.measuring import Looker, workers
from cloister.node.folder import Folder
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.storage.database import Database

TELLING, MEASURING = "questions about figures", "figures measured"
"""The chores that send, and that measure."""


class FiguresService:
    """What this party asked, and what it is asked.

    Attributes:
        asking: the researcher's half.
        answering: the owner's half.
    """

    def __init__(
        self,
        folder: Folder,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        datasets: DatasetsService,
        agreements: AgreementsService,
        budgets: BudgetsService,
        ledger: LedgerService,
        quotas: Quotas,
        call: Caller,
        looker: Callable[[], Looker] = workers,
    ) -> None:
        place = folder.private(folder.root / "figures")
        self.asking = Asking(place, database, clock, keys, parties, datasets, ledger, call)
        self.answering = Answering(
            place, database, clock, keys, parties, datasets, agreements, budgets, ledger, quotas, call, looker
        )

    def listing(self) -> list[dict[str, Any]]:
        """All questions, those asked here first; each says which it is (`side`)."""
        return [*self.asking.listing(), *self.answering.listing()]

    def one(self, name: str) -> dict[str, Any]:
        """One of them. Raises `NotFound`."""
        try:
            return self.asking.one(name)
        except NotFound:
            return self.answering.one(name)

    def tell(self) -> None:
        """Sends what the other side has not confirmed."""
        try:
            self.asking.tell()
        finally:
            self.answering.tell()

    def close(self) -> None:
        """Ends what is being measured."""
        self.answering.close()
