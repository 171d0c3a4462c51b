"""What this node lends to the release of one task (implements `release.context.ReleaseContext`)."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.errors import CloisterError
from cloister.identity.envelopes import Envelope, KeyDirectory, sign
from cloister.identity.keys import PublicKeys, SecretKeys
from cloister.journal.program import Candidate, Local
from cloister.node import revocations
from cloister.node.agreements_service import AgreementsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.tasks import attempts
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.service import TasksService
from cloister.release.context import Release
from cloister.release.evidence import carried, stamped
from cloister.release.inspection import figure, scores
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.releases import Release as ReleaseRow
from cloister.storage.releases import Releases
from cloister.storage.settings import Settings

PATIENCE = 600.0
"""Seconds for one phase of a release: measuring a candidate on one's own records may take minutes."""

GRACE = 30.0
"""Seconds for the votes of the others once there is a quorum: more signatures make a stronger certificate, and owners of
more records need longer; but one that is away must not hold up those that are here."""


@dataclass(frozen=True)
class Shelf:
    """The parts of the node that releases need; one for all tasks."""

    database: Database
    clock: Clock
    keys: SecretKeys
    parties: Parties
    agreements: AgreementsService
    datasets: DatasetsService
    contents: Contents
    ledger: LedgerService
    tasks: TasksService

    def keep_candidate(self, tx: Transaction, task: str, candidate: Candidate) -> None:
        """Keeps what a program ended with, in the transaction of its last step."""
        name = self.contents.put(candidate.content) if candidate.content else None
        facts: dict[str, Any] = {"kind": candidate.kind, "content": name, "facts": dict(candidate.facts)}
        Settings(tx).put(f"candidate/{task}", facts)

    def context(self, task: str) -> TaskRelease:
        """The context of one task."""
        plan = self.tasks.plan(task)
        return TaskRelease(self, plan, self.agreements.get(plan.request.agreement).terms)


class TaskRelease:
    """One task's release at this node."""

    def __init__(self, shelf: Shelf, plan: Plan, terms: Terms) -> None:
        self._shelf = shelf
        self.plan = plan
        self.terms = terms

    @property
    def directory(self) -> KeyDirectory:
        """Whose keys are whose."""
        return self._shelf.parties.directory

    @property
    def admissions(self) -> Mapping[str, str]:
        """Party → digest of its signed admission."""
        return {
            party: envelope.digest
            for party, envelope in self._shelf.tasks.admissions(self.plan.digest).items()
        }

    @property
    def candidate(self) -> Candidate | None:
        """What this seat's own program ended with."""
        with self._shelf.database.read() as tx:
            kept = Settings(tx).get(f"candidate/{self.plan.digest}")
        if kept is None:
            return None
        content = self._shelf.contents.get(kept["content"]) if kept["content"] else b""
        return Candidate(kept["kind"], content, kept["facts"])

    @property
    def revoked(self) -> frozenset[tuple[str, str]]:
        """Task and digest of the task's results that are revoked here."""
        with self._shelf.database.read() as tx:
            return revocations.revoked(tx, self.plan.digest)

    @property
    def patience(self) -> float:
        """Seconds for one phase of the release."""
        return PATIENCE

    @property
    def grace(self) -> float:
        """Seconds for those who have not answered when the rest suffices."""
        return GRACE

    @property
    def waiting(self) -> float:
        """Seconds that a recipient waits from the start of the task: as long as the coordinator's part may take."""
        offer, request = self.plan.offer, self.plan.request
        seconds = offer.cost.seconds * 10
        # A plan that its protection would not run is for the other seats' nodes to refuse; none takes part in it.
        with suppress(CloisterError):
            protection = self._shelf.tasks.protections[offer.protection]
            program = protection.program(offer, request, "coordinator")
            seconds = max(seconds, sum(phase.deadline for phase in program.phases.values()))
        return seconds + 4 * PATIENCE

    def now(self) -> int:
        """Seconds since the epoch."""
        return self._shelf.clock.now()

    def sign(self, payload_type: str, document: JSON) -> Envelope:
        """An envelope signed by this party; a ledger leaf tells that it did."""
        shelf = self._shelf
        envelope = sign(payload_type, document, shelf.parties.own.party, shelf.keys)
        with shelf.database.transaction() as tx:
            shelf.ledger.append(tx, "decision", envelope.digest)
        return envelope

    def checkpoints(self) -> tuple[str, ...]:
        """This node's log head, as evidence: signed now, and cosigned by the witnesses that have seen it."""
        shelf = self._shelf
        try:
            note = shelf.ledger.checkpoint()
        except CloisterError:
            return ()
        if note is None:
            return ()
        # After an interruption the log may not have grown for long: its head is then of another day.
        return (carried(stamped(note, shelf.ledger.origin, shelf.keys, self.now()), shelf.ledger.origin),)

    def log_keys(self, party: str) -> tuple[PublicKeys, ...]:
        """The keys of a party's present card, which sign its log's newest head."""
        try:
            return (self._shelf.parties.keys_for(party),)
        except CloisterError:
            return ()

    def witnessed(self, party: str) -> tuple[int, int] | None:
        """Size of the party's log that this node as a witness has cosigned last, and when; `None` if it never has."""
        seen = self._shelf.ledger.witnessed().get(party)
        return None if seen is None else (int(seen["size"]), int(seen["time"]))

    def count_attempt(self, computation: str, dataset: str, task: str) -> int:
        """How many tasks tried this computation on this dataset, this one included (see `attempts`)."""
        with self._shelf.database.transaction() as tx:
            return attempts.count(tx, computation, dataset, task)

    def evaluate(self, local: Local, weights: NDArray[np.float32], metric: str) -> float:
        """The metric of a candidate's weights on this owner's own validation records, in the worker."""
        computation = self.plan.request.computation
        data = local.data(self.plan.request.datasets[local.party])
        return figure(local, computation.settings, data, computation.contents["model"], weights, metric)

    def scores(self, local: Local, weights: NDArray[np.float32], metric: str) -> NDArray[np.float64]:
        """The same by units, in the worker."""
        computation = self.plan.request.computation
        data = local.data(self.plan.request.datasets[local.party])
        return scores(local, computation.settings, data, computation.contents["model"], weights, metric)

    def only_candidate(self, attempt: int, candidate: str) -> bool:
        """Whether no other candidate asked before in this attempt; on disk when it returns."""
        with self._shelf.database.transaction() as tx:
            kept, key = Settings(tx), f"judged/{self.plan.digest}/{attempt}"
            first = kept.get(key)
            if first is None:
                kept.put(key, candidate)
            return first in (None, candidate)

    def store(self, release: Release) -> None:
        """Puts a verified release on this node's shelf."""
        shelf, certificate = self._shelf, release.certificate
        if release.content is not None:
            shelf.contents.put(release.content, certificate.content_digest)
        now = shelf.clock.now()
        with shelf.database.transaction() as tx:
            known = Releases(tx).get(certificate.content_digest)
            # Two tasks may come to the same bytes; the shelf then names the later one, and both certificates are kept.
            same = known is not None and known.task == self.plan.digest
            here = release.content is not None or (known is not None and bool(known.facts.get("here")))
            if known is not None and same and (known.facts.get("here") or release.content is None):
                return
            if (
                release.content is not None
            ):  # here as a part of a plan that is forgotten, they may have gone since
                shelf.contents.put(release.content, certificate.content_digest)
            envelope = certificate.envelope
            Documents(tx).put(
                envelope.digest, envelope.payloadType, envelope.encode(), now, task=self.plan.digest
            )
            Releases(tx).put(
                ReleaseRow(
                    certificate.content_digest,
                    self.plan.digest,
                    certificate.predicate.kind,
                    "released",
                    {
                        "here": here,
                        "size": certificate.predicate.size,
                        "signed_by": sorted(certificate.signed_by),
                        "title": certificate.predicate.card.title,
                        "facts": certificate.predicate.facts,
                    },
                    envelope.digest,
                    now,
                )
            )
            shelf.ledger.append(tx, "release", envelope.digest)
            Events(tx).add(
                self.plan.digest,
                now,
                "release.stored",
                {"release": certificate.content_digest, "here": here},
            )
