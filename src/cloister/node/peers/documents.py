"""Keeps the parties' documents in step: cards, catalogue entries, agreements, acts.

There is no queue to lose: each node holds its documents, and offers another node what that one has not yet confirmed.
It does so when something changes, when the other node appears, and now and then. Documents are idempotent, so offering
one twice harms nothing; each is checked by its receiver as if a stranger had sent it. What was refused is not looked at again
at once, and of one party not without end (`refusals`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence

from cloister.agreements.lifecycle import ACT_TYPE
from cloister.agreements.signing import AGREEMENT_TYPE, read_terms
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Refused, Unreachable
from cloister.identity.cards import CARD_TYPE
from cloister.identity.cards import read as read_card
from cloister.identity.envelopes import MAX_ENVELOPE_BYTES, Envelope
from cloister.node.agreements_service import AgreementsService
from cloister.node.datasets_service import CATALOGUE_TYPE, DatasetsService
from cloister.node.peers.parties import Parties
from cloister.node.peers.refusals import Refusals

PUSH = "documents.push"
MAX_PUSHED = 200
MAX_PUSH = 4 * MAX_ENVELOPE_BYTES
_ROOM = MAX_PUSH - 2
_SECONDS = 20.0
_LOG = logging.getLogger("cloister.node.sync")


class DocumentsSync:
    """Offers this node's documents to the parties they concern, and takes in theirs."""

    def __init__(
        self,
        parties: Parties,
        datasets: DatasetsService,
        agreements: AgreementsService,
        call: Callable[[str, str, bytes, float, str | None], bytes],
    ) -> None:
        self._parties = parties
        self._datasets = datasets
        self._agreements = agreements
        self._call = call
        self._refusals = Refusals()
        self._confirmed: dict[str, set[str]] = {}
        self._lock = threading.Lock()

    def forget(self, party: str) -> None:
        """A party's node came anew: it may have lost what it confirmed."""
        with self._lock:
            self._confirmed.pop(party, None)

    def offer(self, party: str) -> int:
        """Offers a party what it has not confirmed; returns how many documents. Quiet if it cannot be reached."""
        due = [item for item in self._for(party) if self._mark(item) not in self._confirmed.get(party, set())]
        sent = 0
        for batch in _batches(due):
            try:
                answer = parse(
                    self._call(
                        party,
                        PUSH,
                        canonical([item.model_dump(mode="json") for item in batch]),
                        _SECONDS,
                        None,
                    )
                )
            except Unreachable:
                return sent
            except CloisterError as error:
                _LOG.info("documents were not taken: %s", error.what)
                return sent
            refused = {str(item) for item in answer.get("refused", [])}
            with self._lock:
                # What was refused is offered again when something changes: the other side may know more by then.
                taken = {self._mark(item) for item in batch if item.digest not in refused}
                self._confirmed.setdefault(party, set()).update(taken)
            sent += len(batch) - len(refused)
        return sent

    def take(self, sender: str, body: bytes) -> bytes:
        """Another node offers documents; says which were not taken."""
        value = parse(body, max_bytes=MAX_PUSH)
        if not isinstance(value, list) or len(value) > MAX_PUSHED:
            raise BadInput(
                "Documents came in a form that is not known here.", "", "Use the same version of Cloister."
            )
        refused, reasons = [], []
        for item in value:
            envelope = Envelope.from_json(item)
            try:
                self._looked_at(sender, envelope)
            except CloisterError as error:
                _LOG.info("a document was refused: %s %s", error.what, error.why)
                refused.append(envelope.digest)
                reasons.append(error.what)
        return canonical({"refused": refused, "reasons": reasons})

    def _looked_at(self, sender: str, envelope: Envelope) -> None:
        mark, generation = self._mark(envelope), self._parties.generation
        self._refusals.look(sender, mark, generation, time.monotonic())
        try:
            self._take(sender, envelope)
        except CloisterError as error:
            self._refusals.refused(sender, mark, error, generation, time.monotonic())
            raise
        self._refusals.taken(sender, mark)

    def _take(self, sender: str, envelope: Envelope) -> None:
        if envelope.payloadType == CARD_TYPE:
            if self._parties.holds(envelope.digest):
                return  # also an earlier one of a chain that has moved on
            party = read_card(envelope).party
            if party != sender and not self._parties.known(party):
                # Strangers' cards come through the relay's registry, so that no party can fill this directory.
                raise Refused(
                    "A card came from another party than its own.",
                    "Strangers are met through the relay.",
                    "Have the party publish its card.",
                    clause="card-sender",
                )
            self._parties.accept(envelope)
        elif envelope.payloadType == CATALOGUE_TYPE:
            if self._datasets.check(envelope).owner != sender:
                raise BadInput(
                    "A catalogue entry came from another party than its owner.",
                    "Each owner tells of its own data.",
                    "Ask the owner.",
                )
            self._datasets.accept(envelope)
        elif envelope.payloadType == AGREEMENT_TYPE:
            self._agreements.accept(envelope, sender)
        elif envelope.payloadType == ACT_TYPE:
            self._agreements.accept_act(envelope)
        else:
            raise BadInput(
                "A document of an unknown kind was offered.", "", "Use the same version of Cloister."
            )

    def _for(self, party: str) -> list[Envelope]:
        """What concerns a party, in the order in which it can be understood."""
        own = self._parties.own.party
        found = list(self._parties.chain(own))
        if self._parties.trusted(party):
            found += self._datasets.envelopes(own)
        for name in self._agreements.digests():
            envelope = self._agreements.envelope(name)
            if party in read_terms(envelope).parties:
                found += [envelope, *self._agreements.act_envelopes(name)]
        return found

    @staticmethod
    def _mark(envelope: Envelope) -> str:
        # An agreement's digest stays the same as signatures are added, so the whole envelope is marked.
        return digest(envelope.encode())


def _batches(due: Sequence[Envelope]) -> Iterator[list[Envelope]]:
    """What goes into one call each: not too many, and not more bytes than the other side takes."""
    batch: list[Envelope] = []
    room = _ROOM
    for item in due:
        size = len(item.encode()) + 1
        if batch and (len(batch) == MAX_PUSHED or size > room):
            yield batch
            batch, room = [], _ROOM
        batch.append(item)
        room -= size
    if batch:
        yield batch
