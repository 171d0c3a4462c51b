"""Work over the whole log, which costs the machine time whoever asks for it: verifying it, and writing it out.

Rules, for each of the two:
1. One goes on at a time. Who asks meanwhile is told to come again; nobody waits, since a wait would hold a thread that answers others.
2. After one that took longer than `SHORT`, who asked for it waits `REST` times as long before the next: nobody keeps the others, or
   the machine, from theirs. Whoever runs the machine waits for no rest.
3. Nothing is remembered. A log of the same size is not the same log: an entry that was changed on the disk since changes neither its
   size nor its signed head, and is what is looked for.
"""

from __future__ import annotations

import io
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from fastapi import FastAPI

from cloister.ledger.export import limited_lines, read_export, verify_export
from cloister.ledger.verify import Report
from cloister.node.node import Node
from cloister.node.reports import export_ledger
from cloister.node.toolroom.paces import TooOften
from cloister.web.shared import shared

REST = 4
SHORT = 1.0
"""Seconds; what took no longer needs no rest."""
_SOON = 5
_CALLERS = 1000
T = TypeVar("T")


class Paced:
    """One kind of work.

    Args:
        refusal: what is said of it to who has to come again.
        instead: what may be done meanwhile, or nothing.
        steady: seconds of a clock that never goes back.
    """

    def __init__(self, refusal: str, instead: str = "", steady: Callable[[], float] = time.monotonic) -> None:
        self._refusal, self._instead, self._steady = refusal, instead, steady
        self._busy = threading.Lock()
        self._next: OrderedDict[str | None, float] = OrderedDict()

    def do(self, whose: str | None, work: Callable[[], T]) -> T:
        """What `work` gives. Raises `TooOften` where rules 1 and 2 say so, and what `work` raises.

        Args:
            whose: the caller's account; `None` for whoever runs the machine, at the server's socket, who has no rest.
            work: takes long.
        """
        if not self._busy.acquire(blocking=False):
            raise self._later("It is being done for somebody else at this moment.", _SOON)
        try:
            begun = self._steady()
            wait = self._next.get(whose, begun) - begun
            if wait > 0:
                raise self._later("It was done for you a moment ago, which took long.", max(1, round(wait)))
            try:
                return work()
            finally:
                self._took(whose, begun, self._steady() - begun)
        finally:
            self._busy.release()

    def _took(self, whose: str | None, begun: float, seconds: float) -> None:
        self._next.pop(whose, None)
        if seconds > SHORT and whose is not None:
            self._next[whose] = begun + seconds * (1 + REST)
            while len(self._next) > _CALLERS:
                self._next.popitem(last=False)

    def _later(self, why: str, seconds: int) -> TooOften:
        remedy = f"Try again in {seconds} seconds{', or ' + self._instead if self._instead else ''}."
        return TooOften(self._refusal, why, remedy, clause="too-often", retry_after=seconds)


class LogWork:
    """What an application does over a server's whole log, by its page and its interface alike."""

    def __init__(self, steady: Callable[[], float] = time.monotonic) -> None:
        self._verify = Paced(
            "This server does not verify its log right now.", "let your browser verify it", steady
        )
        self._export = Paced("This server does not write its log out right now.", steady=steady)

    def verdict(self, node: Node, whose: str | None) -> Report:
        """What is found now, with the witnesses that the log names. Raises `TooOften`."""

        def work() -> Report:
            read = read_export(limited_lines(io.BytesIO(export_ledger(node))))
            return verify_export(read, int(time.time()), party=node.party)

        return self._verify.do(whose, work)

    def export(self, node: Node, whose: str | None, form: Callable[[bytes], bytes] = bytes) -> bytes:
        """The whole log as a file that anybody can verify offline, in a form that is made within the pace. Raises `TooOften`."""
        return self._export.do(whose, lambda: form(export_ledger(node)))


def log_work_of(app: FastAPI) -> LogWork:
    """That of an application."""
    return shared(app, LogWork)
