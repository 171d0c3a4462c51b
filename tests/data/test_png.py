from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from cloister.data import png
from cloister.data.images import decode_image, image_size
from cloister.data.png import SIGNATURE, chunk_kinds, encode_png
from cloister.foundation.errors import BadInput

shapes = st.one_of(
    st.tuples(st.integers(1, 20), st.integers(1, 20)),
    st.tuples(st.integers(1, 20), st.integers(1, 20), st.just(3)),
)


@given(shapes.flatmap(lambda shape: arrays(np.uint8, shape)))
def test_another_decoder_reads_the_same_pixels(pixels: np.ndarray) -> None:
    with Image.open(io.BytesIO(encode_png(pixels))) as picture:
        np.testing.assert_array_equal(np.asarray(picture), pixels)


def test_bands_follow_each_other_without_a_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(png, "_BAND", 200)
    pixels = np.random.default_rng(1).integers(0, 256, (50, 20, 3)).astype(np.uint8)
    np.testing.assert_array_equal(decode_image(encode_png(pixels)), pixels)


@pytest.mark.parametrize(
    "pixels", [np.zeros((0, 3), np.uint8), np.zeros((2, 2, 4), np.uint8), np.zeros((2, 2))]
)
def test_what_is_no_picture_is_not_written(pixels: np.ndarray) -> None:
    with pytest.raises(BadInput):
        encode_png(pixels)


@given(st.binary(max_size=200))
def test_chunks_of_any_bytes_are_listed_without_an_error(data: bytes) -> None:
    assert all(len(kind) == 4 for kind in chunk_kinds(SIGNATURE + data))


def turned() -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(np.zeros((4, 9), np.uint8)).save(stream, format="PNG", exif=exif)
    return stream.getvalue()


def test_the_size_of_a_turned_picture_is_known_wherever_the_file_tells_that_it_is_turned() -> None:
    before = turned()
    assert list(chunk_kinds(before)) == [b"IHDR", b"eXIf", b"IDAT", b"IEND"]
    place = before.index(b"eXIf") - 4
    length = int.from_bytes(before[place : place + 4], "big") + 12
    chunk, end = before[place : place + length], before.index(b"IEND") - 4
    after = before[:place] + before[place + length : end] + chunk + before[end:]
    for data in (before, after):
        height, width = decode_image(data).shape
        assert image_size(data) == (width, height) == (4, 9)
