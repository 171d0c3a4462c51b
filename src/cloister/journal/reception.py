"""Takes messages in: each once, in its phase, from its seat, on disk before it is acknowledged."""

from __future__ import annotations

from dataclasses import replace

from cloister.foundation.clock import Clock
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Refused
from cloister.journal import notices, phases
from cloister.journal.durable import Durable, Records
from cloister.journal.live import LiveTasks
from cloister.journal.phases import Header, Verdict
from cloister.journal.ports import Probe, ProgramSource, Taken
from cloister.journal.program import Party, Program
from cloister.storage.blobs import INLINE, Kept
from cloister.storage.messages import AcceptedMessage, Counters
from cloister.storage.tasks import TaskRow

MAX_BODY = 1 << 30


class Reception:
    """Decides on messages (see `phases`) and writes what is decided."""

    def __init__(
        self,
        durable: Durable,
        live: LiveTasks,
        programs: ProgramSource,
        clock: Clock,
        probe: Probe,
    ) -> None:
        self._durable = durable
        self._live = live
        self._programs = programs
        self._clock = clock
        self._probe = probe

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
        """See `Runner.deliver`."""
        if len(body) > MAX_BODY or len(sender_phase) > phases.MAX_NAME:
            raise BadInput("A message is too large.", f"The limit is {MAX_BODY} bytes.", "Send less at once.")
        header = Header(sender, kind, sequence, known or digest(body))
        foreseen = Verdict.TAKE
        if len(body) > INLINE:
            # Nothing large is written for a message that will not be taken.
            with self._durable.read() as records:
                foreseen = self._judge(records, task, header, len(body))[1]
        self._probe("accept.before", task)
        with self._durable.keeping() as keep:
            kept = keep(body, header.digest) if foreseen is Verdict.TAKE else Kept(header.digest, len(body))
            with self._durable.transaction() as records:
                row, verdict, position, counters = self._judge(records, task, header, len(body))
                if verdict is Verdict.TAKE and foreseen is not Verdict.TAKE:
                    verdict = Verdict.LATER
                if verdict is Verdict.TAKE:
                    self._accept(records, row, header, kept, position, counters, hold=True)
                elif verdict is Verdict.LATE:
                    self._accept(records, row, header, kept, position, counters, hold=False)
                elif verdict is Verdict.LEFT:
                    self._leave(records, row, header, body, counters)
                self._probe("accept.inside", task)
        self._probe("accept.after", task)
        if kept.inline is None and verdict is not Verdict.TAKE:
            self._durable.collect([kept.digest])
        if verdict is Verdict.LATER:
            self._live.told_to_wait(task, sender, sequence, kind)
            return Taken.LATER
        if verdict is not Verdict.REPEATED:
            self._live.taken(task, sender, sequence)
            self._live.look(task)
        return Taken.ACCEPTED

    def _judge(
        self, records: Records, task: str, header: Header, size: int
    ) -> tuple[TaskRow, Verdict, int, Counters]:
        """The task, what to do, the position of the step that the message is for, and the sender's counters."""
        row = records.tasks.get(task)
        if row is None:
            raise Refused(
                "A message was refused.",
                "There is no such task at this server, or not yet.",
                "It is sent again for a while; see whether this server admitted the task.",
                clause="unknown-task",
            )
        live = self._live.get(task)
        if row.status == "running" and live is None:
            # Its program is being made again after a restart, or could not be.
            return row, Verdict.LATER, row.position, Counters()
        program = Program("", {}) if live is None else live.program
        missed: dict[str, int] = {}
        phase = program.phases.get(row.phase)
        if phase is not None and header.kind not in phase.accepts:
            missed = _missed(records, task, header.sender)
        if not phases.fits(program, header.kind, size):
            raise phases.refuse("message-too-large", "Its body is over the limit of its kind.")
        counters = records.messages.counters(task).get(header.sender, Counters())
        view = phases.View(
            task=row,
            program=program,
            later=() if live is None or phases.knows(program, header.kind) else self._programs.later(row),
            running=row.closed or (live is not None and live.running),
            counters=counters,
            known=records.messages.accepted_digest(task, header.sender, header.sequence),
            answered=records.messages.answered(task, row.position),
            missed=missed,
            waiting={} if live is None else dict(live.waiting.get(header.sender, {})),
        )
        verdict = phases.judge(view, header)
        position = missed[header.kind] if verdict is Verdict.LATE else row.position
        return row, verdict, position, counters

    def _accept(
        self,
        records: Records,
        row: TaskRow,
        header: Header,
        kept: Kept,
        position: int,
        counters: Counters,
        *,
        hold: bool,
    ) -> None:
        now = self._clock.now()
        message = AcceptedMessage(header.sender, header.sequence, header.kind, position, kept)
        records.messages.accept(row.id, message, now, hold=hold)
        records.messages.set_counters(row.id, header.sender, replace(counters, taken=header.sequence))
        facts = {"from": header.sender, "kind": header.kind, "bytes": kept.size, "late": not hold}
        records.events.add(row.id, now, "message.accepted", facts)

    def _leave(self, records: Records, row: TaskRow, header: Header, body: bytes, counters: Counters) -> None:
        notice = notices.Notice.decode(body)
        now = self._clock.now()
        kept = Kept(header.digest, len(body), body)
        message = AcceptedMessage(header.sender, header.sequence, header.kind, row.position, kept)
        records.messages.accept(row.id, message, now, hold=False)
        counters = replace(counters, taken=header.sequence, gone=True)
        records.messages.set_counters(row.id, header.sender, counters)
        facts = {"party": header.sender, "seat": row.seat_of(header.sender), "phase": notice.phase}
        records.events.add(row.id, now, "party.left", {**facts, "error": notice.error})


def _missed(records: Records, task: str, sender: Party) -> dict[str, int]:
    """Kind → the first step that ended without this sender's message, and has not got a late one since."""
    used = records.messages.positions(task, sender)
    found: dict[str, int] = {}
    for position, _, record in records.tasks.steps(task):
        if position not in used:
            for kind in record["missed"].get(sender, ()):
                found.setdefault(kind, position)
    return found
