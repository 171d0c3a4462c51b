"""Masks and packing."""

from __future__ import annotations

import numpy as np
import pytest
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.aggregation import ring
from cloister.foundation.errors import BadInput


@settings(max_examples=150, deadline=None)
@given(st.integers(1, 60), st.integers(0, 40), st.randoms(use_true_random=False))
def test_packing_keeps_exactly_the_lowest_bits(bits, length, chance):
    values = [chance.getrandbits(64) for _ in range(length)]
    vector = np.array(values, np.uint64).astype(ring.word(bits))
    packed = ring.pack(vector, bits)
    assert len(packed) == ring.packed_size(length, bits) == (length * bits + 7) // 8
    # The definition: one long number, the first value lowest.
    number = sum((int(value) & ring.mask_of(bits)) << bits * place for place, value in enumerate(vector))
    assert int.from_bytes(packed, "little") == number
    again = ring.unpack(packed, length, bits)
    assert again.dtype == ring.word(bits)
    assert again.tolist() == [int(value) & ring.mask_of(bits) for value in vector]


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 60), st.integers(0, 30), st.binary(max_size=60))
def test_other_bytes_than_a_vectors_are_refused(bits, length, data):
    """Rule 2: what is read packs to the same bytes."""
    try:
        vector = ring.unpack(data, length, bits)
    except BadInput:
        return
    assert ring.pack(vector, bits) == data


def test_a_bit_after_the_last_value_is_refused():
    """Rule 2."""
    with pytest.raises(BadInput):
        ring.unpack(b"\xff\x07\x80", 2, 11)
    assert ring.unpack(b"\xff\x07\x00", 2, 11).tolist() == [2047, 0]


@pytest.mark.parametrize("bits", [7, 32, 33, 60])
def test_a_mask_is_the_key_stream_and_comes_off_again(bits):
    """Rule 1, and chunks make no difference."""
    length = 200_001
    vector = np.arange(length).astype(ring.word(bits))
    before = vector.copy()
    ring.add_mask(vector, b"k" * 32)
    size = vector.dtype.itemsize
    stream = Cipher(algorithms.AES(b"k" * 32), modes.CTR(bytes(16))).encryptor().update(bytes(length * size))
    assert (vector == before + np.frombuffer(stream, ring.word(bits))).all()
    ring.add_mask(vector, b"k" * 32, subtract=True)
    assert (vector == before).all()
