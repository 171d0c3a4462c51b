"""What a node lends to the release of one task: its documents, its signature, its clock, its shelf.

`Local` has what a step of any protection may touch; signing, directories and agreements are not among it. The node
makes one `ReleaseContext` for each task and seat, and keeps it out of the reach of protections.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.canonical import JSON
from cloister.identity.envelopes import Envelope, KeyDirectory
from cloister.identity.keys import PublicKeys
from cloister.journal.program import Candidate, Local
from cloister.release.certificate import Certificate


@dataclass(frozen=True)
class Release:
    """A result with its certificate, verified; `content` is `None` where only the certificate was due."""

    certificate: Certificate
    content: bytes | None = field(repr=False)


class ReleaseContext(Protocol):
    """One task's release at one node."""

    @property
    def plan(self) -> Plan:
        """The admitted plan."""
        ...

    @property
    def terms(self) -> Terms:
        """The agreement it is under, signatures checked."""
        ...

    @property
    def directory(self) -> KeyDirectory:
        """Whose keys are whose."""
        ...

    @property
    def admissions(self) -> Mapping[str, str]:
        """Party → digest of its signed admission, as far as this node knows."""
        ...

    @property
    def candidate(self) -> Candidate | None:
        """What this seat's own program ended with."""
        ...

    @property
    def revoked(self) -> frozenset[tuple[str, str]]:
        """Task and digest of results that this node knows to be revoked."""
        ...

    @property
    def patience(self) -> float:
        """Seconds that a seat waits at most for the others in one phase of the release."""
        ...

    @property
    def grace(self) -> float:
        """Seconds that those still have who have not answered when the rest suffices."""
        ...

    @property
    def waiting(self) -> float:
        """Seconds that a recipient waits from the task's start, training included: as long as the coordinator's part may take."""
        ...

    def now(self) -> int:
        """Seconds since the epoch."""
        ...

    def sign(self, payload_type: str, document: JSON) -> Envelope:
        """An envelope signed by this node's party; a ledger leaf tells that it did."""
        ...

    def checkpoints(self) -> tuple[str, ...]:
        """Log heads to name as evidence, as signed notes (see `evidence`)."""
        ...

    def log_keys(self, party: str) -> Sequence[PublicKeys]:
        """The keys that sign a party's log, as this node knows them; none if it does not know the party."""
        ...

    def witnessed(self, party: str) -> tuple[int, int] | None:
        """Size of the party's log that this node as a witness has cosigned last, and when (seconds since the epoch)."""
        ...

    def count_attempt(self, computation: str, dataset: str, task: str) -> int:
        """How many tasks of a computation got answers from a dataset, this one included.

        Durable, and counted once for each task: a step that runs again counts nothing anew.
        """
        ...

    def evaluate(self, local: Local, weights: NDArray[np.float32], metric: str) -> float:
        """The metric of a candidate, the admitted model with these weights, on this owner's own validation records, in the sandboxed worker."""
        ...

    def scores(self, local: Local, weights: NDArray[np.float32], metric: str) -> NDArray[np.float64]:
        """The same by units, (units,), each score of one unit kept apart by its own fate; there may be none."""
        ...

    def only_candidate(self, attempt: int, candidate: str) -> bool:
        """Whether a candidate, by digest, is the first that asks in this attempt of the task. Durable, and always the same."""
        ...

    def store(self, release: Release) -> None:
        """Puts a verified release on the shelf. Storing it again changes nothing."""
        ...
