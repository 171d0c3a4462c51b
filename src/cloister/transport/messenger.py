"""The transport proper: signed, sealed, idempotent calls over any carrier.

A call is packed (`envelope`), carried, opened at the other side, answered by a handler in a bounded executor
(`answering`), and the answer comes back the same way. Bodies over the inline limit go as offers (`blobs`) over the
bulk lane and are pulled (`pulling`). The carrier may lose, repeat, delay or change anything; then a call is late or
fails, and nothing else happens.

Rules:
1. A bare code instead of an answer is believed only in so far as the call fails. Everything else that comes back is
   sealed and signed.
2. While its deadline lasts, a call whose message or answer was lost is sent again under the same key.
3. A call is given up before its deadline only if the carrier knew of no such node for as long as `patience`. Silence
   is no such knowledge: a handler may take its time.
"""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import Self

from cloister.foundation.clock import Clock, SystemClock
from cloister.foundation.errors import BadInput
from cloister.identity.keys import SecretKeys
from cloister.transport import envelope
from cloister.transport.answering import Answering, seconds_left
from cloister.transport.blobs import Offer, Shelf
from cloister.transport.carrier import Carrier, NoReply
from cloister.transport.envelope import Content, Opened
from cloister.transport.frames import Frames
from cloister.transport.interface import Attachment, Check, Handler, Presence
from cloister.transport.peers import Peers
from cloister.transport.pulling import Puller
from cloister.transport.replies import HINTS, pauses, read_hint, read_problem, unreachable
from cloister.transport.traffic import Counter, Traffic
from cloister.transport.tuning import Tuning

__all__ = ["Messenger", "Traffic", "Tuning"]


class Messenger:
    """A `Transport` over a carrier, which stays reachable as `carrier` (for renewing certificates).

    Args:
        carrier: brings bytes there and back.
        party: this party's fingerprint.
        keys: its secret keys.
        peers: the other parties' present keys.
        clock: tells the time.
        tuning: bounds.
        folder: for large bodies while they are offered; a temporary one if absent.
    """

    def __init__(
        self,
        carrier: Carrier,
        party: str,
        keys: SecretKeys,
        peers: Peers,
        *,
        clock: Clock | None = None,
        tuning: Tuning | None = None,
        folder: Path | None = None,
    ) -> None:
        self.party = party
        self.carrier = carrier
        self._clock = clock or SystemClock()
        self._tuning = tuning or Tuning()
        self._frames = Frames(party, keys, peers, self._clock, self._tuning.limits)
        self._shelf = Shelf(folder)
        self._closed = threading.Event()
        self._counter = Counter()
        self._puller = Puller(carrier, self._tuning, self._closed, self._pulled)
        self._answering = Answering(
            self._frames, self._shelf, self._puller, self._counter, self._clock, self._tuning, self._closed
        )
        self._lock = threading.Lock()
        self._here: set[str] = set()
        self._events: deque[Presence] = deque(maxlen=4096)
        carrier.receive("call", self._answering.arrived)
        carrier.receive("blob", self._answering.asked)
        carrier.watch(self._seen)

    def call(
        self,
        to: str,
        method: str,
        body: bytes,
        *,
        deadline: float,
        key: str | None = None,
        attached: Attachment | None = None,
        answer: int | None = None,
    ) -> bytes:
        """The answer of another party's node; see `interface.Transport.call`."""
        largest = self._tuning.inline if answer is None else min(answer, self._tuning.body)
        self._check_size(len(body), self._tuning.body if attached is None else self._tuning.inline)
        if attached is not None:
            self._check_size(len(attached.body), self._tuning.body)
        key = key or envelope.fresh()
        until = time.monotonic() + deadline
        due = self._clock.now() + math.ceil(deadline)
        content, sent, offer = self._answering.outgoing(to, body, due, attached)
        try:
            came = self._ask(to, method, key, content, sent, due, until)
            return self._incoming(to, came, largest, until)
        finally:
            if offer is not None:
                self._shelf.withdraw(offer.id)

    def _check_size(self, size: int, limit: int) -> None:
        if size > limit:
            raise BadInput(
                "A body is over the size limit.",
                f"It has {size} bytes; the limit is {limit}.",
                "Send less at once.",
                clause="size",
            )

    def _ask(
        self, to: str, method: str, key: str, content: Content, body: bytes, due: int, until: float
    ) -> Opened:
        absent_since: float | None = None
        for count, pause in enumerate(pauses()):
            header, frame = self._frames.pack(to, method, key, content, body, due)
            self._counter.add(to, sent=len(frame))
            try:
                wait = min(self._tuning.attempt * 2 ** min(count, 3), self._left(until, to))
                reply = self.carrier.exchange(to, "call", frame, wait)
            except NoReply as nothing:
                now = time.monotonic()
                absent_since = (absent_since or now) if nothing.absent else None
                if absent_since is not None and now - absent_since > self._tuning.patience:
                    raise unreachable(
                        to, "The relay is not reached, or knows of no such server at the moment."
                    ) from None
            else:
                self._counter.add(to, received=len(reply))
                code = read_hint(reply)
                if code is None:
                    return self._frames.open_answer(reply, header, method, key)
                absent_since = None
                if code != "busy":
                    raise unreachable(to, HINTS[code], refusal=code)
            self._closed.wait(min(pause, self._left(until, to)))
        raise AssertionError  # pauses never end

    def _incoming(self, to: str, answer: Opened, largest: int, until: float) -> bytes:
        if answer.content == "problem":
            raise read_problem(answer.body)
        offer = Offer.decode(answer.body) if answer.content == "offer" else None
        size = len(answer.body) if offer is None else offer.size
        if size > largest:
            raise BadInput(
                "An answer is over the size limit.",
                f"It has {size} bytes; the limit of what was asked is {largest}.",
                "Ask the other organisation which version of Cloister its server runs.",
                clause="size",
            )
        return answer.body if offer is None else self._puller.pull(to, offer, lambda: self._left(until, to))

    def _left(self, until: float, to: str) -> float:
        return seconds_left(until, to, self._closed)

    def _pulled(self, source: str, size: int) -> None:
        self._counter.add(source, received=size)

    def serve(
        self, method: str, handler: Handler, *, largest: int | None = None, check: Check | None = None
    ) -> None:
        """Answers calls of `method` from now on; see `interface.Transport.serve`."""
        self._answering.serve(method, handler, largest, check)

    def _seen(self, party: str, here: bool) -> None:
        with self._lock:
            if here == (party in self._here):
                return
            (self._here.add if here else self._here.discard)(party)
            self._events.append(Presence(party, here))

    def presence(self) -> Iterator[Presence]:
        """Who came and went since the last look, oldest first; never blocks."""
        while True:
            try:
                yield self._events.popleft()
            except IndexError:
                return

    def here(self) -> frozenset[str]:
        """Which parties' nodes are connected, as far as the hub says."""
        with self._lock:
            return frozenset(self._here)

    def traffic(self) -> dict[str, Traffic]:
        """What passed between this node and each other party since it started."""
        return self._counter.all()

    def expect(self, keys: SecretKeys) -> None:
        """Also opens what is sealed to `keys` from now on; to be called before the card with them is published."""
        self._frames.expect(keys)

    def rotate(self, keys: SecretKeys) -> None:
        """Signs with `keys` from now on; what is sealed to the keys before is still opened.

        Others believe the new signatures once they hold the new card: call `expect`, publish the card, then this. From then
        on they refuse the old ones: where the answer to the publication was lost, publish again after this.
        """
        self._frames.rotate(keys)

    def close(self) -> None:
        """Leaves; pending calls end as unreachable."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.carrier.close()
        self._answering.close()
        self._shelf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
