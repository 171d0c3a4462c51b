"""Disclosures of one node, put together: what the interface, the chores and other nodes reach."""

from __future__ import annotations

from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound
from cloister.identity.keys import SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures.arriving import Arriving
from cloister.node.disclosures.exchange import Exchange
from cloister.node.disclosures.giving import Giving
from cloister.node.disclosures.publishing import Publishing
from cloister.node.disclosures.receiving import Receiving
from cloister.node.disclosures.sending import Caller, Sending
from cloister.node.folder import Folder
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.storage.database import Database


class Disclosures:
    """What this party disclosed, and what others disclosed to it.

    Attributes:
        giving: the owner's half.
        receiving: the recipient's half.
        publishing: settings from which others draw pictures instead.
        exchange: withdrawals and receipts between the nodes.
        sending, arriving: packages on their way over the relay, at either side.
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
        ledger: LedgerService,
        quotas: Quotas,
        call: Caller,
    ) -> None:
        place = folder.private(folder.disclosed)
        self.giving = Giving(place, database, clock, keys, parties, datasets, agreements, ledger)
        self.receiving = Receiving(place, database, clock, keys, parties, ledger)
        self.publishing = Publishing(database, clock, keys, parties, ledger)
        self.exchange = Exchange(database, clock, parties, ledger, quotas, self.receiving, call)
        self.sending = Sending(database, clock, parties, ledger, self.giving, call)
        self.arriving = Arriving(place, database, clock, parties, ledger, quotas, self.receiving, call)

    def listing(self) -> list[dict[str, Any]]:
        """All of them, those given first; each says which it is (`side`)."""
        given = [
            {"side": "given", **item, **self.sending.view(item["disclosure"])}
            for item in self.giving.listing()
        ]
        return given + [{"side": "received", **item} for item in self.receiving.listing()]

    def one(self, name: str) -> dict[str, Any]:
        """One of them, from this party's side. Raises `NotFound`."""
        try:
            return {"side": "given", **self.giving.one(name), **self.sending.view(name)}
        except NotFound:
            return {"side": "received", **self.receiving.one(name)}

    def tidy(self) -> None:
        """Deletes what has ended, notes what is overdue."""
        try:
            self.arriving.tidy()
            self.receiving.tidy()
        finally:
            self.giving.tidy()

    def tell(self) -> None:
        """Tells the other side what it has not confirmed: withdrawals and receipts first, then packages."""
        self.exchange.tell()
        self.sending.tell()
