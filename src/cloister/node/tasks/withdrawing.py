"""What a person at this node can take back: their approval of a task; and, whoever asked for it, a task that runs.

Rules:
1. Only an approval that was given here, to this very task, can be withdrawn. What the agreement itself lists needs no
   approval and has none: such a task is refused before it starts, or stopped.
2. The withdrawal is a signed document and a leaf of the log, kept in the transaction that makes it hold: one that keeps
   the task from starting here, or ends this node's part of it. There is no moment in which the one is true and not the
   other, whenever the node is killed.
3. Before the start it is a refusal: an admission already given opens nothing here, and the requester is told.
4. While the task runs, this node serves none of its phases any more, and drops what a step that is running returns. The
   others are told that it left, by the error `approval-withdrawn`.
5. A vote on the release cannot be called back: its signature is with the coordinator. Then the withdrawal is refused,
   and says that a release can be revoked.
"""

from __future__ import annotations

from typing import ClassVar

from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.errors import CloisterError, Conflict, Refused
from cloister.identity.envelopes import Envelope, sign
from cloister.identity.keys import SecretKeys
from cloister.journal.runner import Runner
from cloister.node.peers.parties import Parties
from cloister.node.tasks.approving import WITHDRAWAL_TYPE, Approving, Withdrawal
from cloister.node.tasks.programs import RELEASE
from cloister.node.tasks.records import TaskRecords
from cloister.release.program import VOTED
from cloister.storage.database import Database, Transaction
from cloister.storage.tasks import TaskRow, Tasks

__all__ = ["WITHDRAWAL_TYPE", "ApprovalWithdrawn", "Withdrawal", "Withdrawing"]


class ApprovalWithdrawn(Refused):
    """A party took back its approval of a task."""

    type: ClassVar[str] = "approval-withdrawn"


class Withdrawing:
    """Takes back approvals."""

    def __init__(
        self,
        database: Database,
        records: TaskRecords,
        approving: Approving,
        runner: Runner,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
    ) -> None:
        self._database = database
        self._records = records
        self._approving = approving
        self._runner = runner
        self._clock = clock
        self._keys = keys
        self._parties = parties

    def withdraw(self, task: str, reason: str) -> Envelope:
        """A person takes back the approval of a task that was given here. Returns the signed withdrawal.

        Args:
            task: the task.
            reason: told to the requester if the task has not started.

        Raises:
            NotFound: there is no such task.
            Conflict: it was not approved here, it is over, or this node has voted on its release.
        """
        plan, own = self._records.plan(task), self._parties.own.party
        document = Withdrawal(
            task=task,
            agreement=plan.request.agreement,
            computation=plan.request.computation.digest,
            by=own,
            time=rfc3339(self._clock.now()),
            reason=reason[:200],
        )
        envelope = sign(WITHDRAWAL_TYPE, document.model_dump(mode="json"), own, self._keys)
        error = ApprovalWithdrawn(
            "An owner withdrew its approval of the task.",
            document.reason or "It gave no reason.",
            "Ask its people; then make a new plan.",
            clause="approval-withdrawn",
        )
        with self._database.transaction() as tx:
            started = Tasks(tx).get(task) is not None
            if not started:
                self._records.require_open(tx, task)
                self._keep(tx, envelope, task)
                self._records.refuse_in(tx, task, own, error)
                self._records.bury(tx, plan, error)
        if not started:
            if plan.request.requester != own:
                self._approving.tell(plan, canonical({"task": task, "problem": error.problem()}))
        elif not self._runner.stop(task, error, along=lambda tx, row: self._leave(tx, row, envelope)):
            raise Conflict(
                "The task is over.",
                "There is nothing left that the approval would allow.",
                f"See how it ended: cloister task show {task}",
            )
        return envelope

    def stop(self, task: str, reason: str) -> bool:
        """Stops a task, for a person here; says whether it ran. Raises `NotFound`."""
        error = CloisterError("The task was stopped by a person at one of its servers.", reason, "Ask them.")
        return self._runner.stop(task, error)

    def _leave(self, tx: Transaction, row: TaskRow, envelope: Envelope) -> None:
        if row.program == RELEASE and row.phase == VOTED:
            raise Conflict(
                "This server has voted on the task's release already.",
                "A signature that was given cannot be called back.",
                "If there is a release, take that back: cloister release revoke RELEASE",
            )
        self._keep(tx, envelope, row.id)

    def _keep(self, tx: Transaction, envelope: Envelope, task: str) -> None:
        if not self._records.withdraw_approvals(tx, envelope, task):
            raise Conflict(
                "There is no approval of this task to withdraw.",
                "Nobody at this server approved it; where the agreement lists a computation, nobody needs to.",
                f"Before it starts: cloister task refuse {task}. While it runs: cloister task stop {task}",
            )
