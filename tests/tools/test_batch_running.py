"""Many files with a folder for results: what is done is kept, and not done again; all of it stands in one table."""

from __future__ import annotations

import csv
import io
import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from toolmaking import discs, discs_tool, png, spread_centres

from cloister.foundation.errors import BadInput, Conflict, OutOfSpace
from cloister.tools import types as t
from cloister.tools.batch import objects, running
from cloister.tools.batch.answers import image_answer
from cloister.tools.batch.discovery import discover
from cloister.tools.batch.running import check_places, hold, run_batch, write_tables
from cloister.tools.batch.samples import Samples
from cloister.tools.run import prepare

COUNTS = (3, 5, 0, 7)


@pytest.fixture(scope="module")
def tool():
    return discs_tool()


@pytest.fixture
def camera(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for number, count in enumerate(COUNTS):
        draw(folder / f"{number}.png", count)
    return folder


def draw(path, count):
    path.write_bytes(png(discs(200, 150, spread_centres(200, 150, count, seed=count))))


def go(prepared, camera, out, plant=None, **choices):
    with hold(out, prepared, plant) as folder:
        done = list(run_batch(prepared, discover([camera], out=out), folder, **choices))
        write_tables(folder)
        folder.send()
    return done


def test_one_table_has_all_objects_and_one_has_all_pictures(tool, camera, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(tool, micrometres_per_pixel=2.0)
    done = go(prepared, camera, out)
    assert [item.result.count for item in done] == list(COUNTS)
    table = pq.read_table(out / "objects.parquet")
    files = table.column("file").to_pylist()
    assert [files.count(str(camera / f"{n}.png")) for n in range(4)] == list(COUNTS)
    assert table.schema.field("diameter").metadata == {b"unit": "µm".encode()}
    assert json.loads(table.schema.metadata[b"units"])["area"] == "µm²"
    for place, item in enumerate(done):
        rows = [row for row in table.to_pylist() if row["file"].endswith(f"{place}.png")]
        assert [row["diameter"] for row in rows] == item.result.table.columns["diameter"].tolist()
    lines = list(csv.reader(io.StringIO((out / "objects.csv").read_text("utf-8"))))
    assert lines[0][:5] == ["file", "number", "x (px)", "y (px)", "area (µm²)"]
    assert len(lines) == 1 + sum(COUNTS)
    samples = pq.read_table(out / "samples.parquet").to_pylist()
    assert [row["count"] for row in samples] == list(COUNTS)
    for row, item, path in zip(samples, done, sorted(camera.iterdir()), strict=True):
        assert row["file"] == str(path)
        assert row["digest"] == item.result.input_digest
        assert row["tool_digest"] == tool.digest
        assert row["um_per_px"] == 2.0
        assert row["taken"].timestamp() == int(path.stat().st_mtime)
        assert (row["width"], row["height"], row["settings"]) == (200, 150, "{}")
        figures = item.result.figures.values
        assert (row["d10"], row["d50"], row["d90"]) == tuple(figures[f"diameter_d{n}"] for n in (10, 50, 90))
        assert row["mean"] == figures["diameter_mean"]


def test_what_is_done_is_not_done_again_until_tool_settings_or_content_change(tool, camera, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(tool)
    for name in ("0", "3"):
        (camera / f"{name}.png").unlink()
    first = go(prepared, camera, out)
    again = go(prepared, camera, out)
    assert [item.before for item in again] == [True] * 2
    for one, two in zip(first, again, strict=True):
        told_one, told_two = image_answer(one), image_answer(two)
        assert {**told_two, "done_before": False, "seconds": 0} == {**told_one, "seconds": 0}
    draw(camera / "1.png", 6)
    draw(camera / "new.png", 2)
    third = go(prepared, camera, out)
    assert [item.before for item in third] == [False, True, False]
    assert [item.result.count for item in third] == [6, 0, 2]
    assert [item.before for item in go(prepare(tool, settings={"threshold": 0.6}), camera, out)] == [
        False
    ] * 3
    assert [item.before for item in go(prepare(tool, micrometres_per_pixel=3.0), camera, out)] == [False] * 3
    other = prepare(discs_tool(about={"version": "2.0.0"}))
    assert [item.before for item in go(other, camera, out)] == [False] * 3
    assert [item.before for item in go(prepared, camera, out, again=True)] == [False] * 3
    record = Samples.open_file(out / "samples.db")
    rows = list(record.all())
    record.close()
    # 2 first, 2 new, 3 for each of three other conditions; --again adds none.
    assert len(rows) == 4 + 9
    assert len({row.label for row in rows}) == len(rows)


def test_a_result_that_somebody_deleted_is_made_again(tool, camera, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(tool)
    go(prepared, camera, out)
    (out / "1.overlay.png").unlink()
    (out / "objects" / "3.parquet").unlink()
    assert [item.before for item in go(prepared, camera, out)] == [True, False, True, False]
    assert (out / "1.overlay.png").exists()
    assert pq.read_table(out / "objects.parquet").num_rows == sum(COUNTS)


def test_files_of_one_name_keep_their_own_results_over_many_runs(tool, camera, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(tool)
    (camera / "b").mkdir()
    draw(camera / "b" / "0.png", 4)
    go(prepared, camera, out)
    (camera / "a").mkdir()
    draw(camera / "a" / "0.png", 9)
    done = go(prepared, camera, out)
    assert [item.before for item in done] == [True, True, True, True, False, True]
    files = [file for item in done for file in item.result.files]
    assert len(files) == len(set(files))
    for item in done:
        told = next(file for file in item.result.files if file.name.endswith("result.json"))
        assert json.loads(told.read_bytes())["figures"]["count"] == item.result.count


KILLED = """
import os, sys
from pathlib import Path
sys.path.insert(0, sys.argv[1])
from toolmaking import discs_tool
from cloister.tools.batch import running
from cloister.tools.batch.discovery import discover
from cloister.tools.run import prepare
honest, calls = running.Samples.put, []
def deadly(self, row):
    calls.append(row)
    if len(calls) == 3:
        os._exit(9)
    honest(self, row)
running.Samples.put = deadly
prepared = prepare(discs_tool())
with running.hold(Path(sys.argv[3]), prepared) as folder:
    list(running.run_batch(prepared, discover([Path(sys.argv[2])]), folder))
"""


def complete(out):
    assert pq.read_table(out / "objects.parquet").num_rows == sum(COUNTS)
    assert pq.read_table(out / "samples.parquet").num_rows == len(COUNTS)


def test_a_batch_that_is_killed_goes_on_and_counts_nothing_twice(tool, camera, tmp_path):
    out = tmp_path / "out"
    arguments = [str(Path(__file__).parent), str(camera), str(out)]
    assert subprocess.run([sys.executable, "-c", KILLED, *arguments], check=False).returncode == 9
    done = go(prepare(tool), camera, out)
    assert [item.before for item in done] == [True, True, False, False]
    complete(out)


@pytest.mark.parametrize(
    ("place", "done_before"),
    [
        ("cloister.tools.run.write_outputs", 1),
        ("cloister.tools.batch.objects.write_piece", 1),
        ("cloister.tools.batch.samples.Samples.put", 2),
    ],
)
def test_a_batch_that_is_interrupted_after_any_step_goes_on(
    tool, camera, tmp_path, monkeypatch, place, done_before
):
    out = tmp_path / "out"
    module, _, name = place.rpartition(".")
    owner = pkgutil.resolve_name(module.replace(".Samples", ":Samples"))
    honest = getattr(owner, name)

    def interrupted(*arguments):
        made = honest(*arguments)
        # Of two pictures at work at a time, either may come to a step first: the second one is interrupted by its name.
        if any(argument == "1" or getattr(argument, "label", "") == "1" for argument in arguments):
            raise KeyboardInterrupt
        return made

    with monkeypatch.context() as patched:
        patched.setattr(owner, name, interrupted)
        with pytest.raises(KeyboardInterrupt):
            go(prepare(tool), camera, out)
    done = go(prepare(tool), camera, out)
    assert [item.before for item in done] == [True] * done_before + [False] * (4 - done_before)
    complete(out)


def test_a_full_disk_stops_the_batch_and_what_was_done_stays(tool, camera, tmp_path, monkeypatch):
    out = tmp_path / "out"
    prepared = prepare(tool)
    honest, calls = running.objects.write_piece, []

    def full(*arguments):
        calls.append(arguments)
        if len(calls) == 3:
            raise OutOfSpace("There is no space left.", "", "Free some space.")
        return honest(*arguments)

    monkeypatch.setattr(running.objects, "write_piece", full)
    with pytest.raises(OutOfSpace):
        go(prepared, camera, out)
    assert [item.before for item in go(prepared, camera, out)] == [True, True, False, False]


def test_an_error_has_a_row_until_the_file_can_be_used(tool, camera, tmp_path):
    out = tmp_path / "out"
    prepared = prepare(tool)
    (camera / "1.png").write_bytes(b"nonsense")
    done = go(prepared, camera, out)
    answer = image_answer(done[1])
    assert answer["file"] == str(camera / "1.png")
    assert set(answer["error"]) >= {"what", "why", "remedy", "type", "title", "detail"}
    assert answer["crystals"] == []
    row = pq.read_table(out / "samples.parquet").to_pylist()[1]
    assert row["count"] is None
    assert json.loads(row["error"])["what"] == answer["error"]["what"]
    draw(camera / "1.png", 5)
    assert [item.before for item in go(prepared, camera, out)] == [True, False, True, True]
    assert [row["count"] for row in pq.read_table(out / "samples.parquet").to_pylist()] == list(COUNTS)


def test_two_processes_do_not_write_into_one_folder_nor_results_among_pictures(tool, camera, tmp_path):
    prepared = prepare(tool)
    with (
        hold(tmp_path / "out", prepared),
        pytest.raises(Conflict, match="Another process"),
        hold(tmp_path / "out", prepared),
    ):
        pass
    with pytest.raises(BadInput, match="among the pictures"):
        check_places([camera], camera)
    check_places([camera], camera / "results")


def test_the_plants_own_database_gets_every_row_once_also_after_it_was_away(tool, camera, tmp_path):
    prepared = prepare(tool)
    out = tmp_path / "out"
    go(prepared, camera, out)
    plant = Samples.open_file(tmp_path / "plant.db")
    for _ in range(2):
        go(prepared, camera, out, plant)
    go(prepared, camera, out, plant, again=True)
    assert [row.count for row in plant.all()] == list(COUNTS)

    class Away:
        def put(self, _row, _found):
            raise OutOfSpace("There is no space left.", "", "")

    draw(camera / "new.png", 2)
    with hold(out, prepared, Away()) as folder:
        list(run_batch(prepared, discover([camera]), folder))
        assert isinstance(folder.send(), OutOfSpace)
    go(prepared, camera, out, plant)
    assert [row.count for row in plant.all()] == [*COUNTS, 2]
    plant.close()


def outlines(rows):
    numbers = np.arange(rows, dtype=np.float64)
    names = [
        "x",
        "y",
        "area",
        "diameter",
        "feret",
        "feret_min",
        "feret_90",
        "perimeter",
        "aspect_ratio",
        "circularity",
        "convexity",
        "solidity",
        "strength",
        "focus",
    ]
    columns = {name: numbers + place for place, name in enumerate(names)}
    flags = {"agglomerate": np.array([0, 1, 1, 2])[np.arange(rows) % 4], "border": np.zeros(rows, np.int64)}
    return t.Table(
        {"number": np.arange(1, rows + 1), **columns, **flags},
        {"x": "px", "y": "px", "area": "µm²", "diameter": "µm", "feret": "µm", "feret_min": "µm"},
    )


def test_tables_of_outlines_tell_length_width_and_agglomerates():
    table = outlines(4)
    told = objects.crystals(table)
    assert told[1] == {
        "x": 1.0, "y": 2.0, "length": 5.0, "width": 6.0, "area": 3.0, "ecd": 4.0, "circularity": 10.0,
        "focus": 14.0, "agglomerate": True, "border": False,
    }  # fmt: skip
    assert objects.units_of(table) == {
        "x": "px", "y": "px", "area": "µm²", "ecd": "µm", "length": "µm", "width": "µm",
    }  # fmt: skip
    assert objects.agglomerates(table) == 2
    bare = objects.crystals(t.Table({"x": np.array([1.0, np.nan])}))
    assert bare[1] == dict.fromkeys(objects.CRYSTAL)


def test_pieces_with_other_columns_fit_into_one_table_but_not_with_other_units(tmp_path):
    one = objects.write_piece(tmp_path, "one", outlines(3))
    fewer = t.Table(
        {"number": np.array([1]), "x": np.array([2]), "note": np.array(["=cmd()"], object)}, {"x": "px"}
    )
    two = objects.write_piece(tmp_path, "two", fewer)
    empty = objects.write_piece(tmp_path, "none", outlines(0))
    csv_path, parquet_path, rows = objects.combine(tmp_path, [("a", one), ("=b", two), ("c", empty)])
    assert rows == 4
    table = pq.read_table(parquet_path)
    assert table.column("x").to_pylist() == [0.0, 1.0, 2.0, 2.0]
    assert table.column("area").to_pylist()[-1] is None
    assert table.column("note").to_pylist() == [None, None, None, "=cmd()"]
    last = csv_path.read_text("utf-8").splitlines()[-1]
    assert '"\'=b"' in last
    assert '"\'=cmd()"' in last
    for name, kept in (("one", outlines(3)), ("two", fewer)):
        back = objects.read_piece(objects.piece(tmp_path, name))
        assert {k: v.tolist() for k, v in back.columns.items()} == {
            k: v.tolist() for k, v in kept.columns.items()
        }
        assert back.units == kept.units
    in_pixels = t.Table({"diameter": np.array([1.0])}, {"diameter": "px"})
    with pytest.raises(BadInput, match="different units"):
        objects.combine(tmp_path, [("a", one), ("b", objects.write_piece(tmp_path, "px", in_pixels))])
    one.write_bytes(b"nonsense")
    with pytest.raises(BadInput, match="cannot be read"):
        objects.combine(tmp_path, [("a", one)])
