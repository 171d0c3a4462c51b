"""What people at this node say to a task: their approval of its computation, or their refusal.

Rules:
1. An approval is of one computation, by its digest, under one agreement; another computation asks again.
2. An approval opens nothing by itself: the node decides again with it, and may still refuse.
3. A refusal by a person is told to the requester, with the words that the person chose.
4. It takes back what was approved of the task, in the same transaction, and outlives the plan itself: should the plan be
   forgotten here for want of room, it is refused again for as long as it could still be admitted.
"""

from __future__ import annotations

import contextlib
import secrets
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from cloister.agreements.decision import Approval, Refusal
from cloister.claims.offers import Digest, Plan, Time
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.errors import CloisterError, Conflict, Refused
from cloister.identity.envelopes import Envelope, sign
from cloister.identity.keys import PartyId, SecretKeys
from cloister.node.peers.parties import Parties
from cloister.node.tasks.admitting import ADMISSION, CALL_SECONDS, PATIENCE, Admitting, Ports
from cloister.node.tasks.records import TaskRecords

APPROVAL_TYPE = "application/vnd.cloister.approval+json"
WITHDRAWAL_TYPE = "application/vnd.cloister.approval-withdrawal+json"


class Withdrawal(BaseModel):
    """An owner's word that its approval of a task no longer holds."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/approval-withdrawal@1"] = "cloister/approval-withdrawal@1"
    task: Digest
    agreement: Digest
    computation: Digest
    by: PartyId
    time: Time
    reason: str = Field(default="", max_length=200)


class Approving:
    """Takes people's word on tasks."""

    def __init__(
        self,
        records: TaskRecords,
        admitting: Admitting,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        ports: Ports,
    ) -> None:
        self._records = records
        self._admitting = admitting
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._ports = ports

    def approve(self, task: str, *, with_records: bool) -> Envelope:
        """A person at this node approves a plan's computation. Returns this party's admission.

        Args:
            task: the task.
            with_records: the person also accepts that the result may contain input records.

        Raises:
            Refused: the agreement still says no (named), or the task is over.
        """
        plan = self._records.plan(task)
        if self._records.over(task):
            raise Conflict("The task was refused.", "Nothing is left to approve.", "Ask for a new plan.")
        own = self._parties.own.party
        approval = Approval(
            agreement=plan.request.agreement,
            computation=plan.request.computation.digest,
            by=own,
            with_records=with_records,
            time=rfc3339(self._clock.now()),
            task=task,
        )
        self._records.keep_approval(
            sign(APPROVAL_TYPE, approval.model_dump(mode="json"), own, self._keys), approval
        )
        admission = self._admitting.decide_here(plan, PATIENCE)
        if admission is None:
            decision = self._admitting.decision(plan)
            if isinstance(decision, Refusal):
                raise decision.error()
            raise Conflict("The task still waits for a person.", "", "Look at it again.")
        if plan.request.requester != own:
            self.tell(plan, admission.encode())
        return admission

    def refuse(self, task: str, reason: str) -> None:
        """A person at this node refuses a task. Raises `Conflict` if it has started."""
        plan, own = self._records.plan(task), self._parties.own.party
        error = Refused(
            "A person at this server refused the task.", reason[:200], "Ask them.", clause="approval"
        )
        document = Withdrawal(
            task=task,
            agreement=plan.request.agreement,
            computation=plan.request.computation.digest,
            by=own,
            time=rfc3339(self._clock.now()),
            reason=reason[:200],
        )
        self._records.refuse_for_good(
            plan, own, error, sign(WITHDRAWAL_TYPE, document.model_dump(mode="json"), own, self._keys)
        )
        if plan.request.requester != own:
            self.tell(plan, canonical({"task": task, "problem": error.problem()}))

    def tell(self, plan: Plan, body: bytes) -> None:
        """Tells the requester what this party says to its task, if it can be reached; otherwise it asks again."""
        key = f"admission/{plan.digest}/{secrets.token_hex(4)}"
        with contextlib.suppress(CloisterError):  # the requester asks again by itself, and is told then
            self._ports.call(plan.request.requester, ADMISSION, body, CALL_SECONDS, key)
