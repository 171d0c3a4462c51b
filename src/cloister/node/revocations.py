"""Releases taken back: an owner says that a result must no longer be used, and everybody who holds it marks it so.

Nothing can be fetched back from a recipient's machine. A revocation makes honest nodes stop: they hand out neither the
content nor its certificate without the mark, and verify no certificate about it (`release.certificate`, rule 6).

Rules:
1. Only an owner whose data a release was made from may revoke it: one that the certificate's gates name.
2. A revocation is a signed document, logged where it is made and where it is taken in. It is final.
3. It is sent to every party of the task, again until each has confirmed it.
4. It is about one result *of one task*, and counts for no other: an owner takes back what its own records went into, not
   another task's release, nor an agreement. Where this node knows what the task made, it must be that; while the task
   still runs here, it is kept for the release that may come.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest, Time
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import CloisterError, NotFound, NotTrusted, Refused
from cloister.identity.envelopes import Envelope, sign, verify
from cloister.identity.keys import PartyId, SecretKeys
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.node.tasks.service import TasksService
from cloister.release.certificate import PAYLOAD_TYPE, read_statement
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.releases import Release, Releases
from cloister.storage.settings import Settings
from cloister.storage.tasks import Tasks

REVOKE = "release.revoke"
REVOCATION_TYPE = "application/vnd.cloister.revocation+json"
_UNTOLD = "revocations/untold"
_SECONDS = 20.0


class Revocation(BaseModel):
    """An owner's word that a release must no longer be used."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/revocation@1"] = "cloister/revocation@1"
    release: Digest
    task: Digest
    by: PartyId
    time: Time
    reason: str = Field(default="", max_length=200)


def revoked(tx: Transaction, task: str) -> frozenset[tuple[str, str]]:
    """What is revoked of a task, as this node knows: the task and the result's digest."""
    found = [Envelope.decode(data).document() for _, data in Documents(tx).find(REVOCATION_TYPE, task=task)]
    return frozenset((task, str(document["release"])) for document in found)


class Revocations:
    """Revocations made and taken in at this node."""

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        tasks: TasksService,
        ledger: LedgerService,
        call: Callable[[str, str, bytes, float, str], bytes],
        quotas: Quotas,
    ) -> None:
        self._quotas = quotas
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._tasks = tasks
        self._ledger = ledger
        self._call = call

    def revoke(self, release: str, reason: str) -> dict[str, Any]:
        """Takes a release back, as one of its owners. Returns who is still to be told.

        Raises:
            NotFound: no such release here.
            Refused: this party is not one of its owners (clause `release-owner`).
        """
        with self._database.read() as tx:
            found = Releases(tx).get(release)
        if found is None:
            raise NotFound("There is no such release here.", "", "See: cloister release list")
        own = self._parties.own.party
        self._require_owner(found.task, own)
        document = Revocation(
            release=release, task=found.task, by=own, time=rfc3339(self._clock.now()), reason=reason[:200]
        )
        envelope = sign(REVOCATION_TYPE, document.model_dump(mode="json"), own, self._keys)
        with self._database.transaction() as tx:
            self._keep(tx, envelope, document)
            others = sorted(self._tasks.plan(found.task).parties - {own})
            untold = Settings(tx).get(_UNTOLD, {})
            Settings(tx).put(_UNTOLD, {**untold, envelope.digest: others})
        self.tell()
        with self._database.read() as tx:
            waiting = Settings(tx).get(_UNTOLD, {}).get(envelope.digest, [])
        return {"release": release, "revoked": True, "untold": waiting}

    def tell(self) -> None:
        """Sends revocations to those who have not confirmed them."""
        with self._database.read() as tx:
            untold: dict[str, list[str]] = Settings(tx).get(_UNTOLD, {})
            envelopes = {name: Documents(tx).get(name) for name in untold}
        for name, parties in untold.items():
            body = envelopes[name] or b""
            for party in parties:
                try:
                    self._call(party, REVOKE, body, _SECONDS, f"revoke/{name}/{secrets.token_hex(4)}")
                except Refused:
                    pass  # its own rules say no; asking again changes nothing
                except CloisterError:
                    continue
                self._told(name, party)

    def _told(self, name: str, party: str) -> None:
        with self._database.transaction() as tx:
            untold: dict[str, list[str]] = Settings(tx).get(_UNTOLD, {})
            left = [other for other in untold.get(name, []) if other != party]
            Settings(tx).put(_UNTOLD, {**untold, name: left} if left else _without(untold, name))

    def take(self, sender: str, body: bytes) -> bytes:
        """Another party revokes a release of a task that this node took part in."""
        envelope = Envelope.decode(body)
        try:
            document = Revocation.model_validate_json(canonical(envelope.document()))
        except ValidationError as error:
            raise invalid(error, "A revocation") from None
        if sender != document.by:
            raise NotTrusted(
                "A revocation came from another party than its owner.", "", "Ask the owner.", clause="sender"
            )
        verify(envelope, REVOCATION_TYPE, [document.by], self._parties.live())
        self._require_owner(document.task, document.by)
        with self._database.transaction() as tx:
            self._require_made(tx, document)
            if Documents(tx).get(envelope.digest) is None:
                self._quotas.take("revocations", sender, envelope.digest, len(body), tx=tx)
            self._keep(tx, envelope, document)
        return b"{}"

    def _require_owner(self, task: str, party: str) -> None:
        if party not in self._tasks.plan(task).request.datasets:
            raise Refused(
                "Only an owner whose data went into a release can revoke it.",
                "This party gave no data to its task.",
                "Ask one of the owners that the certificate names.",
                clause="release-owner",
            )

    def _require_made(self, tx: Transaction, document: Revocation) -> None:
        """Rule 4. Raises `NotTrusted` (`release-task`), or `NotFound` where the task has not begun here: asked again then."""
        task = document.task
        made = {found.digest for found in Releases(tx).find(task)}
        # Of two tasks that came to the same bytes the shelf names the later one; both certificates are kept.
        for _, data in Documents(tx).find(PAYLOAD_TYPE, task=task):
            subject = read_statement(Envelope.decode(data)).subject[0]
            made.add(f"sha256:{subject.digest.sha256}")
        made.add(str((Settings(tx).get(f"candidate/{task}") or {}).get("content")))
        if document.release in made:
            return
        row = Tasks(tx).get(task)
        if row is None and self._tasks.plan(task).offer.seat_of(self._parties.own.party) is not None:
            raise NotFound("That task has not begun here.", "It has no release yet.", "Tell it again later.")
        if row is None or row.status != "running" or made != {"None"}:
            raise NotTrusted(
                "A revocation names another task's release.",
                "It is nothing that its task made.",
                "Ask its sender for the right one.",
                clause="release-task",
            )

    def _keep(self, tx: Transaction, envelope: Envelope, document: Revocation) -> None:
        now = self._clock.now()
        if Documents(tx).get(envelope.digest) is not None:
            return
        Documents(tx).put(envelope.digest, REVOCATION_TYPE, envelope.encode(), now, task=document.task)
        found = Releases(tx).get(document.release)
        if found is not None and found.task == document.task:
            facts = {**found.facts, "revoked_by": document.by, "revoked_reason": document.reason}
            Releases(tx).put(
                Release(found.digest, found.task, found.kind, "revoked", facts, found.certificate, found.at)
            )
        self._ledger.append(tx, "decision", envelope.digest)
        Events(tx).add(
            document.task,
            now,
            "release.revoked",
            {"release": document.release, "by": document.by, "reason": document.reason},
        )


def _without(value: dict[str, list[str]], name: str) -> dict[str, list[str]]:
    return {key: item for key, item in value.items() if key != name}
