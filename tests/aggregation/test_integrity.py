"""The check value: right sums pass, others do not."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.aggregation import floats, integers, integrity
from cloister.foundation.errors import Tampered

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
    chance = np.random.default_rng(5)
    n = encoding.participants
    parts = [chance.integers(-encoding.bound, encoding.bound, 9, endpoint=True) for _ in range(n)]
    vectors = [integrity.append(encoding, part, KEY) for part in parts]
    total = np.sum(vectors, axis=0, dtype=vectors[0].dtype)
    assert len(total) == 9 + integrity.digits(encoding)
    assert (integrity.checked(encoding, total, n, KEY) == sum(parts)).all()
    for place in range(len(total)):
        for change in (1, 1 << (encoding.bits - 1)):
            wrong = total.copy()
            wrong[place : place + 1] += wrong.dtype.type(change)
            with pytest.raises(Tampered):
                integrity.checked(encoding, wrong, n, KEY)
    with pytest.raises(Tampered):
        integrity.checked(encoding, total, n, b"d" * 32)
