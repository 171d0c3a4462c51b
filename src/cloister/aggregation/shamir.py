"""Shamir's secret sharing of short secrets, byte by byte over GF(2^8).

Each byte of the secret is the value at 0 of a polynomial of degree t - 1 whose other coefficients are uniform; the
share for participant i is the polynomials' values at i. Any t shares give the secret, fewer say nothing at all.

GF(2^8) with the polynomial of AES, rather than a prime field: a share is exactly as long as the secret, every byte
string is a share (so there is nothing to refuse and no bias from reducing), and a product is eight shifts and masks,
the same for all values, where the time of Python's large integers depends on them.

Rules:
1. Coefficients are uniform bytes, zero included: leaving zero out would say something of the secret.
2. Nothing branches on, or indexes by, a secret byte. Only the public places are looked at.
3. Places are distinct and 1 to 255; exactly t shares are used.

Source: Shamir 1979, "How to share a secret"; the field of FIPS 197, section 4.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

MAX_PLACE = 255
_REDUCTION = 0x1B

Bytes = NDArray[np.uint8]


def coefficient_bytes(size: int, threshold: int) -> int:
    """How many random bytes `split` needs for a secret of `size` bytes."""
    return size * (threshold - 1)


def split(secret: bytes, threshold: int, places: Sequence[int], randomness: bytes) -> dict[int, bytes]:
    """Shares of `secret`, one for each place.

    Args:
        secret: what is shared.
        threshold: how many shares open it, from 1.
        places: distinct, 1 to 255, at least `threshold` of them.
        randomness: `coefficient_bytes` uniform secret bytes; the same give the same shares.

    Raises:
        BadInput: a number is out of range.
    """
    _check(threshold, places)
    if len(randomness) != coefficient_bytes(len(secret), threshold) or not secret:
        raise _refused("The randomness is not as long as the coefficients.")
    coefficients = np.frombuffer(secret + randomness, np.uint8).reshape(threshold, 1, len(secret))
    factors = np.array(places, np.uint8).reshape(-1, 1)
    values = np.zeros((len(places), len(secret)), np.uint8)
    for coefficient in coefficients[::-1]:  # Horner's rule, at all places together
        values = times(values, factors) ^ coefficient
    return {place: values[index].tobytes() for index, place in enumerate(places)}


def combine(shares: Mapping[int, bytes], threshold: int) -> bytes:
    """The secret from at least `threshold` shares; the first ones by place are used.

    A wrong share gives a wrong secret: callers check the result against what was committed to.

    Raises:
        BadInput: too few shares, of different lengths, or for impossible places.
    """
    places = sorted(shares)[: max(threshold, 1)]
    _check(threshold, places)
    size = len(shares[places[0]])
    if not size or any(len(shares[place]) != size for place in places):
        raise _refused("The shares are not of one length.")
    weights = np.ones((len(places), 1), np.uint8)
    for index, place in enumerate(places):
        weight = 1
        for other in places:
            if other != place:  # Lagrange at 0; subtraction is addition here
                weight = _product(weight, _product(other, _inverse(other ^ place)))
        weights[index] = weight
    values = np.frombuffer(b"".join(shares[place] for place in places), np.uint8)
    secret: Bytes = np.bitwise_xor.reduce(times(values.reshape(len(places), size), weights), axis=0)
    return secret.tobytes()


def times(values: Bytes, factors: Bytes) -> Bytes:
    """Each of `values` times a factor, in GF(2^8); the shapes are broadcast.

    Eight shifts and masks for every value and every factor alike.
    """
    result = np.zeros(np.broadcast_shapes(values.shape, factors.shape), np.uint8)
    shifted = values
    for bit in range(8):
        chosen = (factors >> np.uint8(bit)) & np.uint8(1)
        result ^= shifted * chosen
        carried = (shifted >> np.uint8(7)) * np.uint8(_REDUCTION)
        shifted = (shifted << np.uint8(1)) ^ carried
    return result


def _product(left: int, right: int) -> int:
    """The product of two public field elements."""
    result = 0
    for bit in range(8):
        result ^= left * (right >> bit & 1)
        left = (left << 1) ^ (left >> 7) * (0x100 | _REDUCTION)
    return result


@cache
def _inverse(value: int) -> int:
    """The inverse of a public, non-zero field element: its 254th power."""
    result = 1
    for _ in range(254):
        result = _product(result, value)
    return result


def _check(threshold: int, places: Sequence[int]) -> None:
    if not 1 <= threshold <= MAX_PLACE or len(places) < threshold:
        raise _refused("There are fewer shares than the threshold.")
    if len(set(places)) != len(places) or not all(1 <= place <= MAX_PLACE for place in places):
        raise _refused("Places are not distinct numbers from 1 to 255.")


def _refused(why: str) -> BadInput:
    return BadInput("A secret cannot be shared or opened.", why, "Start the aggregation again.")
