"""Tasks at this node, from one door: asked for (`asking`), decided on (`admitting`), approved by
people (`approving`), kept (`records`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cloister.agreements.decision import Permit, Refusal
from cloister.claims.offers import Plan
from cloister.foundation.clock import Clock
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.budgets import BudgetsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.node.tasks.admitting import ADMISSION, PROPOSE, START, Admitting, Ports
from cloister.node.tasks.approving import Approving
from cloister.node.tasks.asking import Asking
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.parts import CONTENT
from cloister.node.tasks.records import Admission, TaskRecords
from cloister.protections.interface import Protection
from cloister.storage.database import Database

__all__ = ["ADMISSION", "CONTENT", "PROPOSE", "START", "Admission", "Ports", "TasksService"]

ANSWER_SECONDS = 20.0
"""How long a person who submits a plan is kept waiting for the others' answers."""


class TasksService:
    """What people and other nodes ask about tasks.

    Attributes:
        protections: the privacy methods installed here, by name.
        records: plans, admissions and notes.
        admitting: this party's decisions.
        approving: its people's word.
        asking: this party's own requests.
    """

    def __init__(
        self,
        database: Database,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        agreements: AgreementsService,
        datasets: DatasetsService,
        contents: Contents,
        ledger: LedgerService,
        protections: Sequence[Protection],
        ports: Ports,
        quotas: Quotas,
        budgets: BudgetsService,
    ) -> None:
        self._parties = parties
        self.protections = {protection.name: protection for protection in protections}
        self.records = TaskRecords(database, clock, ledger.append)
        self.admitting = Admitting(
            self.records,
            clock,
            keys,
            parties,
            agreements,
            datasets,
            contents,
            ledger,
            self.protections,
            ports,
            quotas,
            database,
            budgets,
        )
        self.approving = Approving(self.records, self.admitting, clock, keys, parties, ports)
        self.asking = Asking(self.records, self.admitting, keys, parties, contents, ledger, ports)

    # People --------------------------------------------------------------------------------------------------------

    def submit(self, plan: Plan, seconds: float = ANSWER_SECONDS) -> dict[str, Any]:
        """Asks every seat's node to admit a plan of this party's. Returns the task's summary. See `Asking.submit`."""
        self.asking.submit(plan, seconds)
        return self.summary(plan.digest)

    def approve(self, task: str, *, with_records: bool) -> dict[str, Any]:
        """A person approves a plan's computation here; see `Approving.approve`."""
        self.approving.approve(task, with_records=with_records)
        self.asking.drive(task, ANSWER_SECONDS)
        return self.summary(task)

    def refuse(self, task: str, reason: str) -> dict[str, Any]:
        """A person refuses a task here; see `Approving.refuse`."""
        self.approving.refuse(task, reason)
        return self.summary(task)

    # Looking -------------------------------------------------------------------------------------------------------

    def digests(self) -> list[str]:
        """All tasks known here, oldest first."""
        return self.records.digests()

    def plan(self, task: str) -> Plan:
        """A task's plan. Raises `NotFound`."""
        return self.records.plan(task)

    def admissions(self, task: str) -> dict[str, Envelope]:
        """Party → its signed admission."""
        return self.records.admissions(task)

    def decision(self, plan: Plan) -> Permit | Refusal:
        """What this party's agreement says of a plan now."""
        return self.admitting.decision(plan)

    def summary(self, task: str) -> dict[str, Any]:
        """A task before it runs; see `TaskRecords.summary`."""
        return self.records.summary(task)
