"""The documents of a disclosure: what the owner signs, how it takes it back, and what the recipient confirms.

Rules:
1. A disclosure counts only with the signature of the owner that it names, a withdrawal with the same owner's, a receipt with
   the recipient's. The reader names the signer from a document that it holds already, never from the new one.
2. Records are named by their leaves in the dataset's commitment: salted, so that whoever sees the document cannot test a guess
   of a record, and bound to the dataset that was registered.
3. No document holds a file's name, a record's place in the dataset, or the dataset's size.
4. A disclosure ends at `until` at the latest, at most `MAX_DAYS` after it was made. Its terms are always all of `TERMS`.
5. A withdrawal is final and counts from when it is known, whatever time it bears.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias, TypeVar

from pydantic import Field, ValidationError, model_validator

from cloister.agreements.clauses import Instant, Line
from cloister.data.schema import Digest
from cloister.data.schema import Name as DatasetName
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import parse_rfc3339, rfc3339
from cloister.foundation.documents import Document, invalid
from cloister.foundation.errors import BadInput, NotTrusted
from cloister.identity import envelopes
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PartyId, SecretKeys

DISCLOSURE_TYPE = "application/vnd.cloister.disclosure+json"
WITHDRAWAL_TYPE = "application/vnd.cloister.disclosure-withdrawal+json"
RECEIPT_TYPE = "application/vnd.cloister.disclosure-receipt+json"

MAX_RECORDS = 1000
"""A sample, not a dataset."""
MAX_DAYS = 366
MAX_DELETION_DAYS = 30
MAX_AGREEMENTS = 16
TOLERANCE = 300
"""Seconds by which the time of another party's document may be ahead of the reader's clock."""
DAY = 86_400

Term: TypeAlias = Literal[
    "only-for-the-purpose", "no-passing-on", "delete-at-the-end", "delete-when-withdrawn"
]
TERMS: tuple[Term, ...] = (
    "only-for-the-purpose",
    "no-passing-on",
    "delete-at-the-end",
    "delete-when-withdrawn",
)
What: TypeAlias = Literal["received", "deleted"]
Reason: TypeAlias = Literal["opened", "expired", "withdrawn", "no-longer-needed"]
_REASONS: dict[What, frozenset[Reason]] = {
    "received": frozenset({"opened"}),
    "deleted": frozenset({"expired", "withdrawn", "no-longer-needed"}),
}


class DisclosedFrom(Document):
    """The registered dataset that the records are from: its name at the owner, its commitment, pictures or rows."""

    name: DatasetName
    commitment: Digest
    kind: Literal["image-points", "table"]


class Disclosure(Document):
    """An owner's decision to show certain records to one party.

    Attributes:
        owner, recipient: fingerprints.
        recipient_keyset: the recipient's keys that the records are sealed to (`PublicKeys.keyset`).
        dataset: where the records are from.
        records: their leaves in the dataset's commitment, in the order in which they travel.
        contents: digest of what is sealed; it covers each record's salt and says nothing of the records.
        bytes: its size.
        purpose: what the recipient may use them for.
        made, until: from when until when.
        deletion_days: how many days after its end the recipient's confirmation of the deletion may take.
        agreements: those between the two that govern the dataset, each of which allows this; none where there is none.
        micrometres_per_pixel: the pictures' scale, where the owner chose to tell it.
        terms: what the recipient has to do, always `TERMS`.
    """

    type: Literal["cloister/disclosure@1"] = "cloister/disclosure@1"
    owner: PartyId
    recipient: PartyId
    recipient_keyset: Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]
    dataset: DisclosedFrom
    records: Annotated[tuple[Digest, ...], Field(min_length=1, max_length=MAX_RECORDS)]
    contents: Digest
    bytes: Annotated[int, Field(ge=1, le=1 << 40)]
    purpose: Line
    made: Instant
    until: Instant
    deletion_days: Annotated[int, Field(ge=0, le=MAX_DELETION_DAYS)] = 1
    agreements: Annotated[tuple[Digest, ...], Field(max_length=MAX_AGREEMENTS)] = ()
    micrometres_per_pixel: Annotated[float, Field(gt=0, lt=1e6)] | None = None
    terms: Annotated[tuple[Term, ...], Field(max_length=len(TERMS))] = TERMS

    @model_validator(mode="after")
    def _coherent(self) -> Disclosure:
        if self.owner == self.recipient:
            raise ValueError("owner and recipient are the same party")
        if len(set(self.records)) != len(self.records):
            raise ValueError("a record is named twice")
        if self.terms != TERMS:
            raise ValueError("a disclosure has all of the terms, in their order")
        if self.micrometres_per_pixel is not None and self.dataset.kind == "table":
            raise ValueError("rows have no scale")
        if not 0 < self.until_at - self.made_at <= MAX_DAYS * DAY:
            raise ValueError(f"it ends after it begins, at most {MAX_DAYS} days later")
        return self

    @property
    def made_at(self) -> int:
        """Seconds since the epoch."""
        return parse_rfc3339(self.made)

    @property
    def until_at(self) -> int:
        """Seconds since the epoch."""
        return parse_rfc3339(self.until)


class Withdrawal(Document):
    """An owner's word that a disclosure has ended: the recipient's node deletes the records.

    Attributes:
        disclosure: its digest.
        owner: who withdraws, and signs.
        time: when.
        reason: for the recipient's people.
    """

    type: Literal["cloister/disclosure-withdrawal@1"] = "cloister/disclosure-withdrawal@1"
    disclosure: Digest
    owner: PartyId
    time: Instant
    reason: Line | None = None


class Receipt(Document):
    """A recipient's word that its node opened the records, or that it deleted every copy that it had made.

    A receipt of deletion speaks of the node's own copies. That nobody copied the records elsewhere is not in it, because no
    software could know it.

    Attributes:
        disclosure: its digest.
        owner: for whom it is: the disclosure's owner, or who withdrew a disclosure that is not known at the recipient's. It counts
            for nobody else, so that another party's withdrawal brings forth nothing about this owner's disclosure.
        recipient: who says so, and signs.
        what: `received` or `deleted`.
        reason: `opened`; for a deletion `expired`, `withdrawn` or `no-longer-needed`.
        records: how many records it is about; 0 for a deletion where they were never opened.
        time: when, by the recipient's clock.
    """

    type: Literal["cloister/disclosure-receipt@1"] = "cloister/disclosure-receipt@1"
    disclosure: Digest
    owner: PartyId
    recipient: PartyId
    what: What
    reason: Reason
    records: Annotated[int, Field(ge=0, le=MAX_RECORDS)]
    time: Instant

    @model_validator(mode="after")
    def _coherent(self) -> Receipt:
        if self.reason not in _REASONS[self.what]:
            raise ValueError("the reason does not belong to what was done")
        return self


AnySigned = TypeVar("AnySigned", Disclosure, Withdrawal, Receipt)


def sign_disclosure(document: Disclosure, keys: SecretKeys) -> Envelope:
    """The disclosure, signed by its owner."""
    return envelopes.sign(DISCLOSURE_TYPE, document.model_dump(mode="json"), document.owner, keys)


def sign_withdrawal(
    disclosure: str, owner: str, now: int, keys: SecretKeys, reason: str | None = None
) -> Envelope:
    """The owner's withdrawal of the disclosure of that digest, which it signed."""
    made = Withdrawal(disclosure=disclosure, owner=owner, time=rfc3339(now), reason=reason or None)
    return envelopes.sign(WITHDRAWAL_TYPE, made.model_dump(mode="json"), owner, keys)


def sign_receipt(
    disclosure: str,
    owner: str,
    recipient: str,
    keys: SecretKeys,
    now: int,
    *,
    what: What,
    reason: Reason,
    records: int,
) -> Envelope:
    """The recipient's receipt for `owner` about the disclosure of that digest."""
    made = Receipt(
        disclosure=disclosure,
        owner=owner,
        recipient=recipient,
        what=what,
        reason=reason,
        records=records,
        time=rfc3339(now),
    )
    return envelopes.sign(RECEIPT_TYPE, made.model_dump(mode="json"), recipient, keys)


def open_disclosure(envelope: Envelope, directory: KeyDirectory, now: int) -> Disclosure:
    """The disclosure, if the owner that it names signed it.

    Raises:
        NotTrusted: the signature does not hold, or it is from the future.
        BadInput: it is none.
    """
    found = _read(Disclosure, envelope, "A disclosure")
    envelopes.verify(envelope, DISCLOSURE_TYPE, [found.owner], directory)
    _not_from_the_future(found.made_at, now)
    return found


def read_disclosure(envelope: Envelope) -> Disclosure:
    """The disclosure in an envelope that was verified when it was taken in. Raises `BadInput`."""
    return _read(Disclosure, envelope, "A disclosure")


def open_withdrawal(envelope: Envelope, of: Envelope, directory: KeyDirectory) -> Withdrawal:
    """The withdrawal of the disclosure `of`, if that one's owner signed it. Raises as `open_disclosure`."""
    disclosure, found = read_disclosure(of), _read(Withdrawal, envelope, "A withdrawal")
    _about(found.disclosure, of)
    if found.owner != disclosure.owner:
        raise _by_another("A withdrawal", "the owner")
    envelopes.verify(envelope, WITHDRAWAL_TYPE, [disclosure.owner], directory)
    return found


def open_receipt(envelope: Envelope, of: Envelope, directory: KeyDirectory, now: int) -> Receipt:
    """The receipt about the disclosure `of`, if that one's recipient signed it. Raises as `open_disclosure`."""
    disclosure, found = read_disclosure(of), _read(Receipt, envelope, "A receipt")
    _about(found.disclosure, of)
    if found.recipient != disclosure.recipient:
        raise _by_another("A receipt", "the recipient")
    if found.owner != disclosure.owner:
        raise NotTrusted(
            "A receipt is for another party.",
            "It answers somebody who is not the disclosure's owner.",
            "Ask the recipient.",
            clause="disclosure-party",
        )
    envelopes.verify(envelope, RECEIPT_TYPE, [disclosure.recipient], directory)
    _not_from_the_future(parse_rfc3339(found.time), now)
    if parse_rfc3339(found.time) < disclosure.made_at - TOLERANCE or found.records not in (
        0,
        len(disclosure.records),
    ):
        raise BadInput(
            "A receipt does not fit its disclosure.",
            "It is older, or about another number of records.",
            "Ask the recipient for it again.",
        )
    return found


def subject(envelope: Envelope) -> str:
    """Which disclosure a withdrawal or receipt is about: its digest, by the word of whoever wrote it. Raises `BadInput`."""
    if envelope.payloadType == WITHDRAWAL_TYPE:
        return read_withdrawal(envelope).disclosure
    return read_receipt(envelope).disclosure


def read_withdrawal(envelope: Envelope) -> Withdrawal:
    """The withdrawal in an envelope, its signature not looked at. Raises `BadInput`."""
    return _read(Withdrawal, envelope, "A withdrawal")


def read_receipt(envelope: Envelope) -> Receipt:
    """The receipt in an envelope, its signature not looked at. Raises `BadInput`."""
    return _read(Receipt, envelope, "A receipt")


def open_unknown_withdrawal(envelope: Envelope, owner: str, directory: KeyDirectory) -> Withdrawal:
    """A withdrawal of a disclosure that is not known here (its package was not opened): signed by `owner`, who sent it.

    It keeps that package from ever being opened, if it is the same owner's. Raises `NotTrusted` or `BadInput`.
    """
    found = read_withdrawal(envelope)
    if found.owner != owner:
        raise _by_another("A withdrawal", "the owner")
    envelopes.verify(envelope, WITHDRAWAL_TYPE, [owner], directory)
    return found


def _read(cls: type[AnySigned], envelope: Envelope, what: str) -> AnySigned:
    try:
        return cls.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, what) from None


def _about(named: str, of: Envelope) -> None:
    if named != of.digest:
        raise BadInput(
            "A document is about another disclosure.", "It names another digest.", "Send it where it belongs."
        )


def _not_from_the_future(time: int, now: int) -> None:
    if time > now + TOLERANCE:
        raise NotTrusted(
            "A document about disclosed records is from the future.",
            f"It bears the time {rfc3339(time)}; this machine's clock says {rfc3339(now)}.",
            "Check both clocks.",
            clause="disclosure-time",
        )


def _by_another(what: str, whom: str) -> NotTrusted:
    return NotTrusted(
        f"{what} is by another party.",
        f"Only {whom} that the disclosure names can make it.",
        f"Ask {whom}.",
        clause="disclosure-party",
    )
