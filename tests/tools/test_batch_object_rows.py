"""The table of objects in a plant's own database, in SQLite and PostgreSQL: with its sample or not at all, and once."""

from __future__ import annotations

import math
import os
import threading
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import create_engine, text
from toolmaking import discs, discs_tool, png, spread_centres

from cloister.foundation.errors import CloisterError, Refused, Unreachable
from cloister.tools import types as t
from cloister.tools.batch import object_rows
from cloister.tools.batch.discovery import discover
from cloister.tools.batch.object_rows import rows_of
from cloister.tools.batch.running import hold, run_batch
from cloister.tools.batch.samples import VERSION, Sample, Samples
from cloister.tools.run import prepare

POSTGRES = os.environ.get("CLOISTER_TEST_POSTGRES", "")
COUNTS = (3, 0, 5)


class Place:
    """A database that is empty at first."""

    def __init__(self, url):
        self.url = url

    def open(self, *, with_objects=True):
        if self.url.startswith("sqlite"):
            from pathlib import Path

            return Samples.open_file(Path(self.url.removeprefix("sqlite:///")), with_objects=with_objects)
        return Samples.open_server(self.url, with_objects=with_objects)

    def ask(self, *statements):
        engine = create_engine(self.url)
        with engine.begin() as connection:
            for statement in statements:
                found = connection.execute(text(statement))
            rows = [tuple(row) for row in found] if found.returns_rows else []
        engine.dispose()
        return rows


@pytest.fixture(params=["sqlite", "postgresql"])
def place(request, tmp_path):
    if request.param == "sqlite":
        return Place(f"sqlite:///{tmp_path / 'plant.db'}")
    if not POSTGRES:
        pytest.skip("CLOISTER_TEST_POSTGRES names no server")
    made = Place(POSTGRES)
    made.ask("drop schema public cascade", "create schema public")
    return made


@pytest.fixture(scope="module")
def prepared():
    return prepare(discs_tool(), micrometres_per_pixel=2.0)


@pytest.fixture
def camera(tmp_path):
    folder = tmp_path / "camera"
    folder.mkdir()
    for number, count in enumerate(COUNTS):
        (folder / f"{number}.png").write_bytes(
            png(discs(200, 150, spread_centres(200, 150, count, seed=count)))
        )
    return folder


def go(prepared, camera, out, plant, **choices):
    with hold(out, prepared, plant) as folder:
        done = list(run_batch(prepared, discover([camera], out=out), folder, **choices))
        return done, folder.send()


def test_each_object_is_a_row_beside_its_sample_and_once_however_often_it_is_sent(
    prepared, camera, tmp_path, place
):
    plant = place.open()
    done, failed = go(prepared, camera, tmp_path / "out", plant)
    assert failed is None
    for choices in ({}, {"again": True}):
        assert go(prepared, camera, tmp_path / "out", plant, **choices)[1] is None
    samples = list(plant.all())
    assert [sample.count for sample in samples] == list(COUNTS)
    for sample, item in zip(samples, done, strict=True):
        rows = plant.objects(sample.key)
        assert len(rows) == sample.count
        assert [row["diameter"] for row in rows] == item.result.table.columns["diameter"].tolist()
        assert [row["number"] for row in rows] == item.result.table.columns["number"].tolist()
        assert {(row["picture"], row["unit"]) for row in rows} <= {(sample.digest, "µm")}
        assert all(isinstance(row["border"], bool) and row["feret_90"] is None for row in rows)
    plant.close()
    joined = place.ask(
        "select samples.file, count(*) from objects join samples on samples.key = objects.sample"
        " where not border and diameter > 0 group by samples.file"
    )
    assert len(joined) == 2


def test_a_sample_and_its_objects_are_written_together_or_not_at_all(
    prepared, camera, tmp_path, place, monkeypatch
):
    plant = place.open()
    honest = object_rows.put

    def half(connection, table, rows):
        honest(connection, table, rows[:2])
        raise Unreachable("The cable was pulled.", "", "")

    with monkeypatch.context() as patched:
        patched.setattr(object_rows, "put", half)
        assert isinstance(go(prepared, camera, tmp_path / "out", plant)[1], Unreachable)
    assert list(plant.all()) == []
    assert place.ask("select count(*) from objects") == [(0,)]
    # Sent, but not marked as sent: the process died in between. It is sent again, and is there once.
    with monkeypatch.context() as patched:
        patched.setattr(
            Samples, "mark_sent", lambda _self, _row: (_ for _ in ()).throw(Unreachable("", "", ""))
        )
        assert isinstance(go(prepared, camera, tmp_path / "out", plant)[1], Unreachable)
    assert go(prepared, camera, tmp_path / "out", plant)[1] is None
    assert place.ask("select count(*) from objects") == [(sum(COUNTS),)]
    plant.close()


def test_a_database_of_the_first_version_is_brought_up_to_date_and_gets_the_objects_of_what_it_has(
    prepared, camera, tmp_path, place
):
    out = tmp_path / "out"
    first = place.open(with_objects=False)
    go(prepared, camera, out, first)
    first.close()
    older = [
        f"alter table samples drop column {name}"
        for name in ("calibration", "models", "certificate", "software")
    ]
    older.append("update samples_version set version = 1")
    place.ask(*older)
    Place(f"sqlite:///{out / 'samples.db'}").ask(*older)
    plant = place.open()
    assert [sample.models for sample in plant.all()] == [None] * len(COUNTS)
    done, failed = go(prepared, camera, out, plant)
    assert failed is None
    assert all(item.before for item in done)
    assert [len(plant.objects(sample.key)) for sample in list(plant.all())] == list(COUNTS)
    plant.close()
    assert place.ask("select version from samples_version") == [(VERSION,)]


def test_another_programs_objects_are_not_touched(place):
    place.ask("create table objects (id integer, mine text)", "insert into objects values (1, 'keep')")
    with pytest.raises(Refused) as caught:
        place.open()
    assert caught.value.clause == "samples-database"
    assert place.ask("select mine from objects") == [("keep",)]
    place.open(with_objects=False).close()


def test_several_watches_that_start_at_once_make_the_tables_once(place):
    wrong = []

    def start():
        try:
            place.open().close()
        except CloisterError as error:
            wrong.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert place.ask("select version from samples_version") == [(VERSION,)]


def test_a_failure_that_is_replaced_leaves_no_objects_behind(place):
    plant = place.open()
    row = Sample(
        key="k1", file="/p/a.png", digest="sha256:1", size=1, modified_ns=1, taken=1, computed=1, seconds=0.1,
        tool="crystals", version="1", tool_digest="sha256:a", settings="{}", um_per_px=None, label="a",
    )  # fmt: skip
    found = rows_of("k1", "sha256:1", t.Table({"x": np.arange(2.0), "y": np.arange(2.0)}, {}))
    plant.put(replace(row, error="{}"), found)
    plant.put(
        replace(row, key="k2"), rows_of("k2", "sha256:1", t.Table({"x": np.ones(1), "y": np.ones(1)}, {}))
    )
    assert [(item["sample"], item["number"]) for item in plant.objects("k2")] == [("k2", 1)]
    assert place.ask("select count(*) from objects") == [(1,)]
    plant.close()


_columns = st.sampled_from(["x", "y", "diameter", "number", "agglomerate", "border", "strength", "label"])
_reals = st.floats(allow_nan=True, allow_infinity=True, width=32)


@given(st.integers(0, 3), st.dictionaries(_columns, st.lists(_reals, min_size=3, max_size=3)))
@settings(max_examples=40, deadline=None)
def test_any_table_gives_rows_that_a_database_takes(rows, columns):
    table = t.Table({name: np.array(values[:rows]) for name, values in columns.items()}, {"diameter": "px"})
    made = rows_of("k", "sha256:1", table)
    assert len(made) in (0, rows)
    assert len({row["number"] for row in made}) == len(made)
    for row in made:
        assert all(not isinstance(value, float) or math.isfinite(value) for value in row.values())
        assert row["agglomerate"] is None or 0 <= row["agglomerate"] < 2**31


def test_a_table_of_other_things_has_no_objects():
    assert rows_of("k", "sha256:1", None) == []
    assert rows_of("k", "sha256:1", t.Table({"row": np.arange(3)}, {})) == []
