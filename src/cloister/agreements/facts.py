"""What a node knows when it decides on a task, and the case that the rules look at.

Everything here is checked before it gets here (signatures, catalogue entries, states); nothing is computed on data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel

from cloister.agreements.clauses import MODEL, AllowedComputation, Instant, UsableDataset
from cloister.agreements.lifecycle import State
from cloister.agreements.signing import AgreementView
from cloister.agreements.terms import Terms
from cloister.claims.offers import Digest, Plan
from cloister.claims.vocabulary import Artefact, DifferentiallyPrivate
from cloister.data.schema import DatasetDescription
from cloister.identity.keys import PartyId


class Approval(BaseModel):
    """An owner's yes to one computation under one agreement.

    Attributes:
        agreement, computation: their digests.
        task: the plan that was looked at: the yes is for it alone, since another plan of the same computation may have
            other owners, weights, rounds and recipients. Absent: for this computation in whatever plan.
        by: the owner.
        with_records: it also accepts that the result may contain input records.
        time: when.
    """

    model_config = MODEL

    agreement: Digest
    computation: Digest
    by: PartyId
    with_records: bool
    time: Instant
    task: Digest | None = None


@dataclass(frozen=True)
class Balance:
    """What is left of a population's budget: the lesser of the agreement's and the population's own."""

    epsilon: float
    delta: float


@dataclass(frozen=True)
class DecisionFacts:
    """What a node knows when it decides. Everything is checked before it gets here; nothing is computed on data.

    Attributes:
        now: seconds.
        party: whose node decides.
        state: of the agreement (`lifecycle.state_of`).
        protections: the privacy methods installed here → their maturity.
        catalogue: commitment → catalogue entry, of one's own datasets and of others' as far as known.
        approvals: approvals of computations by digest.
        remaining: population → what is left of its budget; own populations.
        populations: commitment → the protected population that one's own dataset belongs to, if it belongs to one.
        columns: commitment → the columns that the computation reads, as this node's own analysis found them.
        attempts: commitment → how many other tasks of this computation got an answer from that dataset; one's own.
    """

    now: int
    party: str
    state: State
    protections: Mapping[str, Literal["stable", "experimental"]]
    catalogue: Mapping[str, DatasetDescription] = field(default_factory=dict)
    approvals: tuple[Approval, ...] = ()
    remaining: Mapping[str, Balance] = field(default_factory=dict)
    populations: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    attempts: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Case:
    """All that a rule sees."""

    agreement: AgreementView
    plan: Plan
    facts: DecisionFacts

    @property
    def terms(self) -> Terms:
        return self.agreement.terms

    @property
    def allowed(self) -> AllowedComputation | None:
        return self.terms.computation(self.plan.request.computation.kind)

    @property
    def own(self) -> str | None:
        """The commitment of this party's own dataset in the request."""
        return self.plan.request.datasets.get(self.facts.party)

    @property
    def used(self) -> list[tuple[str, str, UsableDataset | None, DatasetDescription | None]]:
        """(owner, commitment, what the agreement says of it, its catalogue entry if known), by owner."""
        found = []
        for owner, commitment in sorted(self.plan.request.datasets.items()):
            entry = self.facts.catalogue.get(commitment)
            found.append((owner, commitment, self.terms.dataset(owner, commitment, entry), entry))
        return found

    @property
    def private(self) -> list[DifferentiallyPrivate]:
        """The differential privacy that the plan claims, of whatever artefact."""
        return [
            claim.reached
            for claim in self.plan.offer.claims.guarantees
            if isinstance(claim.reached, DifferentiallyPrivate)
        ]

    @property
    def private_result(self) -> bool:
        """Whether the plan claims that what is released is differentially private."""
        return any(
            claim.artefact is Artefact.RESULT and isinstance(claim.reached, DifferentiallyPrivate)
            for claim in self.plan.offer.claims.guarantees
        )

    @property
    def charge(self) -> Balance:
        """What this plan costs an owner: the most that it declares or claims, so that neither can understate it."""
        return Balance(
            max([self.plan.offer.cost.epsilon, *(item.epsilon for item in self.private)]),
            max([0.0, *(item.delta for item in self.private)]),
        )
