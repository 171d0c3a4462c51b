"""A check value by which owners notice a sum that is not the sum of what was masked.

Masked sums are malleable: who relays them can add to them unseen. So beside its vector x each participant sends the
value ⟨a, x⟩ modulo the prime p = 2^61 - 1, where a is a vector of secret field elements drawn from the group key,
which neither coordinator nor hub knows. Check values add up modulo p as the vectors do; owners compare the sum's own
check value with the sum of the check values. A change of the sum, a mask that was not taken off, or a sum that wrapped
passes with probability 2^-61. A participant who knows the key could as well have put in another vector.

Rules:
1. A check value is masked like the vector, with masks that are uniform modulo p, and added up modulo p. Then the sum of
   the check values is a function of the sum of the vectors, and tells who knows the key nothing more.
2. Ring elements have fewer bits than p, so that two different sums differ modulo p.

Source: Carter and Wegman 1981, "New hash functions and their use in authentication and set equality", section 3
(linear hashing with a secret key, the value masked).
"""

from __future__ import annotations

import numpy as np
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from numpy.typing import NDArray

from cloister.foundation.digests import same
from cloister.foundation.errors import Tampered

MODULUS = (1 << 61) - 1
_CHUNK = 1 << 15
_ZEROS = bytes(8 * _CHUNK)


def require(steps: NDArray[np.int64], claimed: int, key: bytes) -> None:
    """Raises `Tampered` unless `claimed`, the sum of the check values, is the check value of the sum."""
    if not same(claimed.to_bytes(8, "big"), check_value(steps, key).to_bytes(8, "big")):
        raise Tampered(
            "A sum is not the sum of what the participants sent.",
            "Its check value does not fit: it was changed, or masks were left in it.",
            "Start again; if it repeats, change the coordinator, or find out whose server is at fault.",
            clause="aggregation-sum",
        )


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
        drawn = np.frombuffer(stream, "<u2", 4 * count).reshape(count, 4)
        drawn[:, 3] &= (1 << 13) - 1
        secret = drawn.astype(np.float64)
        lower = part.view("<u2").reshape(count, limbs).astype(np.float64)
        lower[:, -1] = part.view("<i2").reshape(count, limbs)[:, -1]  # the highest limb carries the sign
        sums += (lower.T @ secret).astype(np.int64)
    total = sum(int(sums[i, j]) << 16 * (i + j) for i in range(limbs) for j in range(4))
    return total % MODULUS
