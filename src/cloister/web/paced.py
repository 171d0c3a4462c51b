"""Work over the whole log, which costs the machine time whoever asks for it: done one at a time, and at a pace.

Rules:
1. One goes on at a time. Who asks meanwhile waits a moment for it to end, and is then told to come again.
2. After one that took long, the next waits `REST` times as long: it takes a fifth of one core, whoever asks and how often.
3. Nothing is remembered. A log of the same size is not the same log: an entry that was changed on the disk since changes neither its
   size nor its signed head, and is what is looked for.
"""

from __future__ import annotations

import io
import threading
import time
from collections.abc import Callable
from typing import TypeVar

from fastapi import FastAPI

from cloister.ledger.export import limited_lines, read_export, verify_export
from cloister.ledger.verify import Report
from cloister.node.node import Node
from cloister.node.reports import export_ledger
from cloister.node.toolroom.paces import TooOften

REST = 4
SHORT = 1.0
"""Seconds; what took no longer needs no rest."""
_SOON = 10
T = TypeVar("T")


class Paced:
    """One kind of work.

    Args:
        refusal: what is said of it to who has to wait.
        instead: what may be done instead of waiting, or nothing.
        patience: seconds for which somebody waits for the one before.
        steady: seconds of a clock that never goes back.
    """

    def __init__(
        self,
        refusal: str,
        instead: str = "",
        patience: float = 0.0,
        steady: Callable[[], float] = time.monotonic,
    ) -> None:
        self._refusal, self._instead, self._patience, self._steady = refusal, instead, patience, steady
        self._busy = threading.Lock()
        self._next = 0.0

    def do(self, work: Callable[[], T]) -> T:
        """What `work` gives. Raises `TooOften` where rules 1 and 2 say so, and what `work` raises."""
        if not self._busy.acquire(timeout=self._patience):
            raise self._wait("It is being done for somebody else at this moment.", _SOON)
        try:
            begun = self._steady()
            if begun < self._next:
                raise self._wait(
                    "It was done a moment ago, which took long.", max(1, round(self._next - begun))
                )
            try:
                return work()
            finally:
                took = self._steady() - begun
                self._next = begun + took * (1 + REST) if took > SHORT else 0.0
        finally:
            self._busy.release()

    def _wait(self, why: str, seconds: int) -> TooOften:
        remedy = f"Try again in {seconds} seconds{', or ' + self._instead if self._instead else ''}."
        return TooOften(self._refusal, why, remedy, clause="too-often", retry_after=seconds)


class LogWork:
    """What an application does over a server's whole log, by its page and its interface alike."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._verify = Paced(
            "This server does not verify its log right now.", "let your browser verify it", steady=steady
        )
        self._export = Paced("This server does not write its log out right now.", patience=5.0, steady=steady)

    def verdict(self, node: Node) -> Report:
        """What is found now, with the witnesses that the log names. Raises `TooOften`."""

        def work() -> Report:
            read = read_export(limited_lines(io.BytesIO(export_ledger(node))))
            return verify_export(read, int(time.time()), party=node.party)

        return self._verify.do(work)

    def export(self, node: Node) -> bytes:
        """The whole log as a file that anybody can verify offline. Raises `TooOften`."""
        return self._export.do(lambda: export_ledger(node))


def log_work_of(app: FastAPI) -> LogWork:
    """That of an application."""
    if not hasattr(app.state, "log_work"):
        app.state.log_work = LogWork()
    found: LogWork = app.state.log_work
    return found
