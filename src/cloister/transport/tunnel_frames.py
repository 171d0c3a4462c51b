"""What a tunnel sends: one frame a call, and what it is answered.

```
kind 1 byte | stream 16 bytes | sequence 8 bytes, big endian | port 2 bytes | payload, to the end
```

Rules:
1. A frame is read within limits; over them, cut short or of an unknown kind it is refused.
2. What comes is put in order by sequence number, within a window; what came before is acknowledged and dropped.
3. No more than a window is held for a reader that does not read: beyond it the sender is told to wait, and asks
   without the payload (`ASK`) whether there is room by now.
"""

from __future__ import annotations

import struct
import threading
from dataclasses import dataclass, field

from cloister.foundation.errors import BadInput

OPEN, DATA, END, RESET, ASK = b"O", b"D", b"E", b"R", b"A"
TAKEN, FULL, GONE = b"T", b"F", b"G"
PIECE = 128 << 10
WINDOW = 8
_HEAD = struct.Struct(">c16sQH")


@dataclass(frozen=True)
class Frame:
    """One frame: `sequence` counts the frames of a stream in one direction from 0; `port` matters when opening."""

    kind: bytes
    stream: bytes
    sequence: int = 0
    port: int = 0
    payload: bytes = field(default=b"", repr=False)

    def encode(self) -> bytes:
        """As it travels."""
        return _HEAD.pack(self.kind, self.stream, self.sequence, self.port) + self.payload

    @classmethod
    def decode(cls, data: bytes) -> Frame:
        """Reads what `encode` wrote. Raises `BadInput`."""
        if len(data) > _HEAD.size + PIECE:
            raise _unread(f"It is over the limit of {PIECE} bytes.")
        if len(data) < _HEAD.size:
            raise _unread("It is cut short.")
        kind, stream, sequence, port = _HEAD.unpack(data[: _HEAD.size])
        payload = data[_HEAD.size :]
        if kind not in (OPEN, DATA, END, RESET, ASK) or (payload and kind != DATA):
            raise _unread("Its kind is not known, or does not fit what it carries.")
        return cls(kind, stream, sequence, port, payload)


class Incoming:
    """Puts frames of one direction in order and holds at most a window of them."""

    def __init__(self, window: int = WINDOW) -> None:
        self._window = window
        self._next = 0
        self._held: dict[int, Frame] = {}
        self._turn = threading.Condition()
        self._closed = False

    def put(self, frame: Frame) -> bytes:
        """`TAKEN` (also of what came before), or `FULL`: to be sent again later."""
        with self._turn:
            if self._closed:
                return GONE
            if frame.sequence >= self._next + self._window:
                return FULL
            if frame.sequence >= self._next:
                self._held.setdefault(frame.sequence, frame)
                self._turn.notify_all()
            return TAKEN

    def room(self, sequence: int) -> bytes:
        """What `put` would answer to a frame of this number."""
        with self._turn:
            if self._closed:
                return GONE
            return FULL if sequence >= self._next + self._window else TAKEN

    def take(self) -> Frame | None:
        """The next frame in order; waits for it. `None` once closed."""
        with self._turn:
            while self._next not in self._held and not self._closed:
                self._turn.wait()
            if self._closed:
                return None
            return self._held[self._next]

    def done(self) -> None:
        """What `take` gave was passed on: makes room."""
        with self._turn:
            self._held.pop(self._next, None)
            self._next += 1

    @property
    def held(self) -> int:
        """How many frames are held now."""
        with self._turn:
            return len(self._held)

    def close(self) -> None:
        """Ends waiting."""
        with self._turn:
            self._closed = True
            self._held.clear()
            self._turn.notify_all()


def _unread(why: str) -> BadInput:
    return BadInput(
        "A tunnel's frame could not be read.", why, "Use the same release of Cloister at both parties."
    )
