"""How federated messages and states are laid out: a JSON header that says everything, then one float32 vector.

```
magic  4 bytes  'CLF1'
length 4 bytes  of the header, big endian
header          canonical JSON (RFC 8785), an object
vector          little-endian IEEE 754 float32, to the end
```

Rules:
1. Nothing is ever unpickled or evaluated; the header is parsed within limits, the vector is only ever numbers.
2. The vector's length is stated in the header, so that bytes missing or added are noticed.
3. The header must be in canonical form: one content has one frame.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.canonical import JSON, canonical, parse_canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput

MAGIC = b"CLF1"
MAX_HEADER = 512 << 10
MAX_LENGTH = 200_000_000
"""Numbers in one vector (800 MB)."""

Vector = NDArray[np.float32]
_WIRE = np.dtype("<f4")


def wire(vector: Vector) -> memoryview:
    """A vector's bytes as they travel: little-endian float32. A view where the vector lies like that already."""
    return np.ascontiguousarray(vector, dtype=_WIRE).reshape(-1).view(np.uint8).data


def vector_digest(vector: Vector) -> str:
    """The digest of a vector's bytes as they travel; the same on every machine."""
    return digest(wire(vector))


def encode(header: Mapping[str, JSON], *parts: Vector) -> bytes:
    """A frame of the vectors one after the other. `header` may not have the key `length`, which is theirs together."""
    bodies = [wire(part) for part in parts]
    head = canonical({**header, "length": sum(map(len, bodies)) // 4})
    if len(head) > MAX_HEADER:
        raise BadInput(
            "A training message is too large.",
            f"Its header has {len(head)} bytes; the limit is {MAX_HEADER}.",
            "Use fewer rounds.",
        )
    return b"".join((MAGIC, struct.pack(">I", len(head)), head, *bodies))


def decode(data: bytes, *, max_length: int = MAX_LENGTH) -> tuple[dict[str, Any], Vector]:
    """The header (without `length`) and the vector of a frame: a view of `data` that cannot be written to.

    Raises:
        BadInput: not a frame, not canonical, over a limit, or cut short.
    """
    if len(data) < 8 or data[:4] != MAGIC:
        raise _malformed("It does not begin as one.")
    (size,) = struct.unpack(">I", data[4:8])
    if size > MAX_HEADER or 8 + size > len(data):
        raise _malformed("Its header is over the limit or cut short.")
    header = parse_canonical(data[8 : 8 + size], max_bytes=MAX_HEADER)
    if not isinstance(header, dict):
        raise _malformed("Its header is not an object.")
    length = header.pop("length", None)
    if not isinstance(length, int) or isinstance(length, bool) or not 0 <= length <= max_length:
        raise _malformed(f"Its vector is not between 0 and {max_length} numbers long.")
    if len(data) - 8 - size != 4 * length:
        raise _malformed("Its vector is not as long as stated.")
    return header, np.frombuffer(data, dtype=_WIRE, offset=8 + size).astype(np.float32, copy=False)


def _malformed(why: str) -> BadInput:
    return BadInput(
        "A training message could not be read.", why, "Have the sender run the same version of Cloister."
    )
