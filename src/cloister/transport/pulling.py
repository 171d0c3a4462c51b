"""Pulls large bodies: several chunks on their way at once, lost ones asked for again at the pace of their sender.

Rules:
1. Never more chunks on their way than the window; the body's size is fixed by its offer before anything is asked.
2. A chunk that does not come in the time that the sender's pace suggests (`pace`) is asked for again; one whose
   sender the carrier cannot find now is asked for again after a short pause, for as long as the call lasts.
3. One changed or refused chunk fails nothing; three times the same one fails the pull.
4. With `stall`, a pull ends when no further chunk has come for so long, however far the call's deadline lies ahead: that
   one was chosen by the party that has to give the chunks.
"""

from __future__ import annotations

import contextlib
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator

from cloister.foundation.errors import NotFound, Tampered
from cloister.transport.blobs import Offer, Pull
from cloister.transport.carrier import Carrier, NoReply
from cloister.transport.pace import Pace
from cloister.transport.replies import pauses, read_hint, unreachable
from cloister.transport.tuning import Tuning

MAX_CHANGED = 2
Left = Callable[[], float]
"""Seconds until the call's deadline. Raises `Unreachable` when there are none, or this node is closing."""


class Puller:
    """Pulls bodies for one node, and remembers the pace of each party it pulled from.

    Args:
        carrier: brings the askings there and the chunks back.
        tuning: window, waiting times, the largest body.
        closed: set when the node leaves.
        count: told the party and the bytes of each reply.
    """

    def __init__(
        self, carrier: Carrier, tuning: Tuning, closed: threading.Event, count: Callable[[str, int], None]
    ) -> None:
        self.carrier = carrier
        self.closed = closed
        self.count = count
        self._tuning = tuning
        self._paces: dict[str, Pace] = {}

    def pull(self, source: str, offer: Offer, left: Left, *, stall: float = math.inf) -> bytes:
        """The whole body that `source` offered.

        Args:
            source: who offered it.
            offer: from its sealed, signed message.
            left: tells how much time there is.
            stall: seconds without a further chunk until the pull is given up.

        Raises:
            Unreachable: the deadline passed, or nothing came for `stall` seconds.
            NotFound: the sender no longer offers it.
            Tampered: a chunk is, again and again, not what was offered.
            NotTrusted: the whole is not what was offered.
            BadInput: it is over the size limit.
        """
        pull = Pull(offer, self._tuning.body)
        flight = _Flight(self, source, pull, self._pace(source), left, stall)
        others = min(self._tuning.window, offer.chunks) - 1
        threads = [threading.Thread(target=flight.work, name="cloister-fetch") for _ in range(others)]
        for thread in threads:
            thread.start()
        flight.work()
        for thread in threads:
            thread.join()
        if flight.failure is not None:
            raise flight.failure
        body = pull.finish()
        # Only frees the sender's shelf earlier; its expiry does it otherwise.
        with contextlib.suppress(NoReply):
            self.carrier.exchange(source, "blob", pull.done, 1.0)
        return body

    def _pace(self, source: str) -> Pace:
        made = Pace(
            self._tuning.chunk_first, self._tuning.chunk_least, self._tuning.chunk_most, self._tuning.window
        )
        return self._paces.setdefault(source, made)


class _Flight:
    """One body on its way in; `work` is run by as many threads as there may be chunks on their way."""

    def __init__(self, puller: Puller, source: str, pull: Pull, pace: Pace, left: Left, stall: float) -> None:
        self._puller, self._source, self._pull = puller, source, pull
        self._pace, self._deadline = pace, left
        self._stall, self._last = stall, time.monotonic()
        self._pending = deque(pull.missing)
        self._asked: Counter[int] = Counter()
        self._changed: Counter[int] = Counter()
        self._under_way = 0
        self._turn = threading.Condition()
        self._pauses: Iterator[float] = pauses()
        self.failure: Exception | None = None

    def work(self) -> None:
        """Fetches chunks until all are here, or one of the threads failed."""
        try:
            while (index := self._next()) is not None:
                here = False
                try:
                    here = self._fetch(index)
                finally:
                    self._landed(index, here=here)
        except Exception as error:  # whatever it is, the thread that waits for the body has to raise it
            with self._turn:
                self.failure = self.failure or error
                self._turn.notify_all()

    def _next(self) -> int | None:
        with self._turn:
            while self.failure is None and (self._pending or self._under_way):
                if self._pending and self._under_way < self._pace.width:
                    self._under_way += 1
                    index = self._pending.popleft()
                    self._asked[index] += 1
                    return index
                self._turn.wait(min(1.0, self._left()))
            return None

    def _landed(self, index: int, *, here: bool) -> None:
        with self._turn:
            self._under_way -= 1
            if here:
                self._pauses = pauses()
            else:
                self._pending.appendleft(index)
            self._turn.notify_all()

    def _left(self) -> float:
        still = self._last + self._stall - time.monotonic()
        if still <= 0:
            raise unreachable(self._source, f"No part of its large body came for {self._stall:.0f} seconds.")
        return min(self._deadline(), still)

    def _fetch(self, index: int) -> bool:
        """Whether the chunk is here; asks once."""
        asked = time.monotonic()
        try:
            reply = self._puller.carrier.exchange(
                self._source, "blob", self._pull.ask(index), min(self._pace.wait, self._left())
            )
        except NoReply as nothing:
            if nothing.absent:
                self._pause()
            else:
                self._pace.ran_out(asked, time.monotonic())
            return False
        self._puller.count(self._source, len(reply))
        if read_hint(reply) is not None:
            self._pause()
            return False
        try:
            self._pull.take(index, reply)
        except (Tampered, NotFound):
            # One changed message fails nothing; a sender that has ended its offer says so again.
            self._changed[index] += 1
            if self._changed[index] > MAX_CHANGED:
                raise
            self._pause()
            return False
        self._last = time.monotonic()
        if self._asked[index] == 1:
            self._pace.came(time.monotonic() - asked)
        return True

    def _pause(self) -> None:
        with self._turn:
            pause = next(self._pauses)
        self._puller.closed.wait(min(pause, self._left()))
