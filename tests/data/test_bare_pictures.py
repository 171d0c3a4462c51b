"""Pixels alone: whatever a file carries besides is gone, and nothing that is more than pixels passes for bare."""

from __future__ import annotations

import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin, TiffImagePlugin

from cloister.data.bare_pictures import bare, carried, is_bare
from cloister.data.images import ImageLimits, decode_image
from cloister.foundation.errors import BadInput

SECRETS = (
    b"SN-4711-0815",
    b"GPS-PLACE",
    b"THUMB-NAIL",
    b"A-COMMENT",
    b"XMP-PACKET",
    b"HIDDEN-TEXT",
    b"BEHIND-END",
)
PIXELS = np.random.default_rng(3).integers(0, 255, (24, 36, 3), dtype=np.uint8)


def ifd(start: int, entries: list[tuple[int, int, bytes]], following: int = 0) -> bytes:
    """A directory of TIFF 6.0 (little endian) that lies at `start`: values over four bytes follow it."""
    head, tail, at = struct.pack("<H", len(entries)), b"", start + 2 + 12 * len(entries) + 4
    for tag, kind, value in entries:
        count = len(value) // {2: 1, 3: 2, 4: 4, 5: 8, 7: 1}[kind]
        where = value.ljust(4, b"\0") if len(value) <= 4 else struct.pack("<I", at + len(tail))
        tail += value + b"\0" * (len(value) % 2) if len(value) > 4 else b""
        head += struct.pack("<HHI", tag, kind, count) + where
    return head + struct.pack("<I", following) + tail


def exif(orientation: int = 1) -> bytes:
    """EXIF as a camera writes it: make, orientation, serial number, place, and a thumbnail of its own."""
    long = lambda value: struct.pack("<I", value)  # noqa: E731
    gps = ifd(400, [(1, 2, b"N\0"), (2, 5, struct.pack("<6I", 48, 1, 8, 1, 30, 1)), (27, 7, SECRETS[1])])
    inner = ifd(600, [(0xA431, 2, SECRETS[0] + b"\0"), (0x9286, 7, b"ASCII\0\0\0" + SECRETS[3])])
    thumb = b"\xff\xd8\xff" + SECRETS[2] + b"\xff\xd9"
    second = ifd(800, [(0x0201, 4, long(1000)), (0x0202, 4, long(len(thumb)))])
    first = ifd(
        8,
        [
            (0x010F, 2, b"Maker\0"),
            (0x0112, 3, struct.pack("<H", orientation)),
            (0x8769, 4, long(600)),
            (0x8825, 4, long(400)),
        ],
        following=800,
    )
    whole = bytearray(1000)
    whole[:8] = b"II*\0" + long(8)
    for at, part in ((8, first), (400, gps), (600, inner), (800, second)):
        whole[at : at + len(part)] = part
    return b"Exif\0\0" + bytes(whole) + thumb


def segment(marker: int, body: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def jpeg(orientation: int = 1) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "JPEG", quality=90)
    data = stream.getvalue()
    planted = (
        segment(0xE1, exif(orientation))
        + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + SECRETS[4])
        + segment(0xED, b"Photoshop 3.0\0" + SECRETS[5])
        + segment(0xFE, SECRETS[3])
    )
    return data[:2] + planted + data[2:] + SECRETS[6]


def png() -> bytes:
    stream, info = io.BytesIO(), PngImagePlugin.PngInfo()
    info.add_text("Author", SECRETS[5].decode())
    info.add_itxt("XML:com.adobe.xmp", SECRETS[4].decode())
    info.add(b"prVt", SECRETS[3])
    Image.fromarray(PIXELS).save(stream, "PNG", pnginfo=info, exif=exif()[6:], dpi=(300, 300))
    return stream.getvalue() + SECRETS[6]


def tiff() -> bytes:
    stream, tags = io.BytesIO(), TiffImagePlugin.ImageFileDirectory_v2()
    tags[270], tags[271], tags[0xC62F] = SECRETS[3].decode(), "Maker", SECRETS[0].decode()
    tags[700] = SECRETS[4]
    Image.fromarray(PIXELS).save(stream, "TIFF", tiffinfo=tags)
    return stream.getvalue() + SECRETS[6]


def bmp() -> bytes:
    stream = io.BytesIO()
    Image.fromarray(PIXELS).save(stream, "BMP")
    return stream.getvalue() + SECRETS[6]


@pytest.mark.parametrize("make", [jpeg, png, tiff, bmp])
def test_nothing_that_was_planted_is_in_the_new_file(make):
    data = make()
    assert any(secret in data for secret in SECRETS), "it was planted"
    made = bare(data)
    assert is_bare(made)
    assert not is_bare(data)
    for secret in (*SECRETS, b"Maker", b"Exif", b"eXIf", b"tEXt", b"pHYs"):
        assert secret not in made
    assert chunks(made) == {b"IHDR", b"IDAT", b"IEND"}
    np.testing.assert_array_equal(decode_image(made), decode_image(data))


def test_what_is_left_out_is_told_by_name():
    assert set(carried(jpeg())) >= {
        "EXIF",
        "XMP",
        "a comment",
        "an embedded thumbnail",
        "bytes behind its end",
        "the camera's make",
        "the camera's serial number",
        "the place (GPS)",
    }
    assert set(carried(png())) >= {"EXIF", "text", "XMP", "the place (GPS)", "bytes behind its end"}
    assert set(carried(tiff())) >= {"XMP", "a description", "the camera's make", "the camera's serial number"}
    assert carried(bare(jpeg())) == ()
    assert carried(b"no picture") == ()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_turned_picture_is_upright_without_its_orientation(orientation):
    data = jpeg(orientation)
    made = bare(data)
    np.testing.assert_array_equal(decode_image(made), decode_image(data))
    assert decode_image(made).shape[:2] == ((36, 24) if orientation > 4 else (24, 36))


def test_what_is_pixels_alone_stays_the_very_same_file():
    for shape in ((5, 7), (5, 7, 3), (1, 1), (900, 1300, 3)):
        stream = io.BytesIO()
        Image.fromarray(np.random.default_rng(1).integers(0, 255, shape, dtype=np.uint8)).save(stream, "PNG")
        assert bare(stream.getvalue()) is stream.getvalue() or bare(stream.getvalue()) == stream.getvalue()
        assert is_bare(stream.getvalue())


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def made_png(rows: bytes, *, header: bytes | None = None, behind: bytes = b"", middle: bytes = b"") -> bytes:
    head = header if header is not None else struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", head)
        + middle
        + chunk(b"IDAT", rows)
        + chunk(b"IEND", b"")
        + behind
    )


def test_every_place_where_something_can_be_hidden_is_looked_at():
    rows = b"\0abcd" * 3
    assert is_bare(made_png(zlib.compress(rows)))
    for hidden in (
        made_png(zlib.compress(rows), behind=b"x"),
        made_png(zlib.compress(rows), middle=chunk(b"tEXt", b"a\0b")),
        made_png(zlib.compress(rows), middle=chunk(b"PLTE", b"abc")),
        made_png(zlib.compress(rows) + b"behind the stream"),
        made_png(zlib.compress(rows + b"more rows than the header says")),
        made_png(zlib.compress(rows[:-1])),
        made_png(zlib.compress(b"\x09abcd" * 3)),
        made_png(zlib.compress(rows)[:-1]),
        made_png(zlib.compress(rows)).replace(b"IEND", b"IEnD"),
        made_png(zlib.compress(rows))[:-12] + chunk(b"IEND", b"hidden"),
        made_png(zlib.compress(rows), header=struct.pack(">IIBBBBB", 4, 3, 8, 3, 0, 0, 0)),
        made_png(zlib.compress(rows), header=struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 1)),
        made_png(zlib.compress(rows), header=struct.pack(">IIBBBBB", 4, 3, 8, 0, 0, 0, 0) + b"x"),
    ):
        assert not is_bare(hidden)
    good = made_png(zlib.compress(rows))
    assert is_bare(
        good.replace(
            chunk(b"IDAT", zlib.compress(rows)),
            b"".join(chunk(b"IDAT", bytes([byte])) for byte in zlib.compress(rows)),
        )
    ), "in as many parts as one likes"


def test_a_stream_that_unpacks_to_gigabytes_is_left_at_the_first_row_too_many():
    bomb = zlib.compress(b"\0" * (64 << 20))
    assert not is_bare(made_png(bomb))
    assert not is_bare(made_png(bomb, header=struct.pack(">IIBBBBB", 1 << 16, 1 << 16, 8, 0, 0, 0, 0)))


def test_finer_grey_levels_are_told_and_read_as_everywhere_else():
    stream = io.BytesIO()
    Image.fromarray(np.arange(600, dtype=np.uint16).reshape(20, 30) * 100).save(stream, "PNG")
    assert carried(stream.getvalue()) == ("more than 8 bits a sample",)
    np.testing.assert_array_equal(decode_image(bare(stream.getvalue())), decode_image(stream.getvalue()))


def test_what_is_no_picture_or_too_large_is_refused():
    with pytest.raises(BadInput):
        bare(b"#!/bin/sh")
    with pytest.raises(BadInput):
        bare(jpeg(), ImageLimits(max_pixels=100))


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_a_changed_file_is_never_bare_with_other_bytes_than_its_pixels(data):
    """Whatever passes has the one form: its chunks and sums are right, and its stream is exactly its rows."""
    changed = bytearray(made_png(zlib.compress(b"\0abcd" * 3)))
    for _ in range(data.draw(st.integers(1, 3))):
        changed[data.draw(st.integers(0, len(changed) - 1))] = data.draw(st.integers(0, 255))
    if is_bare(bytes(changed)):
        assert chunks(bytes(changed)) == {b"IHDR", b"IDAT", b"IEND"}
        decode_image(bytes(changed))


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=200))
def test_any_bytes_are_judged_and_never_crash(data):
    assert not is_bare(data)
    assert not is_bare(b"\x89PNG\r\n\x1a\n" + data)
    carried(data)


def chunks(data: bytes) -> set[bytes]:
    found, at = set(), 8
    while at < len(data):
        (size,) = struct.unpack_from(">I", data, at)
        found.add(data[at + 4 : at + 8])
        at += 12 + size
    return found
