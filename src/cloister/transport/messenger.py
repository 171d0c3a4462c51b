"""The transport proper: signed, sealed, idempotent calls over any carrier.

A call is packed (`envelope`), carried, opened at the other side, answered by a handler in a bounded executor, and the
answer comes back the same way. Bodies over the inline limit go as offers (`blobs`) over the bulk lane. The carrier may
lose, repeat, delay or change anything; then a call is late or fails, and nothing else happens.

Rules:
1. Handlers run in an executor of fixed size, never in the carrier's callback; what waits for it is bounded, and over
   the bound callers are told to come again.
2. Calls whose body must be pulled have an executor of their own: a small call never waits behind them.
3. What the carrier says of the sender must be what the signed header says.
4. A message that does not open is answered by a bare code, which says no more than that; it is believed only in so
   far as the call fails. Everything else that comes back is sealed and signed.
5. While its deadline lasts, a call whose message or answer was lost is sent again under the same key.
6. A handler's `CloisterError` reaches the caller; of any other exception only that it happened.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import math
import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cloister.foundation.canonical import canonical, parse
from cloister.foundation.clock import Clock, SystemClock, parse_rfc3339
from cloister.foundation.digests import digest
from cloister.foundation.errors import (
    BadInput,
    CloisterError,
    NotFound,
    NotTrusted,
    Refused,
    Tampered,
    Unreachable,
    from_problem,
)
from cloister.identity.keys import SecretKeys
from cloister.transport import envelope
from cloister.transport.answers import Answer, Answers
from cloister.transport.blobs import Offer, Pull, Shelf
from cloister.transport.bounded import Bounded
from cloister.transport.carrier import Carrier, NoReply, Reply
from cloister.transport.envelope import Content, Header, Limits, Opened
from cloister.transport.interface import Call, Handler, Presence
from cloister.transport.peers import Peers

_LOG = logging.getLogger("cloister.transport")
_HINT = b"CLP1"
_HINTS = {
    "busy": "It has too much to do at the moment.",
    "bad-input": "It could not read the message, or it is over a limit.",
    "not-trusted": "It does not trust the message: it may not have this party's present card.",
    "refused": "It refused the message, for example because the clocks of both machines differ.",
}


@dataclass(frozen=True)
class Tuning:
    """How much a node does at once, and how long it tries.

    Attributes:
        inline: the largest body in bytes that travels within its message.
        body: the largest body in bytes at all.
        handlers: calls answered at the same time.
        pulls: large bodies pulled at the same time.
        window: chunks of one body on their way at the same time.
        waiting: calls that may wait for a handler.
        patience: seconds for which a call is repeated to a party of whom the carrier knows nothing.
        attempt: seconds until an unanswered call is sent again under its key; doubles up to eightfold.
        chunk_timeout: seconds until a chunk is asked for again.
        limits: see `envelope.Limits`.
    """

    inline: int = 256 << 10
    body: int = 1 << 30
    handlers: int = 8
    pulls: int = 4
    window: int = 4
    waiting: int = 256
    patience: float = 10.0
    attempt: float = 3.0
    chunk_timeout: float = 20.0
    limits: Limits = field(default_factory=Limits)


@dataclass(frozen=True)
class Traffic:
    """What passed between this node and one other: messages, and bytes as they travel (sealed)."""

    sent: int
    sent_bytes: int
    received: int
    received_bytes: int


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
        self._keys: tuple[SecretKeys, ...] = (keys,)
        self._peers = peers
        self._clock = clock or SystemClock()
        self._tuning = tuning or Tuning()
        self._handlers: dict[str, Handler] = {}
        self._answers = Answers()
        self._shelf = Shelf(folder)
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._sequence: Counter[str] = Counter()
        self._traffic: dict[str, list[int]] = {}
        self._here: set[str] = set()
        self._events: deque[Presence] = deque(maxlen=4096)
        self._small = Bounded("cloister-call", self._tuning.handlers, self._tuning.waiting)
        self._large = Bounded("cloister-pull", self._tuning.pulls, self._tuning.waiting)
        self._chunks = Bounded("cloister-chunk", self._tuning.window, self._tuning.waiting)
        carrier.receive("call", self._arrived)
        carrier.receive("blob", self._asked)
        carrier.watch(self._seen)

    # -- asking ---------------------------------------------------------------------------------------------------

    def call(self, to: str, method: str, body: bytes, *, deadline: float, key: str | None = None) -> bytes:
        """The answer of another party's node; see `interface.Transport.call`."""
        if len(body) > self._tuning.body:
            raise BadInput(
                "A body is over the size limit.",
                f"It has {len(body)} bytes; the limit is {self._tuning.body}.",
                "Send less at once.",
                clause="size",
            )
        key = key or envelope.fresh()
        until = time.monotonic() + deadline
        due = self._clock.now() + math.ceil(deadline)
        content, sent, offer = self._outgoing(to, body, due)
        try:
            answer = self._ask(to, method, key, content, sent, due, until)
            return self._incoming(to, answer, until)
        finally:
            if offer is not None:
                self._shelf.withdraw(offer.id)

    def _outgoing(self, to: str, body: bytes, due: int) -> tuple[Content, bytes, Offer | None]:
        if len(body) <= self._tuning.inline:
            return "body", body, None
        expires = due + self._tuning.limits.drift
        offer = self._shelf.offer(to, body, expires=expires, now=self._clock.now())
        return "offer", offer.encode(), offer

    def _ask(
        self, to: str, method: str, key: str, content: Content, body: bytes, due: int, until: float
    ) -> Opened:
        absent_since: float | None = None
        for count, pause in enumerate(_pauses()):
            header, frame = self._pack(to, method, key, content, body, due)
            self._count(to, sent=len(frame))
            try:
                wait = min(self._tuning.attempt * 2 ** min(count, 3), self._left(until, to))
                reply = self.carrier.exchange(to, "call", frame, wait)
            except NoReply as nothing:
                now = time.monotonic()
                absent_since = (absent_since or now) if nothing.absent else None
                if absent_since is not None and now - absent_since > self._tuning.patience:
                    raise _unreachable(
                        to, "The hub is not reached, or knows of no such node at the moment."
                    ) from None
            else:
                self._count(to, received=len(reply))
                hint = _read_hint(reply)
                if hint is None:
                    return self._open_answer(reply, header, method, key)
                absent_since = None
                if hint != "busy":
                    raise _unreachable(to, _HINTS[hint], refusal=hint)
            self._closed.wait(min(pause, self._left(until, to)))
        raise AssertionError  # _pauses never ends

    def _incoming(self, to: str, answer: Opened, until: float) -> bytes:
        if answer.content == "offer":
            return self._pull(to, Offer.decode(answer.body), until)
        if answer.content == "problem":
            document = parse(answer.body, max_bytes=64 << 10)
            if not isinstance(document, dict):
                raise BadInput("A party reported a problem in a form that could not be read.")
            # `local` is what a node tells its own people and nobody else: no other party may speak in its voice.
            raise from_problem({name: value for name, value in document.items() if name != "local"})
        return answer.body

    def _open_answer(self, reply: bytes, request: Header, method: str, key: str) -> Opened:
        return envelope.open_answer(
            reply,
            request,
            method,
            key,
            keys=self._keys,
            peers=self._peers,
            now=self._clock.now(),
            limits=self._tuning.limits,
        )

    def _pack(
        self,
        to: str,
        method: str,
        key: str,
        content: Content,
        body: bytes,
        due: int,
        reply_to: str = "",
    ) -> tuple[Header, bytes]:
        with self._lock:
            self._sequence[to] += 1
            sequence = self._sequence[to]
        return envelope.pack(
            sender=self.party,
            keys=self._keys[0],
            recipient=to,
            peers=self._peers,
            method=method,
            key=key,
            body=body,
            deadline=due,
            content=content,
            sequence=sequence,
            reply_to=reply_to,
        )

    def _left(self, until: float, to: str) -> float:
        left = until - time.monotonic()
        if self._closed.is_set():
            raise _unreachable(to, "This node is shutting down.")
        if left <= 0:
            raise _unreachable(to, "No answer came before the deadline.")
        return left

    def _pull(self, source: str, offer: Offer, until: float) -> bytes:
        pull = Pull(offer, self._tuning.body)
        pending = deque(pull.missing)
        failures: list[BaseException] = []

        def fetch() -> None:
            try:
                while not failures:
                    try:
                        index = pending.popleft()
                    except IndexError:
                        return
                    self._fetch(source, pull, index, until)
            except BaseException as error:
                failures.append(error)

        count = min(self._tuning.window, len(pending))
        threads = [threading.Thread(target=fetch, name="cloister-fetch") for _ in range(count - 1)]
        for thread in threads:
            thread.start()
        fetch()
        for thread in threads:
            thread.join()
        if failures:
            raise failures[0]
        body = pull.finish()
        # Only frees the sender's shelf earlier; its expiry does it otherwise.
        with contextlib.suppress(NoReply):
            self.carrier.exchange(source, "blob", pull.done, 1.0)
        return body

    def _fetch(self, source: str, pull: Pull, index: int, until: float) -> None:
        changed = 0
        for pause in _pauses():
            wait = min(self._tuning.chunk_timeout, self._left(until, source))
            try:
                reply = self.carrier.exchange(source, "blob", pull.ask(index), wait)
                self._count(source, received=len(reply))
                if _read_hint(reply) is None:
                    pull.take(index, reply)
                    return
            except NoReply:
                pass
            except (Tampered, NotFound):
                # One changed message fails nothing; a sender that has ended its offer says so again.
                changed += 1
                if changed > 2:
                    raise
            self._closed.wait(min(pause, self._left(until, source)))

    # -- answering ------------------------------------------------------------------------------------------------

    def serve(self, method: str, handler: Handler) -> None:
        """Answers calls of `method` from now on."""
        self._handlers[method] = handler

    def _arrived(self, sender: str, frame: bytes, reply: Reply) -> None:
        if not self._small.submit(lambda: self._open(sender, frame, reply)):
            reply(_hint("busy"))

    def _asked(self, sender: str, ask: bytes, reply: Reply) -> None:
        def give() -> None:
            part = self._shelf.answer(sender, ask)
            self._count(sender, sent=len(part))
            reply(part)

        if not self._chunks.submit(give):
            reply(_hint("busy"))

    def _open(self, sender: str, frame: bytes, reply: Reply) -> None:
        try:
            opened = envelope.open_(
                frame,
                party=self.party,
                keys=self._keys,
                peers=self._peers,
                now=self._clock.now(),
                limits=self._tuning.limits,
            )
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
        self._count(sender, received=len(frame))
        if opened.content == "offer":
            if not self._large.submit(lambda: self._run(opened, reply)):
                reply(_hint("busy"))
        else:
            self._run(opened, reply)

    def _turn_away(self, sender: str, error: CloisterError, code: str, reply: Reply) -> None:
        _LOG.warning("A message said to be from %s was refused: %s", sender[:8], error.why or error.what)
        reply(_hint(code))

    def _run(self, opened: Opened, reply: Reply) -> None:
        header = opened.header
        due = parse_rfc3339(header.deadline)

        def deliver(answer: Answer) -> None:
            content, body = answer
            try:
                _, frame = self._pack(
                    header.sender, opened.method, opened.key, content, body, due, reply_to=header.id
                )
            except CloisterError as error:
                self._turn_away(header.sender, error, "not-trusted", reply)
                return
            self._count(header.sender, sent=len(frame))
            reply(frame)

        try:
            offer = Offer.decode(opened.body) if opened.content == "offer" else None
            known = offer.digest if offer else digest(opened.body)
            must_run = self._admit(opened, f"{opened.method} {known}", due, deliver)
        except CloisterError as error:
            deliver(_problem(error))
            return
        if must_run:
            answer, keep = self._result(opened, offer, due)
            self._answers.finish(header.sender, opened.key, answer, keep=keep)

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

    def _result(self, opened: Opened, offer: Offer | None, due: int) -> tuple[Answer, bool]:
        sender = opened.header.sender
        try:
            handler = self._handlers.get(opened.method)
            if handler is None:
                raise NotFound(
                    "The other party's node does not serve this.",
                    "It knows no such method.",
                    "Use the same release of Cloister at both parties.",
                )
            body = opened.body
            if offer is not None:
                until = time.monotonic() + max(1.0, due - self._clock.now())
                body = self._pull(sender, offer, until)
            result = handler(Call(sender, opened.method, body, opened.key))
            if len(result) > self._tuning.body:
                raise BadInput(
                    "An answer is over the size limit.", "", "Ask for less at once.", clause="size"
                )
            content, sent, _ = self._outgoing(sender, result, due)
            return (content, sent), True
        except CloisterError as error:
            return _problem(error), False
        except Exception as error:
            _LOG.exception("The handler of %s failed: %s", opened.method, type(error).__name__, exc_info=None)
            failed = CloisterError(
                "The other party's node could not answer.",
                "Something went wrong inside it.",
                "Ask its operator to look at the node's log.",
            )
            return _problem(failed), False

    # -- who is here ----------------------------------------------------------------------------------------------

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
        with self._lock:
            return {party: Traffic(*counts) for party, counts in self._traffic.items()}

    def _count(self, party: str, *, sent: int = 0, received: int = 0) -> None:
        with self._lock:
            counts = self._traffic.setdefault(party, [0, 0, 0, 0])
            if sent:
                counts[0] += 1
                counts[1] += sent
            if received:
                counts[2] += 1
                counts[3] += received

    # -- life -----------------------------------------------------------------------------------------------------

    def expect(self, keys: SecretKeys) -> None:
        """Also opens what is sealed to `keys` from now on; to be called before the card with them is published."""
        if keys.public.keyset not in {item.public.keyset for item in self._keys}:
            self._keys = (*self._keys[:3], keys)

    def rotate(self, keys: SecretKeys) -> None:
        """Signs with `keys` from now on; what is sealed to the keys before is still opened.

        Others believe the new signatures once they hold the new card: call `expect`, publish the card, then this.
        """
        before = tuple(item for item in self._keys if item.public.keyset != keys.public.keyset)
        self._keys = (keys, *before[:2])

    def close(self) -> None:
        """Leaves; pending calls end as unreachable."""
        if self._closed.is_set():
            return
        self._closed.set()
        self.carrier.close()
        for pool in (self._small, self._large, self._chunks):
            pool.close()
        self._shelf.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _pauses() -> Iterator[float]:
    return itertools.chain((0.05, 0.1, 0.2, 0.4), itertools.repeat(0.8))


def _problem(error: CloisterError) -> Answer:
    document = error.problem()
    try:
        data = canonical(document)
    except BadInput:
        data = b""
    if not data or len(data) > 60 << 10:
        plain = {name: str(document[name])[:2000] for name in ("type", "title", "detail", "remedy")}
        data = canonical({**plain, "status": error.status})
    return "problem", data


def _hint(code: str) -> bytes:
    return _HINT + code.encode("ascii")


def _read_hint(reply: bytes) -> str | None:
    if reply[: len(_HINT)] != _HINT or len(reply) > 32:
        return None
    code = reply[len(_HINT) :].decode("ascii", "replace")
    return code if code in _HINTS else "bad-input"


def _unreachable(to: str, why: str, **detail: object) -> Unreachable:
    return Unreachable(
        "A party's node did not answer.",
        why,
        "See whether its node is running and connected; the call may be repeated.",
        party=to,
        **detail,
    )
