"""A local TCP port of a library carried to another party's node, for protections whose libraries speak TCP.

The library connects to a local port here; what it writes comes out of a connection to a local port there, and back.
Every frame is a call of the transport, so it is signed, sealed and answered; the order and the acknowledgements are
`tunnel_frames`'. TCP itself ends at both nodes: nothing of it passes the hub.

Rules:
1. A port here is reached only by the party it was granted to, and only while it is granted.
2. A stream belongs to the party that opened it and the one it was opened to: a third party's frames find no stream.
3. Both ends are on the loopback interface; a tunnel opens nothing to the network.
4. A reader that does not read stops its sender: neither node holds more than a window of frames for each direction.
5. When the other node is not reached before the deadline, or has forgotten the stream, the local connection is closed
   and the reason is kept (`Tunnel.trouble`).
"""

from __future__ import annotations

import contextlib
import secrets
import socket
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Self

from cloister.foundation.errors import CloisterError, Conflict, NotFound, Refused
from cloister.transport.interface import Call, Transport
from cloister.transport.tunnel_frames import DATA, END, FULL, GONE, OPEN, PIECE, RESET, TAKEN, Frame, Incoming

METHOD = "tunnel.frame"
MAX_STREAMS = 64
AT_ONCE = 4
SECONDS = 30.0
_HOST = "127.0.0.1"
_PAUSE = 0.02


class Tunnels:
    """One node's tunnels.

    Args:
        transport: carries the frames; its method `tunnel.frame` is served from now on.
        deadline: seconds for each frame until the other node counts as gone.
    """

    def __init__(self, transport: Transport, deadline: float = SECONDS) -> None:
        self._transport, self._deadline = transport, deadline
        self._grants: set[tuple[str, int]] = set()
        self._streams: dict[tuple[str, bytes], _Stream] = {}
        self._open: list[Tunnel] = []
        self._lock = threading.Lock()
        transport.serve(METHOD, self._arrived)

    def grant(self, party: str, port: int) -> None:
        """Lets `party` reach `port` of this machine's loopback interface."""
        self._grants.add((party, port))

    def withdraw(self, party: str, port: int) -> None:
        """Takes a grant back; streams that are open stay open."""
        self._grants.discard((party, port))

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
            self._streams[stream.to, stream.id] = stream

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
        return stream.incoming.put(frame)

    def _accept(self, sender: str, frame: Frame) -> None:
        if (sender, frame.port) not in self._grants:
            raise Refused(
                "A tunnel was refused.",
                "The port was not granted to this party.",
                "Begin a task that needs it; its parties grant each other what it needs.",
                clause="tunnel-grant",
            )
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
        stream = _Stream(self, sender, frame.stream, connection, lambda _: None)
        try:
            self._add(stream)
        except CloisterError:
            connection.close()
            raise
        stream.start()


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
    ) -> None:
        self.to, self.id = to, number
        self.incoming = Incoming()
        self._tunnels, self._connection, self._ended = tunnels, connection, ended
        self._room = threading.BoundedSemaphore(AT_ONCE)
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="cloister-tunnel-send")
        self._closed = threading.Event()
        self._halves = 2
        self._lock = threading.Lock()

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
            while (answer := self._tunnels.send(self.to, frame)) == FULL:
                if self._closed.wait(_PAUSE):
                    return
            if answer != TAKEN:
                self.close("The other node no longer knows the connection.")
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
