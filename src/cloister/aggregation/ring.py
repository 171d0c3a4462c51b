"""Vectors over Z_{2^k}: masks from a key, and k bits per value on the wire.

A mask is the key stream of AES-256 in counter mode, read as little-endian words of 32 bits (64 where k > 32). Sums are
made modulo the word and cut to k bits when they are packed, which is the same as summing modulo 2^k.

Rules:
1. A key makes one mask: the counter starts at zero, and no key is used for two vectors.
2. Packed vectors have exactly ⌈length · k / 8⌉ bytes, the bits after the last value zero: one vector, one byte form.

Sources: NIST SP 800-38A, section 6.5 (counter mode); FIPS 197.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

MAX_BITS = 60
"""Below 61, so that two sums never differ by a multiple of the check value's modulus (see `integrity`)."""
_CHUNK = 1 << 18
_ZEROS = bytes(_CHUNK)

Ring = NDArray[np.unsignedinteger[Any]]


def word(bits: int) -> np.dtype[Any]:
    """The unsigned, little-endian word that holds values of `bits` bits while they are summed."""
    return np.dtype("<u4" if bits <= 32 else "<u8")


def mask_of(bits: int) -> int:
    """The number whose lowest `bits` bits are set."""
    return (1 << bits) - 1


def add_mask(vector: Ring, key: bytes, *, subtract: bool = False) -> None:
    """Adds the mask of `key` (32 bytes) to `vector` in place, or takes it off.

    Args:
        vector: contiguous, of a dtype that `word` gives.
        key: used for this one vector only (rule 1).
        subtract: takes the mask off instead.
    """
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    # A chunk stays in the processor's cache between the cipher and the sum.
    stream = bytearray(_CHUNK)
    words = np.frombuffer(stream, vector.dtype)
    for start in range(0, len(vector), len(words)):
        part = vector[start : start + len(words)]
        size = part.nbytes
        encryptor.update_into(_ZEROS if size == _CHUNK else _ZEROS[:size], memoryview(stream)[:size])
        if subtract:
            np.subtract(part, words[: len(part)], out=part)
        else:
            np.add(part, words[: len(part)], out=part)


def packed_size(length: int, bits: int) -> int:
    """Bytes of `length` packed values."""
    return (length * bits + 7) // 8


def pack(vector: Ring, bits: int) -> bytes:
    """The lowest `bits` bits of each value, without gaps, lowest bit first."""
    size = vector.dtype.itemsize
    if bits == 8 * size:
        return vector.tobytes()
    if bits % 8 == 0:
        return np.ascontiguousarray(vector).view(np.uint8).reshape(-1, size)[:, : bits // 8].tobytes()
    groups = _groups(vector & vector.dtype.type(mask_of(bits)), -len(vector) % 8)
    packed = np.zeros((len(groups), bits), np.uint8)
    # Eight values fill `bits` bytes exactly, so each group is laid out alike.
    for value in range(8):
        column, start = groups[:, value], value * bits
        for byte in range(start // 8, (start + bits + 7) // 8):
            shift = 8 * byte - start
            part = column >> np.uint64(shift) if shift >= 0 else column << np.uint64(-shift)
            packed[:, byte] |= part.astype(np.uint8)
    return packed.tobytes()[: packed_size(len(vector), bits)]


def unpack(data: bytes | memoryview, length: int, bits: int) -> Ring:
    """`length` values of `bits` bits, in words of `word(bits)`; the caller's own copy.

    Raises:
        BadInput: the bytes are not exactly such a vector (rule 2).
    """
    if not 1 <= bits <= MAX_BITS or len(data) != packed_size(length, bits):
        raise _malformed("It is not as long as agreed.")
    kind = word(bits)
    if bits == 8 * kind.itemsize:
        return np.frombuffer(data, kind).copy()
    if bits % 8 == 0:
        wide = np.zeros((length, kind.itemsize), np.uint8)
        wide[:, : bits // 8] = np.frombuffer(data, np.uint8).reshape(length, bits // 8)
        return wide.view(kind).reshape(length)
    rest = length * bits % 8
    if rest and data[-1] >> rest:
        raise _malformed("There are bits after its last value.")
    count = -(-length // 8)
    padded = np.zeros(count * bits, np.uint8)
    padded[: len(data)] = np.frombuffer(data, np.uint8)
    packed = padded.reshape(count, bits)
    values = np.zeros((count, 8), np.uint64)
    for value in range(8):
        start = value * bits
        for byte in range(start // 8, (start + bits + 7) // 8):
            shift = 8 * byte - start
            part = packed[:, byte].astype(np.uint64)
            values[:, value] |= part << np.uint64(shift) if shift >= 0 else part >> np.uint64(-shift)
    values &= np.uint64(mask_of(bits))
    return values.reshape(-1)[:length].astype(kind)


def _groups(vector: Ring, padding: int) -> NDArray[np.uint64]:
    return np.pad(vector, (0, padding)).astype(np.uint64).reshape(-1, 8)


def _malformed(why: str) -> BadInput:
    return BadInput(
        "A masked vector could not be read.", why, "Have the sender run the same version of Cloister."
    )
