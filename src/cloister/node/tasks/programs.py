"""Which program a task's seat runs at this node, what comes after it, and what its steps may touch.

A task's seat runs the protection's program (recipients have none) and then the release's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from cloister.aggregation import PartySigning
from cloister.agreements.lifecycle import State
from cloister.agreements.terms import Terms
from cloister.claims.offers import Plan
from cloister.foundation.canonical import JSON
from cloister.foundation.errors import Refused
from cloister.journal.ports import Following
from cloister.journal.program import Candidate, DataPort, Engine, PrivacyCost, Program, Signing
from cloister.node.agreements_service import AgreementsService
from cloister.node.budgets import BudgetsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.tasks.attempts import count_within
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.release_context import Shelf
from cloister.node.tasks.service import TasksService
from cloister.release.program import release_program
from cloister.storage.database import Transaction
from cloister.storage.tasks import TaskRow

PROTECTION, RELEASE = "protection", "release"
_SIGNED_BY_STEPS = "application/vnd.cloister.aggregation."
RECIPIENT = "recipient"


class Programs:
    """Implements the journal's `ProgramSource` and `Chain`."""

    def __init__(self, tasks: TasksService, shelf: Shelf) -> None:
        self._tasks = tasks
        self._shelf = shelf

    @staticmethod
    def first(seat: str) -> str:
        """The program with which a seat starts."""
        return RELEASE if seat == RECIPIENT else PROTECTION

    def program(self, task: TaskRow) -> Program:
        """The program that a task's seat is in."""
        if task.program == RELEASE:
            return release_program(task.seat, self._shelf.context(task.id))
        plan = self._tasks.plan(task.id)
        return self._tasks.protections[plan.offer.protection].program(plan.offer, plan.request, task.seat)

    def later(self, task: TaskRow) -> Sequence[Program]:
        """What may follow."""
        if task.program == RELEASE:
            return ()
        return (release_program(task.seat, self._shelf.context(task.id)),)

    def finished(self, tx: Transaction, task: TaskRow, candidate: Candidate | None) -> Following | None:
        """After the protection comes the release; after that, nothing."""
        if task.program == RELEASE:
            return None
        if candidate is not None:
            self._shelf.keep_candidate(tx, task.id, candidate)
        return Following(RELEASE)


@dataclass(frozen=True)
class TaskPorts:
    """What the steps of one task may touch (implements the journal's `LocalPorts`).

    `attempts`: how many tasks may try the computation on the dataset, as agreed.
    `unlocked`: raises while this node's log is locked.
    `state`: where the agreement stands, asked when a step that was given the dataset is written down.
    """

    computation: str
    attempts: int
    allowed_data: str | None
    allowed_content: frozenset[str]
    datasets: DatasetsService
    contents: Contents
    engines: Callable[[str], Engine]
    state: Callable[[], State]
    signing: Signing
    plan: Plan
    terms: Terms
    budgets: BudgetsService
    unlocked: Callable[[], None]

    def data(self, digest: str) -> DataPort:
        """This party's own dataset that the plan names; no other."""
        if digest != self.allowed_data:
            raise Refused(
                "A step asked for a dataset that the plan does not give it.",
                "",
                "Report this as a fault.",
                clause="dataset",
            )
        return self.datasets.for_use(digest)

    def content(self, digest: str) -> bytes:
        """A part of the admitted computation."""
        if digest not in self.allowed_content:
            raise Refused(
                "A step asked for content that is no part of the task.",
                "Only what the plan names is given to a step.",
                "Report this as a fault.",
                clause="content",
            )
        return self.contents.get(digest)

    def engine(self, name: str) -> Engine:
        """A sandboxed worker; after each call that read the dataset, the dataset is checked once more."""
        return _Rechecked(self.engines(name), self.datasets, self.allowed_data)

    def charge(self, task: TaskRow, cost: PrivacyCost) -> None:
        """Spends what the plan claims of the dataset's population, once; on disk before it returns (see `Charges`)."""
        self._require_in_force()
        self.budgets.charges.charge(self.plan, self.terms, task, cost)

    def used(self, tx: Transaction, task: TaskRow, datasets: frozenset[str]) -> None:
        """Counts the task among those that tried its computation on the dataset; refused over the agreed number.

        Also refused once the agreement is no longer in force: a step that was running as it was revoked tells nothing. And
        where the dataset belongs to a population with a budget, or the plan claims privacy, and the task has not charged.
        """
        for name in sorted(datasets & {self.allowed_data}):
            # A node whose log contradicts what a witness saw was restored from an older disk: it tells nothing more.
            self.unlocked()
            count_within(tx, self.computation, str(name), task.id, self.attempts)
            self.budgets.charges.require_charged(tx, self.plan, self.terms, task)
        self._require_in_force()

    def _require_in_force(self) -> None:
        if (state := self.state()) is not State.FINALIZED:
            raise Refused(
                "The task was stopped.",
                f"Its agreement is {state}.",
                "Have the agreement resumed, or agree anew.",
                clause="state",
            )


@dataclass(frozen=True)
class _Rechecked:
    """An engine whose results count only if the dataset is still the registered one (see `datasets_service`, rule 1)."""

    inner: Engine
    datasets: DatasetsService
    commitment: str | None

    def call(
        self,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        deadline: float = 600.0,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Runs a method in the worker."""
        answer = self.inner.call(method, arguments, arrays, deadline)
        if self.commitment is not None and "dataset" in arguments:
            self.datasets.still_same(self.commitment)
        return answer


@dataclass(frozen=True)
class StepSigning:
    """This party's signatures for the messages of secure aggregation, and for nothing else (implements `Signing`)."""

    inner: PartySigning

    def sign(self, payload_type: str, payload: bytes) -> bytes:
        """A signature. Raises `Refused` for any payload type that is not a message of an aggregation."""
        if not payload_type.startswith(_SIGNED_BY_STEPS):
            raise Refused(
                "A step asked for a signature that it may not have.",
                "Steps sign the messages of secure aggregation; what binds a party is signed elsewhere.",
                "Report this as a fault.",
                clause="step-signature",
            )
        return self.inner.sign(payload_type, payload)

    def verify(self, party: str, payload_type: str, payload: bytes, signature: bytes) -> None:
        """Raises `NotTrusted` unless `party` signed exactly this."""
        self.inner.verify(party, payload_type, payload, signature)


class Locals:
    """Implements the journal's `LocalFactory`."""

    def __init__(
        self,
        party: str,
        tasks: TasksService,
        agreements: AgreementsService,
        datasets: DatasetsService,
        contents: Contents,
        engines: Callable[[str], Engine],
        signing: PartySigning,
        budgets: BudgetsService,
        unlocked: Callable[[], None],
    ) -> None:
        self._party = party
        self._unlocked = unlocked
        self._budgets = budgets
        self._signing = StepSigning(signing)
        self._tasks = tasks
        self._agreements = agreements
        self._datasets = datasets
        self._contents = contents
        self._engines = engines

    def ports(self, task: TaskRow) -> TaskPorts:
        """The ports of a task at this node."""
        plan = self._tasks.plan(task.id)
        request, terms = plan.request, self._agreements.get(plan.request.agreement).terms
        return TaskPorts(
            request.computation.digest,
            terms.release.attempts,
            request.datasets.get(self._party),
            frozenset(request.computation.contents.values()),
            self._datasets,
            self._contents,
            self._engines,
            lambda: self._agreements.state(request.agreement),
            self._signing,
            plan,
            terms,
            self._budgets,
            self._unlocked,
        )
