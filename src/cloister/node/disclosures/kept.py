"""The documents of disclosures in the node's database, and how each stands by them.

Rules:
1. What is kept was verified when it came (`disclosure.documents`), and stands in the log, in the transaction that kept it.
2. Documents are kept for ever: they hold digests and terms, never records, and a package that comes again is known by them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloister.disclosure.documents import (
    DISCLOSURE_TYPE,
    RECEIPT_TYPE,
    WITHDRAWAL_TYPE,
    Disclosure,
    Receipt,
    Withdrawal,
    read_disclosure,
    read_receipt,
    read_withdrawal,
)
from cloister.disclosure.states import State, due, state_of
from cloister.foundation.clock import rfc3339
from cloister.foundation.errors import NotFound
from cloister.identity.envelopes import Envelope
from cloister.node.ledger_service import LedgerService
from cloister.storage.database import Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.settings import Settings

_UNTOLD = "disclosures/untold"


@dataclass(frozen=True)
class Standing:
    """A disclosure with what is known of it.

    Attributes:
        envelope, disclosure: as signed.
        withdrawal: if it was withdrawn.
        receipts: the recipient's.
    """

    envelope: Envelope
    disclosure: Disclosure
    withdrawal: Withdrawal | None
    receipts: tuple[Receipt, ...]

    @property
    def digest(self) -> str:
        """The disclosure's name."""
        return self.envelope.digest

    def state(self, now: int) -> State:
        """Where it stands."""
        return state_of(self.disclosure, self.withdrawal, self.receipts, now)

    def receipt(self, what: str) -> Receipt | None:
        """The first receipt of a kind."""
        return next((item for item in self.receipts if item.what == what), None)


def standings(tx: Transaction, **index: str) -> list[Standing]:
    """The disclosures kept here with these index values (`owner`, `recipient`), oldest first."""
    return [_standing(tx, Envelope.stored(data)) for _, data in Documents(tx).find(DISCLOSURE_TYPE, **index)]


def standing(tx: Transaction, digest: str) -> Standing:
    """One disclosure. Raises `NotFound`."""
    data = Documents(tx).get(digest)
    envelope = None if data is None else Envelope.stored(data)
    if envelope is None or envelope.payloadType != DISCLOSURE_TYPE:
        raise NotFound("There is no such disclosure at this server.", "", "See: cloister disclosure list")
    return _standing(tx, envelope)


def withdrawal_of(tx: Transaction, digest: str, owner: str) -> Withdrawal | None:
    """The withdrawal of a disclosure by the owner of that name, also of one that is not known here."""
    for _, data in Documents(tx).find(WITHDRAWAL_TYPE, disclosure=digest):
        found = read_withdrawal(Envelope.stored(data))
        if found.owner == owner:
            return found
    return None


def keep(
    tx: Transaction, ledger: LedgerService, envelope: Envelope, now: int, kind: str, **index: str
) -> bool:
    """Keeps and logs a verified document once; returns whether it is new. `kind` is the event's, of the feed."""
    if Documents(tx).get(envelope.digest) is not None:
        return False
    Documents(tx).put(envelope.digest, envelope.payloadType, envelope.encode(), now, **index)
    ledger.append(tx, "disclosure", envelope.digest)
    Events(tx).add("", now, kind, {"disclosure": index.get("disclosure", envelope.digest)})
    return True


def to_tell(tx: Transaction) -> dict[str, str]:
    """Documents that another party has not confirmed: digest → party."""
    found: dict[str, str] = Settings(tx).get(_UNTOLD, {})
    return found


def tell(tx: Transaction, digest: str, party: str) -> None:
    """A document is to be sent to a party until it confirms it."""
    Settings(tx).put(_UNTOLD, {**to_tell(tx), digest: party})


def told(tx: Transaction, digest: str) -> None:
    """It was confirmed, or never will be."""
    Settings(tx).put(_UNTOLD, {name: party for name, party in to_tell(tx).items() if name != digest})


def view(item: Standing, names: dict[str, str], now: int) -> dict[str, Any]:
    """A disclosure as JSON for programs and people: no record, no file's name."""
    document = item.disclosure
    deleted = item.receipt("deleted")
    return {
        "disclosure": item.digest,
        "state": str(item.state(now)),
        "owner": document.owner,
        "owner_name": names.get(document.owner, ""),
        "recipient": document.recipient,
        "recipient_name": names.get(document.recipient, ""),
        "dataset": document.dataset.name,
        "commitment": document.dataset.commitment,
        "kind": document.dataset.kind,
        "records": len(document.records),
        "bytes": document.bytes,
        "purpose": document.purpose,
        "made": document.made,
        "until": document.until,
        "micrometres_per_pixel": document.micrometres_per_pixel,
        "terms": list(document.terms),
        "agreements": list(document.agreements),
        "withdrawn": None if item.withdrawal is None else item.withdrawal.time,
        "withdrawn_reason": None if item.withdrawal is None else item.withdrawal.reason,
        "received": None if (found := item.receipt("received")) is None else found.time,
        "deleted": None if deleted is None else deleted.time,
        "deleted_records": None if deleted is None else deleted.records,
        "deleted_reason": None if deleted is None else deleted.reason,
        "deletion_due": rfc3339(due(document, item.withdrawal)),
    }


def _standing(tx: Transaction, envelope: Envelope) -> Standing:
    disclosure = read_disclosure(envelope)
    found = Documents(tx).find(RECEIPT_TYPE, disclosure=envelope.digest)
    receipts = [read_receipt(Envelope.stored(data)) for _, data in found]
    return Standing(
        envelope,
        disclosure,
        withdrawal_of(tx, envelope.digest, disclosure.owner),
        tuple(item for item in receipts if item.owner == disclosure.owner),
    )
