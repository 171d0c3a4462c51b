"""A local TCP port of a library carried to another party's node, for protections whose libraries speak TCP.

The library connects to a local port here; what it writes comes out of a connection to a local port there, and back.
Every frame is a call of the transport, so it is signed, sealed and answered; the order and the acknowledgements are
`tunnel_frames`'. TCP itself ends at both nodes: nothing of it passes the hub.

Rules:
1. A port here is reached only by the party it was granted to, and only while it is granted: taking the grant back ends
   the streams that use it.
2. A stream belongs to the party that opened it and the one it was opened to: a third party's frames find no stream.
3. Both ends are on the loopback interface; a tunnel opens nothing to the network.
4. A reader that does not read stops its sender: neither node holds more than a window of frames for each direction.
5. When the other node is not reached before the deadline, or has forgotten the stream, the local connection is closed
   and the reason is kept (`Tunnel.trouble`).
6. A stream on which nothing passes is asked for at the other node now and then, so that none outlives its other end.
7. To a reader that does not read, a frame is not sent again and again: its sender asks for room, ever more seldom.

What this does not give: the local port of a tunnel is open to every program of the same machine while the tunnel is, as
is any local port, because the libraries that connect to it know of no password to send first. Whoever runs such a
protection runs it on a machine, or in a container, whose other programs may act for this party.
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from cloister.foundation.errors import CloisterError, Conflict, NotFound, Refused
from cloister.transport.interface import Call, Transport
from cloister.transport.tunnel_frames import (
    ASK,
    DATA,
    END,
    FULL,
    GONE,
    OPEN,
    PIECE,
    RESET,
    TAKEN,
    Frame,
    Incoming,
)

METHOD = "tunnel.frame"
MAX_STREAMS = 64
AT_ONCE = 4
SECONDS = 30.0
_HOST = "127.0.0.1"
IDLE = 30.0
_PAUSE, _LONGEST_PAUSE = 0.02, 2.0


class Tunnels:
    """One node's tunnels.

    Args:
        transport: carries the frames; its method `tunnel.frame` is served from now on.
        deadline: seconds for each frame until the other node counts as gone.
        idle: seconds without any frame until the other node is asked whether it still knows a stream.
    """

    def __init__(self, transport: Transport, deadline: float = SECONDS, idle: float = IDLE) -> None:
        self._transport, self._deadline, self._idle = transport, deadline, idle
        self._closed = threading.Event()
        self._asking = False
        self._grants: set[tuple[str, int]] = set()
        self._streams: dict[tuple[str, bytes], _Stream] = {}
        self._open: list[Tunnel] = []
        self._lock = threading.Lock()
        transport.serve(METHOD, self._arrived)

    def grant(self, party: str, port: int) -> None:
        """Lets `party` reach `port` of this machine's loopback interface."""
        self._grants.add((party, port))

    def withdraw(self, party: str, port: int) -> None:
        """Takes a grant back and ends the streams that use it."""
        with self._lock:
            self._grants.discard((party, port))
            ended = [item for item in self._streams.values() if (item.to, item.port) == (party, port)]
        for stream in ended:
            stream.close("The grant was withdrawn.")
        if ended:
            # Telling may take as long as a call does; who is not told finds out when it asks (rule 6).
            threading.Thread(target=self._tell, args=(ended,), name="cloister-tunnel", daemon=True).start()

    def _tell(self, ended: list[_Stream]) -> None:
        with contextlib.suppress(CloisterError):
            for stream in ended:
                self.send(stream.to, Frame(RESET, stream.id))

    def tunnel(self, to: str, port: int) -> Tunnel:
        """A local port (`Tunnel.port`) that leads to `port` at the node of `to`, if that node granted it."""
        made = Tunnel(self, to, port)
        with self._lock:
            self._open.append(made)
        return made

    def connect(self, to: str, port: int, connection: socket.socket, ended: Callable[[str], None]) -> None:
        """Joins a local connection with `port` at the other node. Raises what the other node answers."""
        stream = _Stream(self, to, secrets.token_bytes(16), connection, ended)
        self._add(stream)
        try:
            self.send(to, Frame(OPEN, stream.id, port=port))
        except CloisterError:
            stream.close()
            raise
        stream.start()

    def send(self, to: str, frame: Frame) -> bytes:
        """What the other node answers to a frame."""
        return self._transport.call(to, METHOD, frame.encode(), deadline=self._deadline)

    def forget(self, stream: _Stream) -> None:
        """Drops a stream that has ended."""
        with self._lock:
            self._streams.pop((stream.to, stream.id), None)

    @property
    def streams(self) -> int:
        """How many are open."""
        return len(self._streams)

    def close(self) -> None:
        """Ends all tunnels and streams of this node."""
        self._closed.set()
        for tunnel in self._open:
            tunnel.close()
        for stream in list(self._streams.values()):
            stream.close()

    def _add(self, stream: _Stream) -> None:
        with self._lock:
            if sum(to == stream.to for to, _ in self._streams) >= MAX_STREAMS:
                raise Refused(
                    "A tunnel takes no more connections.",
                    f"There are {MAX_STREAMS} with this party.",
                    "Close some of them first.",
                    clause="tunnel-streams",
                )
            if (stream.to, stream.id) in self._streams:
                raise Conflict(
                    "A tunnel's connection exists already.", "Its number is in use.", "Open a new one."
                )
            if stream.port is not None and (stream.to, stream.port) not in self._grants:
                raise _not_granted()  # withdrawn while the connection was made
            self._streams[stream.to, stream.id] = stream
            if not self._asking:
                self._asking = True
                threading.Thread(target=self._ask, name="cloister-tunnel-ask", daemon=True).start()

    def _ask(self) -> None:
        """Rule 6. Ends with the last stream."""
        while not self._closed.wait(self._idle / 4):
            with self._lock:
                if not self._streams:
                    self._asking = False
                    return
                silent = [item for item in self._streams.values() if item.silence >= self._idle]
            gone: dict[str, str] = {}
            for stream in silent:
                if stream.to not in gone:
                    self._ask_for(stream, gone)
                else:  # its node was asked for another stream just now
                    stream.close(gone[stream.to])

    def _ask_for(self, stream: _Stream, gone: dict[str, str]) -> None:
        try:
            if self.send(stream.to, Frame(ASK, stream.id)) == GONE:
                stream.close("The other server no longer knows the connection.")
            else:
                stream.seen()
        except CloisterError as error:
            gone[stream.to] = f"{error.what} {error.why}"
            stream.close(gone[stream.to])

    def _arrived(self, call: Call) -> bytes:
        frame = Frame.decode(call.body)
        if frame.kind == OPEN:
            self._accept(call.sender, frame)
            return TAKEN
        stream = self._streams.get((call.sender, frame.stream))
        if stream is None:
            return GONE
        if frame.kind == RESET:
            stream.close("The other side closed the connection.")
            return TAKEN
        stream.seen()
        if frame.kind == ASK:
            return stream.incoming.room(frame.sequence)
        return stream.incoming.put(frame)

    def _accept(self, sender: str, frame: Frame) -> None:
        if (sender, frame.port) not in self._grants:
            raise _not_granted()
        if (sender, frame.stream) in self._streams:
            return
        try:
            connection = socket.create_connection((_HOST, frame.port), timeout=5)
        except OSError:
            raise NotFound(
                "Nothing listens at the other end of a tunnel.",
                "The program that the tunnel leads to does not run there, or not yet.",
                "Start it, then connect again.",
            ) from None
        stream = _Stream(self, sender, frame.stream, connection, lambda _: None, frame.port)
        try:
            self._add(stream)
        except CloisterError:
            connection.close()
            raise
        stream.start()


def _not_granted() -> Refused:
    return Refused(
        "A tunnel was refused.",
        "The port was not granted to this party.",
        "Begin a task that needs it; its parties grant each other what it needs.",
        clause="tunnel-grant",
    )


class Tunnel:
    """A local port that leads to another party's. `trouble` says why the last connection ended, empty if as it should."""

    def __init__(self, tunnels: Tunnels, to: str, remote: int) -> None:
        self._tunnels, self._to, self._remote = tunnels, to, remote
        self._listener = socket.create_server((_HOST, 0))
        self.port: int = self._listener.getsockname()[1]
        self.trouble = ""
        threading.Thread(target=self._listen, name="cloister-tunnel", daemon=True).start()

    def _listen(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            try:
                self._tunnels.connect(self._to, self._remote, connection, self._ended)
            except CloisterError as error:
                self.trouble = f"{error.what} {error.why}"
                connection.close()

    def _ended(self, why: str) -> None:
        self.trouble = why

    def close(self) -> None:
        """Takes no more connections; those that are open stay."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class _Stream:
    """One connection: a thread reads from it, a thread writes to it, a few calls are on their way."""

    def __init__(
        self,
        tunnels: Tunnels,
        to: str,
        number: bytes,
        connection: socket.socket,
        ended: Callable[[str], None],
        port: int | None = None,
    ) -> None:
        self.to, self.id, self.port = to, number, port
        self._seen = time.monotonic()
        self.incoming = Incoming()
        self._tunnels, self._connection, self._ended = tunnels, connection, ended
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cloister-tunnel-send")
        self._closed = threading.Event()
        self._halves = 2
        self._lock = threading.Lock()

    @property
    def silence(self) -> float:
        """Seconds since anything was heard of the other end."""
        return time.monotonic() - self._seen

    def seen(self) -> None:
        """Something was heard of the other end."""
        self._seen = time.monotonic()

    def start(self) -> None:
        """Begins to carry."""
        self._connection.settimeout(None)
        for job in (self._read, self._write):
            threading.Thread(target=job, name="cloister-tunnel", daemon=True).start()

    def _read(self) -> None:
        sequence = 0
        while not self._closed.is_set():
            self._room.acquire()
            try:
                piece = self._connection.recv(PIECE)
            except OSError:
                self._break("The local connection was broken.")
                return
            frame = Frame(DATA if piece else END, self.id, sequence, payload=piece)
            sequence += 1
            try:
                self._pool.submit(self._send, frame)
            except RuntimeError:  # closed meanwhile
                return
            if not piece:
                return

    def _send(self, frame: Frame) -> None:
        try:
            pause = _PAUSE
            while (answer := self._tunnels.send(self.to, frame)) == FULL:
                while answer == FULL:
                    self.seen()
                    if self._closed.wait(pause):
                        return
                    pause = min(2 * pause, _LONGEST_PAUSE)
                    answer = self._tunnels.send(self.to, Frame(ASK, self.id, frame.sequence))
                if answer != TAKEN:
                    break
            self.seen()
            if answer != TAKEN:
                self.close("The other server no longer knows the connection.")
            elif frame.kind == END:
                self._half()
        except CloisterError as error:
            self.close(f"{error.what} {error.why}")
        finally:
            self._room.release()

    def _write(self) -> None:
        while (frame := self.incoming.take()) is not None:
            try:
                if frame.kind == END:
                    self._connection.shutdown(socket.SHUT_WR)
                else:
                    self._connection.sendall(frame.payload)
            except OSError:
                self._break("The local connection was broken.")
                return
            self.incoming.done()
            if frame.kind == END:
                self._half()
                return

    def _half(self) -> None:
        with self._lock:
            self._halves -= 1
            over = self._halves == 0
        if over:
            self.close()

    def _break(self, why: str) -> None:
        if self._closed.is_set():
            return
        self.close(why)
        # The other side need not know; it would find out with its next frame.
        with contextlib.suppress(CloisterError):
            self._tunnels.send(self.to, Frame(RESET, self.id))

    def close(self, why: str = "") -> None:
        """Ends the connection; `why` is told to the tunnel."""
        with self._lock:
            if self._closed.is_set():
                return
            self._closed.set()
        self._ended(why)
        self._tunnels.forget(self)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._connection.close()
        self.incoming.close()
        self._pool.shutdown(wait=False)
