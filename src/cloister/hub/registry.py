"""Signed documents that nodes leave for each other: cards, catalogue entries, announcements of tools.

Rules:
1. A document is kept if it is a well-formed envelope of one of Cloister's payload types, within the size limit, and
   the party that brings it signed it with its present keys. The hub looks no further; readers check all themselves.
2. Cards go through the directory, so forged, rolled-back and forked ones are refused; a revocation takes effect at
   the relay at once.
3. Each party may keep so many documents and bytes, and bring so many an hour; over that it is refused (clause `quota`), and
   nobody else is. What others sign onto a document later counts for them: of the signatures that come with it only those are
   kept that hold, so that nobody can crowd out another's.
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
from cloister.identity.envelopes import Envelope, signers
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.log import LogRow, LogRows
from cloister.storage.quotas import pace

MAX_DOCUMENT = 1 << 20
MAX_PER_PARTY = 10_000
MAX_BYTES_PER_PARTY = 256 << 20
PAGE = 1000
PACE = Quota(number=1, size=1, burst=1000, per_hour=600)
_ORDER = "hub/registry"
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
        else:
            signed = signers(envelope, envelope.payloadType, self._members.live())
            if sender not in signed:
                raise NotTrusted(
                    "A document is published by one of its signers.",
                    "The party that brought it did not sign it with its present keys.",
                    "Sign it first.",
                    clause="publisher",
                )
            good = tuple(item for item in envelope.signatures if item.keyid.partition("/")[0] in signed)
            envelope = envelope.model_copy(update={"signatures": good})
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
                merged = _merged(Envelope.decode(held), envelope)
                data = merged.encode()
                if data == held:
                    return found[0].index
                self._bytes[sender] += max(0, len(data) - len(held))
            documents.put(digest, kind, data, self._clock.now(), party=sender)
            return found[0].index
        full = self._count[sender] >= MAX_PER_PARTY
        if full or self._bytes[sender] + len(data) > MAX_BYTES_PER_PARTY:
            raise Refused(
                "This party keeps too much at the hub.",
                f"The limits are {MAX_PER_PARTY} documents and {MAX_BYTES_PER_PARTY >> 20} MiB.",
                "Ask the hub's operator.",
                clause="quota",
            )
        if kind != CARD_TYPE:
            pace(tx, PACE, "documents", sender, self._clock.now())
        number = rows.size()
        documents.put(digest, kind, data, self._clock.now(), party=sender)
        rows.add(LogRow(number, f"{sender} {len(data)}".encode("ascii"), kind, None, digest))
        self._count[sender] += 1
        self._bytes[sender] += len(data)
        return number

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
            raise NotFound("The hub does not keep this document.", "", "Ask one of its signers for it.")
        return data


def _merged(held: Envelope, brought: Envelope) -> Envelope:
    """The held envelope with the brought one's signatures by other keys. They are the readers' to check."""
    known = {item.keyid for item in held.signatures}
    added = tuple(item for item in brought.signatures if item.keyid not in known)
    return held.model_copy(update={"signatures": (*held.signatures, *added)[:64]})
