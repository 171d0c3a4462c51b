"""Tasks at this node: one row per task with its seat's state, and one row per step that was done."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from sqlalchemy import Row, delete, select

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.storage._rows import equal, put
from cloister.storage.blobs import Kept
from cloister.storage.database import Transaction
from cloister.storage.tables import steps, task_parts, tasks

Status: TypeAlias = Literal["running", "done", "failed", "stopped"]

_GET = select(tasks).where(equal(tasks.c.id))
_PARTS = select(task_parts).where(equal(task_parts.c.task))
_DROP_PARTS = delete(task_parts).where(equal(task_parts.c.task))


@dataclass(frozen=True)
class TaskRow:
    """One task as this node has it.

    Attributes:
        id: digest of the signed plan.
        seat: this node's seat in the program that runs now.
        seats: every seat's parties.
        program: the name by which the program is made again after a restart.
        phase: the phase the seat is in.
        position: how many steps were done, over all programs of the task.
        closed: this phase's inbox is closed; its step is next, whatever else arrives.
        attempt: counts from 1.
        status: `running` until it ends one way or another.
        deadline: how many seconds the phase may take.
        state: what the last step left.
        failure: the problem document (RFC 9457) when it failed or was stopped, else `None`.
        created: when it started; seconds since the epoch.
        updated: when its last step was committed.
    """

    id: str
    seat: str
    seats: Mapping[str, tuple[str, ...]]
    program: str
    phase: str
    state: Kept = field(repr=False)
    position: int = 0
    closed: bool = False
    attempt: int = 1
    status: Status = "running"
    deadline: float = 0.0
    failure: Mapping[str, Any] | None = None
    created: int = 0
    updated: int = 0

    def seat_of(self, party: str) -> str | None:
        """The seat of a party, or `None`."""
        return next((seat for seat, parties in self.seats.items() if party in parties), None)

    @property
    def parties(self) -> frozenset[str]:
        """Everyone with a seat."""
        return frozenset(party for parties in self.seats.values() for party in parties)


class Tasks:
    """The task rows in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def get(self, task: str) -> TaskRow | None:
        """The task, or `None`."""
        row = self._connection.execute(_GET, {"_id": task}).one_or_none()
        return None if row is None else _task(row)

    def put(self, row: TaskRow) -> None:
        """Writes the row, new or not."""
        put(
            self._connection,
            tasks,
            {"id": row.id},
            {
                "seat": row.seat,
                "seats": _written(tuple((seat, tuple(parties)) for seat, parties in row.seats.items())),
                "program": row.program,
                "phase": row.phase,
                "position": row.position,
                "closed": row.closed,
                "attempt": row.attempt,
                "status": row.status,
                "deadline": row.deadline,
                "state_digest": row.state.digest,
                "state_size": row.state.size,
                "state_inline": row.state.inline,
                "failure": None if row.failure is None else canonical(dict(row.failure)),
                "created": row.created,
                "updated": row.updated,
            },
        )

    def parts(self, task: str) -> dict[str, Kept]:
        """Those pieces of a task's state that stay while steps go by, by name."""
        found = self._connection.execute(_PARTS, {"_task": task})
        return {row.name: Kept(row.digest, row.size, row.inline) for row in found}

    def put_part(self, task: str, name: str, kept: Kept) -> None:
        """Writes one of them, new or in place of what was there."""
        values = {"digest": kept.digest, "size": kept.size, "inline": kept.inline}
        put(self._connection, task_parts, {"task": task, "name": name}, values)

    def drop_parts(self, task: str) -> list[str]:
        """Removes all of them; returns the digests of those that were files."""
        files = [kept.digest for kept in self.parts(task).values() if kept.inline is None]
        self._connection.execute(_DROP_PARTS, {"_task": task})
        return files

    def find(self, status: Status | None = None) -> list[TaskRow]:
        """The tasks, oldest first; of one status if given."""
        query = select(tasks).order_by(tasks.c.created, tasks.c.id)
        if status is not None:
            query = query.where(tasks.c.status == status)
        return [_task(row) for row in self._connection.execute(query)]

    def record_step(self, task: str, position: int, phase: str, record: JSON, at: int) -> None:
        """The journal row of one step: what it was and the digests of what it left and sent."""
        put(
            self._connection,
            steps,
            {"task": task, "position": position},
            {"phase": phase, "record": canonical(record), "at": at},
        )

    def steps(self, task: str) -> list[tuple[int, str, Any]]:
        """The journal of a task: position, phase and record of each step, in order."""
        query = select(steps).where(steps.c.task == task).order_by(steps.c.position)
        return [(row.position, row.phase, parse(row.record)) for row in self._connection.execute(query)]


def _task(row: Row[Any]) -> TaskRow:
    return TaskRow(
        id=row.id,
        seat=row.seat,
        seats=_read(row.seats),
        program=row.program,
        phase=row.phase,
        state=Kept(row.state_digest, row.state_size, row.state_inline),
        position=row.position,
        closed=bool(row.closed),
        attempt=row.attempt,
        status=row.status,
        deadline=row.deadline,
        failure=None if row.failure is None else parse(row.failure),
        created=row.created,
        updated=row.updated,
    )


# A task's row is read and written many times, and its seats hardly ever change.


@lru_cache(maxsize=256)
def _written(seats: tuple[tuple[str, tuple[str, ...]], ...]) -> bytes:
    return canonical({seat: list(parties) for seat, parties in seats})


@lru_cache(maxsize=256)
def _read(seats: bytes) -> Mapping[str, tuple[str, ...]]:
    return MappingProxyType({seat: tuple(parties) for seat, parties in parse(seats).items()})
