"""The answering half of the transport: opens what arrives, runs handlers, gives chunks.

Rules:
1. Handlers run in an executor of fixed size, never in the carrier's callback; what waits for it is bounded, and over
   the bound callers are told to come again.
2. Calls whose body must be pulled have an executor of their own, in which each sender has one place: a small call never
   waits behind them, and no sender's bodies keep out another's (`turns`).
3. What the carrier says of the sender must be what the signed header says.
4. A call that comes again while its body is being pulled, or waits for that, brings a fresh offer, which is pulled from
   once the one before it has ended.
5. A handler's `CloisterError` reaches the caller; of any other exception only that it happened.
6. Nothing is pulled for a method that is not served, or over its largest body, or that its check refuses. A pull that
   stands still is given up, and so is one that is slower than `Tuning.slowest`, whatever the caller's deadline.
7. A large answer is offered for as long as fetching it may take at `Tuning.slowest`, whatever the caller's deadline.
8. What waits for an answer holds nothing of the call's body.
"""

from __future__ import annotations

import logging
import math
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused, Unreachable
from cloister.transport.answers import Answer, Answers, Busy, Waiter
from cloister.transport.blobs import Offer, Shelf, put_beside, take_apart
from cloister.transport.bounded import Bounded
from cloister.transport.carrier import Reply
from cloister.transport.envelope import Content, Opened
from cloister.transport.frames import Frames
from cloister.transport.interface import Attachment, Call, Check, Handler
from cloister.transport.pulling import Puller
from cloister.transport.replies import hint, problem, unreachable
from cloister.transport.traffic import Counter
from cloister.transport.tuning import Tuning
from cloister.transport.turns import Turns

_LOG = logging.getLogger("cloister.transport")
_OFFERS = 4


@dataclass(frozen=True)
class _Served:
    handler: Handler
    largest: int
    check: Check | None


class Answering:
    """Answers calls and askings for chunks. Its parts are shared with the asking half, see `messenger`."""

    def __init__(
        self,
        frames: Frames,
        shelf: Shelf,
        puller: Puller,
        counter: Counter,
        clock: Clock,
        tuning: Tuning,
        closed: threading.Event,
    ) -> None:
        self._frames, self._shelf, self._puller = frames, shelf, puller
        self._counter, self._clock, self._tuning, self._closed = counter, clock, tuning, closed
        self._served: dict[str, _Served] = {}
        self._answers = Answers(running=tuning.running)
        # The offers of each call that is pulled or waits for it, by id, the latest last, with their deadlines.
        self._pulling: dict[tuple[str, str], dict[str, tuple[Offer, int]]] = {}
        self._lock = threading.Lock()
        self._small = Bounded("cloister-call", tuning.handlers, tuning.waiting)
        self._large = Turns("cloister-pull", tuning.pulls, tuning.queue, tuning.waiting)
        self._chunks = Bounded("cloister-chunk", tuning.window, tuning.waiting)

    def serve(self, method: str, handler: Handler, largest: int | None, check: Check | None) -> None:
        """Answers calls of `method` from now on."""
        most = self._tuning.body if largest is None else min(largest, self._tuning.body)
        self._served[method] = _Served(handler, most, check)

    def arrived(self, sender: str, frame: bytes, reply: Reply) -> None:
        """Takes a call from the carrier."""
        if not self._small.submit(lambda: self._open(sender, frame, reply)):
            reply(hint("busy"))

    def asked(self, sender: str, ask: bytes, reply: Reply) -> None:
        """Takes the asking for a chunk from the carrier."""

        def give() -> None:
            part = self._shelf.answer(sender, ask)
            self._counter.add(sender, sent=len(part))
            reply(part)

        if not self._chunks.submit(give):
            reply(hint("busy"))

    def outgoing(
        self, to: str, body: bytes, due: int, attached: Attachment | None = None
    ) -> tuple[Content, bytes, Offer | None]:
        """How a body travels: within the message, or as an offer, which is then on the shelf; so does what is attached."""
        expires, now = due + self._tuning.limits.drift, self._clock.now()
        if attached is not None:
            offer = self._shelf.offer(to, attached.body, expires=expires, now=now, known=attached.digest)
            return "attached", put_beside(offer, body), offer
        if len(body) <= self._tuning.inline:
            return "body", body, None
        offer = self._shelf.offer(to, body, expires=expires, now=now)
        return "offer", offer.encode(), offer

    def _open(self, sender: str, frame: bytes, reply: Reply) -> None:
        try:
            opened = self._frames.open(frame)
            if opened.header.sender != sender or opened.header.reply_to or opened.content == "problem":
                raise NotTrusted("A message does not fit the way it came.", clause="sender")
        except NotTrusted as error:
            self._turn_away(sender, error, "not-trusted", reply)
            return
        except Refused as error:
            self._turn_away(sender, error, "refused", reply)
            return
        except CloisterError as error:
            self._turn_away(sender, error, "bad-input", reply)
            return
        self._counter.add(sender, received=len(frame))
        self._run(opened, reply)

    def _turn_away(self, sender: str, error: CloisterError, code: str, reply: Reply) -> None:
        _LOG.warning("A message said to be from %s was refused: %s", sender[:8], error.why or error.what)
        reply(hint(code))

    def _run(self, opened: Opened, reply: Reply) -> None:
        deliver = self._delivery(opened, reply)
        sender, key, due = opened.header.sender, opened.key, parse_rfc3339(opened.header.deadline)
        try:
            offer, small, known = _parts(opened)
            must_run = self._admit(opened, f"{opened.method} {known}", due, deliver)
        except Busy:
            reply(hint("busy"))
            return
        except CloisterError as error:
            deliver(("problem", problem(error)))
            return
        call = Call(sender, opened.method, small, key)
        if offer is None:
            if must_run:
                self._finish(call, lambda: call, due)
        elif must_run:
            self._run_large(call, offer, due, attached=opened.content == "attached", reply=reply)
        else:
            self._offered_again((sender, key), offer, due)

    def _delivery(self, opened: Opened, reply: Reply) -> Waiter:
        # Only names are held while the call runs: whoever repeats it must not fill this node's memory (rule 8).
        sender, request, method, key = opened.header.sender, opened.header.id, opened.method, opened.key
        due = parse_rfc3339(opened.header.deadline)

        def deliver(answer: Answer | None) -> None:
            if answer is None:
                reply(hint("busy"))
                return
            content, body = answer
            try:
                _, frame = self._frames.pack(sender, method, key, content, body, due, reply_to=request)
            except CloisterError as error:
                self._turn_away(sender, error, "not-trusted", reply)
                return
            self._counter.add(sender, sent=len(frame))
            reply(frame)

        return deliver

    def _run_large(self, call: Call, offer: Offer, due: int, *, attached: bool, reply: Reply) -> None:
        place = call.sender, call.key

        def whole() -> Call:
            pulled = self._pulled(*place)
            if attached:
                return replace(call, attached=Attachment(pulled, offer.digest))
            return replace(call, body=pulled)

        def job() -> None:
            try:
                self._finish(call, whole, due)
            finally:
                with self._lock:
                    self._pulling.pop(place, None)

        try:
            self._look(call, offer)
        except CloisterError as error:
            self._answers.finish(*place, ("problem", problem(error)), keep=False)
            return
        with self._lock:
            self._pulling[place] = {offer.id: (offer, due)}
        if not self._large.submit(call.sender, job):
            with self._lock:
                self._pulling.pop(place, None)
            self._answers.abandon(*place)
            reply(hint("busy"))

    def _offered_again(self, place: tuple[str, str], offer: Offer, due: int) -> None:
        with self._lock:
            offers = self._pulling.get(place)
            if offers is not None:
                offers.pop(offer.id, None)
                offers[offer.id] = offer, due
                if len(offers) > _OFFERS:
                    del offers[next(iter(offers))]

    def _look(self, call: Call, offer: Offer) -> None:
        """Raises unless what is offered may be pulled (rule 6)."""
        served = self._method(call.method)
        _fits(offer.size, served.largest)
        if served.check is not None:
            served.check(call)

    def _admit(self, opened: Opened, fingerprint: str, due: int, deliver: Waiter) -> bool:
        """Whether this call must run now; a kept large answer that is no longer on the shelf does not count."""
        sender, now = opened.header.sender, self._clock.now()
        expires = due + self._tuning.limits.drift
        gone: list[Answer] = []

        def unless_gone(answer: Answer | None) -> None:
            if answer and answer[0] == "offer" and not self._shelf.lend(Offer.decode(answer[1]).id):
                gone.append(answer)
            else:
                deliver(answer)

        admitted = self._answers.admit(
            sender, opened.key, fingerprint, expires=expires, now=now, waiter=deliver, again=unless_gone
        )
        if gone:
            self._answers.forget(sender, opened.key)
            admitted = self._answers.admit(
                sender, opened.key, fingerprint, expires=expires, now=now, waiter=deliver
            )
        return admitted

    def _finish(self, call: Call, whole: Callable[[], Call], due: int) -> None:
        answer, keep = self._result(call, whole, due)
        self._answers.finish(call.sender, call.key, answer, keep=keep)

    def _method(self, name: str) -> _Served:
        served = self._served.get(name)
        if served is None:
            raise NotFound(
                "The other party's server does not serve this.",
                "It knows no such method.",
                "Use the same release of Cloister at both parties.",
            )
        return served

    def _result(self, call: Call, whole: Callable[[], Call], due: int) -> tuple[Answer, bool]:
        try:
            served = self._method(call.method)
            _fits(len(call.body), served.largest)
            result = served.handler(whole())
            if len(result) > self._tuning.body:
                raise BadInput(
                    "An answer is over the size limit.", "", "Ask for less at once.", clause="size"
                )
            return self._answer(call.sender, result, due), True
        except CloisterError as error:
            return ("problem", problem(error)), False
        except Exception as error:
            _LOG.exception("The handler of %s failed: %s", call.method, type(error).__name__, exc_info=None)
            failed = CloisterError(
                "The other party's server could not answer.",
                "Something went wrong inside it.",
                "Ask its operator to look at the server's log.",
            )
            return ("problem", problem(failed)), False

    def _answer(self, to: str, body: bytes, due: int) -> Answer:
        """An answer as it travels; a large one is offered for as long as fetching it may take, not the whole deadline."""
        if len(body) <= self._tuning.inline:
            return "body", body
        now = self._clock.now()
        fetching = math.ceil(2 * self._tuning.stall + len(body) / self._tuning.slowest)
        expires = min(due, now + fetching) + self._tuning.limits.drift
        return "offer", self._shelf.offer(to, body, expires=expires, now=now, shared=True).encode()

    def _pulled(self, sender: str, key: str) -> bytes:
        latest = self._latest((sender, key))
        assert latest is not None, "a call enters with an offer"
        offer, due = latest
        # Counted once for all offers of this call: fresh ones do not prolong it.
        longest = time.monotonic() + self._tuning.stall + offer.size / self._tuning.slowest
        while True:
            until = min(time.monotonic() + max(1.0, due - self._clock.now()), longest)
            left = partial(seconds_left, until, sender, self._closed)
            try:
                return self._puller.pull(sender, offer, left, stall=self._tuning.stall)
            except (NotFound, Unreachable):
                fresh = self._latest((sender, key), ended=offer)
                if fresh is None or self._closed.is_set() or time.monotonic() >= longest:
                    raise
                offer, due = fresh

    def _latest(self, place: tuple[str, str], ended: Offer | None = None) -> tuple[Offer, int] | None:
        with self._lock:
            offers = self._pulling[place]
            if ended is not None:
                offers.pop(ended.id, None)
            return next(reversed(offers.values()), None)

    def close(self) -> None:
        """Takes nothing more."""
        for pool in (self._small, self._large, self._chunks):
            pool.close()


def _parts(opened: Opened) -> tuple[Offer | None, bytes, str]:
    """What is offered, what came within the message, and the digests of both. Raises `BadInput`."""
    if opened.content == "attached":
        offer, small = take_apart(opened.body)
        return offer, small, f"{digest(small)} {offer.digest}"
    if opened.content == "offer":
        offer = Offer.decode(opened.body)
        return offer, b"", offer.digest
    return None, opened.body, digest(opened.body)


def _fits(size: int, largest: int) -> None:
    if size > largest:
        raise BadInput(
            "A body is over the size limit.",
            f"It has {size} bytes; the limit of what was asked is {largest}.",
            "Send less at once.",
            clause="size",
        )


def seconds_left(until: float, to: str, closed: threading.Event) -> float:
    """Seconds to a deadline on the monotonic clock. Raises `Unreachable` if there are none, or the node is closing."""
    left = until - time.monotonic()
    if closed.is_set():
        raise unreachable(to, "This server is shutting down.")
    if left <= 0:
        raise unreachable(to, "No answer came before the deadline.")
    return left
