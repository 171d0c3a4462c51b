"""The parties that this node knows, kept on disk; the transport asks here whose keys speak.

A card may come from anywhere (a file, the hub, another node): it makes a party *known* once it is checked against the
chain. Only a person, by comparing fingerprints, makes it *trusted*; agreements are signed with trusted parties only.

Cards of parties whom nobody here has compared share `MAX_STRANGERS` bytes, so that strangers, however many, neither keep a
trusted party's card out nor make the directory too large to be read.

Changes wait for each other and then for the database. Looking waits for neither: keys are looked up for every message, and also
by whoever has a transaction open, for whom a change may be waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError, Refused
from cloister.foundation.text import party_name
from cloister.identity.cards import Card
from cloister.identity.cards import read as read_card
from cloister.identity.directory import Directory
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PublicKeys, grouped
from cloister.storage.database import Database
from cloister.storage.settings import Settings

_KEY = "directory"
MAX_CARDS = 64
"""A party's chain may be so long; the directory is held and written whole, so a party that rotates without end would cost
everybody. A revocation is always taken."""
MAX_STRANGERS = 16 << 20
"""Bytes of all cards of parties whom nobody here has compared."""


class Parties:
    """The directory of cards with its storage. Implements `transport.peers.Peers`.

    Args:
        database: the node's.
        clock: for the freshness of cards.
        own: this party's own chain of cards; always known and pinned.
    """

    def __init__(self, database: Database, clock: Clock, own: Iterable[Envelope]) -> None:
        self._database = database
        self._clock = clock
        self._lock = threading.RLock()
        with database.read() as tx:
            stored = Settings(tx).get(_KEY)
        now = clock.now()
        self._directory = Directory.load(stored, now) if stored is not None else Directory()
        self._saved = self._directory.changes
        self.own = self._directory.accept_chain(list(own), now)
        self._directory.pin(self.own.party, self.own.party)
        self._save()

    # For the transport and for verifying ---------------------------------------------------------------------------

    @property
    def directory(self) -> KeyDirectory:
        """Keys for verifying documents, also those signed before a routine rotation."""
        return self._directory

    @property
    def generation(self) -> int:
        """Grows with whatever changes keys or trust, at once; what was verified before then is verified again."""
        return self._directory.changes

    def live(self) -> KeyDirectory:
        """Keys that speak now: for messages and new signatures."""
        return self._directory.live(self._clock.now())

    def keys_for(self, party: str) -> PublicKeys:
        """The keys that speak for `party` now. Raises `NotTrusted`."""
        return self._directory.current(party, self._clock.now()).keys

    # For people ----------------------------------------------------------------------------------------------------

    def accept(self, envelope: Envelope) -> Card:
        """Takes in one card. Raises `NotTrusted` or `BadInput`; a fork is remembered even so."""
        with self._lock:
            self._room(envelope)
            self._room_for_stranger([envelope])
            try:
                return self._directory.accept(envelope, self._clock.now())
            finally:
                self._save()

    def accept_chain(self, envelopes: Iterable[Envelope]) -> Card:
        """Takes in a party's cards from the first on."""
        chain = list(envelopes)
        if len(chain) > MAX_CARDS + 1:
            raise _too_many_cards()
        with self._lock:
            for envelope in chain[MAX_CARDS:]:
                self._room(envelope)
            self._room_for_stranger(chain)
            try:
                return self._directory.accept_chain(chain, self._clock.now())
            finally:
                self._save()

    def pin(self, party: str, compared: str) -> None:
        """Records that a person compared the fingerprint as read out by the other side."""
        with self._lock:
            self._directory.pin(party, compared)
            self._save()

    def unpin(self, party: str) -> None:
        """Takes trust back."""
        if party == self.own.party:
            raise Refused(
                "A server always trusts its own party.", "", "Revoke its card instead.", clause="own-party"
            )
        with self._lock:
            self._directory.unpin(party)
            self._save()

    def trusted(self, party: str) -> bool:
        """Whether a person pinned the party and its card speaks now."""
        return self._directory.trusted(party, self._clock.now())

    def require_trusted(self, parties: Iterable[str]) -> None:
        """Raises `Refused` naming the first party whose fingerprint nobody here has compared."""
        for party in sorted(set(parties)):
            if not self.trusted(party):
                raise Refused(
                    f"The party {self.name(party)} is not trusted here yet.",
                    "Nobody at this server has compared its fingerprint, or its card no longer speaks.",
                    f"Call them, compare the fingerprint, then: cloister party trust {party}",
                    clause="party-trusted",
                    party=party,
                )

    def name(self, party: str) -> str:
        """The party's name on its card, or the start of its fingerprint."""
        if party in self._directory:
            return self._directory.card(party).name
        return party_name(party, {})

    def names(self) -> dict[str, str]:
        """Names by fingerprint of all known parties."""
        return {party: self._directory.card(party).name for party in self._directory}

    def chain(self, party: str) -> tuple[Envelope, ...]:
        """A party's cards from the first on."""
        return self._directory.chain(party)

    def holds(self, card: str) -> bool:
        """Whether the card of that digest is part of a chain that is held."""
        return any(
            item.digest == card for party in self._directory for item in self._directory.record(party).cards
        )

    def known(self, party: str) -> bool:
        """Whether a card of the party is held."""
        return party in self._directory

    def listing(self) -> list[dict[str, Any]]:
        """All known parties as people see them."""
        found = []
        for party in sorted(self._directory):
            card = self._directory.card(party)
            try:
                self._directory.current(party, self._clock.now())
                problem = ""
            except CloisterError as error:
                problem = error.what
            found.append(
                {
                    "party": party,
                    "fingerprint": grouped(party),
                    "name": card.name,
                    "roles": list(card.roles),
                    "sequence": card.sequence,
                    "expires": card.expires,
                    "trust": self._directory.trust(party),
                    "own": party == self.own.party,
                    "problem": problem,
                }
            )
        return found

    def _room(self, envelope: Envelope) -> None:
        card = read_card(envelope)
        if card.status == "revoked" or card.sequence < MAX_CARDS or card.party == self.own.party:
            return
        raise _too_many_cards()

    def _room_for_stranger(self, new: list[Envelope]) -> None:
        if not new:
            return  # refused for that, further on
        card = read_card(new[-1])
        known = card.party in self._directory
        if known and (card.status == "revoked" or self._directory.trust(card.party) == "pinned"):
            return
        held = {item.digest for item in self._directory.chain(card.party)} if known else set()
        size = sum(_size(item) for item in new if item.digest not in held)
        if not size:
            return
        for party in self._directory:
            if self._directory.trust(party) != "pinned":
                size += sum(_size(item) for item in self._directory.chain(party))
        if size > MAX_STRANGERS:
            raise Refused(
                "The cards of strangers take up too much room here.",
                f"All parties whose fingerprints nobody has compared share {MAX_STRANGERS >> 20} MiB.",
                "Compare the fingerprints of parties that are known here.",
                clause="quota",
            )

    def _save(self) -> None:
        changes = self._directory.changes
        if changes == self._saved:
            return  # most cards that come in are held already
        with self._database.transaction() as tx:
            Settings(tx).put(_KEY, self._directory.export())
        self._saved = changes


def _size(card: Envelope) -> int:
    # A card is kept with at most three signatures, whatever came with it (rule 8 of `identity.directory`).
    return len(card.payload) + sum(len(item.keyid) + len(item.sig) for item in card.signatures[:3])


def _too_many_cards() -> Refused:
    return Refused(
        "A party has rotated its keys too often.",
        f"Chains of up to {MAX_CARDS} cards are kept.",
        "It can revoke its identity and begin a new one.",
        clause="quota",
    )
