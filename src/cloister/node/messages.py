"""Task messages between nodes: the journal's header and body in one transport body.

```
length 4 bytes  of the header, big endian
header          canonical JSON: task, phase, kind, sequence
body            to the end
```
"""

from __future__ import annotations

import struct
from typing import Protocol

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.claims.offers import Digest
from cloister.foundation.canonical import canonical, parse, parse_canonical
from cloister.foundation.errors import BadInput
from cloister.journal.ports import Taken

MESSAGE = "task.message"
_MAX_HEADER = 4096
_SECONDS = 120.0


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


class Caller(Protocol):
    """The part of a transport that is needed here."""

    def call(self, to: str, method: str, body: bytes, *, deadline: float, key: str | None = None) -> bytes:
        """See `transport.interface.Transport`."""
        ...


class Courier:
    """Sends the journal's messages (implements `journal.ports.Outbound`)."""

    def __init__(self, transport: Caller) -> None:
        self._transport = transport

    def send(self, to: str, task: str, phase: str, kind: str, sequence: int, body: bytes) -> Taken:
        """Sends one; the key makes a repeated sending one and the same call."""
        header = MessageHeader(task=task, phase=phase, kind=kind, sequence=sequence)
        answer = parse(self._transport.call(to, MESSAGE, pack(header, body), deadline=_SECONDS))
        return Taken.ACCEPTED if answer.get("taken") == Taken.ACCEPTED.value else Taken.LATER
