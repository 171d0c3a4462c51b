"""How a node and its worker talk: one frame each way, a JSON header and the raw bytes of arrays. Never pickle.

A frame is `CLE1`, the header's length (4 bytes, big-endian), the header (canonical JSON), then every array's bytes in the order
of `header["arrays"]`, little-endian, C order. Rules:
1. Lengths and counts are checked against limits before anything is read or allocated.
2. Only plain numeric dtypes; no objects.
3. Whatever the bytes, the outcome is a frame, `BadInput`, or `EOFError` where the other side is gone.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from cloister.foundation.canonical import JSON, canonical, parse
from cloister.foundation.errors import BadInput

MAGIC = b"CLE1"
DTYPES = (
    "bool",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
)


class Readable(Protocol):
    """A blocking byte stream."""

    def read(self, size: int, /) -> bytes | None:
        """Up to `size` bytes; empty at the end."""
        ...


class Writable(Protocol):
    """A byte stream to write to."""

    def write(self, data: Any, /) -> int | None:
        """Writes all of `data`."""
        ...

    def flush(self) -> None:
        """Hands everything on."""
        ...


@dataclass(frozen=True)
class FrameLimits:
    """At most so many bytes of header and arrays, so many arrays, dimensions each."""

    header: int = 4 << 20
    arrays: int = 1 << 30
    count: int = 256
    rank: int = 16


DEFAULT_LIMITS = FrameLimits()


def _bad(why: str) -> BadInput:
    return BadInput(
        "A message between a server and its engine is malformed.", why, "Report this; the engine was stopped."
    )


def write_frame(
    stream: Writable,
    header: Mapping[str, JSON],
    arrays: Mapping[str, np.ndarray],
    limits: FrameLimits = DEFAULT_LIMITS,
) -> None:
    """Writes one frame. Raises `BadInput` for what the limits or dtypes do not allow, before anything is written."""
    described, total = [], 0
    contents = []
    for name, array in arrays.items():
        plain = np.ascontiguousarray(array).reshape(np.shape(array))
        if plain.dtype.name not in DTYPES or plain.ndim > limits.rank:
            raise _bad(f"An array has dtype {plain.dtype.name} and {plain.ndim} dimensions.")
        described.append({"name": name, "dtype": plain.dtype.name, "shape": list(plain.shape)})
        total += plain.nbytes
        contents.append(plain.astype(plain.dtype.newbyteorder("<"), copy=False))
    if total > limits.arrays or len(described) > limits.count:
        raise _bad(
            f"It has {len(described)} arrays of {total} bytes; at most {limits.count} and {limits.arrays} are allowed."
        )
    head = canonical({**header, "arrays": described})
    if len(head) > limits.header:
        raise _bad(f"Its header has {len(head)} bytes; the limit is {limits.header}.")
    stream.write(MAGIC + struct.pack(">I", len(head)) + head)
    for content in contents:
        if content.nbytes:
            stream.write(content.reshape(-1).view(np.uint8).data)
    stream.flush()


def _exactly(stream: Readable, size: int) -> bytearray:
    buffer = bytearray()
    while len(buffer) < size:
        part = stream.read(min(size - len(buffer), 1 << 20))
        if not part:
            raise EOFError
        buffer += part
    return buffer


def read_frame(
    stream: Readable, limits: FrameLimits = DEFAULT_LIMITS
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The next frame: header (without `arrays`) and arrays by name. Raises `BadInput`, or `EOFError` at the end."""
    head = bytes(_exactly(stream, 8))
    if head[:4] != MAGIC:
        raise _bad("It does not begin as one.")
    length = struct.unpack(">I", head[4:])[0]
    if length > limits.header:
        raise _bad(f"Its header would have {length} bytes; the limit is {limits.header}.")
    header = parse(bytes(_exactly(stream, length)), max_bytes=limits.header)
    if (
        not isinstance(header, dict)
        or not isinstance(header.get("arrays"), list)
        or len(header["arrays"]) > limits.count
    ):
        raise _bad("Its header is no map with a list of arrays.")
    planned = [_described(item, limits) for item in header.pop("arrays")]
    if sum(size for _, _, _, size in planned) > limits.arrays or len(
        {name for name, _, _, _ in planned}
    ) != len(planned):
        raise _bad("Its arrays are too large, or two have one name.")
    arrays = {}
    for name, dtype, shape, size in planned:
        array = np.frombuffer(_exactly(stream, size), dtype.newbyteorder("<")).reshape(shape)
        if dtype.name == "bool" and size and array.view(np.uint8).max() > 1:
            raise _bad("A truth value is neither 0 nor 1.")
        arrays[name] = array.astype(dtype, copy=False)
    return header, arrays


def _described(item: Any, limits: FrameLimits) -> tuple[str, np.dtype[Any], tuple[int, ...], int]:
    if not isinstance(item, dict) or set(item) != {"name", "dtype", "shape"}:
        raise _bad("An array is not described by name, dtype and shape.")
    name, kind, shape = item["name"], item["dtype"], item["shape"]
    if (
        not isinstance(name, str)
        or kind not in DTYPES
        or not isinstance(shape, list)
        or len(shape) > limits.rank
    ):
        raise _bad("An array is not described by name, dtype and shape.")
    if not all(isinstance(length, int) and not isinstance(length, bool) and length >= 0 for length in shape):
        raise _bad("An array has an impossible shape.")
    dtype: np.dtype[Any] = np.dtype(kind)
    return name, dtype, tuple(shape), math.prod(shape) * dtype.itemsize
