"""Pictures from foreign bytes: what is opened, what is refused, and that nothing crashes."""

from __future__ import annotations

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageOps

from cloister.data.images import ImageLimits, decode_image, image_size
from cloister.foundation.errors import BadInput, CloisterError, NotFound


def encoded(pixels, kind="PNG", **options):
    stream = io.BytesIO()
    (pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)).save(
        stream, format=kind, **options
    )
    return stream.getvalue()


GREY = (np.arange(48, dtype=np.uint8).reshape(6, 8) * 5).astype(np.uint8)
COLOUR = np.stack([GREY, GREY[::-1], 255 - GREY], axis=2)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("pixels", [GREY, COLOUR], ids=["grey", "colour"])
def test_lossless_formats_give_the_pixels_that_were_saved(kind, pixels):
    assert np.array_equal(decode_image(encoded(pixels, kind)), pixels)


def test_a_jpeg_gives_about_the_pixels_that_were_saved():
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    assert np.abs(decode_image(encoded(smooth, "JPEG", quality=95)).astype(int) - smooth).max() < 6


def test_a_12_bit_camera_in_a_16_bit_file_is_not_black():
    samples = np.linspace(0, 4095, 64).astype(np.uint16).reshape(8, 8)
    for kind in ("PNG", "TIFF"):
        made = decode_image(encoded(samples, kind))
        assert made.min() == 0
        assert made.max() == 255


def test_full_16_bit_samples_are_scaled_by_rounding():
    samples = np.array([[0, 65535, 32768, 257]], dtype=np.uint16)
    assert decode_image(encoded(samples)).tolist() == [[0, 255, 128, 1]]


def test_floating_point_samples_are_read_as_0_to_1_or_refused():
    assert decode_image(encoded(np.array([[0.0, 1.0]], np.float32), "TIFF")).tolist() == [[0, 255]]
    for wrong in (np.array([[0.0, 1e4]], np.float32), np.array([[np.nan, 1.0]], np.float32)):
        with pytest.raises(BadInput):
            decode_image(encoded(wrong, "TIFF"))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "TIFF"])
def test_exif_orientation_is_applied(orientation, kind):
    exif = Image.Exif()
    exif[0x0112] = orientation
    big = np.zeros((16, 32, 3), np.uint8)
    big[:8, :8] = (255, 0, 0)
    big[8:, 24:] = (0, 255, 0)
    options = {"quality": 100, "subsampling": 0} if kind == "JPEG" else {}
    data = encoded(big, kind, exif=exif, **options)
    wanted = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
    made = decode_image(data)
    assert made.shape == wanted.shape
    assert np.abs(made.astype(int) - wanted).max() < 4
    assert image_size(data) == (made.shape[1], made.shape[0])


def test_transparent_parts_get_the_median_colour_of_the_others():
    rgba = np.zeros((2, 3, 4), np.uint8)
    rgba[0] = [(10, 20, 30, 255), (40, 10, 250, 255), (30, 30, 30, 255)]
    made = decode_image(encoded(rgba))
    assert made[0].tolist() == rgba[0, :, :3].tolist()
    assert made[1].tolist() == [[30, 20, 30]] * 3


def test_a_picture_of_which_nothing_shows_is_white():
    assert (decode_image(encoded(np.zeros((2, 2, 4), np.uint8))) == 255).all()


@pytest.mark.parametrize("mode", ["1", "P", "LA", "CMYK", "YCbCr"])
def test_other_kinds_of_samples_become_grey_or_colour(mode):
    kind = "JPEG" if mode in ("CMYK", "YCbCr") else "PNG"
    made = decode_image(encoded(Image.fromarray(COLOUR).convert(mode), kind))
    assert made.dtype == np.uint8
    assert made.shape[:2] == (6, 8)


def png_claiming(width, height):
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)

    def chunk(name, data):
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    body = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def test_a_decompression_bomb_is_refused_by_its_header():
    with pytest.raises(BadInput, match="too many pixels"):
        decode_image(png_claiming(100_000, 100_000))
    with pytest.raises(BadInput, match="too many pixels"):
        image_size(png_claiming(100_000, 100_000))


def test_pictures_above_pillows_own_warning_but_below_the_limit_are_judged_by_the_limit_alone():
    # 180 million pixels would be an error to PIL.Image.open; here only the file's truncation is.
    with pytest.raises(BadInput, match="damaged or cut short"):
        decode_image(png_claiming(18_000, 10_500))


def test_a_file_over_the_byte_limit_is_refused(tmp_path):
    path = tmp_path / "a.png"
    path.write_bytes(encoded(GREY))
    with pytest.raises(BadInput, match="too large"):
        decode_image(path, ImageLimits(max_bytes=10))
    with pytest.raises(BadInput, match="too large"):
        decode_image(path.read_bytes(), ImageLimits(max_bytes=10))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_a_truncated_picture_is_refused_not_padded(kind):
    data = encoded(np.random.default_rng(1).integers(0, 255, (64, 64, 3), np.uint8), kind)
    with pytest.raises(BadInput, match="damaged"):
        decode_image(data[: len(data) * 2 // 3])


def test_several_pages_or_frames_are_refused():
    frames = [Image.fromarray(GREY), Image.fromarray(GREY[::-1].copy())]
    for kind in ("TIFF", "PNG"):
        with pytest.raises(BadInput, match="several pictures"):
            decode_image(encoded(frames[0], kind, save_all=True, append_images=frames[1:]))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "an empty file"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?><svg/>", "SVG"),
        (b"<!DOCTYPE html><html>", "web page"),
        (b"%PDF-1.7 ...", "PDF"),
        (b"PK\x03\x04abc", "ZIP"),
        ("Gr\u00fc\u00df dich, I am text.".encode(), "text"),
        (b"GIF89a....", "GIF"),
        (b"RIFF\0\0\0\0WEBPVP8 ", "WebP"),
        (b"\0\0\0\x18ftypheic", "HEIC"),
        (b"\x00\x01\x02\x03", "no known picture format"),
    ],
)
def test_images_that_are_no_images_are_refused_and_told_what_they_seem_to_be(data, told):
    with pytest.raises(BadInput) as caught:
        decode_image(data, name="scan.png")
    assert "scan.png" in caught.value.what
    assert told in caught.value.why
    assert "PNG, JPEG, TIFF or BMP" in caught.value.remedy


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(NotFound):
        decode_image(tmp_path / "none.png")
    with pytest.raises(BadInput):
        decode_image(tmp_path)


def test_a_picture_is_told_by_its_bytes_not_by_its_name(tmp_path):
    path = tmp_path / "wrong.bmp"
    path.write_bytes(encoded(GREY, "PNG"))
    assert np.array_equal(decode_image(path), GREY)


SAMPLES = [encoded(COLOUR, kind) for kind in ("PNG", "JPEG", "TIFF", "BMP")]


@pytest.mark.filterwarnings("ignore::UserWarning:PIL")  # Pillow warns about what it then refuses
@settings(max_examples=150, deadline=None)
@given(st.sampled_from(SAMPLES), st.data())
def test_whatever_bytes_are_changed_the_outcome_is_pixels_or_a_clear_error(data, draw):
    changed = bytearray(data)
    for _ in range(draw.draw(st.integers(1, 6))):
        changed[draw.draw(st.integers(0, len(changed) - 1))] = draw.draw(st.integers(0, 255))
    cut = draw.draw(st.integers(0, len(changed)))
    for attempt in (bytes(changed), bytes(changed[:cut])):
        with contextlib.suppress(CloisterError):
            made = decode_image(attempt, ImageLimits(max_pixels=1_000_000))
            assert made.dtype == np.uint8


@pytest.mark.parametrize("top", [255, 1023, 4095, 16383, 65535])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("compression", [None, "zlib"])
@pytest.mark.parametrize("tile", [None, (16, 16)])
def test_deep_colours_of_a_tiff_are_scaled_by_the_depth_that_holds_them(top, order, compression, tile):
    tifffile = pytest.importorskip("tifffile")
    samples = (np.random.default_rng(top).random((40, 50, 3)) * top).astype(np.uint16)
    samples[0, 0] = top
    stream = io.BytesIO()
    tifffile.imwrite(stream, samples, photometric="rgb", byteorder=order, compression=compression, tile=tile)
    wanted = (samples.astype(np.uint32) * 255 + top // 2) // top
    assert (decode_image(stream.getvalue()) == wanted).all()


def test_deep_colours_in_planes_are_refused_rather_than_read_wrongly():
    tifffile = pytest.importorskip("tifffile")
    stream = io.BytesIO()
    planes = np.full((3, 20, 30), 1000, np.uint16)
    tifffile.imwrite(stream, planes, photometric="rgb", planarconfig="separate")
    with pytest.raises(BadInput, match="keeps its colours apart"):
        decode_image(stream.getvalue())
