"""Tools run end to end on small real pictures with known truth."""

from __future__ import annotations

import base64
import csv
import io
import json
import re
import socket
import subprocess
import sys
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from toolmaking import blob_model, discs, discs_tool, png, spread_centres

from cloister.foundation.errors import BadInput, NotFound
from cloister.tools import types as t
from cloister.tools.builtin import builtin_tool
from cloister.tools.run import Source, exit_code, prepare, run_tool


@pytest.fixture(scope="module")
def tool():
    return discs_tool()


def picture(folder, name, centres, width=200, height=150, **options):
    path = folder / name
    path.write_bytes(png(discs(width, height, centres, **options)))
    return path


def test_counts_and_places_are_right_and_every_file_is_written(tool, tmp_path):
    centres = spread_centres(200, 150, 14)
    out = tmp_path / "out"
    (result,) = run_tool(tool, [picture(tmp_path, "a.png", centres)], out)
    assert result.ok
    assert result.count == 14
    found = sorted(zip(result.table.columns["x"], result.table.columns["y"], strict=True))
    for (x, y), (a, b) in zip(found, sorted(centres), strict=True):
        assert abs(x - a) < 1
        assert abs(y - b) < 1
    assert {path.name for path in out.iterdir()} == {
        "a.overlay.png",
        "a.report.html",
        "a.result.json",
        "a.sizes.svg",
        "a.table.csv",
        "index.html",
    }
    rows = list(csv.reader(io.StringIO((out / "a.table.csv").read_text(encoding="utf-8"))))
    assert rows[0][:5] == ["number", "x (px)", "y (px)", "area (px²)", "diameter (px)"]
    assert len(rows) == 15
    written = json.loads((out / "a.result.json").read_bytes())
    assert written["figures"]["count"] == 14
    assert written["facts"]["tool digest"] == tool.digest
    assert written["facts"]["input digest"] == result.input_digest
    with Image.open(out / "a.overlay.png") as overlay:
        assert overlay.size == (200, 150)
    assert exit_code([result]) == 0


def test_the_overlay_outlines_objects_on_the_original(tool, tmp_path):
    pixels = discs(120, 100, [(40, 50)])
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    (result,) = run_tool(tool, [path])
    drawn = np.asarray(Image.open(io.BytesIO(result.outputs["overlay"].data)))
    coloured = drawn.max(axis=2).astype(int) - drawn.min(axis=2) > 60
    rows, columns = np.nonzero(coloured)
    assert 20 < coloured.sum() < 200
    assert np.abs(np.hypot(columns - 40, rows - 50) - 6).max() < 3
    far = drawn[80:, 90:]
    assert (far == pixels[80:, 90:, None]).all()


def test_sizes_are_those_drawn_in_pixels_or_micrometres(tool, tmp_path):
    path = picture(tmp_path, "a.png", spread_centres(200, 150, 8), radius=7.0)
    (in_pixels,) = run_tool(tool, [path])
    assert abs(in_pixels.figures.values["diameter_d50"] - 14) < 1.5
    assert in_pixels.figures.units["diameter_d50"] == "px"
    (in_micrometres,) = run_tool(tool, [path], micrometres_per_pixel=2.5)
    assert in_micrometres.figures.units["diameter_d50"] == "µm"
    ratio = in_micrometres.figures.values["diameter_d50"] / in_pixels.figures.values["diameter_d50"]
    assert ratio == pytest.approx(2.5)


def test_the_same_input_gives_the_same_output(tool, tmp_path):
    path = picture(tmp_path, "a.png", spread_centres(200, 150, 9))
    for name in ("one", "two"):
        run_tool(tool, [path], tmp_path / name)
    for first in (tmp_path / "one").iterdir():
        if first.name != "index.html":  # it tells the seconds
            assert first.read_bytes() == (tmp_path / "two" / first.name).read_bytes()


def test_an_image_that_is_no_image_gets_a_clear_error_and_the_others_go_on(tool, tmp_path):
    good = picture(tmp_path, "a.png", [(50, 50)])
    bad = tmp_path / "scan.png"
    bad.write_text("I am no picture")
    short = tmp_path / "short.png"
    short.write_bytes(good.read_bytes()[:200])
    missing = tmp_path / "missing.png"
    results = run_tool(tool, [bad, good, short, missing, tmp_path], tmp_path / "out")
    assert [result.ok for result in results] == [False, True, False, False, False]
    assert "scan.png is not a picture" in results[0].error.what
    assert "damaged" in results[2].error.what
    assert isinstance(results[3].error, NotFound)
    assert (tmp_path / "out" / "a.overlay.png").exists()
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    assert "scan.png is not a picture" in index
    assert "4 could not be used" in index
    assert exit_code(results) == 2
    assert json.dumps([result.as_json() for result in results])


def test_a_decompression_bomb_is_refused(tool, tmp_path):
    path = tmp_path / "bomb.png"
    header = bytearray(png(np.zeros((8, 8), np.uint8)))
    header[16:24] = (90_000).to_bytes(4, "big") * 2
    header[29:33] = zlib.crc32(bytes(header[12:29])).to_bytes(4, "big")
    path.write_bytes(bytes(header))
    (result,) = run_tool(tool, [path])
    assert "too many pixels" in result.error.what


def test_a_run_needs_no_network(tool, tmp_path, monkeypatch):
    def refuse(*_args, **_kwargs):
        raise AssertionError("the network was used")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    (result,) = run_tool(tool, [picture(tmp_path, "a.png", [(50, 50)])], tmp_path / "out")
    assert result.count == 1


def test_the_report_loads_nothing_from_anywhere(tool, tmp_path):
    run_tool(tool, [picture(tmp_path, "a&<b>.png", [(50, 50)])], tmp_path / "out")
    for name in ("a&<b>.report.html", "index.html"):
        page = (tmp_path / "out" / name).read_text(encoding="utf-8")
        assert "default-src 'none'" in page
        assert "<b>.png" not in page
        sources = re.findall(r'(?:src|href)="([^"]*)"', page)
        assert all(source.startswith("data:") or "/" not in source for source in sources)
        assert "<script" not in page


def test_files_of_one_name_do_not_overwrite_each_other(tool, tmp_path):
    (tmp_path / "x").mkdir()
    paths = [picture(tmp_path, "a.png", [(50, 50)]), picture(tmp_path / "x", "a.png", [(50, 50), (120, 90)])]
    results = run_tool(tool, paths, tmp_path / "out")
    assert [result.count for result in results] == [1, 2]
    assert {path.name for path in results[0].files} & {path.name for path in results[1].files} == set()


def test_a_picture_smaller_than_a_tile_or_with_nothing_in_it_works(tmp_path):
    tool = discs_tool(tile=256, overlap=16)
    small = picture(tmp_path, "small.png", [(40, 30)], width=90, height=61)
    empty = picture(tmp_path, "empty.png", [])
    tiny = tmp_path / "tiny.png"
    tiny.write_bytes(png(np.full((1, 1), 80, np.uint8)))
    results = run_tool(tool, [small, empty, tiny], tmp_path / "out")
    assert [result.count for result in results] == [1, 0, 0]
    assert results[1].figures.values["diameter_d50"] is None


def test_settings_that_the_tool_offers_are_used_and_reported(tool, tmp_path):
    path = picture(tmp_path, "large.png", [(60, 60), (150, 90)], radius=14)
    (result,) = run_tool(tool, [path], tmp_path / "out", settings={"scale": 0.5})
    assert result.count == 2
    assert abs(result.figures.values["diameter_d50"] - 28) < 3
    assert (
        json.loads((tmp_path / "out" / "large.result.json").read_bytes())["facts"]["setting scale"] == "0.5"
    )
    xs = sorted(result.table.columns["x"])
    assert abs(xs[0] - 60) < 1.5
    assert abs(xs[1] - 150) < 1.5
    for settings in ({"scale": 0.0}, {"scale": "big"}, {"tile": 3}):
        with pytest.raises(BadInput) as caught:
            run_tool(tool, [path], settings=settings)
        assert repr(next(iter(settings))) in caught.value.what


def test_progress_is_told_step_by_step(tool, tmp_path):
    told = []
    run_tool(tool, [picture(tmp_path, "a.png", [(50, 50)])], progress=lambda *step: told.append(step))
    assert told[0] == ("a.png", "picture", 0.0)
    assert told[-1] == ("a.png", "done", 1.0)
    shares = [share for _, _, share in told]
    assert shares == sorted(shares)


def test_a_result_that_cannot_be_written_is_an_error_of_that_picture(tool, tmp_path):
    path = picture(tmp_path, "a.png", [(50, 50)])
    out = tmp_path / "out"
    out.mkdir()
    (out / "a.overlay.png").mkdir()
    (result,) = run_tool(tool, [path], out)
    assert not result.ok
    assert "not written" in result.error.what


def test_a_run_over_nothing_is_refused(tool):
    with pytest.raises(BadInput, match="no pictures"):
        run_tool(tool, [])
    with pytest.raises(BadInput, match="size of a pixel"):
        run_tool(tool, [__file__], micrometres_per_pixel=-1.0)


def test_a_model_with_broken_weights_is_told(tmp_path):
    broken = discs_tool(blob_model(gain=float("nan")))
    (result,) = run_tool(broken, [picture(tmp_path, "a.png", [(50, 50)])])
    assert "not a number" in result.error.what


LARGE = """
import resource, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toolmaking import discs_tool
from cloister.tools.run import run_tool
tool = discs_tool(tile=512, overlap=32)
tool.load()
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
(result,) = run_tool(tool, [Path(sys.argv[2])], Path(sys.argv[3]), threads=1)
print(result.count, (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) // 1024)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="peak memory is counted in kilobytes on Linux only")
def test_a_12_megapixel_picture_is_processed_within_bounded_memory(tmp_path):
    centres = [(x, y) for x in range(60, 4000, 260) for y in range(60, 3000, 260)]
    path = picture(tmp_path, "large.png", centres, width=4000, height=3000, radius=9)
    done = subprocess.run(
        [sys.executable, "-c", LARGE, str(Path(__file__).parent), str(path), str(tmp_path / "out")],
        capture_output=True,
        text=True,
        check=True,
    )
    count, megabytes = map(int, done.stdout.split())
    assert count == len(centres)
    # 12 megapixels are 48 MB as one float32 plane; the run may hold about a dozen of them at its peak.
    assert megabytes < 800, megabytes


def test_a_fault_in_a_step_is_told_and_the_other_pictures_go_on(tmp_path, monkeypatch):
    from cloister.tools.steps import objects

    good, bad = picture(tmp_path, "a.png", [(50, 50)]), picture(tmp_path, "b.png", [(60, 60)])
    tool = discs_tool()
    honest, calls = objects.find_peaks, []

    def faulty(*args):
        calls.append(args)
        if len(calls) == 1:
            raise IndexError("secret value 4711")
        return honest(*args)

    monkeypatch.setattr(objects, "find_peaks", faulty)
    results = run_tool(tool, [bad, good])
    assert "'centres' failed" in results[0].error.what
    assert "4711" not in str(results[0].error)
    assert results[1].count == 1


def test_a_model_that_marks_centres_only_gives_counts_without_sizes(tmp_path):
    tool = discs_tool(body=None)
    (result,) = run_tool(tool, [picture(tmp_path, "a.png", spread_centres(200, 150, 7))], tmp_path / "out")
    assert result.count == 7
    assert set(result.figures.values) == {"count"}
    assert {path.name for path in result.files} == {
        "a.overlay.png",
        "a.report.html",
        "a.result.json",
        "a.table.csv",
    }


def test_a_large_overlay_is_shown_smaller_on_the_page_and_whole_beside_it(tmp_path):
    path = picture(tmp_path, "a.png", spread_centres(2000, 300, 5), width=2000, height=300)
    run_tool(discs_tool(tile=256), [path], tmp_path / "out")
    with Image.open(tmp_path / "out" / "a.overlay.png") as overlay:
        assert overlay.size == (2000, 300)
    page = (tmp_path / "out" / "a.report.html").read_text(encoding="utf-8")
    shown = re.search(r'src="data:image/jpeg;base64,([^"]+)"', page)
    with Image.open(io.BytesIO(base64.b64decode(shown.group(1)))) as preview:
        assert preview.size == (1600, 240)


KNOWS = {"sizes": {"smallest": 8.0, "typical": 16.0, "largest": 24.0}}


def test_sizes_that_the_tool_does_not_know_are_told_with_what_to_try(tmp_path):
    """Twelve discs of about 12 pixels, which the tool knows, and two of about 28, which it does not."""
    tool = discs_tool(about=KNOWS)
    pixels = discs(300, 200, [(30 + 40 * (i % 6), 30 + 40 * (i // 6)) for i in range(12)], radius=7.0)
    pixels = np.maximum(pixels, discs(300, 200, [(60, 150), (200, 150)], radius=14.0))
    path = tmp_path / "a.png"
    path.write_bytes(png(pixels))
    (result,) = run_tool(tool, [path], tmp_path / "out")
    (warning,) = result.warnings
    assert re.fullmatch(
        r"\d+ of \d+ measured lie outside the sizes this tool knows \(8 to 24 pixels\): try --set scale=0\.\d+",
        warning,
    )
    assert result.as_json()["warnings"] == [warning]
    for page in ("a.report.html", "index.html"):
        assert warning in (tmp_path / "out" / page).read_text(encoding="utf-8")
    (in_micrometres,) = run_tool(tool, [path], micrometres_per_pixel=100.0)
    assert in_micrometres.warnings == (warning,)
    narrow = discs_tool(about={"sizes": {"smallest": 12.0, "typical": 16.0, "largest": 16.0}})
    assert "do not rely on" in run_tool(narrow, [path])[0].warnings[0]
    (fitting,) = run_tool(tool, [picture(tmp_path, "b.png", spread_centres(200, 150, 8), radius=7.0)])
    assert fitting.warnings == ()


def test_reports_tell_the_limits_and_the_index_leads_to_them_by_pictures(tool, tmp_path):
    paths = [picture(tmp_path, name, [(50, 50), (90, 90)]) for name in ("a.png", "b.png")]
    run_tool(tool, paths, tmp_path / "out")
    assert "Made for tests." in (tmp_path / "out" / "a.report.html").read_text(encoding="utf-8")
    index = (tmp_path / "out" / "index.html").read_text(encoding="utf-8")
    for name in ("a", "b"):
        assert re.search(rf'<a href="{name}\.report\.html"><figure><img [^>]*src="data:image/', index)


def test_outlines_grow_with_the_picture():
    from cloister.tools.steps.base import Context
    from cloister.tools.steps.overlay import Overlay, overlay

    def drawn(side):
        numbers = np.zeros((side, side), np.int32)
        numbers[side // 4 : side // 2, side // 4 : side // 2] = 1
        image = t.Image(np.zeros((side, side), np.uint8))
        made = overlay(Context(), Overlay(numbers=False), image=image, regions=t.Regions(numbers, 1))
        with Image.open(io.BytesIO(made.data)) as shown:
            return np.count_nonzero(np.asarray(shown)[side * 3 // 8].any(axis=1)) // 2

    assert drawn(400) == 1
    assert drawn(4000) == 5


def test_pieces_of_objects_that_are_too_large_do_not_make_it_advise_to_enlarge():
    from cloister.tools.sizes import KnownSizes, outside_known_sizes

    known = KnownSizes(8.0, 90.0, setting="scale")

    def told(*diameters):
        return outside_known_sizes(
            t.Table({"diameter": np.array(diameters)}, {"diameter": "px"}), known, None
        )

    assert told(4, 5, 6, 5).endswith("try --set scale=2")
    assert told(100, 120, 30, 50).endswith("try --set scale=0.75")
    assert told(4, 5, 6, 5, 100).endswith("try --set scale=0.75")
    assert told(*([30.0] * 20), 100) == ""


def test_where_the_scale_depends_on_the_picture_the_table_says_it():
    from cloister.tools.sizes import KnownSizes, outside_known_sizes

    known = KnownSizes(6.0, 900.0, None, "scale")

    def told(scale, *diameters):
        return outside_known_sizes(
            t.Table({"diameter": np.array(diameters)}, {"diameter": "px"}, scale), known, None
        )

    assert told(2.0, 10, 10, 11, 10).endswith("try --set scale=0.75")
    assert told(1.0, 10, 10, 11, 10) == told(0.5, 1700, 10, *[9] * 20) == ""
    assert told(None, 1, 2, 3) == ""


def test_where_nothing_was_found_people_are_told_what_would_have_been():
    from cloister.tools.sizes import KnownSizes, outside_known_sizes

    none = t.Table({"diameter": np.zeros(0)}, {"diameter": "px"})
    told = outside_known_sizes(none, KnownSizes(6.0, 900.0, None, "scale"), None)
    assert "nothing was found" in told
    assert "6 to 900 pixels" in told
    assert told.endswith("try --set scale=0.5")
    assert "do not rely" in outside_known_sizes(none, KnownSizes(6.0, 900.0), None)
    assert outside_known_sizes(none, None, None) == ""


def test_sizes_that_the_crystal_tool_knows_are_not_called_doubtful_whatever_the_scale():
    from cloister.applications.crystals.factories import SEED_LIKE
    from cloister.applications.crystals.synthesis import synthesise

    drawn = synthesise(replace(SEED_LIKE, width=480, height=400, crystals=(150, 200)), 3)
    for scale in (0.0, 0.6, 1.0):
        prepared = prepare(builtin_tool("crystals"), settings={"scale": scale}, threads=1)
        with io.BytesIO() as stream:
            Image.fromarray(drawn.image).save(stream, "PNG")
            source = Source(
                Path("a.png"), "a.png", t.File(stream.getvalue(), "a.png"), "sha256:" + "0" * 64, None
            )
        result = prepared.run(source, "a", drawn=False)
        assert result.count > 5
        assert result.warnings == ()
        assert result.table.scale == pytest.approx(1.0 / (scale or 1.0), rel=0.5)


def test_pictures_of_one_name_are_told_apart_by_the_path_as_given(tool, tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        picture(tmp_path / folder, "x.png", [(40, 50)], 120, 100)
    picture(tmp_path, "y.png", [(40, 50)], 120, 100)
    given = [tmp_path / "a" / "x.png", tmp_path / "b" / "x.png", tmp_path / "y.png"]
    results = run_tool(tool, given, tmp_path / "out")
    assert [result.name for result in results] == [str(given[0]), str(given[1]), "y.png"]
    index = (tmp_path / "out" / "index.html").read_text("utf-8")
    assert str(given[0]) in index
    assert str(given[1]) in index
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"x.png.table.csv", "x-2.png.table.csv", "y.table.csv"} <= written
    report = (tmp_path / "out" / "x-2.png.report.html").read_text("utf-8")
    assert str(given[1]) in report


def test_pictures_that_differ_in_their_endings_only_keep_them_in_their_results_names(tool, tmp_path):
    first = picture(tmp_path, "x.png", [(40, 50)], 120, 100)
    second = tmp_path / "x.bmp"
    Image.open(first).save(second)
    run_tool(tool, [first, second], tmp_path / "out")
    written = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"x.png.table.csv", "x.bmp.table.csv"} <= written
