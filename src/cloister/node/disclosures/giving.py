"""The owner's half: a person selects records and gives them to one researcher; withdraws; sees what is confirmed.

Rules:
1. Nobody but a person with the right to bind the organisation discloses or withdraws; who it was, and each record that was
   selected, stands in a decision that stays at this node and in the log.
2. The recipient is a party whose fingerprint was compared here, with a card that speaks now.
3. Every byte of the dataset is compared with its registration first; what an agreement forbids is refused (`permission`).
4. The sealed package is kept until the disclosure ends, so that it can be handed over again; this node cannot open it.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from cloister.agreements.lifecycle import State as AgreementState
from cloister.agreements.terms import Terms
from cloister.data.schema import DatasetDescription
from cloister.disclosure.documents import (
    DAY,
    MAX_DAYS,
    DisclosedFrom,
    Disclosure,
    sign_disclosure,
    sign_withdrawal,
)
from cloister.disclosure.package import MAX_PACKAGE, pack
from cloister.disclosure.permission import Known, Wish, require_permitted
from cloister.disclosure.records import write_contents
from cloister.disclosure.states import USABLE, State
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.digests import digest, digest_json
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, Conflict, NotFound, Refused
from cloister.foundation.files import read_limited, write_atomically
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.disclosures import kept
from cloister.node.disclosures.kept import Standing
from cloister.node.disclosures.selecting import select
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Events
from cloister.storage.settings import Settings

_DECISION = "disclosures/decision/"


@dataclass(frozen=True)
class Offer:
    """What a person decides.

    Attributes:
        dataset: an own dataset's name.
        records: each by its file's name, or its row's number.
        recipient: the fingerprint.
        purpose: what for.
        until: until when, seconds since the epoch.
        deletion_days: how many days the confirmation of the deletion may take.
        by: who decides: the account's name.
        tell_scale: whether the recipient is told how many micrometres a pixel of the pictures is.
    """

    dataset: str
    records: tuple[str, ...]
    recipient: str
    purpose: str
    until: int
    deletion_days: int
    by: str
    tell_scale: bool = False


class Giving:
    """Disclosures of this party's own records."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        datasets: DatasetsService,
        agreements: AgreementsService,
        ledger: LedgerService,
    ) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._datasets = datasets
        self._agreements = agreements
        self._ledger = ledger
        self._lock = threading.Lock()

    def give(self, offer: Offer) -> dict[str, Any]:
        """Seals the records to the recipient. Returns the disclosure as `kept.view` tells it.

        Raises:
            Refused: an agreement forbids it; the recipient's fingerprint was not compared here.
            NotFound, BadInput: no such dataset or record; a purpose or date that cannot be.
            Tampered: the dataset is not as it was registered.
        """
        own, now = self._parties.own.party, self._clock.now()
        self._ledger.require_unlocked()
        if not now < offer.until <= now + MAX_DAYS * DAY:
            raise BadInput(
                "The last day cannot be used.",
                "It is over." if offer.until <= now else f"A disclosure lasts at most {MAX_DAYS} days.",
                "Choose another day.",
            )
        self._parties.require_trusted([offer.recipient])
        recipient = self._parties.keys_for(offer.recipient)
        entry = self._entry(offer.dataset)
        registration = self._datasets.for_use(entry).registration
        selected = select(registration, offer.records)
        sealed = write_contents(selected.contents)
        description = registration.description
        scale = _scale(description) if offer.tell_scale else None
        leaves = selected.contents.leaves
        wish = Wish(own, offer.recipient, description, leaves, offer.purpose, offer.until)
        with self._lock:
            # One at a time: two disclosures at once would each find room under the agreements.
            return self._give(offer, wish, sealed, recipient, now, scale, selected.left_out)

    def _give(
        self,
        offer: Offer,
        wish: Wish,
        sealed: bytes,
        recipient: PublicKeys,
        now: int,
        scale: float | None,
        left_out: tuple[str, ...],
    ) -> dict[str, Any]:
        description = wish.dataset
        agreements = require_permitted(wish, self._known(description.name))
        disclosure = _document(
            owner=wish.owner,
            recipient=wish.recipient,
            recipient_keyset=recipient.keyset,
            dataset=DisclosedFrom(
                name=description.name, commitment=description.commitment, kind=description.kind
            ),
            records=tuple(wish.records),
            contents=digest(sealed),
            bytes=len(sealed),
            purpose=offer.purpose,
            made=rfc3339(now),
            until=rfc3339(offer.until),
            deletion_days=offer.deletion_days,
            agreements=agreements,
            micrometres_per_pixel=scale,
        )
        envelope = sign_disclosure(disclosure, self._keys)
        # The package first: what is logged as disclosed can be handed over.
        write_atomically(
            self.place(envelope.digest), pack(envelope, disclosure, sealed, recipient), private=True
        )
        with self._database.transaction() as tx:
            kept.keep(
                tx,
                self._ledger,
                envelope,
                now,
                "disclosure.given",
                owner=wish.owner,
                recipient=wish.recipient,
            )
            self._decided(
                tx, "disclose", envelope.digest, offer.by, list(offer.records), now, left_out=list(left_out)
            )
        return self.one(envelope.digest)

    def withdraw(self, name: str, reason: str, by: str) -> dict[str, Any]:
        """Ends a disclosure now, for ever. Raises `NotFound`, or `Conflict` if the recipient has deleted the records already."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            item = self._own(tx, name)
            if item.state(now) is State.DELETED:
                raise Conflict(
                    "There is nothing left to withdraw.", "The recipient has confirmed the deletion.", ""
                )
            if item.withdrawal is None:
                envelope = sign_withdrawal(name, item.disclosure.owner, now, self._keys, reason.strip())
                kept.keep(tx, self._ledger, envelope, now, "disclosure.withdrawn", disclosure=name)
                kept.tell(tx, envelope.digest, item.disclosure.recipient)
                self._decided(tx, "withdraw", name, by, [], now)
        self.place(name).unlink(missing_ok=True)
        return self.one(name)

    def package(self, name: str) -> bytes:
        """The sealed package, to be handed over. Raises `NotFound`, or `Refused` if the disclosure has ended."""
        with self._database.read() as tx:
            item = self._own(tx, name)
        if (state := item.state(self._clock.now())) not in USABLE:
            raise Refused(
                "The disclosure has ended.",
                f"It is {state}.",
                "Make a new one.",
                clause=f"disclosure-{state}",
            )
        try:
            return read_limited(self.place(name), MAX_PACKAGE)
        except NotFound:
            raise NotFound(
                "The sealed package is no longer here.",
                "A backup does not hold it.",
                "Withdraw the disclosure, and make a new one.",
            ) from None

    def listing(self) -> list[dict[str, Any]]:
        """What was disclosed, oldest first."""
        with self._database.read() as tx:
            found = kept.standings(tx, owner=self._parties.own.party)
        names, now = self._parties.names(), self._clock.now()
        return [kept.view(item, names, now) for item in found]

    def one(self, name: str) -> dict[str, Any]:
        """One of them, with who decided it and which records those are. Raises `NotFound`."""
        with self._database.read() as tx:
            item = self._own(tx, name)
            decision = Settings(tx).get(_DECISION + name)
        return {
            **kept.view(item, self._parties.names(), self._clock.now()),
            "decided_by": (decision or {}).get("by"),
            "selected": (decision or {}).get("records", []),
            "left_out": (decision or {}).get("left_out", []),
        }

    def tidy(self) -> None:
        """Deletes the packages of what has ended; says once in the feed what is overdue."""
        now = self._clock.now()
        with self._database.read() as tx:
            found = kept.standings(tx, owner=self._parties.own.party)
        for item in found:
            state = item.state(now)
            if state not in USABLE:
                self.place(item.digest).unlink(missing_ok=True)
            if state is State.OVERDUE:
                self._say_overdue(item, now)

    def _say_overdue(self, item: Standing, now: int) -> None:
        key = f"disclosures/overdue/{item.digest}"
        with self._database.transaction() as tx:
            if not Settings(tx).get(key, False):
                Settings(tx).put(key, True)
                Events(tx).add("", now, "disclosure.overdue", {"disclosure": item.digest})

    def _entry(self, name: str) -> str:
        registration = self._datasets.named(name)
        if registration is None:
            raise NotFound("There is no such dataset at this server.", "", "See: cloister dataset list")
        return registration.description.commitment

    def _own(self, tx: Transaction, name: str) -> Standing:
        item = kept.standing(tx, name)
        if item.disclosure.owner != self._parties.own.party:
            raise NotFound("This party did not make that disclosure.", "", "See: cloister disclosure list")
        return item

    def _known(self, dataset: str) -> list[Known]:
        """The agreements here, each with what was disclosed of a dataset under it."""
        found: list[tuple[str, Terms, AgreementState]] = [
            (name, self._agreements.get(name).terms, self._agreements.state(name))
            for name in self._agreements.digests()
        ]
        with self._database.read() as tx:
            given = [
                item.disclosure
                for item in kept.standings(tx, owner=self._parties.own.party)
                if item.disclosure.dataset.name == dataset
            ]
        return [
            Known(
                name,
                terms,
                state,
                frozenset(leaf for item in given if name in item.agreements for leaf in item.records),
            )
            for name, terms, state in found
        ]

    def _decided(
        self,
        tx: Transaction,
        what: str,
        name: str,
        by: str,
        records: list[str],
        now: int,
        **more: list[str],
    ) -> None:
        act: dict[str, JSON] = {
            "type": "cloister/disclosure-decision@1",
            "what": what,
            "disclosure": name,
            "by": by,
            "records": list(records),
            "at": now,
            **more,
        }
        key = _DECISION + name if what == "disclose" else f"disclosures/withdrawn-by/{name}"
        Settings(tx).put(key, act)
        self._ledger.append(tx, "decision", digest_json(act))

    def place(self, name: str) -> Path:
        """Where the sealed package of a disclosure lies, while it is here."""
        return self._folder / "given" / f"{name.removeprefix('sha256:')}.package"


def _scale(description: DatasetDescription) -> float:
    image = description.image
    if image is None or image.micrometres_per_pixel is None:
        raise BadInput(
            "The scale cannot be told.",
            "The dataset's entry says no number of micrometres per pixel.",
            "Disclose without it, or register the dataset with its scale.",
        )
    return image.micrometres_per_pixel


def _document(**fields: Any) -> Disclosure:
    try:
        return Disclosure(**fields)
    except ValidationError as error:
        raise invalid(error, "The disclosure") from None
