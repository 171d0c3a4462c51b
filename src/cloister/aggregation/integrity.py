"""A check value by which owners notice a sum that is not the sum of what was masked.

Masked sums are malleable: who relays them can add to them unseen. So each participant appends to its vector x the
value ⟨a, x⟩ modulo the prime p = 2^61 - 1, where a is a vector of secret field elements drawn from the group key,
which neither coordinator nor hub knows. Check values add up as the vectors do; owners compare the sum's own check value
with the sum of the check values. A change of the sum, a mask that was not taken off, or a sum that wrapped passes with
probability 2^-61. A participant who knows the key could as well have put in another vector.

The check value is cut into digits so small that n of them add up within the ring; they are masked like the vector.

Source: Carter and Wegman 1981, "New hash functions and their use in authentication and set equality", section 3
(linear hashing with a secret key, the value masked).
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from cloister.aggregation.encoding import Encoding
from cloister.aggregation.ring import Ring, mask_of, word
from cloister.foundation.errors import Tampered

MODULUS = (1 << 61) - 1
_CHUNK = 1 << 15
_ZEROS = bytes(8 * _CHUNK)


def digit_bits(encoding: Encoding) -> int:
    """Bits of one digit: as many as leave room for adding one of each participant."""
    return min(encoding.bits - (encoding.participants - 1).bit_length(), 61)


def digits(encoding: Encoding) -> int:
    """How many ring elements are appended to a vector."""
    return -(-61 // digit_bits(encoding))


def append(encoding: Encoding, steps: NDArray[np.int64], key: bytes) -> Ring:
    """The vector as ring elements, its check value behind it: shape (length + digits,)."""
    value = check_value(steps, key)
    size = digit_bits(encoding)
    tail = np.array(
        [value >> size * place & mask_of(size) for place in range(digits(encoding))], word(encoding.bits)
    )
    return np.concatenate((encoding.embed(steps), tail))


def checked(encoding: Encoding, total: Ring, contributors: int, key: bytes) -> NDArray[np.int64]:
    """The sum in lattice steps, shape (length,), if its check value is right. Raises `Tampered` if not."""
    steps = encoding.centre(total[: encoding.length], contributors)
    size = digit_bits(encoding)
    tail = [int(item) & mask_of(encoding.bits) for item in total[encoding.length :]]
    claimed = sum(item << size * place for place, item in enumerate(tail)) % MODULUS
    if claimed != check_value(steps, key):
        raise Tampered(
            "A sum is not the sum of what the participants sent.",
            "Its check value does not fit: it was changed, or masks were left in it.",
            "Start again; if it repeats, change the coordinator, or find out whose node is at fault.",
            clause="aggregation-sum",
        )
    return steps


def check_value(steps: NDArray[np.int64], key: bytes) -> int:
    """⟨a, steps⟩ modulo `MODULUS`, where a is drawn from `key` (32 bytes).

    The scalar product is made of products of 16-bit limbs in float64, exact because 2^15 products of 2^32 stay below
    2^53, and is reduced once at the end.
    """
    encryptor = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor()
    narrow = bool(len(steps)) and int(steps.min()) >= -(1 << 31) and int(steps.max()) < 1 << 31
    kind, limbs = ("<i4", 2) if narrow else ("<i8", 4)
    stream = bytearray(8 * _CHUNK)
    sums = np.zeros((limbs, 4), np.int64)
    for start in range(0, len(steps), _CHUNK):
        part = np.ascontiguousarray(steps[start : start + _CHUNK], dtype=kind)
        count = len(part)
        encryptor.update_into(_ZEROS[: 8 * count], memoryview(stream)[: 8 * count])
        secret = np.frombuffer(stream, "<u2", 4 * count).reshape(count, 4).astype(np.float64)
        secret[:, 3] %= 1 << 13
        lower = part.view("<u2").reshape(count, limbs).astype(np.float64)
        lower[:, -1] = part.view("<i2").reshape(count, limbs)[:, -1]  # the highest limb carries the sign
        sums += (lower.T @ secret).astype(np.int64)
    total = sum(int(sums[i, j]) << 16 * (i + j) for i in range(limbs) for j in range(4))
    return total % MODULUS
