"""Connections that strangers open: so many, and none for ever.

Rules:
1. The head of a request arrives within `HEAD_SECONDS` of the connection's beginning, or of the first byte after an answer; else the
   connection ends. What comes after an answer and is no request ends it too. (How long a body may take: `guard`.)
2. Whoever asks and does not read the answer is not waited for longer than `STALLED_SECONDS`.
3. TLS is agreed on within `TLS_SECONDS` of the connection's beginning, and its goodbye is not waited for longer.
4. An answer to what is no HTTP carries the headers of every other one.
How many there are at a time: `gate`.
"""

from __future__ import annotations

import asyncio
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from cloister.web.doors import HEADERS

HEAD_SECONDS = 15.0
STALLED_SECONDS = 60.0
"""For as much as is held for it, some 50 KiB."""
TLS_SECONDS = 10.0


class Loop(asyncio.SelectorEventLoop):
    """The loop of a door: takes connections through the gate itself, and ends those that do not come to terms about TLS (rule 3)."""

    async def create_server(self, *given: Any, **named: Any) -> asyncio.Server:
        """As the loop does, with rule 3."""
        if named.get("ssl") is not None:
            named |= {"ssl_handshake_timeout": TLS_SECONDS, "ssl_shutdown_timeout": TLS_SECONDS}
        return await super().create_server(*given, **named)


class Bounded(H11Protocol):
    """HTTP/1.1 on one connection, within limits."""

    _deadline: asyncio.TimerHandle | None = None
    _stalled: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A connection begins, or TLS is agreed on."""
        super().connection_made(transport)
        self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """A connection ended."""
        self._unwatch()
        self.resume_writing()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Bytes came (rule 1)."""
        super().data_received(data)
        if self._answering():
            self._unwatch()
        else:
            self._watch()

    def on_response_complete(self) -> None:
        """An answer is done; the time to wait for another request is the server's own."""
        super().on_response_complete()
        self._unwatch()

    def pause_writing(self) -> None:
        """What was written is not read (rule 2)."""
        super().pause_writing()
        if self._stalled is None:
            self._stalled = self.loop.call_later(STALLED_SECONDS, self.transport.abort)

    def resume_writing(self) -> None:
        """It was."""
        if self._stalled is not None:
            self._stalled.cancel()
            self._stalled = None
        super().resume_writing()

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP (rule 4)."""
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"connection", b"close"),
            (b"cache-control", b"no-store"),
            *((name.encode(), value.encode()) for name, value in HEADERS.items()),
        ]
        if self.conn.our_state in {h11.IDLE, h11.SEND_RESPONSE}:
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=f"{msg}\n".encode()),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        if self._deadline is None:
            self._deadline = self.loop.call_later(HEAD_SECONDS, self._late)

    def _unwatch(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _late(self) -> None:
        self._deadline = None
        if not self._answering():
            self.transport.abort()
