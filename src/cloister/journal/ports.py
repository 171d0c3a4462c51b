"""What the runner needs from outside: small protocols that a node (or a test) wires to real things."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from cloister.journal.program import Candidate, DataPort, Engine, Party, PrivacyCost, Program, Seat, Signing
from cloister.storage.database import Transaction
from cloister.storage.tasks import TaskRow


class Taken(enum.Enum):
    """What became of a message that was not refused."""

    ACCEPTED = "accepted"
    """It is on the recipient's disk (or was before, or came too late to matter): forget it."""

    LATER = "later"
    """The recipient is not there yet: send it again after a while."""


class Outbound(Protocol):
    """Sends one message to another party's node."""

    def send(
        self, to: Party, task: str, phase: str, kind: str, sequence: int, body: bytes, digest: str
    ) -> Taken:
        """The recipient's answer. `digest` is the body's.

        Raises:
            Unreachable: no answer; the message is sent again later, under the same sequence.
            Refused: the recipient refuses it.
        """
        ...


class LedgerPort(Protocol):
    """This node's append-only log."""

    def append(self, tx: Transaction, kind: str, digest: str) -> None:
        """Adds a leaf in the transaction of what it is about."""
        ...


class ProgramSource(Protocol):
    """Makes programs again: functions are not stored."""

    def program(self, task: TaskRow) -> Program:
        """The program that `task.program` names, for `task.seat`. Pure; must give the same program each time."""
        ...

    def later(self, task: TaskRow) -> Sequence[Program]:
        """Programs that may follow in this task; messages of their kinds are asked to wait, not refused."""
        ...


@dataclass(frozen=True)
class Following:
    """The program with which a task goes on.

    Attributes:
        program: the name for `ProgramSource`.
        state: its first step's state.
        seat: this node's seat in it; unchanged if `None`.
        seats: every seat's parties in it; unchanged if `None`.
    """

    program: str
    state: bytes = field(repr=False, default=b"")
    seat: Seat | None = None
    seats: Mapping[Seat, tuple[Party, ...]] | None = None


class Chain(Protocol):
    """Decides what comes after a program."""

    def finished(self, tx: Transaction, task: TaskRow, candidate: Candidate | None) -> Following | None:
        """Called in the transaction of a program's last step; may write in it. `None`: the task is done.

        After a crash before the commit it is called again, and what it wrote is gone.
        """
        ...


class LocalPorts(Protocol):
    """What a step of one task may use, besides its state and secrets (see `program.Local`)."""

    @property
    def signing(self) -> Signing:
        """This party's signatures, for the messages of protocols."""
        ...

    def data(self, digest: str) -> DataPort:
        """An own, agreed dataset."""
        ...

    def content(self, digest: str) -> bytes:
        """A part of the admitted computation."""
        ...

    def engine(self, name: str) -> Engine:
        """A sandboxed worker."""
        ...

    def charge(self, task: TaskRow, cost: PrivacyCost) -> None:
        """Spends budget durably, once per population, task, attempt and step (`task.position`)."""
        ...

    def used(self, tx: Transaction, task: TaskRow, datasets: frozenset[str]) -> None:
        """A step that was given these datasets ends: in the transaction of what it did, or of its failure.

        Raises:
            Refused: it may not be told. Nothing that the step did is kept or sent, and the task fails by this error.
        """
        ...


class LocalFactory(Protocol):
    """Gives a task its ports."""

    def ports(self, task: TaskRow) -> LocalPorts:
        """The ports of a task at this node."""
        ...


class Timer(Protocol):
    """Monotonic seconds, for deadlines and retries."""

    def now(self) -> float:
        """Seconds since some moment."""
        ...


class MonotonicTimer:
    """The machine's monotonic clock."""

    def now(self) -> float:
        """Seconds since some moment."""
        return time.monotonic()


Probe: TypeAlias = Callable[[str, str], None]
"""Told where the runner is (point, task); tests kill the process there. Points: see `runner.POINTS`."""


def no_probe(_point: str, _task: str) -> None:
    """Watches nothing."""
