"""What is known of running tasks in memory only: their programs, deadlines, and who was told to wait."""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass, field

from cloister.foundation.errors import BadInput
from cloister.journal.phases import MAX_NAME, NOTICE
from cloister.journal.ports import Timer
from cloister.journal.program import Party, Program
from cloister.storage.tasks import TaskRow

MAX_WAITING = 1024


@dataclass
class Live:
    """One running task. Times are the timer's seconds.

    `enough_at`: when the phase ends because what has come is enough; `weighed`: the answers and the parties awaited that
    this was last asked of; `weighing`: it is being asked, in another thread.
    """

    task: str
    program: Program
    position: int = -1
    deadline: float = math.inf
    enough_at: float = math.inf
    weighed: tuple[int, int] | None = None
    retry: float = 0.0
    tries: int = 0
    look: bool = True
    running: bool = False
    weighing: bool = False
    waiting: dict[Party, dict[int, str]] = field(default_factory=dict)

    @property
    def idle(self) -> bool:
        """No thread is at it."""
        return not self.running and not self.weighing

    def due(self, now: float) -> float:
        """When to look at it next."""
        return max(self.retry, now if self.look else min(self.deadline, self.enough_at))

    def enter(self, row: TaskRow, now: float) -> None:
        """Notes that the task is in its present phase; its deadline runs from the first time this is seen."""
        if row.position != self.position:
            self.position = row.position
            self.deadline = now + row.deadline
            self.enough_at, self.weighed = math.inf, None


class LiveTasks:
    """The running tasks; `changed` is notified when one ends or there may be something to do."""

    def __init__(self, timer: Timer) -> None:
        self.timer = timer
        self.changed = threading.Condition()
        self.signalled = False
        self._tasks: dict[str, Live] = {}

    def get(self, task: str) -> Live | None:
        """The task, or `None` if it is not running."""
        with self.changed:
            return self._tasks.get(task)

    def go(self, task: str, program: Program) -> None:
        """A task begins, or goes on with another program."""
        with self.changed:
            self._tasks.setdefault(task, Live(task, program)).program = program
            self._signal()

    def ended(self, task: str) -> None:
        """A task is over."""
        with self.changed:
            self._tasks.pop(task, None)
            self._signal()

    def look(self, task: str) -> None:
        """Something has changed for a task."""
        with self.changed:
            if task in self._tasks:
                self._tasks[task].look = True
            self._signal()

    def wake(self) -> None:
        """There may be something to do."""
        with self.changed:
            self._signal()

    def pause(self, seconds: float) -> None:
        """Waits that long, or until something was signalled since the last pause."""
        with self.changed:
            if not self.signalled and seconds > 0:
                self.changed.wait(seconds)
            self.signalled = False

    def _signal(self) -> None:
        self.signalled = True
        self.changed.notify_all()

    def take_due(self) -> list[Live]:
        """The tasks to look at now."""
        now = self.timer.now()
        with self.changed:
            due = [live for live in self._tasks.values() if live.idle and live.due(now) <= now]
            for live in due:
                live.look = False
        return due

    def next_due(self) -> float | None:
        """When the next task is to be looked at, or `None`."""
        now = self.timer.now()
        with self.changed:
            times = [live.due(now) for live in self._tasks.values() if live.idle]
        return min((time for time in times if time < math.inf), default=None)

    def told_to_wait(self, task: str, sender: Party, sequence: int, kind: str) -> None:
        """A message was answered with "later"."""
        with self.changed:
            live = self._tasks.get(task)
            if live is not None:
                waiting = live.waiting.setdefault(sender, {})
                if len(waiting) < MAX_WAITING:
                    waiting[sequence] = kind

    def taken(self, task: str, sender: Party, sequence: int) -> None:
        """A message was taken; those before it wait no more."""
        with self.changed:
            live = self._tasks.get(task)
            if live is not None:
                waiting = live.waiting.get(sender, {})
                for number in [number for number in waiting if number <= sequence]:
                    del waiting[number]


def check_program(program: Program) -> None:
    """Raises `BadInput` for a program that cannot be run."""
    phases = program.phases
    if program.first not in phases:
        raise _unfit("Its first phase is not among its phases.")
    for name, phase in phases.items():
        if not 1 <= len(name) <= MAX_NAME or phase.quorum < 0 or not phase.deadline > 0:
            raise _unfit("A phase's name, quorum or deadline is out of range.")
        if NOTICE in phase.accepts or any(not 1 <= len(kind) <= MAX_NAME for kind in phase.accepts):
            raise _unfit("A phase accepts a kind that it may not.")
        if any(kind not in phase.accepts or size < 0 for kind, size in phase.largest.items()):
            raise _unfit("A phase limits a kind that it does not accept, or to less than nothing.")


def _unfit(why: str) -> BadInput:
    return BadInput("A program cannot be run.", why, "Report this to the authors of the protection.")
