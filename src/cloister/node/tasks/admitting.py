"""Whether this party takes part in a task: decided by its own node (what its people say to it: `approving`).

Rules:
1. A node admits a plan only by its own decision (`agreements.decide`) on documents and facts that it holds itself; what
   the requester says of the agreement or of other parties' consent counts for nothing.
2. Before it admits, it has every part of the computation, by digest, has parsed it within limits, and has found its
   own dataset unchanged.
3. A task starts here only with the signed admission of every party of the plan, and is decided on once more then.
4. A refusal tells its clause to the requester. What needs a person is *pending*, which is no refusal; trouble (a full
   disk, a worker that stopped) is neither: the requester asks again.
5. A locked node (see `ledger_service`) admits nothing, nor does one of two with one identity.
6. What a requester leaves here is counted against it alone (`quotas`). Its model is fetched and checked only once the
   agreement permits everything else, and of one requester one plan at a time: another plan of its own waits, nobody
   else's does.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from cloister.agreements.decision import PLAN_LIFETIME, DecisionFacts, Permit, Refusal, decide
from cloister.claims.offers import ADMISSION_TYPE, PLAN_TYPE, Plan
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import Clock, parse_rfc3339, rfc3339
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    Conflict,
    NotTrusted,
    Refused,
    Tampered,
)
from cloister.foundation.quotas import Standing
from cloister.identity.envelopes import Envelope, sign, verify
from cloister.identity.keys import SecretKeys
from cloister.node.agreements_service import AgreementsService
from cloister.node.budgets import BudgetsService
from cloister.node.datasets_service import DatasetsService
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.peers.quotas import Quotas
from cloister.node.tasks.contents import Contents
from cloister.node.tasks.parts import Calling, Parts
from cloister.node.tasks.records import Admission, TaskRecords, read_admission, read_plan, refused_before
from cloister.protections.interface import Protection
from cloister.release.quality import require_planned
from cloister.storage.database import Database
from cloister.training.fitting import columns_of

PROPOSE, ADMISSION, START = "task.propose", "task.admission", "task.start"
WITHDRAWN = "task.withdrawn"
CALL_SECONDS = 60.0
PATIENCE = 300.0
REFUSALS = (Refused, BadInput, Conflict)
"""Errors that are a decision; all others are trouble, and the question is asked again."""


@dataclass(frozen=True)
class Ports:
    """What tasks need from the node around them.

    Attributes:
        call: see `Calling`.
        check: parses the computation's parts within limits, in a worker; raises `CloisterError`.
        run: starts this node's seat of an admitted plan; harmless if it runs.
        running: whether the journal knows the task already.
        stop: ends this node's seat of a task, if it runs.
        meet_witnesses: shows the log to the witnesses that have not seen it since the start; may lock this node.
        alone: raises while another node runs with this identity.
    """

    call: Calling
    check: Callable[[Plan], None]
    run: Callable[[Plan], None]
    running: Callable[[str], bool]
    stop: Callable[[str, CloisterError], None]
    meet_witnesses: Callable[[], None]
    alone: Callable[[], None]


class BeingDecided(CloisterError):
    """The plan is being looked at in another thread; no decision, and no trouble either."""


class Admitting:
    """Decides on plans for this party."""

    def __init__(
        self,
        records: TaskRecords,
        clock: Clock,
        keys: SecretKeys,
        parties: Parties,
        agreements: AgreementsService,
        datasets: DatasetsService,
        contents: Contents,
        ledger: LedgerService,
        protections: Mapping[str, Protection],
        ports: Ports,
        quotas: Quotas,
        database: Database,
        budgets: BudgetsService,
    ) -> None:
        self._quotas = quotas
        self._budgets = budgets
        self._database = database
        self._records = records
        self._clock = clock
        self._keys = keys
        self._parties = parties
        self._agreements = agreements
        self._datasets = datasets
        self._parts = Parts(database, records, contents, quotas, ports.call, self._standing)
        self._ledger = ledger
        self._protections = protections
        self._ports = ports
        self._deciding: set[str] = set()
        self._checking: set[str] = set()
        self._turn = threading.Condition()

    # Deciding ------------------------------------------------------------------------------------------------------

    def on_propose(self, sender: str, body: bytes) -> bytes:
        """Another node asks whether this party admits its plan: an admission, or that a person must look at it."""
        envelope = Envelope.decode(body)
        plan = read_plan(envelope)
        verify(envelope, PLAN_TYPE, [plan.request.requester], self._parties.live())
        if sender != plan.request.requester:
            raise NotTrusted(
                "A plan came from another party than its requester.",
                "Its signature is the requester's, its sender is not.",
                "Ask the requester's own server to send it.",
                clause="requester",
            )
        if self._parties.own.party not in plan.parties:
            raise Refused(
                "This party has no part in the plan.", "", "Check the plan's seats.", clause="parties"
            )
        # Also keeps strangers from filling this node's disk with plans.
        agreement = self._agreements.in_force(plan.request.agreement)
        if sender not in agreement.terms.parties:
            raise Refused(
                "The requester is no party of the agreement.",
                "",
                "Have the agreement name it.",
                clause="parties",
            )
        self._records.require_unburied(plan)
        if not self._records.known(plan.digest):
            size = len(envelope.encode())
            for old in self._quotas.take("plans", sender, plan.digest, size, self._standing):
                self._forget(old)
        self._records.keep_plan(envelope, plan)
        return self._answer(plan)

    def _standing(self, task: str) -> Standing:
        """Of another party's plan: still to be decided on, begun, or nobody waits for it any more."""
        if self._ports.running(task):
            return "taken"
        try:
            lapsed = parse_rfc3339(self._records.plan(task).created) + PLAN_LIFETIME < self._clock.now()
        except CloisterError:
            return "spent"
        return "spent" if lapsed or self._records.over(task) else "waiting"

    def _forget(self, task: str) -> None:
        """Deletes a plan that never began, what was said about it, and the parts that were fetched for it alone."""
        try:
            parts = sorted(set(self._records.plan(task).request.computation.contents.values()))
        except CloisterError:
            parts = []
        with self._database.transaction() as tx:
            self._records.forget(tx, task)
        self._parts.forget(parts)

    def _answer(self, plan: Plan) -> bytes:
        task, own = plan.digest, self._parties.own.party
        known = self._records.note(task)["refusals"].get(own)
        if known is not None:
            raise refused_before(known)
        try:
            admission = self.decide_here(plan)
        except BeingDecided:
            return canonical({"pending": "Its server is looking at it."})
        except CloisterError as error:
            if not isinstance(error, REFUSALS):
                raise
            self._records.refused(task, own, error)
            raise _outward(error) from None
        if admission is None:
            return canonical({"pending": "A person at this server must approve the computation."})
        return canonical({"admission": admission.model_dump(mode="json")})

    def decide_here(self, plan: Plan, patience: float = 0.0) -> Envelope | None:
        """This party's admission; `None` when a person must approve.

        Args:
            plan: signed by its requester.
            patience: seconds to wait where the plan is being looked at already.

        Raises:
            Refused: with the clause.
            BeingDecided: after `patience` it is still being looked at.
        """
        own = self._parties.own.party
        with self._once(plan.digest, patience):
            known = self._records.admissions(plan.digest).get(own)
            if known is not None:
                return known
            self._ports.alone()
            self._ports.meet_witnesses()
            self._ledger.require_unlocked()
            self._require_sound_budgets(plan)
            decision = self.decision(plan)
            if isinstance(decision, Refusal) and not decision.needs_person:
                raise decision.error()
            self._check_offer(plan)
            require_planned(plan, self._agreements.get(plan.request.agreement).terms)
            with self._one_at_a_time(plan.request.requester, patience):
                self._parts.fetch(plan)
                self._ports.check(plan)
            if isinstance(decision, Refusal):
                clause = decision.clause
                self._records.update(plan.digest, lambda note: note.update(pending=clause))
                return None
            commitment = plan.request.datasets.get(own)
            if commitment is not None:
                self._datasets.for_use(commitment)
            return self._admit(plan)

    @contextlib.contextmanager
    def _once(self, task: str, patience: float) -> Iterator[None]:
        with self._turn:
            if not self._turn.wait_for(lambda: task not in self._deciding, patience):
                raise BeingDecided(
                    "This server is looking at the task already.",
                    "Its model is being checked.",
                    "Ask again soon.",
                )
            self._deciding.add(task)
        try:
            yield
        finally:
            with self._turn:
                self._deciding.discard(task)
                self._turn.notify_all()

    @contextlib.contextmanager
    def _one_at_a_time(self, requester: str, patience: float) -> Iterator[None]:
        """Rule 6: what a requester's model costs this node, it costs that requester's other plans."""
        with self._turn:
            if not self._turn.wait_for(lambda: requester not in self._checking, patience):
                raise BeingDecided(
                    "Another plan of the same requester is being checked here.",
                    "Each requester's plans are checked one after the other.",
                    "Ask again soon.",
                )
            self._checking.add(requester)
        try:
            yield
        finally:
            with self._turn:
                self._checking.discard(requester)
                self._turn.notify_all()

    def decision(self, plan: Plan) -> Permit | Refusal:
        """What this party's agreement says of a plan, on this node's own facts."""
        name = plan.request.agreement
        found = self._agreements.get(name)
        own = plan.request.datasets.get(self._parties.own.party)
        read = columns_of(plan.request.computation)
        remaining, populations = self._budgets.charges.facts(plan, found.terms)
        facts = DecisionFacts(
            now=self._clock.now(),
            party=self._parties.own.party,
            state=self._agreements.state(name),
            protections={name: item.maturity for name, item in self._protections.items()},
            catalogue=self._datasets.catalogue(plan.request.datasets),
            approvals=tuple(self._records.approvals()),
            remaining=remaining,
            populations=populations,
            columns=dict.fromkeys(plan.request.datasets.values(), read) if read is not None else {},
            attempts={} if own is None else {own: self._records.attempts(plan, own)},
        )
        return decide(found, plan, facts)

    def _require_sound_budgets(self, plan: Plan) -> None:
        """What cannot be charged here is not begun."""
        if self._budgets.charges.concerns(plan, self._agreements.get(plan.request.agreement).terms):
            self._budgets.health.require_sound()

    def _check_offer(self, plan: Plan) -> None:
        protection = self._protections.get(plan.offer.protection)
        seat = plan.offer.seat_of(self._parties.own.party)
        if protection is None:
            raise Refused(
                "The plan's privacy method is not installed here.",
                "This server would not know what it takes part in.",
                "Update Cloister here, or plan with another method.",
                clause="protection",
            )
        if seat is not None and seat != "recipient":  # recipients take part in the release only
            protection.program(plan.offer, plan.request, seat)

    def _admit(self, plan: Plan) -> Envelope:
        own = self._parties.own.party
        admission = Admission(
            task=plan.digest, agreement=plan.request.agreement, party=own, time=rfc3339(self._clock.now())
        )
        envelope = sign(ADMISSION_TYPE, admission.model_dump(mode="json"), own, self._keys)
        self._records.keep_admission(envelope, admission, own=True)
        self._records.update(plan.digest, lambda note: note.pop("pending", None))
        return envelope

    # The start -----------------------------------------------------------------------------------------------------

    def on_start(self, sender: str, body: bytes) -> bytes:
        """The requester says that all have admitted, and shows it."""
        value = parse(body)
        try:
            task = str(value["task"])
            envelopes = [Envelope.from_json(item) for item in value["start"]["admissions"]]
        except (KeyError, TypeError):
            raise BadInput("A start could not be read.", "Fields are missing.", "") from None
        plan = self._records.plan(task)
        if sender != plan.request.requester:
            raise Refused(
                "Only the requester starts its task.",
                "The call came from another party.",
                "Ask the requester.",
                clause="requester",
            )
        if self._records.over(task):
            raise Refused("The task was refused.", "", "Make a new plan.", clause="refused")
        for envelope in envelopes:
            self.accept_admission(envelope, None)
        missing = plan.parties - set(self._records.admissions(task))
        if missing:
            raise Refused(
                "Not every party has admitted the task.",
                f"{len(missing)} admissions are missing.",
                "Start when all are there.",
                clause="admissions",
            )
        if not self._ports.running(task):
            self._ports.alone()
            self._ledger.require_unlocked()
            decision = self.decision(plan)
            if isinstance(decision, Refusal):
                error = decision.error()  # for example revoked since
                self._records.refused(task, self._parties.own.party, error)
                raise error
            self._ports.run(plan)
        return b"{}"

    def on_withdrawn(self, sender: str, body: bytes) -> bytes:
        """The requester says that the task will not begin: somebody has refused it. Who and why is between those two."""
        asked = parse(body, max_bytes=4096)
        task = str(asked.get("task", "")) if isinstance(asked, dict) else ""
        plan = self._records.plan(task)
        if sender != plan.request.requester or self._ports.running(task):
            raise Refused(
                "Only the requester withdraws its task, before it begins.",
                "The call came from another party, or too late.",
                "A task that runs can be stopped.",
                clause="requester",
            )
        if not self._records.over(task):
            self._records.refused(
                task,
                sender,
                Refused(
                    "The task will not begin.",
                    "Another party has refused it.",
                    "Ask the requester.",
                    clause="withdrawn",
                ),
            )
        return b"{}"

    def accept_admission(self, envelope: Envelope, sender: str | None) -> str:
        """Takes in a party's admission; returns the task. Raises `NotTrusted` if it is not that party's to that plan."""
        admission = read_admission(envelope)
        if sender is not None and sender != admission.party:
            raise NotTrusted(
                "An admission came from another party than it names.",
                "Each party sends its own.",
                "Ask that party.",
                clause="signature",
            )
        verify(envelope, ADMISSION_TYPE, [admission.party], self._parties.live())
        plan = self._records.plan(admission.task)
        if admission.party not in plan.parties or admission.agreement != plan.request.agreement:
            raise NotTrusted(
                "An admission does not belong to the plan that it names.",
                "Its party or its agreement is not the plan's.",
                "Ask for the admission again.",
                clause="admission",
            )
        self._records.keep_admission(envelope, admission, own=False)
        return admission.task


def _outward(error: CloisterError) -> CloisterError:
    """A refusal as the other side can understand it: of a class that every installation knows."""
    if type(error) in (*REFUSALS, NotTrusted, Tampered):
        return error
    return Refused(error.what, error.why, error.remedy, clause=getattr(error, "clause", "") or error.type)
