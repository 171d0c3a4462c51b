"""Writes what a step did, or that a task has ended: everything that belongs together in one transaction."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from cloister.foundation.canonical import JSON, canonical
from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest, digest_json
from cloister.foundation.errors import BadInput, CloisterError, Conflict, Refused
from cloister.journal.durable import Durable, Records
from cloister.journal.live import check_program
from cloister.journal.local import StepLocal
from cloister.journal.notices import Notice
from cloister.journal.phases import MAX_NAME, NOTICE
from cloister.journal.ports import Chain, LedgerPort, Probe, ProgramSource
from cloister.journal.program import Message, Party, Program, Step
from cloister.storage.blobs import Kept
from cloister.storage.messages import AcceptedMessage, Counters
from cloister.storage.outbox import Outgoing
from cloister.storage.tasks import Status, TaskRow

MAX_PARTS = 16
_NOTHING = Kept(digest(b""), 0, b"")
_ENDINGS: Mapping[str, str] = {"done": "task.finished", "failed": "task.failed", "stopped": "task.stopped"}


@dataclass(frozen=True)
class Committed:
    """A step that is on disk: where the task stands, its program if it goes on, who has mail, what files it let go."""

    row: TaskRow
    program: Program | None
    recipients: frozenset[Party]
    let_go: list[str]


class UseDenied(Exception):
    """The node does not let a step's answer out, computed as it is from its dataset (`LocalPorts.used`)."""

    def __init__(self, error: Refused) -> None:
        super().__init__(error.what)
        self.error = error


class Committer:
    """Writes steps and endings."""

    def __init__(
        self,
        durable: Durable,
        party: Party,
        ledger: LedgerPort,
        programs: ProgramSource,
        chain: Chain | None,
        clock: Clock,
        probe: Probe,
    ) -> None:
        self._durable = durable
        self._party = party
        self._ledger = ledger
        self._programs = programs
        self._chain = chain
        self._clock = clock
        self._probe = probe

    def step(
        self,
        row: TaskRow,
        program: Program,
        step: Step,
        inbox: Sequence[AcceptedMessage],
        missed: Mapping[Party, list[str]],
        local: StepLocal,
    ) -> Committed | None:
        """Writes a step of the task as it was in `row`; `None` if the task has ended meanwhile.

        Raises:
            UseDenied: it may not be written.
        """
        with self._durable.keeping() as keep:
            state = keep(step.state if step.next is not None else b"")
            parts = {name: keep(part) for name, part in step.parts.items()}
            bodies = [keep(message.body) for message in step.send]
            self._probe("commit.before", row.id)
            with self._durable.transaction() as records:
                present = records.tasks.get(row.id)
                if present is None or present.status != "running" or present.position != row.position:
                    return None
                now = self._clock.now()
                self._figures(records, row, local.figures, now)
                try:
                    local.note_use(records.tx)
                except Refused as error:
                    raise UseDenied(error) from None
                sent = self._post(records, row, list(zip(step.send, bodies, strict=True)), now)
                following = None
                if step.next is None and self._chain is not None:
                    following = self._chain.finished(records.tx, row, step.candidate)
                names = [row.state.digest, *records.messages.let_go(row.id)]
                names += self._put_parts(records, row.id, parts, going_on=step.next is not None)
                for label, value in step.secrets.items():
                    self._durable.keep_secret(records.tx, row.id, row.attempt, label, value)
                for label in step.forget:
                    records.erase_secrets(row.id, label)
                new = replace(row, position=row.position + 1, closed=False, updated=now, state=state)
                made: Program | None = program
                if step.next is not None:
                    new = replace(new, phase=step.next, deadline=program.phases[step.next].deadline)
                elif following is not None:
                    new = replace(
                        new,
                        program=following.program,
                        seat=new.seat if following.seat is None else following.seat,
                        seats=new.seats if following.seats is None else following.seats,
                        state=keep(following.state),
                    )
                    made = self._programs.program(new)
                    check_program(made)
                    new = replace(new, phase=made.first, deadline=made.phases[made.first].deadline)
                self._journal(records, row, new, parts, sent, inbox, missed, now)
                if step.next is None and following is None:
                    made = None
                    names += self.end(records, replace(new, phase=row.phase), "done", None, notify=False)
                else:
                    records.tasks.put(new)
                    facts = {"phase": new.phase, "program": new.program, "position": new.position}
                    records.events.add(row.id, now, "phase.entered", facts)
                self._probe("commit.inside", row.id)
        self._probe("commit.after", row.id)
        let_go = names if row.state.inline is None else names[1:]
        return Committed(new, made, frozenset(message.to for message in step.send), let_go)

    def end(
        self, records: Records, row: TaskRow, status: Status, error: CloisterError | None, *, notify: bool
    ) -> list[str]:
        """Ends a task in the caller's transaction; returns large bodies to be collected after it.

        With `notify`, what still waits to be sent is dropped and the other parties get a failure notice instead.
        """
        now = self._clock.now()
        failure = None if error is None else _problem(error)
        names = [*records.messages.let_go(row.id), *records.tasks.drop_parts(row.id)]
        if row.state.inline is None:
            names.append(row.state.digest)
        records.tasks.put(
            replace(row, status=status, failure=failure, state=_NOTHING, closed=False, updated=now)
        )
        records.erase_secrets(row.id)
        if status != "done":
            names += records.outbox.drop(row.id)
            content = {
                "task": row.id,
                "phase": row.phase,
                "status": status,
                "error": error.type if error else "",
            }
            self._ledger.append(records.tx, _ENDINGS[status], digest_json(content))
        if notify and error is not None:
            body = Notice(phase=row.phase or "start", error=error.type).encode()
            kept = Kept(digest(body), len(body), body)
            gone = {party for party, counters in records.messages.counters(row.id).items() if counters.gone}
            told = [Message(to, NOTICE, body) for to in sorted(row.parties - {self._party} - gone)]
            self._post(records, row, [(message, kept) for message in told], now)
        records.events.add(row.id, now, _ENDINGS[status], {"phase": row.phase, "failure": failure})
        return names

    def fail(self, row: TaskRow, error: CloisterError, local: StepLocal | None) -> bool:
        """A phase failed, or its step on `local`: ends the task, tells the others; `False` if it had ended meanwhile."""
        with self._durable.transaction() as records:
            present = records.tasks.get(row.id)
            if present is None or present.status != "running":
                return False
            if local is not None:
                self._figures(records, row, local.figures, self._clock.now())
                with contextlib.suppress(Refused):  # it ends all the same, and says no more than that
                    local.note_use(records.tx)
            names = self.end(records, present, "failed", error, notify=True)
            self._probe("commit.inside", row.id)
        self._durable.collect(names)
        return True

    def _put_parts(
        self, records: Records, task: str, parts: Mapping[str, Kept], *, going_on: bool
    ) -> list[str]:
        """Writes what a step gave, and returns the files that it replaces; after a program's end none stays."""
        if not going_on:
            return records.tasks.drop_parts(task)
        if not parts:
            return []
        before = records.tasks.parts(task)
        for name, kept in parts.items():
            records.tasks.put_part(task, name, kept)
        return [before[name].digest for name in parts if name in before and before[name].inline is None]

    def _figures(self, records: Records, row: TaskRow, figures: list[Mapping[str, JSON]], now: int) -> None:
        for item in figures:
            records.events.add(row.id, now, "figures", {"phase": row.phase, "figures": item})

    def _post(
        self, records: Records, row: TaskRow, messages: list[tuple[Message, Kept]], now: int
    ) -> list[dict[str, JSON]]:
        counters = records.messages.counters(row.id)
        sent: list[dict[str, JSON]] = []
        for message, kept in messages:
            before = counters.get(message.to, Counters())
            after = replace(before, sent=before.sent + 1)
            counters[message.to] = after
            records.messages.set_counters(row.id, message.to, after)
            if not before.gone:
                records.outbox.add(
                    Outgoing(row.id, message.to, after.sent, row.phase, message.kind, kept, now)
                )
            sent.append(
                {"to": message.to, "kind": message.kind, "sequence": after.sent, "digest": kept.digest}
            )
        return sent

    def _journal(
        self,
        records: Records,
        row: TaskRow,
        new: TaskRow,
        parts: Mapping[str, Kept],
        sent: list[dict[str, JSON]],
        inbox: Sequence[AcceptedMessage],
        missed: Mapping[Party, list[str]],
        now: int,
    ) -> None:
        record: dict[str, JSON] = {
            "program": row.program,
            "phase": row.phase,
            "position": row.position,
            "attempt": row.attempt,
            "read": [
                {
                    "from": item.sender,
                    "kind": item.kind,
                    "sequence": item.sequence,
                    "digest": item.body.digest,
                }
                for item in inbox
            ],
            "missed": {party: list(kinds) for party, kinds in missed.items()},
            "sent": sent,
            "state": new.state.digest,
            "parts": {name: kept.digest for name, kept in parts.items()},
        }
        records.tasks.record_step(row.id, row.position, row.phase, record, now)
        self._ledger.append(records.tx, "task.step", digest_json({"task": row.id, "step": record}))


def check_step(step: Any, row: TaskRow, program: Program, me: Party) -> Step:
    """The step, if the program may return it. Raises `Conflict` otherwise."""
    others = row.parties - {me}
    if not isinstance(step, Step) or not isinstance(step.state, bytes):
        raise _unfit("It did not return a step.")
    if step.next is not None and (step.next not in program.phases or step.candidate is not None):
        raise _unfit("Its next phase does not exist, or it has a candidate before its end.")
    if step.next is None and (step.parts or step.secrets):
        raise _unfit("It keeps a part of its state after its end.")
    if len(step.parts) > MAX_PARTS or not all(
        1 <= len(name) <= MAX_NAME and isinstance(part, bytes) for name, part in step.parts.items()
    ):
        raise _unfit("A part of its state is not bytes, or they are too many.")
    for message in step.send:
        if message.to not in others or message.kind == NOTICE or not 1 <= len(message.kind) <= MAX_NAME:
            raise _unfit("It sends to somebody without a seat, or a kind that it may not.")
        if not isinstance(message.body, bytes):
            raise _unfit("It sends something that is not bytes.")
    return step


def _unfit(why: str) -> Conflict:
    return Conflict("A step returned what it may not.", why, "Report this to the authors of the protection.")


def _problem(error: CloisterError) -> dict[str, Any]:
    document = error.problem()
    try:
        canonical(document)
    except BadInput:
        return {key: document[key] for key in ("type", "title", "status", "detail", "remedy")}
    return document
