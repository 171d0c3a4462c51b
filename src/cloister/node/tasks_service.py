"""Tasks at this node: asked for, decided on, approved by people, started when every seat has admitted.

Rules:
1. A node admits a plan only by its own decision (`agreements.decide`) on documents and facts that it holds itself; what
   the requester says of the agreement or of other parties' consent counts for nothing.
2. Before it admits, it has every part of the computation, by digest, has parsed it within limits, and has found its
   own dataset unchanged.
3. A task starts only with the signed admission of every party of the plan.
4. A refusal tells its clause to the requester. What needs a person is *pending*, which is no refusal.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from cloister.agreements.decision import Approval, Balance, DecisionFacts, Permit, Refusal, decide
from cloister.claims.offers import ADMISSION_TYPE, PLAN_TYPE, Digest, Plan, Time
from cloister.data.schema import invalid
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import Clock, rfc3339
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotFound,
    NotTrusted,
    Refused,
    Unreachable,
    from_problem,
)
from cloister.identity.envelopes import Envelope, sign, verify
from cloister.identity.keys import PartyId, SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.contents import MAX_CONTENT, Contents
from cloister.node.datasets_service import DatasetsService
from cloister.node.ledger_service import LedgerService
from cloister.node.parties_service import Parties
from cloister.protections.interface import Protection
from cloister.storage.database import Database
from cloister.storage.documents import Documents
from cloister.storage.events import Events
from cloister.storage.settings import Settings

PROPOSE, ADMISSION, START, CONTENT = "task.propose", "task.admission", "task.start", "task.content"
_NEEDS_A_PERSON = frozenset({"approval", "records"})
_CALL_SECONDS = 60.0
_REFUSALS = (Refused, BadInput, Conflict)
"""Errors that are a decision; all others are trouble, and the question is asked again."""


class Admission(BaseModel):
    """A party's signed yes to a plan."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    type: Literal["cloister/admission@1"] = "cloister/admission@1"
    task: Digest
    agreement: Digest
    party: PartyId
    time: Time


@dataclass(frozen=True)
class Ports:
    """What this service needs from the node around it.

    Attributes:
        call: `(to, method, body, deadline, key) -> answer` through the transport.
        check: parses the computation's parts within limits, in a worker; raises `CloisterError`.
        run: starts this node's seat of an admitted plan.
        running: whether the journal knows the task already.
    """

    call: Callable[[str, str, bytes, float, str], bytes]
    check: Callable[[Plan], None]
    run: Callable[[Plan], None]
    running: Callable[[str], bool]


class TasksService:
    """Decides, keeps plans and admissions, starts tasks."""

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
    ) -> None:
        self._database = database
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._agreements = agreements
        self._datasets = datasets
        self._contents = contents
        self._ledger = ledger
        self.protections = {protection.name: protection for protection in protections}
        self._ports = ports
        self._lock = threading.RLock()
        self._driving = threading.Lock()

    # Asking --------------------------------------------------------------------------------------------------------

    def submit(self, plan: Plan) -> dict[str, Any]:
        """Signs a plan of this party's and asks every seat's node to admit it. Returns the task's summary."""
        own = self._parties.own.party
        if plan.request.requester != own:
            raise Refused(
                "Only the requester submits a plan.",
                "",
                "Ask with this party as requester.",
                clause="requester",
            )
        self._ledger.require_unlocked()
        envelope = sign(PLAN_TYPE, plan.model_dump(mode="json"), own, self._keys)
        with self._lock:
            self._keep_plan(envelope, plan)
            self._decide_here(plan)
        self.drive(plan.digest)
        return self.summary(plan.digest)

    def drive(self, task: str) -> None:
        """Asks the parties that have not answered yet; starts the task when all have admitted. Safe to repeat."""
        with self._driving:
            self._drive(task)

    def _drive(self, task: str) -> None:
        plan = self.plan(task)
        if plan.request.requester != self._parties.own.party or self._note(task).get("over"):
            return
        admitted = self.admissions(task)
        for party in sorted(plan.parties - set(admitted)):
            if party == self._parties.own.party:
                continue
            self._propose_to(plan, party)
        if self._note(task).get("over"):
            return
        admitted = self.admissions(task)
        if plan.parties <= set(admitted):
            self._start_everywhere(plan, admitted)

    def _propose_to(self, plan: Plan, party: str) -> None:
        task = plan.digest
        try:
            answer = parse(
                self._ports.call(
                    party,
                    PROPOSE,
                    self._envelope(task).encode(),
                    _CALL_SECONDS,
                    f"propose/{task}/{secrets.token_hex(4)}",
                )
            )
            if "admission" in answer:
                self._accept_admission(Envelope.from_json(answer["admission"]), party)
                self._update(task, lambda note: note["waiting"].pop(party, None))
            else:
                reason = str(answer.get("pending", "A person must approve it."))[:200]
                self._update(task, lambda note: note["waiting"].update({party: reason}))
        except Unreachable:
            self._update(task, lambda note: note["waiting"].update({party: "not reachable"}))
        except CloisterError as error:
            if isinstance(error, _REFUSALS):
                self._refused(task, party, error)
                return
            # A full disk or a worker that stopped is no decision: asked again later.
            trouble = error.what
            self._update(task, lambda note: note["waiting"].update({party: trouble}))

    def _start_everywhere(self, plan: Plan, admitted: Mapping[str, Envelope]) -> None:
        task = plan.digest
        body = canonical(
            {"admissions": [admitted[party].model_dump(mode="json") for party in sorted(admitted)]}
        )
        told = set(self._note(task).get("told", []))
        self._run(plan)
        for party in sorted(plan.parties - told - {self._parties.own.party}):
            try:
                self._ports.call(
                    party,
                    START,
                    canonical({"task": task, "start": parse(body)}),
                    _CALL_SECONDS,
                    f"start/{task}",
                )
            except Unreachable:
                continue
            except CloisterError as error:
                if isinstance(error, _REFUSALS):
                    self._refused(task, party, error)
                    return
                continue
            self._update(task, partial(_tell, party))

    def undriven(self) -> list[str]:
        """Own requests that still wait for somebody."""
        found = []
        for task in self.digests():
            note = self._note(task)
            plan = self.plan(task)
            if plan.request.requester != self._parties.own.party or note.get("over"):
                continue
            if plan.parties - {self._parties.own.party} - set(note["told"]):
                found.append(task)
        return found

    # Deciding ------------------------------------------------------------------------------------------------------

    def on_propose(self, sender: str, body: bytes) -> bytes:
        """Another node asks whether this party admits its plan."""
        envelope = Envelope.decode(body)
        plan = _plan(envelope)
        verify(envelope, PLAN_TYPE, [plan.request.requester], self._parties.live())
        if sender != plan.request.requester:
            raise NotTrusted("A plan came from another party than its requester.", clause="requester")
        own = self._parties.own.party
        if own not in plan.parties:
            raise Refused(
                "This party has no part in the plan.", "", "Check the plan's seats.", clause="parties"
            )
        with self._lock:
            known = self.admissions(plan.digest).get(own)
            if known is not None:
                return canonical({"admission": known.model_dump(mode="json")})
            if self._note(plan.digest).get("over"):
                raise Refused("This party has refused the task.", "", "Make a new plan.", clause="refused")
            self._agreements.in_force(plan.request.agreement)
            self._keep_plan(envelope, plan)
        return self._answer(plan)

    def _answer(self, plan: Plan) -> bytes:
        try:
            admission = self._decide_here(plan)
        except CloisterError as error:
            if isinstance(error, _REFUSALS):
                self._refused(plan.digest, self._parties.own.party, error)
            raise
        if admission is None:
            return canonical({"pending": "A person at this node must approve the computation."})
        return canonical({"admission": admission.model_dump(mode="json")})

    def _decide_here(self, plan: Plan) -> Envelope | None:
        """This node's admission; `None` when a person must approve. Raises `Refused` with the clause otherwise."""
        self._ledger.require_unlocked()
        own = self._parties.own.party
        decision = self.decision(plan)
        if isinstance(decision, Refusal):
            if decision.clause in _NEEDS_A_PERSON:
                self._fetch(plan)
                self._ports.check(plan)
                self._update(plan.digest, lambda note: note.update(pending=decision.clause))
                return None
            raise decision.error()
        self._check_offer(plan)
        self._fetch(plan)
        self._ports.check(plan)
        commitment = plan.request.datasets.get(own)
        if commitment is not None:
            self._datasets.for_use(commitment)
        return self._admit(plan, decision)

    def decision(self, plan: Plan) -> Permit | Refusal:
        """What this party's agreement says of a plan, on this node's own facts."""
        found = self._agreements.get(plan.request.agreement)
        facts = DecisionFacts(
            now=self._clock.now(),
            party=self._parties.own.party,
            state=self._agreements.state(plan.request.agreement),
            protections={name: item.maturity for name, item in self.protections.items()},
            catalogue=self._datasets.catalogue(),
            approvals=tuple(self.approvals()),
            remaining=self._remaining(),
            columns={},
        )
        return decide(found, plan, facts)

    def _remaining(self) -> dict[str, Balance]:
        # No protection charges yet; an agreement with budgets then finds nothing left, and refuses (fail closed).
        return {}

    def _check_offer(self, plan: Plan) -> None:
        protection = self.protections.get(plan.offer.protection)
        seat = plan.offer.seat_of(self._parties.own.party)
        if protection is None:
            raise Refused("The plan's privacy method is not installed here.", clause="protection")
        if seat is not None and seat != "recipient":  # recipients take part in the release only
            protection.program(plan.offer, plan.request, seat)

    def _fetch(self, plan: Plan) -> None:
        for name in sorted(set(plan.request.computation.contents.values())):
            if not self._contents.has(name):
                body = canonical({"task": plan.digest, "content": name})
                data = self._ports.call(
                    plan.request.requester,
                    CONTENT,
                    body,
                    10 * _CALL_SECONDS,
                    f"content/{plan.digest}/{name}/{secrets.token_hex(8)}",
                )
                self._contents.put(data, name)

    def on_content(self, sender: str, body: bytes) -> bytes:
        """A party of one of this node's plans asks for a part of its computation."""
        asked = parse(body, max_bytes=4096)
        task, name = str(asked.get("task", "")), str(asked.get("content", ""))
        plan = self.plan(task)
        if sender not in plan.parties or name not in plan.request.computation.contents.values():
            raise Refused("That is no part of a computation of this party's.", clause="parties")
        data = self._contents.get(name)
        if len(data) > MAX_CONTENT:
            raise BadInput("A part of the computation is too large to send.")
        return data

    def _admit(self, plan: Plan, _permit: Permit) -> Envelope:
        own = self._parties.own.party
        now = self._clock.now()
        admission = Admission(
            task=plan.digest, agreement=plan.request.agreement, party=own, time=rfc3339(now)
        )
        envelope = sign(ADMISSION_TYPE, admission.model_dump(mode="json"), own, self._keys)
        with self._database.transaction() as tx:
            Documents(tx).put(
                envelope.digest, ADMISSION_TYPE, envelope.encode(), now, task=plan.digest, party=own
            )
            self._ledger.append(tx, "decision", envelope.digest)
            Events(tx).add(plan.digest, now, "task.admitted", {"party": own})
        self._update(plan.digest, lambda note: note.pop("pending", None))
        return envelope

    # People --------------------------------------------------------------------------------------------------------

    def approve(self, task: str, *, with_records: bool) -> dict[str, Any]:
        """A person at this node approves a plan's computation.

        Args:
            task: the task.
            with_records: the person also accepts that the result may contain input records.
        """
        plan = self.plan(task)
        own = self._parties.own.party
        now = self._clock.now()
        approval = Approval(
            agreement=plan.request.agreement,
            computation=plan.request.computation.digest,
            by=own,
            with_records=with_records,
            time=rfc3339(now),
        )
        envelope = sign(
            "application/vnd.cloister.approval+json", approval.model_dump(mode="json"), own, self._keys
        )
        with self._database.transaction() as tx:
            known = Settings(tx).get("approvals", [])
            Settings(tx).put("approvals", [*known, approval.model_dump(mode="json")])
            Documents(tx).put(
                envelope.digest, envelope.payloadType, envelope.encode(), now, agreement=approval.agreement
            )
            self._ledger.append(tx, "decision", envelope.digest)
        with self._lock:
            admission = self.admissions(task).get(own) or self._decide_here(plan)
        if admission is None:
            decision = self.decision(plan)
            if isinstance(decision, Refusal):
                raise decision.error()
            raise Conflict("The task still waits for a person.", "", "Look at it again.")
        if plan.request.requester == own:
            self.drive(task)
        else:
            self._tell_admission(plan, admission)
        return self.summary(task)

    def _tell_admission(self, plan: Plan, admission: Envelope) -> None:
        try:
            self._ports.call(
                plan.request.requester,
                ADMISSION,
                admission.encode(),
                _CALL_SECONDS,
                f"admission/{plan.digest}",
            )
        except Unreachable:
            pass  # the requester asks again by itself

    def refuse(self, task: str, reason: str) -> dict[str, Any]:
        """A person at this node refuses a task."""
        plan = self.plan(task)
        if self._ports.running(task):
            raise Conflict(
                "The task has started.", "It can be stopped, not refused.", f"cloister task stop {task}"
            )
        error = Refused(
            "A person at this node refused the task.", reason[:200], "Ask them.", clause="approval"
        )
        self._refused(task, self._parties.own.party, error)
        if plan.request.requester != self._parties.own.party:
            try:
                body = canonical({"task": task, "problem": error.problem()})
                self._ports.call(plan.request.requester, ADMISSION, body, _CALL_SECONDS, f"refusal/{task}")
            except CloisterError:
                pass  # the requester asks again and is told then
        return self.summary(task)

    def approvals(self) -> list[Approval]:
        """All approvals by people at this node."""
        with self._database.read() as tx:
            return [Approval.model_validate(item) for item in Settings(tx).get("approvals", [])]

    # Admissions of others, and the start ----------------------------------------------------------------------------

    def on_admission(self, sender: str, body: bytes) -> bytes:
        """A party admits (or refuses) later what it had to show to a person."""
        value = parse(body)
        if isinstance(value, dict) and "problem" in value:
            task = str(value.get("task", ""))
            if sender not in self.plan(task).parties or self._ports.running(task):
                raise Refused("This party cannot refuse that task.", clause="parties")
            self._refused(task, sender, from_problem(value["problem"]))
            return b"{}"
        task = self._accept_admission(Envelope.decode(body), sender)
        threading.Thread(target=self._drive_quietly, args=(task,), daemon=True).start()
        return b"{}"

    def _drive_quietly(self, task: str) -> None:
        try:
            self.drive(task)
        except CloisterError as error:
            problem = error.problem()
            self._update(task, lambda note: note.update(trouble=problem))

    def on_start(self, sender: str, body: bytes) -> bytes:
        """The requester says that all have admitted, and shows it."""
        value = parse(body)
        try:
            task = str(value["task"])
            envelopes = [Envelope.from_json(item) for item in value["start"]["admissions"]]
        except (KeyError, TypeError):
            raise BadInput("A start could not be read.", "Fields are missing.", "") from None
        plan = self.plan(task)
        if sender != plan.request.requester:
            raise Refused("Only the requester starts its task.", clause="requester")
        for envelope in envelopes:
            self._accept_admission(envelope, None)
        missing = plan.parties - set(self.admissions(task))
        if missing:
            raise Refused(
                "Not every party has admitted the task.",
                f"{len(missing)} admissions are missing.",
                "Start when all are there.",
                clause="admissions",
            )
        decision = self.decision(plan)
        if isinstance(decision, Refusal):
            raise decision.error()  # for example revoked since
        self._run(plan)
        return b"{}"

    def _accept_admission(self, envelope: Envelope, sender: str | None) -> str:
        try:
            admission = Admission.model_validate_json(canonical(envelope.document()))
        except ValidationError as error:
            raise invalid(error, "An admission") from None
        if sender is not None and sender != admission.party:
            raise NotTrusted("An admission came from another party than it names.", clause="signature")
        verify(envelope, ADMISSION_TYPE, [admission.party], self._parties.live())
        plan = self.plan(admission.task)
        if admission.party not in plan.parties or admission.agreement != plan.request.agreement:
            raise NotTrusted("An admission does not belong to the plan that it names.", clause="admission")
        with self._database.transaction() as tx:
            known = Documents(tx).find(ADMISSION_TYPE, task=admission.task, party=admission.party)
            if not known:
                Documents(tx).put(
                    envelope.digest,
                    ADMISSION_TYPE,
                    envelope.encode(),
                    self._clock.now(),
                    task=admission.task,
                    party=admission.party,
                )
                Events(tx).add(admission.task, self._clock.now(), "task.admitted", {"party": admission.party})
        return admission.task

    def _run(self, plan: Plan) -> None:
        with self._lock:
            if not self._ports.running(plan.digest):
                self._ports.run(plan)

    # Looking -------------------------------------------------------------------------------------------------------

    def digests(self) -> list[str]:
        """All tasks known here, oldest first."""
        with self._database.read() as tx:
            return [name for name, _ in Documents(tx).find(PLAN_TYPE)]

    def plan(self, task: str) -> Plan:
        """A task's plan. Raises `NotFound`."""
        return _plan(self._envelope(task))

    def _envelope(self, task: str) -> Envelope:
        with self._database.read() as tx:
            data = Documents(tx).get(task)
        if data is None:
            raise NotFound("There is no such task here.", "", "See: cloister task list")
        return Envelope.decode(data)

    def admissions(self, task: str) -> dict[str, Envelope]:
        """Party → its signed admission."""
        with self._database.read() as tx:
            rows = Documents(tx).find(ADMISSION_TYPE, task=task)
        found = [Envelope.decode(data) for _, data in rows]
        return {str(item.document()["party"]): item for item in found}

    def summary(self, task: str) -> dict[str, Any]:
        """A task before it runs: who has admitted, who refused and why, who is waited for."""
        plan = self.plan(task)
        note = self._note(task)
        admitted = sorted(self.admissions(task))
        status = (
            "refused"
            if note.get("over")
            else "pending"
            if note.get("pending")
            else "admitted"
            if plan.parties <= set(admitted)
            else "proposed"
        )
        return {
            "task": task,
            "status": status,
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
        }

    # Inside --------------------------------------------------------------------------------------------------------

    def _keep_plan(self, envelope: Envelope, plan: Plan) -> None:
        now = self._clock.now()
        with self._database.transaction() as tx:
            if Documents(tx).get(plan.digest) is None:
                Documents(tx).put(
                    plan.digest, PLAN_TYPE, envelope.encode(), now, agreement=plan.request.agreement
                )
                Events(tx).add(plan.digest, now, "task.proposed", {"requester": plan.request.requester})

    def _refused(self, task: str, party: str, error: CloisterError) -> None:
        problem = error.problem()

        def write(note: dict[str, Any]) -> None:
            note["refusals"][party] = problem
            note["waiting"].pop(party, None)
            note["over"] = True

        self._update(task, write)
        with self._database.transaction() as tx:
            Events(tx).add(task, self._clock.now(), "task.refused", {"party": party, "problem": problem})

    def _note(self, task: str) -> dict[str, Any]:
        with self._database.read() as tx:
            return {"waiting": {}, "refusals": {}, "told": [], **Settings(tx).get(f"task/{task}", {})}

    def _update(self, task: str, change: Callable[[dict[str, Any]], Any]) -> None:
        with self._lock, self._database.transaction() as tx:
            note = {"waiting": {}, "refusals": {}, "told": [], **Settings(tx).get(f"task/{task}", {})}
            change(note)
            Settings(tx).put(f"task/{task}", note)


def _tell(party: str, note: dict[str, Any]) -> None:
    note["told"].append(party)


def _plan(envelope: Envelope) -> Plan:
    if envelope.payloadType != PLAN_TYPE:
        raise NotTrusted("This is not a plan.", clause="payload-type")
    try:
        return Plan.model_validate_json(canonical(envelope.document()))
    except ValidationError as error:
        raise invalid(error, "A plan") from None
