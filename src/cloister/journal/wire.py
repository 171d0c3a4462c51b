"""A task's message as the body of a transport call, and the answer to it.

```
length 4 bytes  of the header, big endian
header          canonical JSON: task, phase, kind, sequence
body            to the end
```

The transport repeats an answer to a repeated idempotency key, and "later" must not be repeated for ever: every
transmission is a call with a key of its own. That a message counts once is the journal's doing.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, field

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.digests import DIGEST_PATTERN
from cloister.foundation.errors import BadInput, Unreachable
from cloister.journal.phases import MAX_NAME, MAX_SEQUENCE
from cloister.journal.ports import Taken
from cloister.journal.program import Party

METHOD = "task.message"
MAX_HEADER = 4096


class _Header(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    task: str = Field(pattern=DIGEST_PATTERN)
    phase: str = Field(min_length=1, max_length=MAX_NAME)
    kind: str = Field(min_length=1, max_length=MAX_NAME)
    sequence: int = Field(ge=1, le=MAX_SEQUENCE)


@dataclass(frozen=True)
class TaskMessage:
    """A message between two seats of a task, as it travels."""

    task: str
    phase: str
    kind: str
    sequence: int
    body: bytes = field(repr=False)

    def encode(self) -> bytes:
        """The call's body."""
        header = canonical(
            {"task": self.task, "phase": self.phase, "kind": self.kind, "sequence": self.sequence}
        )
        return struct.pack(">I", len(header)) + header + self.body

    @classmethod
    def decode(cls, data: bytes) -> TaskMessage:
        """Reads what `encode` wrote. Raises `BadInput`."""
        size = struct.unpack(">I", data[:4])[0] if len(data) >= 4 else MAX_HEADER + 1
        if size > MAX_HEADER or 4 + size > len(data):
            raise _malformed()
        try:
            header = _Header.model_validate(parse_canonical(data[4 : 4 + size], max_bytes=MAX_HEADER))
        except ValidationError:
            raise _malformed() from None
        return cls(header.task, header.phase, header.kind, header.sequence, data[4 + size :])


def encode_answer(taken: Taken) -> bytes:
    """The answer to a message that was not refused."""
    return taken.value.encode()


def decode_answer(data: bytes) -> Taken:
    """Reads what `encode_answer` wrote. Raises `Unreachable` for anything else: the message is sent again."""
    for taken in Taken:
        if data == taken.value.encode():
            return taken
    raise Unreachable(
        "The answer to a task's message could not be read.", "It is of no known form.", "Update that node."
    )


class CallOutbound:
    """An `Outbound` over calls.

    Args:
        call: makes a call (to, method, body) under a fresh idempotency key and returns the answer.
    """

    def __init__(self, call: Callable[[Party, str, bytes], bytes]) -> None:
        self._call = call

    def send(self, to: Party, task: str, phase: str, kind: str, sequence: int, body: bytes) -> Taken:
        """See `Outbound`."""
        return decode_answer(self._call(to, METHOD, TaskMessage(task, phase, kind, sequence, body).encode()))


def _malformed() -> BadInput:
    return BadInput(
        "A task's message could not be read.", "It is not of the agreed form.", "Update the sender."
    )
