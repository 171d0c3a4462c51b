"""Frames: what is written is read; whatever else is read is an error."""

from __future__ import annotations

import io
import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from cloister.engines.frames import DTYPES, MAGIC, FrameLimits, read_frame, write_frame
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput

SMALL = FrameLimits(header=4096, arrays=4096, count=8, rank=4)


def frame(header, body: bytes = b"") -> io.BytesIO:
    head = canonical(header)
    return io.BytesIO(MAGIC + struct.pack(">I", len(head)) + head + body)


@settings(max_examples=60, deadline=None)
@given(
    arrays=st.dictionaries(
        st.text(max_size=5),
        st.sampled_from([d for d in DTYPES if d != "bool"]).flatmap(
            lambda d: hnp.arrays(d, hnp.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3))
        ),
        max_size=4,
    ),
    header=st.dictionaries(
        st.text(max_size=5).filter(lambda k: k != "arrays"), st.integers(-5, 5), max_size=3
    ),
)
def test_what_is_written_is_read(arrays, header) -> None:
    stream = io.BytesIO()
    write_frame(stream, header, arrays, SMALL)
    stream.seek(0)
    got, back = read_frame(stream, SMALL)
    assert got == header
    assert set(back) == set(arrays)
    for name, value in arrays.items():
        assert back[name].dtype == value.dtype
        np.testing.assert_array_equal(back[name], value)


@settings(max_examples=100, deadline=None)
@given(noise=st.binary(max_size=200), honest=st.booleans())
def test_any_bytes_are_a_frame_or_an_error_and_never_more(noise: bytes, honest: bool) -> None:
    try:
        read_frame(io.BytesIO((MAGIC if honest else b"") + noise), SMALL)
    except (BadInput, EOFError):
        pass


@pytest.mark.parametrize(
    "described",
    [
        [{"name": "a", "dtype": "object", "shape": [1]}],
        [{"name": "a", "dtype": "float32", "shape": [-1]}],
        [{"name": "a", "dtype": "float32", "shape": [1 << 40]}],
        [{"name": "a", "dtype": "float32", "shape": [1] * 9}],
        [{"name": "a", "dtype": "float32", "shape": [0]}] * 2,
        [{"name": 1, "dtype": "float32", "shape": [0]}],
        [{"name": str(i), "dtype": "float32", "shape": [0]} for i in range(9)],
        {"a": 1},
    ],
)
def test_arrays_that_are_not_plain_small_numbers_are_refused_before_they_are_read(described) -> None:
    with pytest.raises(BadInput):
        read_frame(frame({"arrays": described}), SMALL)


def test_a_header_over_the_limit_is_refused_before_it_is_read() -> None:
    with pytest.raises(BadInput):
        read_frame(io.BytesIO(MAGIC + struct.pack(">I", 1 << 31)), SMALL)


def test_objects_and_numbers_that_json_lacks_are_not_written() -> None:
    for header, arrays in (
        ({}, {"a": np.array([None])}),
        ({"x": float("nan")}, {}),
        ({}, {"a": np.zeros(2000)}),
    ):
        stream = io.BytesIO()
        with pytest.raises(BadInput):
            write_frame(stream, header, arrays, SMALL)
        assert stream.getvalue() == b""


def test_a_cut_frame_is_the_end_of_the_stream() -> None:
    stream = io.BytesIO()
    write_frame(stream, {}, {"a": np.arange(10)}, SMALL)
    with pytest.raises(EOFError):
        read_frame(io.BytesIO(stream.getvalue()[:-1]), SMALL)
