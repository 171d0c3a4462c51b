"""The answering half of the transport: opens what arrives, runs handlers, gives chunks.

Rules:
1. Handlers run in an executor of fixed size, never in the carrier's callback; what waits for it is bounded, and over
   the bound callers are told to come again.
2. Calls whose body must be pulled have an executor of their own: a small call never waits behind them.
3. What the carrier says of the sender must be what the signed header says.
4. A call that comes again while its body is being pulled brings a fresh offer, which is pulled from once the one before
   it has ended.
5. A handler's `CloisterError` reaches the caller; of any other exception only that it happened.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial

from cloister.foundation.clock import Clock, parse_rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotFound, NotTrusted, Refused, Unreachable
from cloister.transport.answers import Answer, Answers
from cloister.transport.blobs import Offer, Shelf, put_beside, take_apart
from cloister.transport.bounded import Bounded
from cloister.transport.carrier import Reply
from cloister.transport.envelope import Content, Opened
from cloister.transport.frames import Frames
from cloister.transport.interface import Attachment, Call, Handler
from cloister.transport.pulling import Puller
from cloister.transport.replies import hint, problem, unreachable
from cloister.transport.traffic import Counter
from cloister.transport.tuning import Tuning

_LOG = logging.getLogger("cloister.transport")


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
        self._handlers: dict[str, Handler] = {}
        self._answers = Answers()
        self._pulling: dict[tuple[str, str], tuple[Offer, int]] = {}
        self._lock = threading.Lock()
        self._small = Bounded("cloister-call", tuning.handlers, tuning.waiting)
        self._large = Bounded("cloister-pull", tuning.pulls, tuning.waiting)
        self._chunks = Bounded("cloister-chunk", tuning.window, tuning.waiting)

    def serve(self, method: str, handler: Handler) -> None:
        """Answers calls of `method` from now on."""
        self._handlers[method] = handler

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
        if opened.content in {"offer", "attached"}:
            if not self._large.submit(lambda: self._run(opened, reply)):
                reply(hint("busy"))
        else:
            self._run(opened, reply)

    def _turn_away(self, sender: str, error: CloisterError, code: str, reply: Reply) -> None:
        _LOG.warning("A message said to be from %s was refused: %s", sender[:8], error.why or error.what)
        reply(hint(code))

    def _run(self, opened: Opened, reply: Reply) -> None:
        header = opened.header
        due = parse_rfc3339(header.deadline)

        def deliver(answer: Answer) -> None:
            content, body = answer
            try:
                _, frame = self._frames.pack(
                    header.sender, opened.method, opened.key, content, body, due, reply_to=header.id
                )
            except CloisterError as error:
                self._turn_away(header.sender, error, "not-trusted", reply)
                return
            self._counter.add(header.sender, sent=len(frame))
            reply(frame)

        try:
            offer, small, known = _parts(opened)
            must_run = self._admit(opened, f"{opened.method} {known}", due, deliver)
        except CloisterError as error:
            deliver(("problem", problem(error)))
            return
        if must_run:
            answer, keep = self._result(opened, offer, small, due)
            self._answers.finish(header.sender, opened.key, answer, keep=keep)
        elif offer is not None:
            with self._lock:
                if (header.sender, opened.key) in self._pulling:
                    self._pulling[header.sender, opened.key] = offer, due

    def _admit(self, opened: Opened, fingerprint: str, due: int, deliver: Callable[[Answer], None]) -> bool:
        """Whether this call must run now; a kept large answer that is no longer on the shelf does not count."""
        sender, now = opened.header.sender, self._clock.now()
        expires = due + self._tuning.limits.drift
        gone: list[Answer] = []

        def unless_gone(answer: Answer) -> None:
            if answer[0] == "offer" and not self._shelf.holds(Offer.decode(answer[1]).id):
                gone.append(answer)
            else:
                deliver(answer)

        admitted = self._answers.admit(
            sender, opened.key, fingerprint, expires=expires, now=now, waiter=unless_gone
        )
        if gone:
            self._answers.forget(sender, opened.key)
            admitted = self._answers.admit(
                sender, opened.key, fingerprint, expires=expires, now=now, waiter=deliver
            )
        return admitted

    def _result(self, opened: Opened, offer: Offer | None, small: bytes, due: int) -> tuple[Answer, bool]:
        sender = opened.header.sender
        try:
            handler = self._handlers.get(opened.method)
            if handler is None:
                raise NotFound(
                    "The other party's node does not serve this.",
                    "It knows no such method.",
                    "Use the same release of Cloister at both parties.",
                )
            call = Call(sender, opened.method, small, opened.key)
            if offer is not None:
                pulled = self._pulled(sender, opened.key, offer, due)
                if opened.content == "attached":
                    call = replace(call, attached=Attachment(pulled, offer.digest))
                else:
                    call = replace(call, body=pulled)
            result = handler(call)
            if len(result) > self._tuning.body:
                raise BadInput(
                    "An answer is over the size limit.", "", "Ask for less at once.", clause="size"
                )
            content, sent, _ = self.outgoing(sender, result, due)
            return (content, sent), True
        except CloisterError as error:
            return ("problem", problem(error)), False
        except Exception as error:
            _LOG.exception("The handler of %s failed: %s", opened.method, type(error).__name__, exc_info=None)
            failed = CloisterError(
                "The other party's node could not answer.",
                "Something went wrong inside it.",
                "Ask its operator to look at the node's log.",
            )
            return ("problem", problem(failed)), False

    def _pulled(self, sender: str, key: str, offer: Offer, due: int) -> bytes:
        with self._lock:
            self._pulling[sender, key] = offer, due
        try:
            while True:
                until = time.monotonic() + max(1.0, due - self._clock.now())
                try:
                    return self._puller.pull(
                        sender, offer, partial(seconds_left, until, sender, self._closed)
                    )
                except (NotFound, Unreachable):
                    before = offer
                    with self._lock:
                        offer, due = self._pulling[sender, key]
                    if offer.id == before.id or self._closed.is_set():
                        raise
        finally:
            with self._lock:
                del self._pulling[sender, key]

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


def seconds_left(until: float, to: str, closed: threading.Event) -> float:
    """Seconds to a deadline on the monotonic clock. Raises `Unreachable` if there are none, or the node is closing."""
    left = until - time.monotonic()
    if closed.is_set():
        raise unreachable(to, "This node is shutting down.")
    if left <= 0:
        raise unreachable(to, "No answer came before the deadline.")
    return left
