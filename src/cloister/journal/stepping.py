"""Finds the phases that are over and runs their steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cloister.foundation.errors import CloisterError, OutOfSpace
from cloister.journal import notices, phases
from cloister.journal.commit import Committer, UseDenied, check_step
from cloister.journal.durable import Durable, Records
from cloister.journal.live import Live, LiveTasks
from cloister.journal.local import StepLocal
from cloister.journal.phases import Readiness
from cloister.journal.ports import LocalFactory, Probe
from cloister.journal.program import Party, Phase, Received
from cloister.journal.sending import Sender
from cloister.storage.messages import AcceptedMessage
from cloister.storage.tasks import TaskRow

RETRY_SECONDS = 1.0
LONGEST_RETRY_SECONDS = 30.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Seen:
    """A task as it is in one transaction: its row, its phase, who has answered with what, who has left."""

    row: TaskRow
    phase: Phase
    answered: Sequence[tuple[Party, str]]
    gone: set[Party]


@dataclass(frozen=True)
class Weighing:
    """A phase that is to be asked whether what has come is enough. It reads the answers, which may take a while."""

    live: Live


@dataclass(frozen=True)
class Job:
    """A step that is to run: on this row, with this inbox."""

    live: Live
    row: TaskRow
    phase: Phase
    inbox: tuple[AcceptedMessage, ...]
    missed: Mapping[Party, list[str]]


class Stepper:
    """Runs steps, and weighs answers. `take_jobs` is called by one thread, `run` by several, each for another task."""

    def __init__(
        self,
        durable: Durable,
        party: Party,
        live: LiveTasks,
        sender: Sender,
        committer: Committer,
        factory: LocalFactory,
        probe: Probe,
    ) -> None:
        self._durable = durable
        self._party = party
        self._live = live
        self._sender = sender
        self._committer = committer
        self._factory = factory
        self._probe = probe

    def take_jobs(self) -> list[Job | Weighing]:
        """What may be done now; each must be given to `run`. Ends tasks whose quorum is out of reach."""
        jobs: list[Job | Weighing] = []
        for live in self._live.take_due():
            try:
                job = self._look(live)
            except CloisterError as error:
                self._put_off(live, error)
                continue
            if job is not None:
                jobs.append(job)
        return jobs

    def run(self, job: Job | Weighing) -> None:
        """Does what `take_jobs` gave, and puts the task back among those to look at."""
        if isinstance(job, Weighing):
            self._run_weighing(job.live)
        else:
            self._run_step(job)

    def _run_weighing(self, live: Live) -> None:
        try:
            self._weigh(live)
        except CloisterError as error:
            live.weighed = None
            self._put_off(live, error)
        finally:
            live.weighing = False
            self._live.look(live.task)

    def _run_step(self, job: Job) -> None:
        try:
            self._step(job)
        except CloisterError as error:
            # Not the step's error, but of writing it down: rule 5 of `runner`.
            self._put_off(job.live, error)
        except Exception as error:
            # What the node was asked for (its chain, its log) is broken; trying again would do the same.
            notices.log_frames(log, f"writing a step of phase {job.row.phase}", error)
            self._end_broken(job, error)
        finally:
            job.live.running = False
            self._live.look(job.row.id)

    def _look(self, live: Live) -> Job | Weighing | None:
        """What is to be done for a task. Most looks find that nothing is, so this one writes nothing (`_begin` does)."""
        with self._durable.read() as records:
            seen = self._see(records, live)
            if seen is None:
                return None
            if self._unweighed(live, seen):
                live.weighing = True
                return Weighing(live)
            ready = self._readiness(live, seen)
            if ready is Readiness.WAIT:
                return None
            if ready is Readiness.READY and (seen.row.closed or self._full(seen)):
                # Nothing more can come in: there is no inbox to be closed.
                live.running = True
                inbox = tuple(records.messages.inbox(seen.row.id, seen.row.position))
                return self._job(live, seen, inbox)
        return self._begin(live)

    def _see(self, records: Records, live: Live) -> _Seen | None:
        row = records.tasks.get(live.task)
        if row is None or row.status != "running":
            return None
        live.enter(row, self._live.timer.now())
        counters = records.messages.counters(row.id).items()
        return _Seen(
            row,
            live.program.phases[row.phase],
            records.messages.answered(row.id, row.position),
            {party for party, counter in counters if counter.gone},
        )

    def _waits(self, seen: _Seen) -> set[Party]:
        return phases.outstanding(seen.phase, seen.row, self._party, seen.answered, seen.gone)

    def _full(self, seen: _Seen) -> bool:
        return phases.full(seen.phase, seen.row, self._party, seen.answered)

    def _unweighed(self, live: Live, seen: _Seen) -> bool:
        """Whether the phase is to be asked of the present answers, and has not been."""
        if seen.phase.enough is None or seen.row.closed:
            return False
        return live.weighed != (len(seen.answered), len(self._waits(seen)))

    def _readiness(self, live: Live, seen: _Seen) -> Readiness:
        now = self._live.timer.now()
        overdue, enough = now >= live.deadline, now >= live.enough_at
        return phases.readiness(
            seen.phase, seen.row, self._party, seen.answered, seen.gone, overdue=overdue, enough=enough
        )

    def _job(self, live: Live, seen: _Seen, inbox: tuple[AcceptedMessage, ...]) -> Job:
        missed = phases.missing(seen.phase, seen.row, self._party, seen.answered)
        return Job(live, seen.row, seen.phase, inbox, missed)

    def _weigh(self, live: Live) -> None:
        """Asks the phase, after each answer, whether what has come is enough.

        Outside transactions and outside the thread that looks after all tasks: it reads the state, which may hold a
        whole candidate, and every answer (of at most `Phase.largest` bytes).
        """
        with self._durable.read() as records:
            seen = self._see(records, live)
            if seen is None or not self._unweighed(live, seen):
                return
            row, phase, waits = seen.row, seen.phase, self._waits(seen)
            inbox = records.messages.inbox(row.id, row.position)
        live.weighed = (len(inbox), len(waits))
        state, received = self._durable.load(row.state), self._received(row, inbox)
        try:
            seconds = None if phase.enough is None else phase.enough(state, received, waits)
        except Exception as error:
            # The phase then waits for everybody, as one that does not know what is enough.
            notices.log_frames(log, f"weighing the answers of phase {row.phase}", error)
            return
        if seconds is not None:
            live.enough_at = min(live.enough_at, self._live.timer.now() + max(seconds, 0.0))

    def _received(self, row: TaskRow, inbox: Sequence[AcceptedMessage]) -> tuple[Received, ...]:
        return tuple(
            Received(item.sender, row.seat_of(item.sender) or "", item.kind, self._durable.load(item.body))
            for item in inbox
        )

    def _begin(self, live: Live) -> Job | None:
        """Closes an inbox for its step, or ends the task."""
        left: list[str] = []
        inbox: tuple[AcceptedMessage, ...] = ()
        with self._durable.transaction() as records:
            seen = self._see(records, live)
            if seen is None:
                return None
            ready = self._readiness(live, seen)
            if ready is Readiness.READY:
                inbox = tuple(records.messages.inbox(seen.row.id, seen.row.position))
                if not seen.row.closed and not self._full(seen):
                    seen = replace(seen, row=replace(seen.row, closed=True))
                    records.tasks.put(seen.row)
                live.running = True
            elif ready is Readiness.FAILED:
                left = [
                    f"The {event.facts['seat']} left in its phase {event.facts['phase']}: {event.facts['error']}."
                    for event in records.events.of_kind(seen.row.id, "party.left")
                ]
        if ready is Readiness.READY:
            return self._job(live, seen, inbox)
        if ready is Readiness.FAILED:
            here = {party for party, _ in seen.answered}
            self._fail(seen.row, notices.quorum_failed(seen.row, len(here), seen.phase.quorum, left), None)
        return None

    def _step(self, job: Job) -> None:
        row = job.row
        state = self._durable.load(row.state)
        inbox = self._received(row, job.inbox)
        local = StepLocal(self._durable, self._factory.ports(row), row, self._party, state)
        self._probe("step.before", row.id)
        try:
            step = check_step(job.phase.step(local, inbox), row, job.live.program, self._party)
        except OutOfSpace:
            raise
        except CloisterError as error:
            self._fail(row, error, local)
            return
        except Exception as error:
            notices.log_frames(log, f"a step of phase {row.phase}", error)
            self._fail(row, notices.unexpected(row, error), local)
            return
        self._probe("step.after", row.id)
        try:
            done = self._committer.step(row, job.live.program, step, job.inbox, job.missed, local)
        except UseDenied as denied:
            self._fail(row, denied.error, local)
            return
        job.live.tries = 0
        if done is None:
            return
        if done.program is None:
            self._live.ended(row.id)
        else:
            job.live.program = done.program
        self._sender.add((row.id, party) for party in done.recipients)
        self._live.wake()
        # After the messages are on their way: others wait for those.
        self._durable.collect(done.let_go)

    def _fail(self, row: TaskRow, error: CloisterError, local: StepLocal | None) -> None:
        if self._committer.fail(row, error, local):
            self._live.ended(row.id)
            self._sender.add((row.id, party) for party in row.parties - {self._party})
            self._live.wake()

    def _end_broken(self, job: Job, error: Exception) -> None:
        try:
            self._fail(job.row, notices.unexpected(job.row, error), None)
        except CloisterError as second:
            self._put_off(job.live, second)

    def _put_off(self, live: Live, error: CloisterError) -> None:
        log.warning("a task waits: %s", error.what)
        pause = min(RETRY_SECONDS * 2 ** min(live.tries, 10), LONGEST_RETRY_SECONDS)
        live.tries += 1
        live.retry = self._live.timer.now() + pause
        self._live.look(live.task)
