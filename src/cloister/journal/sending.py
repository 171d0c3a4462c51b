"""Sends what was committed: one lane per task and recipient, in order, again and again until acknowledged.

A lane that gets no answer waits 0.05 s, then twice as long each time up to 5 s (0.5 s where the recipient answered
that it is not there yet); a recipient that comes back is tried at once. How often was tried is forgotten with the
process: after a restart everything is due.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from cloister.foundation.canonical import JSON
from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, CloisterError, Refused
from cloister.journal.durable import Durable
from cloister.journal.notices import log_frames
from cloister.journal.ports import Outbound, Probe, Taken, Timer
from cloister.journal.program import Party
from cloister.storage.outbox import Outgoing

FIRST_DELAY = 0.05
LONGEST_DELAY = 5.0
LONGEST_LATER = 0.5
GIVE_UP_SECONDS = 7 * 24 * 3600
_LARGE = 1 << 20

log = logging.getLogger(__name__)


@dataclass
class Lane:
    """What waits for one recipient in one task, and when it is tried next."""

    task: str
    to: Party
    due: float
    tries: int = 0
    busy: bool = False
    again: bool = False


class Sender:
    """The outbox's lanes. `run` may be called from several threads, for different lanes."""

    def __init__(
        self,
        durable: Durable,
        outbound: Outbound,
        clock: Clock,
        timer: Timer,
        probe: Probe,
        wake: Callable[[], None],
    ) -> None:
        self._durable = durable
        self._outbound = outbound
        self._clock = clock
        self._timer = timer
        self._probe = probe
        self._wake = wake
        self._lock = threading.Lock()
        self._lanes: dict[tuple[str, Party], Lane] = {}
        self._settled: dict[tuple[str, Party, int], tuple[Outgoing, str, dict[str, JSON]]] = {}
        self._writing = threading.Lock()

    def add(self, lanes: Iterable[tuple[str, Party]]) -> None:
        """Something waits for these (task, recipient); they are due now."""
        now = self._timer.now()
        with self._lock:
            for key in lanes:
                lane = self._lanes.setdefault(key, Lane(*key, due=now))
                lane.due, lane.again = now, True

    def poke(self, party: Party) -> None:
        """A party came back: what waits for it is due now."""
        now = self._timer.now()
        with self._lock:
            for lane in self._lanes.values():
                if lane.to == party:
                    lane.due, lane.tries, lane.again = now, 0, True

    def take_due(self) -> list[Lane]:
        """The lanes that are due, now marked busy; each must be given to `run`."""
        now = self._timer.now()
        with self._lock:
            due = [lane for lane in self._lanes.values() if not lane.busy and lane.due <= now]
            for lane in due:
                lane.busy, lane.again = True, False
        return due

    def next_due(self) -> float | None:
        """When the next lane is due, in the timer's seconds; `None` if nothing waits."""
        with self._lock:
            return min((lane.due for lane in self._lanes.values() if not lane.busy), default=None)

    def run(self, lane: Lane) -> None:
        """Sends what waits in a lane that `take_due` gave."""
        delay: float | None = LONGEST_DELAY
        try:
            delay = self._send_all(lane)
        except CloisterError as error:
            # This node's own disk: the messages stay where they are, and are repeated.
            log.warning("what was sent for a task could not be noted, and will be repeated: %s", error.what)
        except Exception as error:
            log_frames(log, "sending for a task", error)
        finally:
            self._settle(lane, delay)
            self._wake()

    def _settle(self, lane: Lane, longest: float | None) -> None:
        with self._lock:
            lane.busy = False
            if longest is None:
                lane.tries = 0
                if not lane.again:
                    self._lanes.pop((lane.task, lane.to), None)
            elif not lane.again:
                lane.due = self._timer.now() + min(FIRST_DELAY * 2 ** min(lane.tries, 20), longest)
                lane.tries += 1

    def _send_all(self, lane: Lane) -> float | None:
        """`None` when nothing is left to send; otherwise the longest delay before the next try."""
        with self._durable.read() as records:
            waiting = records.outbox.waiting(lane.task, lane.to)
        longest: float | None = None
        for message in waiting:
            try:
                taken = self._send(message)
            except CloisterError as error:
                if is_final(error):
                    self._done(message, "message.refused", error)
                    continue
                if self._clock.now() - message.created > GIVE_UP_SECONDS:
                    self._done(message, "message.given-up", error)
                    continue
                # A task that is unknown there is likely about to begin.
                unknown = isinstance(error, Refused) and error.clause == "unknown-task"
                return _patience(message) if unknown else LONGEST_DELAY
            if taken is Taken.LATER:
                longest = _patience(message)
                continue
            self._probe("send.after", lane.task)
            self._done(message, "message.delivered", None)
            self._probe("ack.after", lane.task)
        return longest

    def _send(self, message: Outgoing) -> Taken:
        body = self._durable.load(message.body)
        self._probe("send.before", message.task)
        try:
            return self._outbound.send(
                message.recipient,
                message.task,
                message.phase,
                message.kind,
                message.sequence,
                body,
                message.body.digest,
            )
        except CloisterError:
            raise
        except Exception as error:
            log_frames(log, "sending a message", error)
            raise CloisterError(
                "A message could not be sent.",
                "Something went wrong inside this server.",
                "See this server's log; the message is tried again.",
            ) from None

    def _done(self, message: Outgoing, event: str, error: CloisterError | None) -> None:
        facts: dict[str, JSON] = {"to": message.recipient, "kind": message.kind, "bytes": message.body.size}
        if error is not None:
            facts |= {"error": error.type, "clause": str(error.detail.get("clause", ""))}
        with self._lock:
            self._settled[message.task, message.recipient, message.sequence] = message, event, facts
        # Whoever comes first writes for all: one transaction for what was acknowledged while the last one was written.
        with self._writing:
            with self._lock:
                settled, self._settled = self._settled, {}
            try:
                names = self._note(list(settled.values()))
            except BaseException:
                with self._lock:
                    self._settled = settled | self._settled
                raise
        self._durable.collect(names)

    def _note(self, settled: list[tuple[Outgoing, str, dict[str, JSON]]]) -> list[str]:
        names: list[str] = []
        if settled:
            # If this is lost with the machine's power, the message is sent again, and acknowledged as known; for that its
            # body must be there, so a file is let go of only after what says so is on disk.
            forced = any(message.body.inline is None for message, _, _ in settled)
            with self._durable.transaction(forced=forced) as records:
                for message, event, facts in settled:
                    names += records.outbox.remove(message)
                    records.events.add(message.task, self._clock.now(), event, facts)
        return names


def _patience(message: Outgoing) -> float:
    # Large bodies are not worth asking so often.
    return LONGEST_LATER if message.body.size < _LARGE else LONGEST_DELAY


def is_final(error: CloisterError) -> bool:
    """Whether a recipient's answer means that repeating is of no use.

    Only the journal's own refusals are final. Everything else may pass: a signature that does not hold may be
    somebody's meddling on the way, a task that is unknown there may just not have begun, a disk may get space.
    """
    if isinstance(error, Refused):
        return error.clause.startswith("message-") or error.clause == "task-over"
    return isinstance(error, BadInput)
