"""Server-sent events: what happens, told to a browser or a program as it happens.

Rules:
1. So many streams are open at once, in all and for each caller; more are refused, so that nobody takes all the threads.
2. A stream ends after `LIFE` seconds. The client comes back by itself and says what it saw last, and the door looks again at who
   it is: a session that ended, or a right that was taken away, ends its streams within that time.
3. What is told is text on one line of the protocol: nothing in it can begin another event or field.

Format: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

from anyio import CapacityLimiter, to_thread
from fastapi import FastAPI, Request, Response
from fastapi.responses import StreamingResponse
from starlette.types import Receive, Scope, Send

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Refused
from cloister.node.node import Node
from cloister.web.guard import caller_of

ALL_MOST, EACH_MOST = 48, 8
LIFE = 300.0
"""Seconds that a stream lasts, at most."""
HEARTBEAT = 5.0
"""Seconds between two signs of life."""
_LOOK = 1.0
"""Seconds after which a stream looks whether it should end."""
TEXT = "text/event-stream"
_LAST_MOST = 18


@dataclass(frozen=True)
class Sent:
    """One event.

    Attributes:
        id: its number; only grows. A client that comes back names the last one it saw.
        kind: what happened, as scripts listen for it (`event:`).
        data: text as it is, or JSON values.
    """

    id: int
    kind: str
    data: Any

    def lines(self) -> str:
        """As it travels (rule 3)."""
        text = self.data if isinstance(self.data, str) else canonical(self.data).decode()
        kind = "".join(part for part in self.kind if part.isprintable())
        told = "".join(f"data: {line}\n" for line in text.splitlines() or [""])
        return f"id: {self.id}\nevent: {kind}\n{told}\n"


More = Callable[[int, float], Iterable[Sent]]
"""What came after an event's number; waits up to so many seconds for something, in a thread of its own."""


def stream(
    request: Request, more: More, *, since: int = 0, ended: Callable[[], bool] | None = None
) -> Response:
    """An answer that tells what happens until it ends.

    Args:
        request: what is answered. Its header `Last-Event-ID` counts more than `since`.
        more: asked again and again.
        since: the number of the event after which it begins.
        ended: whether nothing more will come: looked at before each time `more` is asked, and everything that `more` then has is
            still told. An event `end` is the last one, so that a client does not come back. For ever (rule 2) if absent.

    Raises:
        Refused: too many are open (clause `too-many-streams`).
    """
    streams = streams_of(request.app)
    whose = _whose(request)
    streams.take(whose)
    last = request.headers.get("last-event-id", "")
    begun = int(last) if last.isascii() and last.isdecimal() and len(last) <= _LAST_MOST else max(since, 0)
    return _Stream(_told(streams, more, begun, ended or (lambda: False)), partial(streams.leave, whose))


def happenings(node: Callable[[], Node], task: str | None = None) -> More:
    """What happened at a node, or with one of its tasks, as `stream` takes it; `data` is as `/api/v1/events` tells it."""

    def more(since: int, wait: float) -> Iterable[Sent]:
        end, last = time.monotonic() + wait, since
        while True:
            found = node().events(last, max(end - time.monotonic(), 0.0))
            mine = [Sent(item["id"], item["kind"], item) for item in found if task in {None, item["task"]}]
            if mine or not found or time.monotonic() >= end:
                return mine
            last = found[-1]["id"]

    return more


async def _told(streams: _Streams, more: More, last: int, ended: Callable[[], bool]) -> AsyncIterator[str]:
    until = quiet = time.monotonic()
    until += LIFE
    own = CapacityLimiter(1)  # threads that wait here are none of those that answer everything else
    try:
        yield f"retry: 2000\n: {last}\n\n"
        while not streams.stopping and (now := time.monotonic()) < until:
            over = await to_thread.run_sync(ended, limiter=own)
            wait = 0.0 if over else min(_LOOK, HEARTBEAT, until - now)
            found = await to_thread.run_sync(partial(_all, more, last, wait), limiter=own)
            for item in found:
                last = item.id
                yield item.lines()
            if over and not found:
                yield f"id: {last}\nevent: end\ndata: \n\n"
                return
            if found:
                quiet = time.monotonic()
            elif time.monotonic() - quiet >= HEARTBEAT:
                quiet = time.monotonic()
                yield ":\n\n"
    except CloisterError:
        return  # the node was closed: the client comes back and is told so


def _all(more: More, last: int, wait: float) -> list[Sent]:
    return list(more(last, wait))


class _Stream(StreamingResponse):
    """Gives its place back even if the client was gone before the first word."""

    def __init__(self, body: AsyncIterator[str], leave: Callable[[], None]) -> None:
        super().__init__(
            body, media_type=TEXT, headers={"cache-control": "no-store", "x-accel-buffering": "no"}
        )
        self._leave = leave

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self._leave()


class _Streams:
    """The streams of one application (rule 1)."""

    def __init__(self) -> None:
        self._lock, self._open = threading.Lock(), Counter[str]()
        self.stopping = False

    def take(self, whose: str) -> None:
        with self._lock:
            if self._open[whose] >= EACH_MOST or self._open.total() >= ALL_MOST:
                raise Refused(
                    "Too many streams are open.",
                    f"One caller may have {EACH_MOST}, all together {ALL_MOST}.",
                    "Close some pages or programs, or ask again from time to time.",
                    clause="too-many-streams",
                )
            self._open[whose] += 1

    def leave(self, whose: str) -> None:
        with self._lock:
            self._open[whose] -= 1
            if not self._open[whose]:
                del self._open[whose]


def streams_of(app: FastAPI) -> _Streams:
    """The streams of an application; `stopping` ends them all, soon."""
    found: _Streams | None = getattr(app.state, "streams", None)
    if found is None:
        found = app.state.streams = _Streams()
    return found


def _whose(request: Request) -> str:
    caller = caller_of(request)
    return caller.account or caller.name
