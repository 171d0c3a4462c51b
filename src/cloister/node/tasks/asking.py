"""The requester's side of a task: every seat's node is asked, and all are told to start once all have admitted.

Rules:
1. This party's own node decides first; what it refuses is shown to nobody.
2. The parties are asked side by side, each as patiently as it needs: one that cannot be reached delays no other.
3. One refusal ends the task before it begins, everywhere that it is known.
4. Asking and starting may be repeated at any time, also after a crash: nothing happens twice.
5. A signature that does not hold at another node is mostly of a card that is still on its way there: for ten minutes
   that is no refusal, and it is asked again.
"""

from __future__ import annotations

import contextlib
import logging
import secrets
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from functools import partial

from cloister.agreements.decision import Refusal
from cloister.claims.offers import PLAN_TYPE, Plan
from cloister.foundation.canonical import canonical, parse
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    NotTrusted,
    Refused,
    Unreachable,
    from_problem,
)
from cloister.identity.envelopes import Envelope, sign
from cloister.identity.keys import SecretKeys
from cloister.node.ledger_service import LedgerService
from cloister.node.peers.parties import Parties
from cloister.node.tasks.admitting import (
    CALL_SECONDS,
    PATIENCE,
    PROPOSE,
    REFUSALS,
    START,
    WITHDRAWN,
    Admitting,
    BeingDecided,
    Ports,
)
from cloister.node.tasks.contents import MAX_CONTENT, Contents
from cloister.node.tasks.records import TaskRecords

_LOG = logging.getLogger("cloister.node.tasks.asking")
_AT_ONCE = 8
_FIRST_PAUSE, _LONGEST_PAUSE = 2.0, 60.0
_CARDS_SECONDS = 600.0


class Asking:
    """Asks for this party's own tasks."""

    def __init__(
        self,
        records: TaskRecords,
        admitting: Admitting,
        keys: SecretKeys,
        parties: Parties,
        contents: Contents,
        ledger: LedgerService,
        ports: Ports,
    ) -> None:
        self._records = records
        self._admitting = admitting
        self._keys = keys
        self._parties = parties
        self._contents = contents
        self._ledger = ledger
        self._ports = ports
        self._pool = ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="asking")
        self._lock = threading.Lock()
        self._asked: dict[tuple[str, str], Future[None]] = {}
        self._pauses: dict[tuple[str, str], tuple[float, float]] = {}
        self._tried: set[tuple[str, str]] = set()
        self._unproven: dict[tuple[str, str], float] = {}
        self._open: set[str] | None = None

    def close(self) -> None:
        """Asks no more; calls on their way end with the transport."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def submit(self, plan: Plan, seconds: float) -> None:
        """Signs a plan of this party's, and asks every seat's node to admit it.

        Args:
            plan: made by this party.
            seconds: how long to wait for the answers; those that come later count as well.

        Raises:
            Refused: this party's own node says no (the clause is named); nobody else was asked.
        """
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
        self._records.keep_plan(envelope, plan)
        try:
            self._admitting.decide_here(plan, PATIENCE)
        except REFUSALS as error:
            self._records.refused(plan.digest, own, error)
            raise
        with self._lock:
            self._opened().add(plan.digest)
        self.drive(plan.digest, seconds)

    def drive_all(self) -> None:
        """Goes on with every task of this party's that still waits for somebody."""
        with self._lock:
            waiting = sorted(self._opened())
        for task in waiting:
            self.drive(task)

    def hurry(self, party: str) -> None:
        """A party's node came: whatever it was to be asked is asked now."""
        with self._lock:
            for key in [key for key in self._pauses if key[1] == party]:
                del self._pauses[key]

    def drive(self, task: str, seconds: float = 0.0) -> None:
        """Asks those that have not answered; starts the task when all have admitted. Safe to repeat."""
        plan, own = self._records.plan(task), self._parties.own.party
        if plan.request.requester != own:
            return
        if self._records.over(task):
            self._shut(task)
            return
        admitted = self._records.admissions(task)
        if plan.parties <= set(admitted):
            self._start(plan, admitted, seconds)
            return
        if own not in admitted and not self._decided_here(plan):
            return
        others = sorted(plan.parties - set(admitted) - {own})
        wait([item for item in (self._ask(plan, party) for party in others) if item], timeout=seconds)

    def _decided_here(self, plan: Plan) -> bool:
        """Whether this party's own node lets the others be asked (it admits, or a person here must still look)."""
        decision = self._admitting.decision(plan)
        if isinstance(decision, Refusal) and not decision.needs_person:
            self._records.refused(plan.digest, self._parties.own.party, decision.error())
            self._shut(plan.digest)
            return False
        if not isinstance(decision, Refusal):
            try:
                self._admitting.decide_here(plan)
            except REFUSALS as error:
                self._records.refused(plan.digest, self._parties.own.party, error)
                return False
            except BeingDecided:
                pass  # it comes here again
            except CloisterError as error:
                problem = error.problem()
                self._records.update(plan.digest, lambda note: note.update(trouble=problem))
        return True

    # One party -----------------------------------------------------------------------------------------------------

    def _ask(self, plan: Plan, party: str) -> Future[None] | None:
        return self._once(plan.digest, party, partial(self._propose, plan, party))

    def _once(self, task: str, party: str, work: Callable[[], bool]) -> Future[None] | None:
        """Runs `work` beside the others; not twice at a time, and after a fruitless go not at once again."""
        key = (task, party)
        with self._lock:
            running = self._asked.get(key)
            if running is not None and not running.done():
                return running
            due, pause = self._pauses.get(key, (0.0, _FIRST_PAUSE))
            if time.monotonic() < due:
                return None
            self._pauses[key] = (time.monotonic() + pause, min(2 * pause, _LONGEST_PAUSE))
            try:
                self._asked[key] = made = self._pool.submit(self._guarded, task, key, work)
            except RuntimeError:
                return None  # closing
            return made

    def _guarded(self, task: str, key: tuple[str, str], work: Callable[[], bool]) -> None:
        try:
            if work():
                with self._lock:
                    self._pauses.pop(key, None)
                    self._asked.pop(key, None)
                self.drive(task)
        except CloisterError as error:
            _LOG.info("%s %s", error.what, error.why)
        except Exception as error:
            _LOG.error("asking failed: %s", type(error).__name__)

    def _drive_quietly(self, task: str) -> None:
        try:
            self.drive(task)
        except CloisterError as error:
            _LOG.info("%s %s", error.what, error.why)

    def _propose(self, plan: Plan, party: str) -> bool:
        task = plan.digest
        key = f"propose/{task}/{secrets.token_hex(4)}"
        try:
            answer = parse(
                self._ports.call(party, PROPOSE, self._records.envelope(task).encode(), CALL_SECONDS, key)
            )
            if "admission" in answer:
                self._admitting.accept_admission(Envelope.from_json(answer["admission"]), party)
                self._records.waits_no_more(task, party)
                return True
            self._records.waits(task, party, str(answer.get("pending", "A person must approve it."))[:200])
        except Unreachable:
            self._records.waits(task, party, "not reachable")
        except REFUSALS as error:
            if self._may_pass(task, party, error):
                self._records.waits(task, party, error.what)
            else:
                self._refused(plan, party, error)
        except CloisterError as error:
            # A full disk or a worker that stopped is no decision: asked again later.
            self._records.waits(task, party, error.what)
        return False

    def _start(self, plan: Plan, admitted: dict[str, Envelope], seconds: float) -> None:
        task, own = plan.digest, self._parties.own.party
        shown = [admitted[party].model_dump(mode="json") for party in sorted(admitted)]
        body = canonical({"task": task, "start": {"admissions": shown}})
        if not self._ports.running(task):
            decision = self._admitting.decision(plan)
            if isinstance(decision, Refusal):
                self._refused(plan, own, decision.error())  # for example suspended since
                return
        untold = sorted(plan.parties - set(self._records.note(task)["told"]) - {own})
        # This party's own seat begins last: what it sends before the others have begun would only travel in vain.
        if all((task, party) in self._tried for party in untold):
            self._ports.run(plan)
        if not untold:
            self._shut(task)
        going = [self._once(task, party, partial(self._tell, plan, party, body)) for party in untold]
        wait([item for item in going if item], timeout=seconds)

    def _tell(self, plan: Plan, party: str, body: bytes) -> bool:
        task = plan.digest
        try:
            self._ports.call(party, START, body, CALL_SECONDS, f"start/{task}/{secrets.token_hex(4)}")
        except REFUSALS as error:
            if self._may_pass(task, party, error):
                self._records.waits(task, party, error.what)
                self._tried.add((task, party))
            else:
                self._refused(plan, party, error)
            return False
        except CloisterError:
            self._tried.add((task, party))
            return False
        self._records.waits_no_more(task, party)
        self._records.update(task, lambda note: note["told"].append(party))
        return True

    def _may_pass(self, task: str, party: str, error: CloisterError) -> bool:
        """Whether a refusal is likely to end when cards have arrived: after a rotation not everybody has the new one."""
        if not isinstance(error, NotTrusted) or error.clause != "signature":
            return False
        now = time.monotonic()
        with self._lock:
            return now - self._unproven.setdefault((task, party), now) < _CARDS_SECONDS

    def _refused(self, plan: Plan, party: str, error: CloisterError) -> None:
        self._records.refused(plan.digest, party, error)
        # Where some have begun already, they are told by the journal that this seat has ended.
        self._ports.stop(plan.digest, error)
        self._shut(plan.digest)
        for other in sorted(plan.parties - {party, self._parties.own.party}):
            with contextlib.suppress(RuntimeError):  # closing
                self._pool.submit(self._withdraw, plan.digest, other)

    def _withdraw(self, task: str, party: str) -> None:
        """Lets a party forget a task that was refused by another; one that is away sees at its next look that it waits."""
        key = f"withdrawn/{task}/{secrets.token_hex(4)}"
        with contextlib.suppress(CloisterError):
            self._ports.call(party, WITHDRAWN, canonical({"task": task}), CALL_SECONDS, key)

    # What others ask -----------------------------------------------------------------------------------------------

    def on_admission(self, sender: str, body: bytes) -> bytes:
        """A party admits (or refuses) later what it had to show to a person."""
        value = parse(body)
        if isinstance(value, dict) and "problem" in value:
            task = str(value.get("task", ""))
            plan = self._records.plan(task)
            if (
                sender not in plan.parties
                or self._ports.running(task)
                or not isinstance(value["problem"], dict)
            ):
                raise Refused("This party cannot refuse that task.", "", "It can stop it.", clause="parties")
            self._refused(plan, sender, from_problem(value["problem"]))
            return b"{}"
        task = self._admitting.accept_admission(Envelope.decode(body), sender)
        self._records.waits_no_more(task, sender)
        # Not in this thread: the sender waits for an answer, and starting takes calls of its own.
        self._pool.submit(self._drive_quietly, task)
        return b"{}"

    def on_content(self, sender: str, body: bytes) -> bytes:
        """A party of one of this node's plans asks for a part of its computation."""
        asked = parse(body, max_bytes=4096)
        if not isinstance(asked, dict):
            raise BadInput(
                "A request for a part of a computation could not be read.",
                "It is no JSON object.",
                "Use the same version of Cloister.",
            )
        task, name = str(asked.get("task", "")), str(asked.get("content", ""))
        plan = self._records.plan(task)
        # Only of this party's own plans: by naming a digest in a plan of its own, nobody fetches what else lies here.
        mine = plan.request.requester == self._parties.own.party
        if not mine or sender not in plan.parties or name not in plan.request.computation.contents.values():
            raise Refused(
                "That is no part of a computation of this party's.", "", "Check the plan.", clause="parties"
            )
        data = self._contents.get(name)
        if len(data) > MAX_CONTENT:
            raise BadInput("A part of the computation is too large to send.", "", "Use a smaller one.")
        return data

    # Inside --------------------------------------------------------------------------------------------------------

    def _opened(self) -> set[str]:
        if self._open is None:
            own = self._parties.own.party
            self._open = {task for task in self._records.digests() if self._unfinished(task, own)}
        return self._open

    def _unfinished(self, task: str, own: str) -> bool:
        plan, note = self._records.plan(task), self._records.note(task)
        if plan.request.requester != own or note.get("over"):
            return False
        waits_for_own_seat = plan.offer.seat_of(own) is not None and not self._ports.running(task)
        return waits_for_own_seat or not plan.parties - {own} <= set(note["told"])

    def _shut(self, task: str) -> None:
        with self._lock:
            self._opened().discard(task)
            self._tried = {key for key in self._tried if key[0] != task}
            for kept in (self._pauses, self._unproven):
                for key in [key for key in kept if key[0] == task]:
                    del kept[key]
