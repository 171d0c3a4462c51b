"""What travels between the two nodes of a disclosure: withdrawals and receipts, over the relay or as files.

The sealed package is a file that people hand over. Documents about it are small and signed; the node sends them itself, again
until the other side has confirmed each, and people can carry them as files where the nodes are not connected.

Rules:
1. A document counts for what it says and who signed it, however it came. Over the relay its signer must also be its sender.
2. A withdrawal is taken from the disclosure's owner, a receipt from its recipient. A withdrawal of a disclosure that is not
   known here is kept, within a quota, if a trusted party signed it: its package may still come.
3. Of each kind one document about a disclosure counts, the first; whoever signs more of them fills nobody's disk.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any

from cloister.disclosure.documents import (
    RECEIPT_TYPE,
    WITHDRAWAL_TYPE,
    open_receipt,
    open_unknown_withdrawal,
    open_withdrawal,
    read_receipt,
    read_withdrawal,
    subject,
)
from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused
from cloister.identity.envelopes import Envelope
from cloister.node.disclosures import kept
from cloister.node.disclosures.receiving import Receiving
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents

DISCLOSURE = "disclosure.document"
MAX_DOCUMENT = 64 << 10
_SECONDS = 20.0
_UNKNOWN = "withdrawals of disclosures"


class Exchange:
    """Sends and takes in the documents about disclosures."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        parties: Parties,
        ledger: LedgerService,
        quotas: Quotas,
        receiving: Receiving,
        call: Callable[[str, str, bytes, float, str], bytes],
    ) -> None:
        self._database = database
        self._clock = clock
        self._parties = parties
        self._ledger = ledger
        self._quotas = quotas
        self._receiving = receiving
        self._call = call

    def tell(self) -> None:
        """Sends what others have not confirmed; to whom cannot be reached, again later."""
        with self._database.read() as tx:
            waiting = {
                name: (party, Documents(tx).get(name) or b"") for name, party in kept.to_tell(tx).items()
            }
        gone: set[str] = set()
        for name, (party, body) in waiting.items():
            if party in gone:
                continue
            try:
                self._call(party, DISCLOSURE, body, _SECONDS, f"disclosure/{name}/{secrets.token_hex(4)}")
            except Refused:
                continue  # it may not trust this party yet, or not know the disclosure
            except CloisterError:
                gone.add(party)
                continue
            with self._database.transaction() as tx:
                kept.told(tx, name)

    def on_document(self, sender: str, body: bytes) -> bytes:
        """Another party's node sends a withdrawal or a receipt."""
        envelope = _decoded(body)
        self._take(envelope, sender)
        return b"{}"

    def take(self, body: bytes) -> dict[str, Any]:
        """A withdrawal or receipt that somebody brought as a file. Raises `BadInput`, `NotFound` or `NotTrusted`."""
        envelope = _decoded(body)
        self._take(envelope, None)
        return {"disclosure": subject(envelope), "document": envelope.digest}

    def documents(self, name: str) -> list[bytes]:
        """This party's own withdrawal and receipts about a disclosure, to be handed over as files."""
        own = self._parties.own.party
        with self._database.read() as tx:
            item = kept.standing(tx, name)
            kind = WITHDRAWAL_TYPE if item.disclosure.owner == own else RECEIPT_TYPE
            found = [data for _, data in Documents(tx).find(kind, disclosure=name)]
        # What is kept within one second has no order of its own: records are deleted after they were received.
        return sorted(found, key=lambda data: b'"what":"deleted"' in Envelope.decode(data).content)

    def _take(self, envelope: Envelope, sender: str | None) -> None:
        name, now, keys = subject(envelope), self._clock.now(), self._parties.directory
        with self._database.read() as tx:
            known = Documents(tx).get(name) is not None
            item = kept.standing(tx, name) if known else None
        if envelope.payloadType == RECEIPT_TYPE:
            if item is None:
                raise NotFound("There is no such disclosure at this server.", "", "Ask who sent its receipt.")
            by = open_receipt(envelope, item.envelope, keys, now).recipient
        elif item is not None:
            by = open_withdrawal(envelope, item.envelope, keys).owner
        else:
            by = read_withdrawal(envelope).owner
            self._parties.require_trusted([by])
            open_unknown_withdrawal(envelope, by, keys)
        if sender not in (None, by):
            raise NotTrusted(
                "A document about disclosed records came from another party than its signer.",
                "",
                "Ask the signer.",
                clause="sender",
            )
        with self._database.transaction() as tx:
            self._keep(tx, envelope, name, by, now, known=known)
        if envelope.payloadType == WITHDRAWAL_TYPE:
            self._receiving.tidy()

    def _keep(
        self, tx: Transaction, envelope: Envelope, name: str, by: str, now: int, *, known: bool
    ) -> None:
        withdrawal = envelope.payloadType == WITHDRAWAL_TYPE
        if withdrawal and kept.withdrawal_of(tx, name, by) is not None:
            return
        if not withdrawal and kept.standing(tx, name).receipt(read_receipt(envelope).what) is not None:
            return
        if not known:
            self._quotas.take(_UNKNOWN, by, envelope.digest, len(envelope.encoded), tx=tx)
        kind = "disclosure.withdrawn" if withdrawal else "disclosure.confirmed"
        kept.keep(tx, self._ledger, envelope, now, kind, disclosure=name)
        if withdrawal and not known:
            self._receiving.withdrawn(tx, name, by, now)


def _decoded(body: bytes) -> Envelope:
    if len(body) > MAX_DOCUMENT:
        raise BadInput(
            "A document about disclosed records is too large.",
            f"The limit is {MAX_DOCUMENT} bytes.",
            "Ask for the right file.",
        )
    envelope = Envelope.decode(body)
    if envelope.payloadType not in (WITHDRAWAL_TYPE, RECEIPT_TYPE):
        raise BadInput(
            "This is neither a withdrawal nor a receipt.",
            "Packages are opened; only those two are taken in.",
            "See: cloister disclosure open",
        )
    return envelope
