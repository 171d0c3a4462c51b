"""What the hub remembers of its parties: their cards, who may connect, which invitations were used.

Everything is in the hub's database; the directory is held in memory as well and written whole when it changes.

Rules:
1. Changes wait for each other and then for the database. Looking waits for neither: keys are looked up for every message, and
   also by whoever has a transaction open, for whom a change may be waiting.
2. Who may connect is told one change after the other, each time as it is then: what is told last holds.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Sequence

from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError, NotTrusted, Refused
from cloister.identity.cards import read as read_card
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PublicKeys
from cloister.storage.database import Database
from cloister.storage.settings import Settings

MAX_CARDS = 64
"""A party's chain may be so long: the directory is held and written whole. A revocation is always taken."""
_DIRECTORY = "hub/directory"
_MEMBERS = "hub/members"
_CODES = "hub/codes/"
_SPENT = ""
"""In a party's place: a code that nobody may use any more."""


def code_used() -> Refused:
    """The error for an invitation's code that somebody else has used, or a party that was dropped since."""
    return Refused(
        "The invitation's code is not accepted.",
        "Another party has used it, or the one that did was dropped.",
        "Ask the relay's operator for a new invitation.",
        clause="invitation",
    )


class Members:
    """The parties of a hub. Implements `transport.peers.Peers` over those that are enrolled.

    Args:
        database: the hub's.
        clock: tells the time.
        changed: called with all who may connect, after that changed.
    """

    def __init__(
        self, database: Database, clock: Clock, changed: Callable[[frozenset[str]], None] | None = None
    ) -> None:
        self._database, self._clock = database, clock
        self.changed = changed
        self._lock = threading.RLock()
        self._telling = threading.Lock()
        with database.read() as tx:
            settings = Settings(tx)
            stored = settings.get(_DIRECTORY)
            self._members = frozenset(str(item) for item in settings.get(_MEMBERS, []))
        self.known = Directory.load(stored, clock.now()) if stored else Directory()
        self._told = self.permitted()

    @property
    def directory(self) -> KeyDirectory:
        """Every key that spoke for a known party."""
        return self.known

    def keys_for(self, party: str) -> PublicKeys:
        """The party's present keys. Raises `NotTrusted` unless it is enrolled and its card speaks for it now."""
        if party not in self._members:
            raise NotTrusted(
                "A party is not enrolled at this relay.",
                "It never was, or was dropped.",
                "Enrol with an invitation of the relay's operator.",
                clause="not-enrolled",
            )
        return self.known.current(party, self._clock.now()).keys

    def live(self) -> KeyDirectory:
        """The keys that speak now, of every known party."""
        return self.known.live(self._clock.now())

    def permitted(self) -> frozenset[str]:
        """Who may connect: enrolled, and not revoked."""
        return frozenset(party for party in self._members if self.known.card(party).status == "active")

    def chains(self, party: str | None = None) -> list[tuple[Envelope, ...]]:
        """The card chains of enrolled parties (or of one, if it is enrolled)."""
        members = self._members
        asked = sorted(members) if party is None else [party]
        return [self.known.chain(item) for item in asked if item in members]

    def accept(self, envelope: Envelope) -> None:
        """Takes in a card. Raises as `Directory.accept`. A revocation drops the party at once."""
        with self._lock:
            card = read_card(envelope)
            if card.sequence >= MAX_CARDS and card.status != "revoked":
                raise Refused(
                    "A party has rotated its keys too often.",
                    f"A relay keeps chains of up to {MAX_CARDS} cards.",
                    "It can revoke its identity and begin a new one.",
                    clause="quota",
                )
            before = self.known.changes
            try:
                self.known.accept(envelope, self._clock.now())
            finally:
                # A card that is held costs nothing; a fork is evidence, and is kept.
                if self.known.changes != before:
                    self._save()
        self._tell()

    def enrol(self, party: str, cards: Sequence[Envelope], code: str | None) -> None:
        """Lets a party connect from now on, with the cards it showed; `code` is noted as used by it.

        Raises:
            Refused: another party has used the code meanwhile, or this one was dropped since (clause `invitation`).
            NotTrusted: as `Directory.accept_chain`.
        """
        with self._lock:
            # Here, where no other request comes between: two that bring one code at once were both told it is free.
            if code is not None and self.code_used_by(code) not in {None, party}:
                raise code_used()
            try:
                self.known.accept_chain(cards, self._clock.now())
                self.known.current(party, self._clock.now())
            except CloisterError:
                self._save()  # a fork is evidence, and is kept
                raise
            self._members |= {party}
            self._save(code=code, party=party)
        self._tell()

    def drop(self, party: str) -> None:
        """Lets a party connect no longer, whatever codes it still has. Its cards and documents stay known."""
        with self._lock:
            self._members -= {party}
            self._save()
            with self._database.transaction() as tx:
                settings = Settings(tx)
                for name in settings.names(_CODES):
                    if settings.get(name) == party:
                        settings.put(name, _SPENT)
        self._tell()

    def code_used_by(self, code: str) -> str | None:
        """The party that used an invitation's code; an empty text if it was dropped since."""
        with self._database.read() as tx:
            found = Settings(tx).get(_CODES + code)
        return None if found is None else str(found)

    def _save(self, code: str | None = None, party: str = "") -> None:
        with self._database.transaction() as tx:
            settings = Settings(tx)
            settings.put(_DIRECTORY, self.known.export())
            members: Iterable[str] = sorted(self._members)
            settings.put(_MEMBERS, list(members))
            if code is not None:
                settings.put(_CODES + code, party)

    def _tell(self) -> None:
        # Not while members are held: who is told may wait long, for a relay that opens again.
        with self._telling:
            now = self.permitted()
            if now != self._told:
                if self.changed is not None:
                    self.changed(now)
                self._told = now
