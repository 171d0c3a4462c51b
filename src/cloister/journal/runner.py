"""Runs programs so that every step survives a crash, and every message counts once.

A step's new state, its journal row, its ledger leaf, its messages and its events are one transaction; messages are
sent after it, from disk. A node that is killed goes on from there: either the step never happened (it runs again, on
the same inbox and with the same secrets) or its messages are on disk (they are sent again, byte for byte the same).

Rules:
1. What to do with a message, and when a phase ends, is decided in `phases`.
2. Before a step runs, its inbox is closed on disk unless nothing more could be accepted.
3. Steps of one task never run side by side; those of different tasks do, in a few threads.
4. A step that raises ends this node's part of the task; the others are told the phase and the kind of error. What is
   not a `CloisterError` is told by its class only, here too: its text may repeat data.
5. A full disk ends nothing: the step is tried again.
6. Which datasets a step was given is told to the node in the transaction of what it did, or of its failure; the node may
   refuse, and then nothing of it is kept or sent.
7. A task's secrets, state and held messages are erased in the transaction that ends it.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

from cloister.foundation.clock import Clock, SystemClock
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound
from cloister.journal.commit import Committer
from cloister.journal.durable import Durable, Records
from cloister.journal.live import LiveTasks, check_program
from cloister.journal.notices import log_frames
from cloister.journal.ports import (
    Chain,
    LedgerPort,
    LocalFactory,
    MonotonicTimer,
    Outbound,
    Probe,
    ProgramSource,
    Taken,
    Timer,
    no_probe,
)
from cloister.journal.program import Party, Seat
from cloister.journal.reception import Reception
from cloister.journal.sending import Sender
from cloister.journal.stepping import Stepper
from cloister.storage.blobs import INLINE, Kept
from cloister.storage.database import Transaction
from cloister.storage.events import Event
from cloister.storage.tasks import TaskRow

POINTS = (
    "accept.before",
    "accept.inside",
    "accept.after",
    "step.before",
    "step.after",
    "commit.before",
    "commit.inside",
    "commit.after",
    "send.before",
    "send.after",
    "ack.after",
)
"""Where a probe is told that the runner is; `inside` is within the transaction, just before its commit."""

_RETRY_SECONDS = 1.0
_IDLE_SECONDS = 60.0

log = logging.getLogger(__name__)


class Runner:
    """Runs one node's seats. Safe for many threads.

    Args:
        durable: database, blobs and storage key.
        party: whose node this is.
        outbound: sends messages to other nodes.
        factory: gives each task's steps what they may use.
        programs: makes programs by name.
        ledger: this node's log.
        chain: what follows a program; nothing, if absent.
        clock: time for rows and events.
        timer: monotonic time for deadlines and retries.
        workers: how many steps run at once.
        senders: how many lanes are sent at once.
        threads: `False`: nothing runs by itself; `work` does what is due, in the calling thread.
        probe: told at each of `POINTS`; for tests.
    """

    def __init__(
        self,
        durable: Durable,
        party: Party,
        outbound: Outbound,
        factory: LocalFactory,
        programs: ProgramSource,
        ledger: LedgerPort,
        *,
        chain: Chain | None = None,
        clock: Clock | None = None,
        timer: Timer | None = None,
        workers: int = 2,
        senders: int = 8,
        threads: bool = True,
        probe: Probe = no_probe,
    ) -> None:
        self._durable = durable
        self._party = party
        self._programs = programs
        self._clock = clock or SystemClock()
        self._timer = timer or MonotonicTimer()
        self._closing = False
        self._live = LiveTasks(self._timer)
        self._sender = Sender(durable, outbound, self._clock, self._timer, probe, self._live.wake)
        self._committer = Committer(durable, party, ledger, programs, chain, self._clock, probe)
        self._stepper = Stepper(durable, party, self._live, self._sender, self._committer, factory, probe)
        self._reception = Reception(durable, self._live, programs, self._clock, probe)
        self._steps: ThreadPoolExecutor | None = None
        self._sends: ThreadPoolExecutor | None = None
        self._dispatcher: threading.Thread | None = None
        if threads:
            self._steps = ThreadPoolExecutor(workers, thread_name_prefix="journal-step")
            self._sends = ThreadPoolExecutor(senders, thread_name_prefix="journal-send")
            self._dispatcher = threading.Thread(target=self._dispatch, name="journal", daemon=True)
            self._dispatcher.start()

    def start(
        self,
        task: str,
        seat: Seat,
        seats: Mapping[Seat, tuple[Party, ...]],
        program: str,
        state: bytes = b"",
        *,
        attempt: int = 1,
        tx: Transaction | None = None,
        along: Callable[[Transaction], None] | None = None,
    ) -> None:
        """Begins a task at this node. The same start again has no effect.

        Args:
            task: the digest of the signed plan.
            seat: this node's seat.
            seats: every seat's parties, as in the plan.
            program: the name for `ProgramSource`.
            state: the first step's state.
            attempt: counts from 1.
            tx: the transaction to begin it in (for example with the admission); its own if absent.
            along: called in that transaction first; what it raises keeps the task from beginning.

        Raises:
            Conflict: the task was started before with other seats or another program.
            BadInput: this party is not in `seat`, a party has two seats, or the program has no such first phase.
        """
        row = TaskRow(
            id=task,
            seat=seat,
            seats={name: tuple(parties) for name, parties in seats.items()},
            program=program,
            phase="",
            state=Kept(digest(b""), 0, b""),
            attempt=attempt,
            created=self._clock.now(),
        )
        self._check_seats(row)
        made = self._programs.program(row)
        check_program(made)
        if tx is not None and len(state) > INLINE:
            raise BadInput(
                "A task's first state is too large.",
                f"Within another transaction the limit is {INLINE} bytes.",
                "Start it in a transaction of its own.",
            )
        with self._durable.keeping() as keep:
            row = replace(
                row,
                phase=made.first,
                state=keep(state),
                deadline=made.phases[made.first].deadline,
                updated=row.created,
            )
            if tx is not None:
                if along is not None:
                    along(tx)
                if self._start_in(Records(tx), row):
                    tx.after_commit(lambda: self._live.go(task, made))
                return
            with self._durable.transaction() as records:
                if along is not None:
                    along(records.tx)
                new = self._start_in(records, row)
        if new:
            self._live.go(task, made)

    def deliver(
        self,
        task: str,
        sender: Party,
        sender_phase: str,
        kind: str,
        sequence: int,
        body: bytes,
        known: str | None = None,
    ) -> Taken:
        """Takes a message whose signature and seal the transport has checked. On disk when this returns `ACCEPTED`.

        Args:
            task: the task's id.
            sender: who signed it.
            sender_phase: the sender's phase; shown to people, decides nothing.
            kind: the message's kind.
            sequence: the sender's count of messages to this node in this task, from 1.
            body: the opened body.
            known: its digest, if this node computed it already, over these very bytes.

        Raises:
            Refused: by clause `unknown-task`, `task-over`, `message-not-a-party`, `message-wrong-seat`,
                `message-wrong-kind`, `message-too-large`, `message-late`, `message-sender-left`.
            Tampered: another body under a sequence already taken (clause `message-twice`).
            BadInput: malformed or too large.
            OutOfSpace: this node's disk is full; the message is not taken.
        """
        return self._reception.deliver(task, sender, sender_phase, kind, sequence, body, known)

    def stop(
        self,
        task: str,
        reason: CloisterError,
        *,
        along: Callable[[Transaction, TaskRow], None] | None = None,
    ) -> bool:
        """Ends this node's part of a task, for example because its agreement was revoked; the others are told.

        Returns `False` if the task was over already. A step that is running is not interrupted; what it returns is
        dropped. Raises `NotFound`.

        Args:
            task: the task's id.
            reason: why; the others are told its `type`.
            along: called first, with the task as it is, in the transaction that ends it: what it writes holds exactly
                if the task ends by this call, and what it raises keeps the task going.
        """
        with self._durable.transaction() as records:
            row = records.tasks.get(task)
            if row is None:
                raise NotFound("There is no such task here.", "", "List the tasks of this server.")
            if row.status != "running":
                return False
            if along is not None:
                along(records.tx, row)
            names = self._committer.end(records, row, "stopped", reason, notify=True)
        self._live.ended(task)
        self._mail(task, row)
        self._durable.collect(names)
        return True

    def poke(self, party: Party) -> None:
        """A party's node was seen: what waits for it is sent now."""
        self._sender.poke(party)
        self._live.wake()

    def resume(self) -> list[str]:
        """Takes up everything that a killed process left; returns the tasks that go on. Call once, before messages.

        A phase's deadline begins anew: nobody could answer while this node was away.
        """
        with self._durable.read() as records:
            rows = records.tasks.find("running")
            lanes = records.outbox.lanes()
        going = []
        for row in rows:
            try:
                made = self._programs.program(row)
                check_program(made)
                if row.phase not in made.phases:
                    raise Conflict(
                        "A task cannot go on.",
                        f"Its program has no phase {row.phase} any more.",
                        "Finish tasks before updating, or start the task again.",
                        phase=row.phase,
                    )
            except CloisterError as error:
                with self._durable.transaction() as records:
                    self._committer.end(records, row, "failed", error, notify=True)
                self._mail(row.id, row)
                continue
            self._live.go(row.id, made)
            going.append(row.id)
        self._durable.collect()
        self._sender.add(lanes)
        self._live.wake()
        return going

    def task(self, task: str) -> TaskRow:
        """The task's row. Raises `NotFound`."""
        row = self._durable.task(task)
        if row is None:
            raise NotFound("There is no such task here.", "", "List the tasks of this server.")
        return row

    def tasks(self) -> list[TaskRow]:
        """All tasks of this node, oldest first."""
        with self._durable.read() as records:
            return records.tasks.find()

    def events(self, last: int = 0, *, task: str | None = None, limit: int = 1000) -> list[Event]:
        """The feed for this node's people, after event number `last`."""
        return self._durable.events(last, task=task, limit=limit)

    def wait(self, task: str, seconds: float) -> TaskRow:
        """The task's row once it is over, or as it is after `seconds`."""
        end = time.monotonic() + seconds
        with self._live.changed:
            while self._live.get(task) is not None and (left := end - time.monotonic()) > 0:
                self._live.changed.wait(left)
        return self.task(task)

    def work(self) -> bool:
        """Does what is due now; returns whether there was anything. For runners without threads."""
        did = False
        for job in self._stepper.take_jobs():
            did = True
            if self._steps is None:
                self._stepper.run(job)
            else:
                self._steps.submit(self._stepper.run, job)
        for lane in self._sender.take_due():
            did = True
            if self._sends is None:
                self._sender.run(lane)
            else:
                self._sends.submit(self._sender.run, lane)
        return did

    def next_due(self) -> float | None:
        """When something is due next, in the timer's seconds; `None` if nothing is."""
        times = [time for time in (self._live.next_due(), self._sender.next_due()) if time is not None]
        return min(times, default=None)

    def close(self) -> None:
        """Stops; steps that run are waited for. What is unfinished goes on at the next `resume`."""
        self._closing = True
        self._live.wake()
        if self._dispatcher is not None:
            self._dispatcher.join()
        for pool in (self._steps, self._sends):
            if pool is not None:
                pool.shutdown(wait=True, cancel_futures=True)

    def _dispatch(self) -> None:
        while not self._closing:
            try:
                if self.work():
                    continue
                due = self.next_due()
                pause = _IDLE_SECONDS if due is None else min(due - self._timer.now(), _IDLE_SECONDS)
            except CloisterError as error:
                log.warning("the journal could not look at its tasks: %s", error.what)
                pause = _RETRY_SECONDS
            except Exception as error:
                # The one thread that must not die; the task that causes this is looked at again.
                log_frames(log, "looking at tasks", error)
                pause = _RETRY_SECONDS
            self._live.pause(pause)

    def _start_in(self, records: Records, row: TaskRow) -> bool:
        present = records.tasks.get(row.id)
        if present is None:
            records.tasks.put(row)
            facts = {"seat": row.seat, "program": row.program, "phase": row.phase}
            records.events.add(row.id, row.created, "task.started", facts)
            return True
        # Seats and program may have moved on since; who takes part and the attempt do not.
        if present.attempt != row.attempt or present.parties != row.parties:
            raise Conflict(
                "A task was started twice, differently.",
                "Its first start had other parties or another attempt.",
                "List the tasks of this server; start another task for another plan.",
                clause="task-started",
            )
        return False

    def _check_seats(self, row: TaskRow) -> None:
        seated = [party for parties in row.seats.values() for party in parties]
        if self._party not in row.seats.get(row.seat, ()) or len(seated) != len(set(seated)):
            raise BadInput(
                "A task's seats do not fit.",
                "This server's party is not in the seat it is to take, or a party has two seats.",
                "Have the task planned again.",
            )

    def _mail(self, task: str, row: TaskRow) -> None:
        self._sender.add((task, party) for party in row.parties - {self._party})
        self._live.wake()
