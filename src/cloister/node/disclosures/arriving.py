"""The recipient's half of a package's way over the relay: offers taken in, packages fetched, kept until a person opens them.

Rules:
1. An offer is taken from a party whose fingerprint was compared here, within a quota of packages and bytes; nothing else is kept.
2. A package is fetched from who offered it, and opens only if that party is the owner that signed it.
3. Fetched parts lie in a file that is continued where it ends, whoever broke off. They are looked at when the whole is there: with
   another size, digest or address than offered they are deleted, and after some attempts the offer with them.
4. Nothing is opened by itself: a person opens it (`Receiving.open`), which is logged and signed as for a file.
5. What its owner withdrew or no longer has, what has ended, and what was opened is deleted, parts as well.
6. That a package arrived stands in the log, before its owner is told.
"""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cloister.disclosure.delivery import PART, Arrived, PackageOffer, PartWanted, parse_offer, require_offered
from cloister.disclosure.documents import DAY, MAX_DAYS
from cloister.disclosure.package import MAX_PACKAGE
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest_json
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused
from cloister.foundation.files import read_limited
from cloister.node.disclosures import kept
from cloister.node.disclosures.receiving import Receiving
from cloister.node.disclosures.sending import ARRIVED, PART_OF, Caller, arrival
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Events
from cloister.storage.settings import Settings

_WAITING = "disclosures/waiting/"
_QUOTA = "packages of disclosures"
_SECONDS = 300.0
_TURN = 60.0
"""Seconds after which a sender waits for its next turn, so that a slow one does not hold up what others send."""
_ATTEMPTS = 3


class Arriving:
    """Packages that other parties' servers offer to this one."""

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        parties: Parties,
        ledger: LedgerService,
        quotas: Quotas,
        receiving: Receiving,
        call: Caller,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder / "arriving"
        self._database = database
        self._clock = clock
        self._parties = parties
        self._ledger = ledger
        self._quotas = quotas
        self._receiving = receiving
        self._call = call
        self._steady = steady
        self._lock = threading.Lock()

    def on_offer(self, sender: str, body: bytes) -> bytes:
        """An owner's server offers a package. Raises `BadInput`, `Refused` (not trusted, over, no room)."""
        offer, now = parse_offer(body), self._clock.now()
        self._parties.require_trusted([sender])
        if not now < offer.until_at <= now + (MAX_DAYS + 1) * DAY:
            raise BadInput("A package was offered out of its time.", "", "Check both clocks.")
        key = _key(sender, offer.disclosure)
        with self._database.transaction() as tx:
            if not self._wanted(tx, sender, offer.disclosure):
                raise Refused(
                    "The package is not needed here.",
                    "Its records were opened, or withdrawn.",
                    "Make a new disclosure.",
                    clause="disclosure-known",
                )
            if Settings(tx).get(_WAITING + key) is None:
                self._quotas.take(_QUOTA, sender, key, offer.size, tx=tx)
                note: dict[str, JSON] = {
                    "sender": sender,
                    "offer": offer.model_dump(mode="json"),
                    "at": now,
                    "whole": None,
                    "told": False,
                    "failed": 0,
                }
                Settings(tx).put(_WAITING + key, note)
        return b"{}"

    def fetch(self) -> None:
        """Goes on with every package that is not whole; tells owners what arrived. Whom it cannot reach it asks again later."""
        with self._lock:
            spent: defaultdict[str, float] = defaultdict(float)
            for key, note in self._notes().items():
                if spent[note["sender"]] > _TURN:
                    continue
                began = self._steady()
                try:
                    self._fetch(key, note, began + _TURN)
                except CloisterError as error:
                    # Only what the owner itself said, or sent, ends an offer: of what happens on the way the relay could be the cause.
                    clause = error.clause if isinstance(error, Refused) else ""
                    if clause == "disclosure-package":
                        self._failed(key)
                    elif clause.startswith("disclosure-"):
                        self._forget(key)  # withdrawn, over, opened, or no longer there
                spent[note["sender"]] += self._steady() - began

    def _fetch(self, key: str, note: dict[str, Any], until: float) -> None:
        sender, offer = note["sender"], PackageOffer.model_validate(note["offer"])
        if note["whole"] is None:
            place = self._place(key)
            while (at := place.stat().st_size if place.exists() else 0) < offer.size:
                part = self._part(sender, offer, at)
                if not self._still(key):
                    place.unlink(missing_ok=True)
                    return
                self._append(place, part)
                if self._steady() > until:
                    return
            require_offered(read_limited(place, MAX_PACKAGE), offer, self._parties.own.party)
            if not self._arrived(key, sender, offer):
                return
        if not note["told"]:
            told = Arrived(disclosure=offer.disclosure, package=offer.package)
            self._call(sender, ARRIVED, told.canonical(), _SECONDS)
            self._note(key, told=True)

    def _part(self, sender: str, offer: PackageOffer, at: int) -> bytes:
        wanted = PartWanted(disclosure=offer.disclosure, at=at)
        part = self._call(sender, PART_OF, wanted.canonical(), _SECONDS, answer=PART)
        if len(part) != min(PART, offer.size - at):
            raise NotTrusted(
                "A part of a package has another size than was asked for.",
                "",
                "Ask its owner to hand the package over as a file.",
                clause="disclosure-package",
            )
        return part

    def _append(self, place: Path, part: bytes) -> None:
        place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with place.open("ab") as stream:
            place.chmod(0o600)
            stream.write(part)

    def _arrived(self, key: str, sender: str, offer: PackageOffer) -> bool:
        now = self._clock.now()
        with self._database.transaction() as tx:
            note = Settings(tx).get(_WAITING + key)
            if note is None:
                return False
            Settings(tx).put(_WAITING + key, {**note, "whole": now})
            logged = arrival(offer.disclosure, sender, self._parties.own.party, offer.package)
            self._ledger.append(tx, "disclosure", logged)
            Events(tx).add("", now, "disclosure.arrived", {"disclosure": offer.disclosure})
        return True

    # For people ----------------------------------------------------------------------------------------------------

    def listing(self) -> list[dict[str, Any]]:
        """Packages that were offered and are not open: from whom, how large, how much of it is here. Oldest first."""
        names = self._parties.names()
        found = []
        for key, note in sorted(self._notes().items(), key=lambda item: int(item[1]["at"])):
            offer, place = note["offer"], self._place(key)
            found.append(
                {
                    "disclosure": offer["disclosure"],
                    "owner": note["sender"],
                    "owner_name": names.get(note["sender"], ""),
                    "size": offer["size"],
                    "here": place.stat().st_size if place.exists() else 0,
                    "whole": note["whole"] is not None,
                    "until": offer["until"],
                }
            )
        return found

    def open(self, disclosure: str, by: str) -> dict[str, Any]:
        """Opens a package that arrived, as `Receiving.open` opens a file.

        Raises:
            NotFound: no whole package of that disclosure is here.
            CloisterError: as `Receiving.open`.
        """
        here = {
            key: note
            for key, note in self._notes().items()
            if note["offer"]["disclosure"] == disclosure and note["whole"] is not None
        }
        problem: CloisterError = NotFound(
            "No such package has arrived.",
            "It is not offered, or not all of it is here yet.",
            "See: cloister disclosure waiting",
        )
        for key, note in here.items():
            try:
                package = read_limited(self._place(key), MAX_PACKAGE)
                told = self._receiving.open(package, by, owner=note["sender"])
            except CloisterError as error:
                problem = error  # another party may have offered something under the same digest
                continue
            self.tidy()
            return told
        raise problem

    def refuse(self, disclosure: str) -> None:
        """Deletes what was offered or arrived of a disclosure, unopened. Raises `NotFound`."""
        found = [key for key, note in self._notes().items() if note["offer"]["disclosure"] == disclosure]
        if not found:
            raise NotFound("No such package has arrived.", "", "See: cloister disclosure waiting")
        for key in found:
            self._forget(key)

    def tidy(self) -> None:
        """Deletes packages and parts that are over, withdrawn or open (rule 5), and files that belong to no offer."""
        for key in self._notes():
            if not self._still(key):
                self._forget(key)
        if self._folder.is_dir():
            for left in self._folder.iterdir():
                if left.stem not in self._notes():
                    left.unlink(missing_ok=True)

    def _failed(self, key: str) -> None:
        self._place(key).unlink(missing_ok=True)
        note = self._notes().get(key)
        if note is None or note["failed"] + 1 >= _ATTEMPTS:
            self._forget(key)
        else:
            self._note(key, failed=note["failed"] + 1)

    def _forget(self, key: str) -> None:
        self._place(key).unlink(missing_ok=True)
        with self._database.transaction() as tx:
            note = Settings(tx).get(_WAITING + key)
            Settings(tx).remove(_WAITING + key)
        if note is not None:
            self._quotas.give_back(_QUOTA, note["sender"], key)

    def _still(self, key: str) -> bool:
        """Whether what was offered is still to be fetched or opened."""
        with self._database.read() as tx:
            note = Settings(tx).get(_WAITING + key)
            if note is None:
                return False
            if note["whole"] is not None and not self._place(key).exists():
                return False  # it is in no backup
            offer = PackageOffer.model_validate(note["offer"])
            return self._clock.now() < offer.until_at and self._wanted(tx, note["sender"], offer.disclosure)

    def _wanted(self, tx: Transaction, sender: str, disclosure: str) -> bool:
        """Whether a package may still be opened: nothing is known of its disclosure, or it broke off while it was opened."""
        if kept.withdrawal_of(tx, disclosure, sender) is not None:
            return False
        try:
            item = kept.standing(tx, disclosure)
        except NotFound:
            return True
        # Whoever asks about another owner's disclosure is answered as if it were not known here; it will not open.
        return item.disclosure.owner != sender or self._receiving.unfinished(tx, disclosure)

    def _note(self, key: str, **changes: Any) -> None:
        with self._database.transaction() as tx:
            note = Settings(tx).get(_WAITING + key)
            if note is not None:
                Settings(tx).put(_WAITING + key, {**note, **changes})

    def _notes(self) -> dict[str, dict[str, Any]]:
        with self._database.read() as tx:
            settings = Settings(tx)
            return {key.removeprefix(_WAITING): settings.get(key) for key in settings.names(_WAITING)}

    def _place(self, key: str) -> Path:
        return self._folder / f"{key}.package"


def _key(sender: str, disclosure: str) -> str:
    return digest_json([sender, disclosure]).removeprefix("sha256:")
