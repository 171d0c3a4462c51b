"""What a node has on disk about tasks before and beside the journal: plans, admissions, approvals, and who said what.

A plan never changes (its digest is the task's name); what is said about it is kept in a *note*: who is waited for and
why, who refused and why, who was told to start, whether it is over before it began.

A plan that never began may be forgotten, and its note with it. What a person here refused leaves a *tombstone*, which
stays until the plan could not be admitted any more: the requester cannot undo the refusal by pushing its own plan out.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cloister.agreements.decision import PLAN_LIFETIME, Approval
from cloister.claims.offers import ADMISSION_TYPE, PLAN_TYPE, Digest, Plan, Time
from cloister.foundation.canonical import canonical
from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.documents import invalid
from cloister.foundation.errors import CloisterError, Conflict, NotFound, NotTrusted, Refused
from cloister.identity.envelopes import Envelope
from cloister.identity.keys import PartyId
from cloister.node.tasks import attempts
from cloister.storage.database import Database, Transaction
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.settings import Settings
from cloister.storage.tasks import Tasks

_PLANS_KEPT = 64
TOMBSTONES = 500
"""Of one requester's plans at a time. None is pushed out: beyond them no new plan of that requester is taken."""
_BURIED = "buried/"


class Admission(BaseModel):
    """A party's signed yes to a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/admission@1"] = "cloister/admission@1"
    task: Digest
    agreement: Digest
    party: PartyId
    time: Time


def read_plan(envelope: Envelope) -> Plan:
    """The plan in an envelope, its form checked but no signature. Raises `NotTrusted` or `BadInput`."""
    if envelope.payloadType != PLAN_TYPE:
        raise NotTrusted("This is not a plan.", "", "Send the signed plan.", clause="payload-type")
    return parse_plan(envelope.document())


def parse_plan(document: Any) -> Plan:
    """The plan that a JSON value is. Raises `BadInput` naming the field."""
    try:
        return Plan.model_validate_json(canonical(document))
    except ValidationError as error:
        raise invalid(error, "A plan") from None


def read_admission(envelope: Envelope) -> Admission:
    """The admission in an envelope, its form checked but no signature. Raises `BadInput`."""
    try:
        return Admission.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, "An admission") from None


class TaskRecords:
    """Plans, admissions, approvals and notes in the node's database.

    Args:
        database: the node's.
        clock: for when something was kept.
        log: appends a leaf about a document, inside the transaction that keeps it.
    """

    def __init__(
        self, database: Database, clock: Clock, log: Callable[[Transaction, str, str], object]
    ) -> None:
        self._database = database
        self._clock = clock
        self._log = log
        self._plans: OrderedDict[str, Plan] = OrderedDict()

    # Plans ---------------------------------------------------------------------------------------------------------

    def digests(self) -> list[str]:
        """All tasks known here, oldest first."""
        with self._database.read() as tx:
            return [name for name, _ in Documents(tx).find(PLAN_TYPE)]

    def known(self, task: str) -> bool:
        """Whether the plan is here."""
        with self._database.read() as tx:
            return Documents(tx).get(task) is not None

    def plan(self, task: str) -> Plan:
        """A task's plan. Raises `NotFound`."""
        known = self._plans.get(task)
        if known is not None:
            return known
        found = read_plan(self.envelope(task))
        self._plans[task] = found
        while len(self._plans) > _PLANS_KEPT:
            self._plans.popitem(last=False)
        return found

    def envelope(self, task: str) -> Envelope:
        """A task's plan as its requester signed it. Raises `NotFound`."""
        with self._database.read() as tx:
            data = Documents(tx).get(task)
        if data is None:
            raise NotFound("There is no such task here.", "", "See: cloister task list")
        return Envelope.stored(data)

    def keep_plan(self, envelope: Envelope, plan: Plan) -> None:
        """Keeps a plan whose signature was checked; again is harmless."""
        now = self._clock.now()
        with self._database.transaction() as tx:
            if Documents(tx).get(plan.digest) is None:
                Documents(tx).put(
                    plan.digest, PLAN_TYPE, envelope.encode(), now, agreement=plan.request.agreement
                )
                Events(tx).add(plan.digest, now, "task.proposed", {"requester": plan.request.requester})

    def forget(self, tx: Transaction, task: str) -> None:
        """Deletes a plan that never began, its admissions and its note; a tombstone stays."""
        documents = Documents(tx)
        for name, _ in documents.find(ADMISSION_TYPE, task=task):
            documents.remove(name)
        documents.remove(task)
        Settings(tx).remove(f"task/{task}")
        tx.after_commit(partial(self._uncache, task))

    def _uncache(self, task: str) -> None:
        self._plans.pop(task, None)

    # Admissions and approvals --------------------------------------------------------------------------------------

    def admissions(self, task: str) -> dict[str, Envelope]:
        """Party → its signed admission."""
        with self._database.read() as tx:
            rows = Documents(tx).find(ADMISSION_TYPE, task=task)
        found = [Envelope.stored(data) for _, data in rows]
        return {str(item.document()["party"]): item for item in found}

    def keep_admission(self, envelope: Envelope, admission: Admission, *, own: bool) -> None:
        """Keeps a party's first admission of a task; a later one of the same party changes nothing."""
        task, party, now = admission.task, admission.party, self._clock.now()
        with self._database.transaction() as tx:
            if Documents(tx).find(ADMISSION_TYPE, task=task, party=party):
                return
            Documents(tx).put(envelope.digest, ADMISSION_TYPE, envelope.encode(), now, task=task, party=party)
            if own:
                self._log(tx, "decision", envelope.digest)
            Events(tx).add(task, now, "task.admitted", {"party": party})

    def approvals(self) -> list[Approval]:
        """All approvals by people at this node."""
        with self._database.read() as tx:
            return [Approval.model_validate(item) for item in Settings(tx).get("approvals", [])]

    def keep_approval(self, envelope: Envelope, approval: Approval) -> None:
        """Keeps what a person at this node approved, signed."""
        with self._database.transaction() as tx:
            if approval.task is not None:  # it may have been refused or forgotten a moment ago
                self.require_open(tx, approval.task)
                if Documents(tx).get(approval.task) is None:
                    raise NotFound("There is no such task here.", "", "See: cloister task list")
            known = Settings(tx).get("approvals", [])
            Settings(tx).put("approvals", [*known, approval.model_dump(mode="json")])
            Documents(tx).put(
                envelope.digest,
                envelope.payloadType,
                envelope.encode(),
                self._clock.now(),
                agreement=approval.agreement,
            )
            self._log(tx, "decision", envelope.digest)

    def withdraw_approvals(self, tx: Transaction, envelope: Envelope, task: str) -> bool:
        """Forgets what people here approved of a task, and keeps their word instead. `False` if there was nothing."""
        known = [Approval.model_validate(item) for item in Settings(tx).get("approvals", [])]
        left = [item.model_dump(mode="json") for item in known if item.task != task]
        if len(left) == len(known):
            return False
        now = self._clock.now()
        Settings(tx).put("approvals", left)
        Documents(tx).put(envelope.digest, envelope.payloadType, envelope.encode(), now, task=task)
        self._log(tx, "decision", envelope.digest)
        document = envelope.document()
        Events(tx).add(
            task, now, "approval.withdrawn", {"party": document["by"], "reason": document["reason"]}
        )
        return True

    def attempts(self, plan: Plan, dataset: str) -> int:
        """How many other tasks tried the plan's computation on this owner's dataset (see `attempts`)."""
        with self._database.read() as tx:
            return attempts.others(tx, plan.request.computation.digest, dataset, plan.digest)

    # Notes ---------------------------------------------------------------------------------------------------------

    def note(self, task: str) -> dict[str, Any]:
        """What was said about a task so far."""
        with self._database.read() as tx:
            return _note(tx, task)

    def update(self, task: str, change: Callable[[dict[str, Any]], Any]) -> None:
        """Changes a task's note."""
        with self._database.transaction() as tx:
            _update(tx, task, change)

    def over(self, task: str) -> bool:
        """Whether the task was refused before it began."""
        return bool(self.note(task).get("over"))

    def require_open(self, tx: Transaction, task: str) -> None:
        """Raises `Refused` if the task was refused before it began."""
        if _note(tx, task).get("over"):
            raise Refused("The task was refused.", "", "Make a new plan.", clause="refused")

    def refused(self, task: str, party: str, error: CloisterError) -> None:
        """Keeps a party's refusal: the task is over."""
        with self._database.transaction() as tx:
            self.refuse_in(tx, task, party, error)

    def refuse_for_good(self, plan: Plan, party: str, error: CloisterError, withdrawal: Envelope) -> None:
        """Keeps what a person here said: the task is over, for as long as its plan could be admitted.

        Args:
            plan: the task's.
            party: this one.
            error: the refusal.
            withdrawal: kept if something was approved of the task here, which holds no longer then.

        Raises:
            Conflict: the task has started.
        """
        with self._database.transaction() as tx:
            if Tasks(tx).get(plan.digest) is not None:
                raise Conflict(
                    "The task has started.",
                    "It can be stopped, not refused.",
                    f"cloister task stop {plan.digest}",
                )
            self.withdraw_approvals(tx, withdrawal, plan.digest)
            self.refuse_in(tx, plan.digest, party, error)
            self.bury(tx, plan, error)

    def bury(self, tx: Transaction, plan: Plan, error: CloisterError) -> None:
        """Leaves a tombstone of a plan that a person here refused."""
        key, lapses = f"{_BURIED}{plan.request.requester}", parse_rfc3339(plan.created) + PLAN_LIFETIME
        Settings(tx).put(key, {**self._buried(tx, plan), plan.digest: [lapses, error.problem()]})

    def require_unburied(self, plan: Plan) -> None:
        """Raises `Refused` if a person here refused this very plan before, or too many of this requester's."""
        with self._database.read() as tx:
            buried = self._buried(tx, plan)
            known = Documents(tx).get(plan.digest) is not None
        if plan.digest in buried:
            raise refused_before(buried[plan.digest][1])
        if len(buried) >= TOMBSTONES and not known:
            raise Refused(
                "Too many plans of one party were refused here.",
                f"People at this server refused {len(buried)} of its plans that are still valid.",
                f"Wait: a plan counts for {PLAN_LIFETIME // 86400} days.",
                clause="quota",
            )

    def _buried(self, tx: Transaction, plan: Plan) -> dict[str, list[Any]]:
        kept: dict[str, list[Any]] = Settings(tx).get(f"{_BURIED}{plan.request.requester}", {})
        now = self._clock.now()
        return {task: item for task, item in kept.items() if item[0] >= now}

    def refuse_in(self, tx: Transaction, task: str, party: str, error: CloisterError) -> None:
        """Like `refused`, in a transaction that does more."""
        problem = error.problem()

        def write(note: dict[str, Any]) -> None:
            note["refusals"][party] = problem
            note["waiting"].pop(party, None)
            note.pop("pending", None)
            note["over"] = True

        _update(tx, task, write)
        Events(tx).add(task, self._clock.now(), "task.refused", {"party": party, "problem": problem})

    def waits(self, task: str, party: str, why: str) -> None:
        """Notes that a party has not answered yet, and why."""
        self.update(task, lambda note: note["waiting"].update({party: why}))

    def waits_no_more(self, task: str, party: str) -> None:
        """Notes that a party is no longer waited for."""
        self.update(task, lambda note: note["waiting"].pop(party, None))

    def summary(self, task: str) -> dict[str, Any]:
        """A task before it runs: who has admitted, who refused and why, who is waited for."""
        plan, note = self.plan(task), self.note(task)
        admitted = sorted(self.admissions(task))
        return {
            "task": task,
            "status": _status(plan, note, admitted),
            "requester": plan.request.requester,
            "agreement": plan.request.agreement,
            "purpose": plan.request.purpose,
            "kind": plan.request.computation.kind,
            "computation": plan.request.computation.digest,
            "protection": plan.offer.protection,
            "seats": {seat: list(parties) for seat, parties in plan.offer.seats.items()},
            "created": plan.created,
            "admitted": admitted,
            "waiting": note["waiting"],
            "refusals": note["refusals"],
            "pending": note.get("pending"),
            "trouble": note.get("trouble"),
        }


def refused_before(problem: dict[str, Any]) -> Refused:
    """A refusal that was given before, from how it was kept."""
    return Refused(
        str(problem.get("title", "This party has refused the task.")),
        str(problem.get("detail", "")),
        str(problem.get("remedy", "Make a new plan.")),
        clause=str(problem.get("clause", "refused")),
    )


def _note(tx: Transaction, task: str) -> dict[str, Any]:
    return {"waiting": {}, "refusals": {}, "told": [], **Settings(tx).get(f"task/{task}", {})}


def _update(tx: Transaction, task: str, change: Callable[[dict[str, Any]], Any]) -> None:
    note = _note(tx, task)
    before = canonical(note)
    change(note)
    if canonical(note) != before:
        Settings(tx).put(f"task/{task}", note)


def _status(plan: Plan, note: dict[str, Any], admitted: list[str]) -> str:
    if note.get("over"):
        return "refused"
    if note.get("pending"):
        return "pending"
    return "admitted" if plan.parties <= set(admitted) else "proposed"
