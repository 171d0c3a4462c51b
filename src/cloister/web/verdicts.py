"""What this server finds in its own log, when somebody asks for it: it costs the machine time, so it has a pace.

Rules:
1. One verification runs at a time; who asks meanwhile is told to come again.
2. After one that took long, the next waits `REST` times as long: verifying takes a fifth of one core, whoever asks and how often.
3. Nothing is remembered. A log of the same size is not the same log: an entry that was changed on the disk since changes neither its
   size nor its signed head, and is what is looked for.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable

from cloister.ledger.export import limited_lines, read_export, verify_export
from cloister.ledger.verify import Report
from cloister.node.node import Node
from cloister.node.reports import export_ledger
from cloister.node.toolroom.paces import TooOften

REST = 4
SHORT = 1.0
"""Seconds; what took no longer needs no rest."""
_SOON = 10


class Verdicts:
    """Verifies a server's log for its people.

    Args:
        steady: seconds of a clock that never goes back.
    """

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._steady = steady
        self._busy = threading.Lock()
        self._next = 0.0

    def of(self, node: Node) -> Report:
        """What is found now, with the witnesses that the log names. Raises `TooOften` where rules 1 and 2 say so."""
        if not self._busy.acquire(blocking=False):
            raise _wait("It is verified for somebody else at this moment.", _SOON)
        try:
            begun = self._steady()
            if begun < self._next:
                raise _wait(
                    "It was verified a moment ago, which took long.", max(1, round(self._next - begun))
                )
            try:
                read = read_export(limited_lines(io.BytesIO(export_ledger(node))))
                return verify_export(read, int(time.time()), party=node.party)
            finally:
                took = self._steady() - begun
                self._next = begun + took * (1 + REST) if took > SHORT else 0.0
        finally:
            self._busy.release()


def _wait(why: str, seconds: int) -> TooOften:
    return TooOften(
        "This server does not verify its log right now.",
        why,
        f"Try again in {seconds} seconds, or let your browser verify it.",
        clause="too-often",
        retry_after=seconds,
    )
