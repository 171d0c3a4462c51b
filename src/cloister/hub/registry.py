"""Signed documents that nodes leave for each other: cards, catalogue entries, announcements of tools.

Rules:
1. A document is kept if it is a well-formed envelope of one of Cloister's payload types, within the size limit, and
   the party that brings it signed it with its present keys. The hub looks no further; readers check all themselves.
2. Cards go through the directory, so forged, rolled-back and forked ones are refused; a revocation takes effect at
   the relay at once.
3. Each party may keep so many documents and bytes, and bring so many an hour; over that it is refused (clause `quota`), and
   nobody else is. What others sign onto a document later counts for them, in number an hour and in bytes, also after a
   restart. Of the entries that come with a document only those are kept that hold, one of each party, so that nobody can
   crowd out another's.
4. The order is the order of arrival and never changes, so a node asks for what is new by number.
"""

from __future__ import annotations

import re
import threading
from collections import Counter

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, NotFound, NotTrusted, Refused
from cloister.foundation.quotas import Quota
from cloister.hub.state import Members
from cloister.identity.cards import CARD_TYPE
from cloister.identity.cards import read as read_card
from cloister.identity.envelopes import MAX_SIGNATURES, Envelope, holding, signer_of, with_signatures
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.log import LogRow, LogRows
from cloister.storage.quotas import pace
from cloister.storage.settings import Settings

MAX_DOCUMENT = 1 << 20
MAX_PER_PARTY = 10_000
MAX_BYTES_PER_PARTY = 256 << 20
PAGE = 1000
PACE = Quota(number=1, size=1, burst=1000, per_hour=600)
_ORDER = "hub/registry"
_GROWN = "hub/registry/grown/"
"""Bytes that a party's signatures on documents of others came to; the documents' own are in the order's rows."""
_KIND = re.compile(r"application/vnd\.cloister\.[a-z0-9.\-]{1,64}\+json")


class Registry:
    """The documents that a hub keeps."""

    def __init__(self, database: Database, members: Members, clock: Clock) -> None:
        self._database, self._members, self._clock = database, members, clock
        self._lock = threading.Lock()
        self._count: Counter[str] = Counter()
        self._bytes: Counter[str] = Counter()
        with database.read() as tx:
            for row in LogRows(tx, _ORDER).scan():
                party, size = row.leaf.decode("ascii").split(" ")
                self._count[party] += 1
                self._bytes[party] += int(size)
            settings = Settings(tx)
            for name in settings.names(_GROWN):
                self._bytes[name.removeprefix(_GROWN)] += int(settings.get(name))

    def publish(self, sender: str, data: bytes) -> int:
        """Keeps a document; returns its number. One that is kept already gets any new signatures."""
        if len(data) > MAX_DOCUMENT:
            raise BadInput(
                "A document is over the size limit.",
                f"The limit is {MAX_DOCUMENT} bytes.",
                "Publish a smaller one.",
                clause="size",
            )
        envelope = Envelope.decode(data)
        if not _KIND.fullmatch(envelope.payloadType):
            raise BadInput(
                "This kind of document is not kept here.", "", "Publish Cloister's documents only."
            )
        envelope.document()
        if envelope.payloadType == CARD_TYPE:
            if read_card(envelope).party != sender:
                raise NotTrusted(
                    "A card is published by its own party.",
                    "This one was brought by another.",
                    "Let the party that the card is of publish it.",
                    clause="publisher",
                )
            with self._database.read() as tx:
                held = Documents(tx).get(envelope.digest) is not None
            if not held:
                self._pace(sender)
            self._members.accept(envelope)
            # As the directory keeps it: with the entries that count.
            held_cards = self._members.known.chain(sender)
            envelope = next((item for item in held_cards if item.digest == envelope.digest), envelope)
        else:
            good = holding(envelope, envelope.payloadType, self._members.live())
            if sender not in {signer_of(item) for item in good}:
                raise NotTrusted(
                    "A document is published by one of its signers.",
                    "The party that brought it did not sign it with its present keys.",
                    "Sign it first.",
                    clause="publisher",
                )
            envelope = with_signatures(envelope, good)
        with self._lock, self._database.transaction() as tx:
            return self._keep(tx, sender, envelope)

    def _pace(self, sender: str) -> None:
        with self._database.transaction() as tx:
            pace(tx, PACE, "documents", sender, self._clock.now())

    def _keep(self, tx: Transaction, sender: str, envelope: Envelope) -> int:
        rows, documents = LogRows(tx, _ORDER), Documents(tx)
        digest, kind = envelope.digest, envelope.payloadType
        found = rows.find(digest)
        data = envelope.encode()
        if found:
            held = documents.get(digest)
            if held is not None:
                data = self._merged(held, envelope).encode()
                if data == held:
                    return found[0].index
            self._grow(tx, sender, len(data) - len(held or b""), paced=kind != CARD_TYPE)
            documents.put(digest, kind, data, self._clock.now(), party=sender)
            return found[0].index
        if self._count[sender] >= MAX_PER_PARTY or self._bytes[sender] + len(data) > MAX_BYTES_PER_PARTY:
            raise _keeps_too_much()
        if kind != CARD_TYPE:
            pace(tx, PACE, "documents", sender, self._clock.now())
        number = rows.size()
        documents.put(digest, kind, data, self._clock.now(), party=sender)
        rows.add(LogRow(number, f"{sender} {len(data)}".encode("ascii"), kind, None, digest))
        self._count[sender] += 1
        self._bytes[sender] += len(data)
        return number

    def _grow(self, tx: Transaction, sender: str, grown: int, *, paced: bool) -> None:
        """Counts what a party added to a document that is kept already."""
        grown = max(0, grown)
        if self._bytes[sender] + grown > MAX_BYTES_PER_PARTY:
            raise _keeps_too_much()
        if paced:
            pace(tx, PACE, "documents", sender, self._clock.now())
        settings, name = Settings(tx), f"{_GROWN}{sender}"
        settings.put(name, int(settings.get(name, 0)) + grown)
        self._bytes[sender] += grown

    def _merged(self, held: bytes, brought: Envelope) -> Envelope:
        """The held document with the brought one's entries, which hold now, instead of their signers' earlier ones."""
        kept = Envelope.decode(held)
        if kept.payloadType == CARD_TYPE:
            return kept  # the directory took in what counts; a card needs no more signatures than its own
        # By keys that have been replaced since, too: they were checked when they came.
        old = holding(kept, kept.payloadType, self._members.directory)
        known = {item.keyid for item in old}
        new = {signer_of(item): item for item in brought.signatures if item.keyid not in known}
        left = [item for item in old if signer_of(item) not in new]
        if len(left) + len(new) > MAX_SIGNATURES:
            raise Refused(
                "The document has too many signatures.",
                f"The limit is {MAX_SIGNATURES}.",
                "Have another document signed.",
                clause="quota",
            )
        return with_signatures(kept, (*left, *new.values()))

    def listed(self, since: int, kind: str | None) -> list[dict[str, int | str]]:
        """At most 1000 documents from number `since` on, in order."""
        found: list[dict[str, int | str]] = []
        with self._database.read() as tx:
            for row in LogRows(tx, _ORDER).scan(max(0, since)):
                if kind is None or row.kind == kind:
                    found.append({"number": row.index, "digest": row.document or "", "kind": row.kind})
                if len(found) >= PAGE:
                    break
        return found

    def fetch(self, digest: str) -> bytes:
        """A document's envelope. Raises `NotFound`."""
        with self._database.read() as tx:
            data = Documents(tx).get(digest)
        if data is None:
            raise NotFound("The relay does not keep this document.", "", "Ask one of its signers for it.")
        return data


def _keeps_too_much() -> Refused:
    return Refused(
        "This party keeps too much at the relay.",
        f"The limits are {MAX_PER_PARTY} documents and {MAX_BYTES_PER_PARTY >> 20} MiB.",
        "Ask the relay's operator.",
        clause="quota",
    )
