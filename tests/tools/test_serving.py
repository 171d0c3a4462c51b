"""What a worker makes of foreign bytes: the right answer or a clear error, and never those bytes again."""

from __future__ import annotations

import io
import json
import struct
import zlib

import numpy as np
import pytest
from PIL import Image
from toolmaking import blob_model, discs, discs_tool, png, spread_centres

from cloister.data.csv_tables import parse_csv
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, Conflict
from cloister.tools import serving
from cloister.tools.package import Package, pack, unpack

TOOL = discs_tool()
CENTRES = spread_centres(200, 150, 9)
PLAIN = discs(200, 150, CENTRES)


@pytest.fixture(scope="module", autouse=True)
def _loaded():
    told, _ = serving.load({"threads": 1}, {"package": np.frombuffer(pack(Package(TOOL)), np.uint8)})
    assert told == {"tool": TOOL.digest}


def look(data, name="a.png", **changes):
    arguments = {
        "tool": TOOL.digest,
        "name": name,
        "settings": {},
        "um_per_pixel": None,
        "max_bytes": 1 << 20,
        "max_pixels": 1_000_000,
        "max_rows": 1000,
    }
    told, arrays = serving.look(arguments | changes, {"data": np.frombuffer(data, np.uint8)})
    return told, {key: value.tobytes() for key, value in arrays.items()}


def saved(pixels, kind, **options):
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format=kind, **options)
    return stream.getvalue()


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def declared(width, height, body=b""):
    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + head + chunk(b"IDAT", body) + chunk(b"IEND", b"")


def opened(files, name):
    return Image.open(io.BytesIO(files[name]))


def test_a_result_has_figures_and_every_file_that_a_browser_may_show():
    data = png(PLAIN)
    told, files = look(data, um_per_pixel=2.0, settings={"threshold": 0.4})
    assert told["count"] == 9
    assert told["input"] == digest(data)
    assert told["size"] == [200, 150]
    assert told["um_per_pixel"] == 2.0
    assert told["figures"]["units"]["diameter_d50"] == "µm"
    assert told["settings"] == {"threshold": 0.4}
    assert set(files) == {"original.png", "overlay.png", "report.html", "result.json", "table.csv"}
    assert set(files) <= set(serving.FILES)
    assert json.loads(files["result.json"])["figures"]["count"] == 9
    assert np.array_equal(np.asarray(opened(files, "original.png")), PLAIN)


def test_larger_pictures_are_shown_as_jpeg_that_looks_the_same():
    big = discs(800, 600, CENTRES)
    _, files = look(png(big))
    shown = np.asarray(opened(files, "original.jpg").convert("L")).astype(int)
    assert np.abs(shown - big).mean() < 3


def test_metadata_does_not_pass_and_rotation_is_applied():
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010F] = "SecretCamera"
    exif.get_ifd(0x8825).update({1: "N", 2: (48.0, 12.0, 30.0), 3: "E", 4: (11.0, 34.0, 12.0)})
    data = saved(PLAIN, "JPEG", exif=exif, quality=95)
    assert b"SecretCamera" in data
    told, files = look(data, "gps.jpg")
    assert told["size"] == [150, 200]
    assert told["count"] == 9
    for name, content in files.items():
        assert b"SecretCamera" not in content, name
        if name.startswith(("original", "overlay")):
            picture = opened(files, name)
            assert picture.size == (150, 200)
            assert not picture.getexif()
            assert "exif" not in picture.info


@pytest.mark.parametrize("place", ["after", "text"])
def test_a_file_that_is_two_things_at_once_comes_out_as_a_picture_only(place):
    payload = b"<html><script>alert(document.domain)</script></html>"
    data = png(PLAIN)
    if place == "after":
        data += payload
    else:
        data = data[:33] + chunk(b"tEXt", b"Comment\x00" + payload) + data[33:]
    told, files = look(data)
    assert told["count"] == 9
    assert all(b"alert(document" not in content for content in files.values())


def test_sixteen_bits_and_transparency_are_understood():
    deep = Image.fromarray(PLAIN.astype(np.uint16) * 257)
    stream = io.BytesIO()
    deep.save(stream, format="PNG")
    assert look(stream.getvalue())[0]["count"] == 9
    clear = np.dstack([PLAIN, PLAIN, PLAIN, np.full_like(PLAIN, 255)])
    assert look(png(clear))[0]["count"] == 9


def test_one_pixel_is_a_picture_without_objects():
    told, files = look(png(np.zeros((1, 1), np.uint8)))
    assert told["count"] == 0
    assert told["size"] == [1, 1]
    assert opened(files, "original.png").size == (1, 1)


@pytest.mark.parametrize(
    ("data", "what"),
    [
        (b"", "not a picture"),
        (b"GIF89a" + bytes(50), "not a picture"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>", "not a picture"),
        (b"<!doctype html><title>x</title>", "not a picture"),
        (png(PLAIN)[:-300], "damaged"),
        (declared(100_000, 100_000), "too many pixels"),
        (declared(0x7FFFFFFF, 0x7FFFFFFF), "too many pixels"),
        (saved(PLAIN, "BMP")[:60], "damaged"),
        (png(PLAIN) + bytes(2 << 20), "too large"),
    ],
    ids=["empty", "gif", "svg", "html", "cut", "huge", "enormous", "bmp", "bytes"],
)
def test_what_is_no_picture_or_too_large_is_refused_by_name(data, what):
    with pytest.raises(BadInput, match=what) as caught:
        look(data, "drop.png")
    assert "drop.png" in caught.value.what


def test_a_bomb_gives_the_pixels_that_it_declares_and_no_more():
    data = declared(1000, 1000, zlib.compress(bytes(100_000_000), 9))
    told, _ = look(data)
    assert told["size"] == [1000, 1000]
    assert told["count"] == 0


def test_a_setting_that_the_tool_does_not_know_is_refused():
    with pytest.raises(BadInput, match="no setting"):
        look(png(PLAIN), settings={"model": "mine"})
    with pytest.raises(BadInput, match="size of a pixel"):
        look(png(PLAIN), um_per_pixel=-1.0)


def test_a_worker_answers_only_for_the_tool_it_has():
    with pytest.raises(Conflict):
        look(png(PLAIN), tool="sha256:" + 64 * "0")


def test_a_package_that_was_changed_is_not_loaded():
    data = bytearray(pack(Package(TOOL)))
    data[len(data) // 2] ^= 1
    with pytest.raises(CloisterError):
        serving.load({}, {"package": np.frombuffer(bytes(data), np.uint8)})
    serving.load({"threads": 1}, {"package": np.frombuffer(pack(Package(TOOL)), np.uint8)})


def test_the_crystal_tool_comes_as_a_package():
    _, arrays = serving.builtin({"name": "crystals"}, {})
    assert unpack(arrays["package"].tobytes()).tool.name == "crystals"


def test_tables_are_told_by_their_bytes_not_by_their_name():
    from cloister.data.column_kinds import TableLimits
    from cloister.foundation.errors import BadInput as Bad
    from cloister.tools.tables import parse_tool_table

    limits = TableLimits(1 << 20, 100)
    table = parse_tool_table(b"a,b\n1,2\n3,4\n", ("b",), limits, "rows.png")
    assert list(table.columns["b"]) == [2.0, 4.0]
    assert parse_csv(b"a\n1\n").num_rows == 1
    with pytest.raises(Bad, match="Parquet"):
        parse_tool_table(b"PAR1 and nothing", (), limits, "rows.csv")
    with pytest.raises(Bad, match="rows"):
        parse_tool_table(b"a\n" + b"1\n" * 101, (), limits, "rows.csv")


def test_a_model_of_another_shape_is_refused_when_the_tool_is_made():
    assert discs_tool(blob_model(9.0)).digest != TOOL.digest
