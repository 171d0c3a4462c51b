"""The recipient's half: opens a package once, keeps its records in one folder, deletes them in time and says so.

Rules:
1. That the records were opened is logged and signed before they can be seen.
2. A copy is deleted before the deletion is signed; a deletion that failed is tried again and never confirmed.
3. When a disclosure ends, by its date or by a withdrawal, this node deletes its copy by itself (`tidy`), asking nobody.
4. A withdrawal of a package that was not opened here keeps it from ever being opened; the receipt then says that no records were.

What this does not do: find copies that somebody made from the folder, or the package itself where a person keeps it.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

from cloister.disclosure.documents import Reason, sign_receipt
from cloister.disclosure.package import Opened, read_header, require_usable, unpack
from cloister.disclosure.states import USABLE, State, state_of
from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError, Conflict, NotFound, NotTrusted
from cloister.identity.keys import SecretKeys
from cloister.node.disclosures import kept
from cloister.node.disclosures.copies import delete_copies, write_copies
from cloister.node.disclosures.kept import Standing
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.settings import Settings

_OPENED_BY = "disclosures/opened-by/"


class Receiving:
    """Records that other parties disclosed to this one."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        ledger: LedgerService,
    ) -> None:
        self._folder = folder
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._ledger = ledger
        self._lock = threading.Lock()

    def open(self, package: bytes, by: str, owner: str | None = None) -> dict[str, Any]:
        """Opens a package into a folder of this node. Returns the disclosure as `view` tells it.

        Args:
            package: foreign bytes.
            by: who opens it: the account's name.
            owner: whose server sent it over the relay; somebody brought it as a file if absent.

        Raises:
            BadInput, NotTrusted: it is none, is not for this party, was changed, or its owner is not known or not trusted here.
            Refused: it has ended, was withdrawn, or its records were deleted here.
            Conflict: it is open already.
        """
        with self._lock:
            self._ledger.require_unlocked()
            own, now = self._parties.own.party, self._clock.now()
            self._require_unused(read_header(package).disclosure)
            opened = unpack(package, own, self._keys, self._parties.directory, now)
            if owner not in (None, opened.disclosure.owner):
                raise NotTrusted(
                    "A package came from another party than its owner.",
                    "",
                    "Ask its owner.",
                    clause="sender",
                )
            self._parties.require_trusted([opened.disclosure.owner])
            name = opened.envelope.digest
            receipt = sign_receipt(
                name,
                opened.disclosure.owner,
                own,
                self._keys,
                now,
                what="received",
                reason="opened",
                records=len(opened.disclosure.records),
            )
            with self._database.transaction() as tx:
                self._require_open(tx, opened, now)
                kept.keep(
                    tx,
                    self._ledger,
                    opened.envelope,
                    now,
                    "disclosure.received",
                    owner=opened.disclosure.owner,
                    recipient=own,
                )
                if kept.standing(tx, name).receipt("received") is None:
                    kept.keep(tx, self._ledger, receipt, now, "disclosure.opened", disclosure=name)
                    kept.tell(tx, receipt.digest, opened.disclosure.owner)
                    Settings(tx).put(_OPENED_BY + name, {"by": by, "at": now})
            write_copies(self._place(name), opened.contents, opened.envelope.encode())
            return self.one(name)

    def unfinished(self, tx: Transaction, name: str) -> bool:
        """Whether a disclosure was opened here, but its records do not lie here: this node was ended in between."""
        item = kept.standing(tx, name)
        return item.state(self._clock.now()) is State.RECEIVED and not self._place(name).exists()

    def delete(self, name: str, reason: Reason = "no-longer-needed") -> dict[str, Any]:
        """Deletes this node's copy now and signs that it did. Raises `NotFound`, `Conflict` if it was deleted before."""
        with self._lock:
            with self._database.read() as tx:
                item = self._mine(tx, name)
            if item.state(self._clock.now()) is State.DELETED:
                raise Conflict("These records were deleted before.", "", "Nothing is left to do.")
            self._delete(item, reason)
        return self.one(name)

    def withdrawn(self, tx: Transaction, name: str, owner: str, now: int) -> None:
        """A withdrawal was taken in, in this transaction: the receipt of what is not open here is signed at once."""
        if Documents(tx).get(name) is None:
            receipt = sign_receipt(
                name,
                owner,
                self._parties.own.party,
                self._keys,
                now,
                what="deleted",
                reason="withdrawn",
                records=0,
            )
            kept.keep(tx, self._ledger, receipt, now, "disclosure.deleted", disclosure=name)
            kept.tell(tx, receipt.digest, owner)

    def tidy(self) -> None:
        """Deletes every copy whose disclosure has ended. One that cannot be deleted keeps no other from it."""
        now, failed = self._clock.now(), None
        with self._database.read() as tx:
            found = kept.standings(tx, recipient=self._parties.own.party)
        for item in found:
            state = item.state(now)
            if state in USABLE:
                continue
            try:
                with self._lock:
                    if state is State.DELETED:
                        delete_copies(self._place(item.digest))  # killed between writing and looking
                    else:
                        self._delete(item, "withdrawn" if item.withdrawal is not None else "expired")
            except CloisterError as error:
                failed = error
        if failed is not None:
            raise failed

    def listing(self) -> list[dict[str, Any]]:
        """What was disclosed to this party, oldest first."""
        with self._database.read() as tx:
            found = kept.standings(tx, recipient=self._parties.own.party)
        return [self._view(item) for item in found]

    def one(self, name: str) -> dict[str, Any]:
        """One of them. Raises `NotFound`."""
        with self._database.read() as tx:
            item = self._mine(tx, name)
            opened = Settings(tx).get(_OPENED_BY + name)
        return {**self._view(item), "opened_by": (opened or {}).get("by")}

    def _view(self, item: Standing) -> dict[str, Any]:
        place = self._place(item.digest)
        shown = kept.view(item, self._parties.names(), self._clock.now())
        return {**shown, "folder": str(place) if place.is_dir() else None}

    def _delete(self, item: Standing, reason: Reason) -> None:
        name, own = item.digest, self._parties.own.party
        delete_copies(self._place(name))
        now = self._clock.now()
        receipt = sign_receipt(
            name,
            item.disclosure.owner,
            own,
            self._keys,
            now,
            what="deleted",
            reason=reason,
            records=len(item.disclosure.records),
        )
        with self._database.transaction() as tx:
            if kept.standing(tx, name).receipt("deleted") is None:
                kept.keep(tx, self._ledger, receipt, now, "disclosure.deleted", disclosure=name)
                kept.tell(tx, receipt.digest, item.disclosure.owner)

    def _require_unused(self, name: str) -> None:
        """Before anything is opened: what this node knows of the disclosure says whether it may be."""
        with self._database.read() as tx:
            if Documents(tx).get(name) is None:
                return
            item = self._mine(tx, name)
        self._require_state(item, item.state(self._clock.now()))

    def _require_open(self, tx: Transaction, opened: Opened, now: int) -> None:
        name, disclosure = opened.envelope.digest, opened.disclosure
        if Documents(tx).get(name) is not None:
            item = kept.standing(tx, name)
            self._require_state(item, item.state(now))
            return
        withdrawal = kept.withdrawal_of(tx, name, disclosure.owner)
        require_usable(state_of(disclosure, withdrawal, (), now))

    def _require_state(self, item: Standing, state: State) -> None:
        # Killed between the log and the folder: the package may be opened once more.
        if state is State.RECEIVED and not self._place(item.digest).exists():
            return
        require_usable(state)

    def _mine(self, tx: Transaction, name: str) -> Standing:
        item = kept.standing(tx, name)
        if item.disclosure.recipient != self._parties.own.party:
            raise NotFound(
                "These records were not disclosed to this party.", "", "See: cloister disclosure list"
            )
        return item

    def _place(self, name: str) -> Path:
        return self._folder / "opened" / name.removeprefix("sha256:")[:32]
