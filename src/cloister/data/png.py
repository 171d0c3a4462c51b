"""PNG as Cloister writes it, and the list of what a PNG file holds (ISO/IEC 15948).

Every row is written as its difference from the row above it (filter 2). Choosing among five filters row by row, as libraries do,
takes as long as compressing, and makes a micrograph's file no smaller.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
_UP: Final = 2
_COLOURS: Final = {1: 0, 3: 2}
_BAND: Final = 1 << 20
"""Bytes that are compressed at once."""


def encode_png(pixels: NDArray[Any], level: int = 1) -> bytes:
    """A picture as a PNG file, without metadata.

    Args:
        pixels: uint8, [height, width] (grey) or [height, width, 3] (RGB), neither side 0.
        level: of zlib, 0 (none) to 9; above 1 a micrograph gets a few per cent smaller in several times the time.

    Raises:
        BadInput: another shape or type.
    """
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in _COLOURS or not pixels.size:
        raise BadInput(
            "This cannot be written as a PNG picture.",
            f"It has type {pixels.dtype} and shape {pixels.shape}.",
            "Give uint8, grey [height, width] or RGB [height, width, 3].",
        )
    height, width = pixels.shape[:2]
    rows = np.ascontiguousarray(pixels).reshape(height, width * channels)
    coder = zlib.compressobj(level, zlib.DEFLATED, 15, 9)
    data = []
    step = max(1, _BAND // rows.shape[1])
    for start in range(0, height, step):
        part = rows[start : start + step]
        filtered = np.empty((len(part), rows.shape[1] + 1), dtype=np.uint8)
        filtered[:, 0] = _UP
        np.subtract(part[1:], part[:-1], out=filtered[1:, 1:])
        # Above the first row of all there is black.
        filtered[0, 1:] = part[0] - rows[start - 1] if start else part[0]
        data.append(coder.compress(filtered.data))
    data.append(coder.flush())
    header = struct.pack(">IIBBBBB", width, height, 8, _COLOURS[channels], 0, 0, 0)
    return b"".join(
        [SIGNATURE, _chunk(b"IHDR", header), _chunk(b"IDAT", b"".join(data)), _chunk(b"IEND", b"")]
    )


def chunk_kinds(data: bytes) -> Iterator[bytes]:
    """The four-letter kinds of a PNG file's chunks in order, as far as it is whole; their contents are not looked at."""
    place = len(SIGNATURE)
    while place + 8 <= len(data):
        (length,) = struct.unpack_from(">I", data, place)
        yield data[place + 4 : place + 8]
        place += length + 12


def _chunk(kind: bytes, content: bytes) -> bytes:
    return (
        struct.pack(">I", len(content))
        + kind
        + content
        + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
    )
