"""The crystal tool over everything that may lie in a folder of pictures: each gets the right answer or a clear error."""

from __future__ import annotations

import io
import json
import os
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.synthesis import write_dataset
from cloister.foundation.errors import BadInput, NotFound
from cloister.tools.batch.discovery import Found
from cloister.tools.batch.running import hold, run_batch
from cloister.tools.builtin import builtin_tool
from cloister.tools.inputs import called
from cloister.tools.run import free_label, prepare, run_tool


@pytest.fixture(scope="module")
def prepared():
    return prepare(builtin_tool("crystals"), threads=1)


@pytest.fixture(scope="module")
def original(tmp_path_factory):
    """A drawn micrograph, 8-bit grey, 320 x 256."""
    folder = tmp_path_factory.mktemp("drawn")
    write_dataset(folder, SEED_LIKE, 1, seed=5)
    (path,) = (folder / "images").glob("*.png")
    grey = np.asarray(Image.open(path).convert("L"))
    return np.ascontiguousarray(grey[:256, :320])


@pytest.fixture(scope="module")
def truth(prepared, original, tmp_path_factory):
    path = tmp_path_factory.mktemp("truth") / "plain.png"
    Image.fromarray(original).save(path)
    result = one(prepared, path)
    assert result.count > 5
    return result


def one(prepared, path):
    return prepared.run(prepared.read(path, called(path.name)), "x")


def same(result, truth):
    assert result.error is None, result.error
    assert result.count == truth.count
    assert (result.width, result.height) == (truth.width, truth.height) == (320, 256)
    for column in ("x", "y", "diameter"):
        np.testing.assert_allclose(
            np.sort(result.table.columns[column]), np.sort(truth.table.columns[column]), atol=1.5
        )


def png16(samples, colour):
    """A PNG with 16 bits a sample, height x width x channels, without any library that might round."""
    height, width = samples.shape[:2]
    rows = b"".join(b"\x00" + row.astype(">u2").tobytes() for row in samples)
    made = b"\x89PNG\r\n\x1a\n"
    for kind, data in (
        (b"IHDR", struct.pack(">IIBBBBB", width, height, 16, colour, 0, 0, 0)),
        (b"IDAT", zlib.compress(rows)),
        (b"IEND", b""),
    ):
        made += struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
    return made


def test_16_bits_give_the_same_crystals_as_8(prepared, original, truth, tmp_path):
    wide = tmp_path / "wide.png"
    wide.write_bytes(png16(original.astype(np.uint16) * 257, 0))
    same(one(prepared, wide), truth)
    tiff = tmp_path / "wide.tif"
    Image.fromarray(original.astype(np.uint16) * 257).save(tiff)
    same(one(prepared, tiff), truth)


def test_a_12_bit_camera_that_writes_16_bit_files_gives_the_same_crystals(
    prepared, original, truth, tmp_path
):
    twelve = (original.astype(np.uint32) * 4095 + 127) // 255
    path = tmp_path / "twelve.tif"
    Image.fromarray(twelve.astype(np.uint16)).save(path)
    same(one(prepared, path), truth)


@pytest.mark.parametrize(("colour", "channels"), [(2, 3), (6, 4), (4, 2)])
@pytest.mark.parametrize("top", [65535, 4095])
def test_16_bits_a_colour_give_the_same_crystals(prepared, original, truth, tmp_path, colour, channels, top):
    deep = (original.astype(np.uint32) * top // 255).astype(np.uint16)
    samples = np.repeat(deep[:, :, None], channels, axis=2)
    if channels in (2, 4):
        samples[:, :, -1] = 65535
    path = tmp_path / "deep.png"
    path.write_bytes(png16(samples, colour))
    same(one(prepared, path), truth)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "RGB", "P", "CMYK"])
def test_colours_and_an_alpha_channel_that_hides_nothing_change_nothing(
    prepared, original, truth, tmp_path, mode
):
    path = tmp_path / ("a.tif" if mode == "CMYK" else "a.png")
    Image.fromarray(original).convert(mode).save(path)
    same(one(prepared, path), truth)


def test_what_is_transparent_holds_no_crystals(prepared, original, truth, tmp_path):
    over = np.dstack([original] * 3 + [np.full_like(original, 255)])
    over[:, 160:, 3] = 0
    path = tmp_path / "half.png"
    Image.fromarray(over).save(path)
    result = one(prepared, path)
    left = np.count_nonzero(truth.table.columns["x"] < 150)
    assert result.error is None
    assert abs(np.count_nonzero(result.table.columns["x"] < 150) - left) <= 2
    assert np.count_nonzero(result.table.columns["x"] > 175) == 0


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("ending", ["png", "tif", "jpg"])
def test_a_picture_that_the_camera_turned_is_looked_at_upright(
    prepared, original, truth, tmp_path, orientation, ending
):
    undo = {
        2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_90, 7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }  # fmt: skip
    upright = Image.fromarray(original)
    stored = upright.transpose(undo[orientation]) if orientation in undo else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / f"turned.{ending}"
    stored.save(path, exif=exif, **({"quality": 100} if ending == "jpg" else {}))
    same(one(prepared, path), truth)


def test_a_single_pixel_has_no_crystals(prepared, tmp_path):
    for mode in ("L", "RGB", "RGBA", "I;16", "1"):
        path = tmp_path / "one.png"
        Image.new(mode, (1, 1)).save(path)
        result = one(prepared, path)
        assert (result.error, result.count, result.width, result.height) == (None, 0, 1, 1)


def header_only(width, height):
    kind = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + kind + struct.pack(">I", zlib.crc32(kind))
        + b"\x00\x00\x00\x00IDAT" + struct.pack(">I", zlib.crc32(b"IDAT"))
    )  # fmt: skip


def bad_files(folder, original):
    """Every kind of file that gives no picture, with what its error must say."""
    whole = io.BytesIO()
    Image.fromarray(original).save(whole, format="PNG")
    jpeg = io.BytesIO()
    Image.fromarray(original).save(jpeg, format="JPEG")
    contents = {
        "text.png": (b"I am no picture", "is not a picture"),
        "empty.png": (b"", "is not a picture"),
        "cut.png": (whole.getvalue()[: len(whole.getvalue()) // 2], "damaged or cut short"),
        "cut.jpg": (jpeg.getvalue()[: len(jpeg.getvalue()) // 2], "damaged or cut short"),
        "bomb.png": (header_only(25_000, 20_000), "too many pixels"),
        "nothing.png": (header_only(0, 10), ""),
        "film.gif": (b"GIF89a" + bytes(50), "is not a picture"),
    }
    expected = {}
    for name, (data, words) in contents.items():
        (folder / name).write_bytes(data)
        expected[folder / name] = words
    (folder / "folder.png").mkdir()
    expected[folder / "folder.png"] = "is a folder"
    os.mkfifo(folder / "pipe.png")
    expected[folder / "pipe.png"] = "is not a file"
    (folder / "loop.png").symlink_to(folder / "loop.png")
    expected[folder / "loop.png"] = "leads back to itself"
    (folder / "lost.png").symlink_to(folder / "gone.png")
    expected[folder / "lost.png"] = "leads to nothing"
    expected[folder / "absent.png"] = "There is no file"
    return expected


def test_what_is_no_picture_gets_an_error_of_its_own_and_the_rest_goes_on(
    prepared, original, truth, tmp_path
):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    expected = bad_files(pictures, original)
    good = pictures / "zz-good.png"
    Image.fromarray(original).save(good)
    paths = [*expected, good]
    with hold(tmp_path / "out", prepared) as folder:
        done = list(run_batch(prepared, [Found(path) for path in paths], folder))
    for path, outcome in zip(expected, done, strict=False):
        error = outcome.result.error
        assert isinstance(error, BadInput | NotFound), path
        assert expected[path] in error.what, (path, error.what)
        assert path.name in error.what
        assert error.remedy
    assert done[-1].result.count == truth.count
    page = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert f"{len(expected)} could not be used" in page


def test_a_file_that_may_not_be_read_is_told(prepared, original, tmp_path, monkeypatch):
    path = tmp_path / "secret.png"
    Image.fromarray(original).save(path)
    path.chmod(0)
    if os.access(path, os.R_OK):  # the system's administrator may read everything: the refusal is made here
        honest = type(path).open

        def refuse(self, *arguments, **named):
            if self == path:
                raise PermissionError(13, "Permission denied")
            return honest(self, *arguments, **named)

        monkeypatch.setattr(type(path), "open", refuse)
    error = one(prepared, path).error
    assert error.what == "secret.png could not be read."
    assert error.why == "Permission denied"


STRANGE = [
    b"caf\xe9.png",
    b"\x1b[31mred\x1b[0m.png",
    b"line\nbreak.png",
    b"a\xe2\x80\xaeb.png",
    b"=1+1.png",
    b"\xff.png",
]


@pytest.mark.parametrize("name", STRANGE)
def test_names_that_are_no_text_or_act_on_a_terminal_do_no_harm(prepared, original, truth, tmp_path, name):
    path = tmp_path / os.fsdecode(name)
    try:
        Image.fromarray(original).save(path, format="PNG")
    except OSError:
        pytest.skip("this file system takes no such name")
    bad = tmp_path / os.fsdecode(b"not-" + name)
    bad.write_bytes(b"no picture")
    out = tmp_path / "out"
    with hold(out, prepared) as folder:
        good, failed = run_batch(prepared, [Found(path), Found(bad)], folder)
        (kept,) = [sample for sample in folder.record.all() if sample.ok]
    same(good.result, truth)
    assert "is not a picture" in failed.result.error.what
    for shown in (good.result.name, failed.result.error.what, kept.file):
        assert shown.isprintable()
    for written in [*out.iterdir(), *(out / "objects").iterdir()]:
        assert written.name.isprintable()
    json.dumps(good.result.as_json()).encode("utf-8")


def test_a_name_as_long_as_names_can_be_has_results(prepared, original, truth, tmp_path):
    path = tmp_path / ("ü" * 125 + ".png")
    Image.fromarray(original).save(path)
    (result,) = run_tool(prepared.tool, [path], tmp_path / "out", threads=1)
    same(result, truth)
    assert all(written.exists() for written in result.files)


@settings(max_examples=200, deadline=None)
@given(st.binary(min_size=1, max_size=60).filter(lambda name: b"/" not in name and b"\0" not in name))
def test_any_name_is_called_something_that_can_be_seen_and_stored(name):
    from pathlib import Path

    shown = called(os.fsdecode(name))
    assert all(letter.isprintable() or letter.isspace() for letter in shown)
    assert "\n" not in shown
    assert "\x1b" not in shown
    shown.encode("utf-8")
    assert called(shown) == shown
    path = Path(os.fsdecode(name))
    label = free_label(path, lambda _name: False)
    assert label
    assert "/" not in label
    assert len(label.encode()) <= 200
    assert free_label(path, lambda taken: taken == label) != label
