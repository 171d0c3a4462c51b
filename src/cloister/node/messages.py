"""Task messages between nodes: the journal's header and body in one transport body.

```
length 4 bytes  of the header, big endian
header          canonical JSON: task, phase, kind, sequence
body            to the end; a large one is attached to the call instead, where nothing has to copy it
```

The header always travels within the call's own message, so that a body may be refused before it is pulled.

Rules:
1. The same message sent again is the same call: its key is made of task, sequence and the body's digest. While the
   recipient still takes it in, the repetition waits with it; an answer that was lost is given again.
2. A recipient that answered "later" is asked anew: its answer to the next sending is not the one that it gave before.
3. A large body has a deadline that a slow line (`LEAST_PACE`) keeps: a call that ends begins its body all over again.
"""

from __future__ import annotations

import struct
import threading
from collections import OrderedDict
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical, parse, parse_canonical
from cloister.foundation.errors import BadInput
from cloister.journal.ports import Taken
from cloister.transport.interface import Attachment, Call

MESSAGE = "task.message"
ATTACHED = 248 << 10
"""Bodies over this many bytes are attached to the call; with its header each other one fits into a message of the transport."""

LEAST_PACE = 64 << 10
"""Bytes a second of the slowest line that a large body is given time for."""

_MAX_HEADER = 4096
_SECONDS = 120.0
_REMEMBERED = 4096


class MessageHeader(BaseModel):
    """What the journal needs to know of a message."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: Digest
    phase: str = Field(max_length=80)
    kind: str = Field(max_length=80)
    sequence: int = Field(ge=1, le=2**48)


def pack(header: MessageHeader, body: bytes) -> bytes:
    """Header and body as one."""
    head = canonical(header.model_dump(mode="json"))
    return struct.pack(">I", len(head)) + head + body


def unpack(data: bytes) -> tuple[MessageHeader, bytes]:
    """Reads what `pack` wrote. Raises `BadInput`."""
    try:
        (size,) = struct.unpack(">I", data[:4])
        if size > _MAX_HEADER or len(data) < 4 + size:
            raise ValueError
        header = MessageHeader.model_validate_json(canonical(parse_canonical(data[4 : 4 + size])))
    except (struct.error, ValueError, ValidationError):
        raise BadInput(
            "A task message could not be read.", "Its header is malformed.", "Use the same version."
        ) from None
    return header, data[4 + size :]


def read(call: Call) -> tuple[MessageHeader, bytes, str | None]:
    """Header and body of the message in a call, and the body's digest if the transport computed it. Raises `BadInput`."""
    header, body = unpack(call.body)
    if call.attached is None:
        return header, body, None
    if body:
        raise BadInput("A task message could not be read.", "It has two bodies.", "Use the same version.")
    return header, call.attached.body, call.attached.digest


class Caller(Protocol):
    """The part of a transport that is needed here."""

    def call(
        self,
        to: str,
        method: str,
        body: bytes,
        *,
        deadline: float,
        key: str | None = None,
        attached: Attachment | None = None,
    ) -> bytes:
        """See `transport.interface.Transport`."""
        ...


class Courier:
    """Sends the journal's messages (implements `journal.ports.Outbound`)."""

    def __init__(self, transport: Caller) -> None:
        self._transport = transport
        self._laters: OrderedDict[tuple[str, str, int], int] = OrderedDict()
        self._lock = threading.Lock()

    def send(
        self, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes, digest: str
    ) -> Taken:
        """Sends one; the key makes a repeated sending one and the same call, until it was answered "later"."""
        header = MessageHeader(task=task, phase=phase, kind=kind, sequence=sequence)
        message = to, task, sequence
        with self._lock:
            later = self._laters.get(message, 0)
        large = len(body) > ATTACHED
        answer = parse(
            self._transport.call(
                to,
                MESSAGE,
                pack(header, b"" if large else body),
                deadline=_SECONDS + len(body) / LEAST_PACE,
                key=f"{task}/{sequence}/{digest}/{later}",
                attached=Attachment(body, digest) if large else None,
            )
        )
        if answer.get("taken") == Taken.ACCEPTED.value:
            with self._lock:
                self._laters.pop(message, None)
            return Taken.ACCEPTED
        with self._lock:
            self._laters[message] = later + 1
            if len(self._laters) > _REMEMBERED:
                # One that is forgotten is told "later" once for each time that it was before, from memory.
                self._laters.popitem(last=False)
        return Taken.LATER
