"""The check value: right sums pass, others do not."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.aggregation import floats, integers, integrity
from cloister.aggregation.ring import MAX_BITS, mask_of
from cloister.aggregation.vectors import Blinded, wire_size
from cloister.foundation.errors import BadInput, Tampered

KEY = b"c" * 32


def definition(steps, key=KEY):
    stream = Cipher(algorithms.AES(key), modes.CTR(bytes(16))).encryptor().update(bytes(8 * len(steps)))
    secret = [int(item) & integrity.MODULUS for item in np.frombuffer(stream, "<u8")]
    return sum(a * int(x) for a, x in zip(secret, steps, strict=True)) % integrity.MODULUS


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(-(1 << 62), 1 << 62), min_size=1, max_size=20))
def test_the_check_value_is_the_scalar_product_modulo_the_prime(values):
    assert integrity.check_value(np.array(values, np.int64), KEY) == definition(values)


@pytest.mark.parametrize("extreme", [(1 << 31) - 1, -(1 << 31), (1 << 62) - 1, -(1 << 62)])
def test_no_length_and_no_size_of_values_makes_it_inexact(extreme):
    steps = np.full(100_000, extreme, np.int64)
    assert integrity.check_value(steps, KEY) == definition(steps.tolist())


@pytest.mark.parametrize(
    "encoding", [integers(9, 3, 1), integers(9, 128, 1), integers(9, 10, 1 << 50), floats(9, 5, 2.0)]
)
def test_check_values_add_up_and_any_change_is_noticed(encoding):
    """Rule 1: of all vectors with one sum, the check values have one sum."""
    chance = np.random.default_rng(5)
    n, bound = encoding.participants, encoding.bound
    parts = [chance.integers(-bound, bound, 9, endpoint=True) for _ in range(n)]
    total = sum(parts)
    claimed = sum(integrity.check_value(part, KEY) for part in parts) % integrity.MODULUS
    integrity.require(total, claimed, KEY)
    for place in range(9):
        for change in (1, -1, 1 << (encoding.bits - 1), (1 << encoding.bits) - 1):
            wrong = total.copy()
            wrong[place] += change
            with pytest.raises(Tampered):
                integrity.require(wrong, claimed, KEY)
    for key, value in ((KEY, claimed ^ 1), (b"d" * 32, claimed)):
        with pytest.raises(Tampered):
            integrity.require(total, value, key)


def test_no_two_sums_differ_by_a_multiple_of_the_modulus():
    """Rule 2."""
    assert (1 << MAX_BITS) < integrity.MODULUS


def test_masks_of_a_check_value_are_uniform_modulo_the_prime_and_come_off():
    """Rule 1."""
    encoding = integers(5, 3, 7)
    found = []
    for number in range(400):
        blinded = Blinded.zero(encoding)
        secret = number.to_bytes(32, "big")
        blinded.add_mask(secret)
        found.append(blinded.check)
        again = Blinded.unpack(blinded.pack(encoding), encoding)
        again.add_mask(secret, subtract=True)
        assert again.check == 0
        assert not (again.values & np.uint32(mask_of(encoding.bits))).any()
    counts = np.histogram(np.array(found, float) / integrity.MODULUS, 10, (0, 1))[0]
    assert counts.min() > 10
    assert all(0 <= item < integrity.MODULUS for item in found)


def test_a_check_value_that_is_not_one_is_refused():
    """Rule 2 of `vectors`."""
    encoding = integers(5, 3, 7)
    good = Blinded.zero(encoding).pack(encoding)
    assert len(good) == wire_size(encoding)
    for wrong in (
        good[:-8] + integrity.MODULUS.to_bytes(8, "little"),
        good[:-8] + b"\xff" * 8,
        good[:-1],
        good + b"\x00",
        b"",
    ):
        with pytest.raises(BadInput):
            Blinded.unpack(wrong, encoding)
