"""When a phase ends, and what becomes of a message: the journal's decisions, as functions of values.

Rules, each with a test that names it:
1. A message counts only from a party with a seat in the task, of a kind that the present phase accepts from that seat.
2. The same message again is acknowledged without effect; another body under a sequence already taken is refused.
3. A sender's messages are taken in order. One for a later phase waits at its sender.
4. A message that a phase waited for and ended without is late: acknowledged, and dropped.
5. If a sender's message waits while a later one of the same sender fits the present phase, the sender has moved on:
   the later one is taken, the earlier one refused from then on.
6. A phase ends when every party it accepts from has sent something that it accepts, or has left the task; when what
   has come is enough by the phase's own word and its grace has passed (`program.Enough`); at its deadline with at least
   `quorum` of them; otherwise the task fails by the phase's name, as soon as the quorum is out of reach.
7. A party's failure notice speaks for that party only: it has left, and no phase waits for it any more. So an owner's
   failure ends its own part, unless too few are left; that of the only coordinator ends the task for all who wait for
   it.
8. A body over its kind's limit is refused.
"""

from __future__ import annotations

import enum
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from cloister.foundation.errors import BadInput, Refused, Tampered
from cloister.journal.program import Party, Phase, Program
from cloister.storage.messages import Counters
from cloister.storage.tasks import TaskRow

NOTICE = "task.failed"
"""The kind of a failure notice; no phase may use it."""

MAX_SEQUENCE = 1 << 31
MAX_NAME = 120


class Verdict(enum.Enum):
    """What to do with a message that is not refused."""

    TAKE = "take"
    LATE = "late"
    REPEATED = "repeated"
    LATER = "later"
    LEFT = "left"


@dataclass(frozen=True)
class Header:
    """A message without its body: who sent what under which sequence, and the body's digest."""

    sender: Party
    kind: str
    sequence: int
    digest: str


@dataclass(frozen=True)
class View:
    """What the decision on one message rests on.

    Attributes:
        task: the recipient's task.
        program: the program it runs.
        later: programs that may follow.
        running: the phase's step is running, or its inbox is closed.
        counters: with the sender.
        known: kind and digest of what was accepted under this sequence, if anything.
        answered: senders and kinds in the present inbox.
        missed: kind → position of a step that ended without this sender's message of that kind.
        waiting: the sender's sequences → kinds that were told to wait.
    """

    task: TaskRow
    program: Program
    later: Sequence[Program]
    running: bool
    counters: Counters
    known: tuple[str, str] | None
    answered: Collection[tuple[Party, str]]
    missed: Mapping[str, int]
    waiting: Mapping[int, str]


def judge(view: View, header: Header) -> Verdict:
    """What to do with a message. Raises `Refused` (by clause) or `Tampered` for two bodies under one sequence."""
    task = view.task
    seat = task.seat_of(header.sender)
    if seat is None:
        raise refuse("message-not-a-party", "The sender has no seat in this task.")
    if not 1 <= header.sequence <= MAX_SEQUENCE or not 1 <= len(header.kind) <= MAX_NAME:
        raise BadInput(
            "A message is malformed.", "Its kind or sequence is out of range.", "Update the sender."
        )
    if view.known is not None:
        if view.known == (header.kind, header.digest):
            return Verdict.REPEATED
        raise Tampered(
            "A message differs from the one sent before under its number.",
            "A sender that resumes sends the same bytes again; these are others.",
            "Ask the sender's people; one of the two messages is forged, or the server runs twice.",
            clause="message-twice",
        )
    if header.kind == NOTICE and (task.status != "running" or view.counters.gone):
        return Verdict.REPEATED
    if task.status != "running":
        raise refuse("task-over", "The task is over at this server.")
    if view.counters.gone:
        raise refuse("message-sender-left", "The sender has told that it left the task.")
    if header.sequence <= view.counters.taken:
        raise refuse("message-late", "Later messages of the same sender were taken before it.")
    if header.kind == NOTICE:
        return Verdict.LEFT
    phase = view.program.phases[task.phase]
    _require_known(view, header.kind, seat)
    if not _in_order(view, header.sequence, phase):
        return Verdict.LATER
    if phase.accepts.get(header.kind) == seat:
        if view.running or (header.sender, header.kind) in view.answered:
            return Verdict.LATER
        return Verdict.TAKE
    return Verdict.LATE if header.kind in view.missed else Verdict.LATER


class Readiness(enum.Enum):
    """Where a phase stands."""

    WAIT = "wait"
    READY = "ready"
    FAILED = "failed"


def readiness(
    phase: Phase,
    task: TaskRow,
    me: Party,
    answered: Collection[tuple[Party, str]],
    gone: Collection[Party],
    *,
    overdue: bool,
    enough: bool = False,
) -> Readiness:
    """Whether the phase's step may run (rule 6).

    Args:
        phase: the present one.
        task: the task in it.
        me: whose node this is.
        answered: senders and kinds in the inbox.
        gone: parties that left the task.
        overdue: the phase's deadline has passed.
        enough: what has come is enough, and the grace for the others has passed.
    """
    if task.closed or enough:
        return Readiness.READY
    here = {party for party, _ in answered} & awaited(phase, task, me)
    open_ = outstanding(phase, task, me, answered, gone)
    if len(here) + len(open_) < phase.quorum:
        return Readiness.FAILED
    if not open_:
        return Readiness.READY
    if not overdue:
        return Readiness.WAIT
    return Readiness.READY if len(here) >= phase.quorum else Readiness.FAILED


def awaited(phase: Phase, task: TaskRow, me: Party) -> set[Party]:
    """The parties that the phase waits for."""
    return {party for seat in phase.accepts.values() for party in task.seats.get(seat, ())} - {me}


def outstanding(
    phase: Phase,
    task: TaskRow,
    me: Party,
    answered: Collection[tuple[Party, str]],
    gone: Collection[Party],
) -> set[Party]:
    """The parties that have not answered and still may."""
    return awaited(phase, task, me) - {party for party, _ in answered} - set(gone)


def missing(
    phase: Phase, task: TaskRow, me: Party, answered: Collection[tuple[Party, str]]
) -> dict[Party, list[str]]:
    """Parties that did not answer at all → the kinds they might have answered with."""
    here = {party for party, _ in answered}
    return {
        party: sorted(kind for kind, seat in phase.accepts.items() if party in task.seats.get(seat, ()))
        for party in sorted(awaited(phase, task, me) - here)
    }


def full(phase: Phase, task: TaskRow, me: Party, answered: Collection[tuple[Party, str]]) -> bool:
    """Whether nothing more could be accepted, from anybody."""
    possible = {
        (party, kind)
        for kind, seat in phase.accepts.items()
        for party in task.seats.get(seat, ())
        if party != me
    }
    return possible <= set(answered)


def refuse(clause: str, why: str) -> Refused:
    """A refusal of a message."""
    return Refused(
        "A message was refused.",
        why,
        "Nothing was changed. If the sender is honest, compare both servers' versions and the signed plan.",
        clause=clause,
    )


def fits(program: Program, kind: str, size: int) -> bool:
    """Whether some phase that accepts the kind accepts a body of so many bytes."""
    limits = [phase.largest.get(kind, size) for phase in program.phases.values() if kind in phase.accepts]
    return not limits or size <= max(limits)


def knows(program: Program, kind: str) -> bool:
    """Whether some phase of the program accepts the kind."""
    return any(kind in phase.accepts for phase in program.phases.values())


def _require_known(view: View, kind: str, seat: str) -> None:
    if any(phase.accepts.get(kind) == seat for phase in view.program.phases.values()):
        return
    # A program that follows may give its parties other seats; its own turn will check them.
    if any(knows(program, kind) for program in view.later):
        return
    if knows(view.program, kind):
        raise refuse("message-wrong-seat", "Its kind does not come from the sender's seat.")
    raise refuse("message-wrong-kind", "No phase of this server's program accepts its kind.")


def _in_order(view: View, sequence: int, phase: Phase) -> bool:
    between = range(view.counters.taken + 1, sequence)
    if len(between) > len(view.waiting):
        return False
    return all(number in view.waiting and view.waiting[number] not in phase.accepts for number in between)
