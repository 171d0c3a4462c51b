"""The owner's half of a package's way over the relay: a person sends it, the recipient's server fetches it in parts.

Rules:
1. Nothing is offered that a person of the owner did not send; who it was is a decision in the log.
2. A part goes to the disclosure's recipient alone. To anybody else there is no such package, whether there is one or not.
3. Whether the disclosure still stands is asked anew for each part: what was withdrawn, has ended or was opened is sent no further.
4. A recipient that fetches again and again gets a package's size a few times over, no more.
5. When the recipient's server says that it has the whole, that is noted in the log. It is no receipt: that comes when it is opened.
"""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any, Protocol

from cloister.disclosure.delivery import PART, PackageOffer, PartWanted, parse_arrived, parse_wanted
from cloister.disclosure.states import State
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest, digest_json, same
from cloister.foundation.errors import CloisterError, NotFound, NotTrusted, Refused
from cloister.node.disclosures import kept
from cloister.node.disclosures.giving import Giving
from cloister.node.disclosures.kept import Standing
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.storage.database import Database, Transaction
from cloister.storage.events import Events
from cloister.storage.settings import Settings

OFFER, PART_OF, ARRIVED = "disclosure.offer", "disclosure.part", "disclosure.arrived"
PACKAGES = "packages of disclosures"
"""The chore that fetches what was offered."""
_SENDING = "disclosures/sending/"
_SECONDS = 20.0
_TIMES = 4


class Caller(Protocol):
    """A call to another party's node (`node.Node.call`)."""

    def __call__(
        self,
        to: str,
        method: str,
        body: bytes,
        deadline: float,
        key: str | None = None,
        *,
        answer: int | None = None,
    ) -> bytes:
        """The answer."""
        ...


class Sending:
    """Packages that this party's people sent."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        parties: Parties,
        ledger: LedgerService,
        giving: Giving,
        call: Caller,
    ) -> None:
        self._database = database
        self._clock = clock
        self._parties = parties
        self._ledger = ledger
        self._giving = giving
        self._call = call
        self._served: dict[str, int] = {}
        self._lock = threading.Lock()

    def send(self, name: str, by: str) -> dict[str, Any]:
        """Offers the package to its recipient's server from now on. Returns the disclosure, as `Giving.one`.

        Raises:
            NotFound: there is no such disclosure, or its package is no longer here.
            Refused: it has ended, or was opened.
        """
        package, now = self._giving.package(name), self._clock.now()
        self._ledger.require_unlocked()
        with self._database.transaction() as tx:
            item = self._standing(tx, name)
            _require_offered(item, now)
            act: dict[str, JSON] = {
                "type": "cloister/disclosure-sending@1",
                "disclosure": name,
                "by": by,
                "digest": digest(package),
                "size": len(package),
                "at": now,
            }
            # Also what arrived once: the recipient's server may have been set back to a backup, which holds no package.
            Settings(tx).put(_SENDING + name, {**act, "offered": None, "arrived": None})
            self._ledger.append(tx, "decision", digest_json(act))
        return self._giving.one(name)

    def tell(self) -> None:
        """Offers what was sent to recipients that have not confirmed the offer; to whom cannot be reached, again later."""
        for name, note in self._notes().items():
            if note["offered"] is not None:
                continue
            with self._database.read() as tx:
                item = self._standing(tx, name)
            if item.state(self._clock.now()) is not State.OFFERED:
                continue
            offer = PackageOffer(
                disclosure=name, size=note["size"], package=note["digest"], until=item.disclosure.until
            )
            try:
                self._call(item.disclosure.recipient, OFFER, offer.canonical(), _SECONDS)
            except CloisterError:
                continue  # not there, or it does not trust this party yet, or has no room
            self._note(name, offered=self._clock.now())

    def on_part(self, sender: str, body: bytes) -> bytes:
        """The recipient's server asks for a part. Raises `Refused`."""
        wanted = parse_wanted(body)
        name = wanted.disclosure
        item, note = self._sent_to(sender, name)
        _require_offered(item, self._clock.now())
        if wanted.at >= note["size"]:
            raise _nothing()
        with self._lock:
            served = self._served.get(name, 0) + min(PART, note["size"] - wanted.at)
            if served > _TIMES * note["size"] + PART:
                raise Refused(
                    "The package was fetched too often.",
                    "",
                    "Ask its owner to hand it over as a file.",
                    clause="disclosure-fetched",
                )
            self._served[name] = served
        return self._read(self._giving.place(name), wanted)

    def on_arrived(self, sender: str, body: bytes) -> bytes:
        """The recipient's server says that it has the whole. Raises `Refused` or `NotTrusted`."""
        told = parse_arrived(body)
        name, now = told.disclosure, self._clock.now()
        item, note = self._sent_to(sender, name)
        if not same(told.package, note["digest"]):
            raise NotTrusted(
                "Another package arrived than was sent.", "", "Send it anew.", clause="disclosure-package"
            )
        with self._database.transaction() as tx:
            if (Settings(tx).get(_SENDING + name) or {}).get("arrived") is None:
                Settings(tx).put(_SENDING + name, {**note, "offered": note["offered"] or now, "arrived": now})
                self._ledger.append(
                    tx, "disclosure", arrival(name, item.disclosure.owner, sender, note["digest"])
                )
                Events(tx).add("", now, "disclosure.delivered", {"disclosure": name})
        return b"{}"

    def view(self, name: str) -> dict[str, Any]:
        """How a package is on its way: `sent_by`, `sending` (None, `waiting`, `offered`, `arrived`)."""
        with self._database.read() as tx:
            note = Settings(tx).get(_SENDING + name)
        if note is None:
            return {"sending": None, "sent_by": None}
        how = "arrived" if note["arrived"] else "offered" if note["offered"] else "waiting"
        return {"sending": how, "sent_by": note["by"]}

    def _read(self, place: Path, wanted: PartWanted) -> bytes:
        try:
            with place.open("rb") as stream:
                stream.seek(wanted.at)
                return stream.read(PART)
        except OSError:
            raise _nothing() from None

    def _sent_to(self, sender: str, name: str) -> tuple[Standing, dict[str, Any]]:
        with self._database.read() as tx:
            note = Settings(tx).get(_SENDING + name)
            if note is None:
                raise _nothing()
            item = self._standing(tx, name)
        if item.disclosure.recipient != sender:
            raise _nothing()
        return item, note

    def _standing(self, tx: Transaction, name: str) -> Standing:
        try:
            item = kept.standing(tx, name)
        except NotFound:
            raise _nothing() from None
        if item.disclosure.owner != self._parties.own.party:
            raise _nothing()
        return item

    def _notes(self) -> dict[str, dict[str, Any]]:
        with self._database.read() as tx:
            settings = Settings(tx)
            return {key.removeprefix(_SENDING): settings.get(key) for key in settings.names(_SENDING)}

    def _note(self, name: str, **changes: Any) -> None:
        with self._database.transaction() as tx:
            Settings(tx).put(_SENDING + name, {**Settings(tx).get(_SENDING + name), **changes})


def arrival(name: str, owner: str, recipient: str, package: str) -> str:
    """The digest under which both logs note that a package arrived."""
    return digest_json(
        {
            "type": "cloister/disclosure-arrival@1",
            "disclosure": name,
            "owner": owner,
            "recipient": recipient,
            "package": package,
        }
    )


_OVER = {
    State.RECEIVED: "The recipient has opened it, and a package opens once.",
    State.WITHDRAWN: "Its owner has withdrawn it.",
    State.EXPIRED: "Its last day is over.",
    State.OVERDUE: "Its last day is over, or it was withdrawn.",
    State.DELETED: "The recipient has deleted its copy.",
}


def _require_offered(item: Standing, now: int) -> None:
    state = item.state(now)
    if state is not State.OFFERED:
        raise Refused(
            "The package is not sent any more.",
            _OVER[state],
            "If the records are still needed, their owner makes a new disclosure: cloister disclosure give",
            clause=f"disclosure-{state}",
        )


def _nothing() -> Refused:
    return Refused(
        "There is no such package for this party.",
        "",
        "Ask its owner to send it.",
        clause="disclosure-unknown",
    )
