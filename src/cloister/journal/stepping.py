"""Finds the phases that are over and runs their steps."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from cloister.foundation.errors import CloisterError, OutOfSpace
from cloister.journal import notices, phases
from cloister.journal.commit import Committer, UseDenied, check_step
from cloister.journal.durable import Durable
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
                if self._unweighed(live) is not None:
                    live.weighing = True
                    jobs.append(Weighing(live))
                    continue
                job = self._begin(live)
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

    def _unweighed(self, live: Live) -> tuple[TaskRow, Phase, set[Party]] | None:
        """The task, its phase and the parties awaited, if the phase has not been asked of the present answers."""
        if all(phase.enough is None for phase in live.program.phases.values()):
            return None
        with self._durable.read() as records:
            row = records.tasks.get(live.task)
            if row is None or row.status != "running" or row.closed:
                return None
            phase = live.program.phases[row.phase]
            if phase.enough is None:
                return None
            answered = records.messages.answered(row.id, row.position)
            gone = {party for party, counters in records.messages.counters(row.id).items() if counters.gone}
        live.enter(row, self._live.timer.now())
        waits = phases.outstanding(phase, row, self._party, answered, gone)
        return None if live.weighed == (len(answered), len(waits)) else (row, phase, waits)

    def _weigh(self, live: Live) -> None:
        """Asks the phase, after each answer, whether what has come is enough.

        Outside transactions and outside the thread that looks after all tasks: it reads the state, which may hold a
        whole candidate, and every answer (of at most `Phase.largest` bytes).
        """
        found = self._unweighed(live)
        if found is None:
            return
        row, phase, waits = found
        with self._durable.read() as records:
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
        now = self._live.timer.now()
        with self._durable.transaction() as records:
            row = records.tasks.get(live.task)
            if row is None or row.status != "running":
                return None
            live.enter(row, now)
            phase = live.program.phases[row.phase]
            answered = records.messages.answered(row.id, row.position)
            gone = {party for party, counters in records.messages.counters(row.id).items() if counters.gone}
            ready = phases.readiness(
                phase,
                row,
                self._party,
                answered,
                gone,
                overdue=now >= live.deadline,
                enough=now >= live.enough_at,
            )
            if ready is Readiness.READY:
                inbox = tuple(records.messages.inbox(row.id, row.position))
                if not row.closed and not phases.full(phase, row, self._party, answered):
                    records.tasks.put(replace(row, closed=True))
                    row = replace(row, closed=True)
                live.running = True
            elif ready is Readiness.FAILED:
                left = [
                    f"The {event.facts['seat']} left in its phase {event.facts['phase']}: {event.facts['error']}."
                    for event in records.events.of_kind(row.id, "party.left")
                ]
        if ready is Readiness.READY:
            return Job(live, row, phase, inbox, phases.missing(phase, row, self._party, answered))
        if ready is Readiness.FAILED:
            here = {party for party, _ in answered}
            self._fail(row, notices.quorum_failed(row, len(here), phase.quorum, left), None)
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
