"""The table of samples in SQLite and PostgreSQL: one row per key, another's tables untouched, no password in arguments."""

from __future__ import annotations

import os
import sqlite3
from dataclasses import replace

import pytest
from sqlalchemy import create_engine, text

from cloister.foundation.errors import BadInput, NotFound, Refused, Unreachable
from cloister.storage.database import Database
from cloister.tools.batch.places import VARIABLE, plant_database, read_database
from cloister.tools.batch.samples import VERSION, Conditions, Sample, Samples

POSTGRES = os.environ.get("CLOISTER_TEST_POSTGRES", "")
UNDER = Conditions.of("sha256:a", {"threshold": 0.5}, None)


def row(file="/p/a.png", digest="sha256:1", label="a", **changes):
    made = Sample(
        key=UNDER.key(file, digest), file=file, digest=digest, size=10, modified_ns=1_700_000_000_123_456_789,
        taken=1_700_000_000, computed=1_700_000_100, seconds=0.5, tool="crystals", version="1", tool_digest="sha256:a",
        settings=UNDER.settings, um_per_px=None, label=label, count=3, d50=12.5, figures='{"values": {}, "units": {}}',
    )  # fmt: skip
    return replace(made, **changes)


@pytest.fixture(params=["sqlite", "postgresql"])
def table(request, tmp_path):
    if request.param == "postgresql":
        if not POSTGRES:
            pytest.skip("CLOISTER_TEST_POSTGRES names no server")
        engine = create_engine(POSTGRES)
        with engine.begin() as connection:
            connection.execute(text("drop schema public cascade"))
            connection.execute(text("create schema public"))
        engine.dispose()
        opened = Samples.open_server(POSTGRES)
    else:
        opened = Samples.open_file(tmp_path / "samples.db")
    yield opened
    opened.close()


def test_a_row_comes_back_as_it_was_and_there_is_one_per_key(table):
    table.put(row())
    table.put(row(count=4))
    assert list(table.all()) == [row(count=4)]
    assert table.get(row().key) == row(count=4)
    assert table.get("sha256:none") is None
    table.put(row(digest="sha256:2", label="a-2"))
    assert len(list(table.all(UNDER))) == 2
    assert list(table.all(replace(UNDER, um_per_px=2.0))) == []


def test_a_file_is_known_by_name_size_and_time_under_its_conditions_only(table):
    table.put(row())
    assert table.seen("/p/a.png", 10, 1_700_000_000_123_456_789, UNDER)
    assert not table.seen("/p/a.png", 11, 1_700_000_000_123_456_789, UNDER)
    assert not table.seen("/p/a.png", 10, 1_700_000_000_123_456_788, UNDER)
    assert not table.seen("/p/a.png", 10, 1_700_000_000_123_456_789, replace(UNDER, um_per_px=1.0))
    assert table.label_taken("A", "another")
    assert not table.label_taken("a", row().key)


def test_a_failure_goes_when_the_file_can_be_used_and_stays_under_other_conditions(table):
    other = Conditions.of("sha256:a", {}, None)
    failed = row(digest="", label="", error="{}", count=None)
    elsewhere = replace(failed, key=other.key(failed.file, ""), settings=other.settings)
    for item in (failed, elsewhere, row()):
        table.put(item)
    assert {item.key for item in table.all()} == {elsewhere.key, row().key}


def test_what_is_not_sent_is_known(table):
    table.put(row())
    table.put(row(digest="sha256:2", label="b"))
    table.mark_sent(row())
    assert [item.digest for item in table.unsent(10)] == ["sha256:2"]


def test_a_newer_database_and_another_programs_samples_are_not_touched(tmp_path):
    Samples.open_file(tmp_path / "s.db").close()
    Samples.open_file(tmp_path / "s.db").close()
    with sqlite3.connect(tmp_path / "s.db") as raw:
        assert raw.execute("select version from samples_version").fetchall() == [(VERSION,)]
        raw.execute("update samples_version set version = ?", (VERSION + 1,))
    with pytest.raises(Refused) as caught:
        Samples.open_file(tmp_path / "s.db")
    assert caught.value.clause == "schema-newer"
    Database.open(tmp_path / "node").close()
    with pytest.raises(Refused) as caught:
        Samples.open_file(tmp_path / "node" / "cloister.db")
    assert caught.value.clause == "samples-database"
    (tmp_path / "text.db").write_text("I am no database, and long enough to be seen as none." * 20)
    with pytest.raises(BadInput, match="is none, or damaged"):
        Samples.open_file(tmp_path / "text.db")
    with pytest.raises(BadInput, match="cannot be opened"):
        Samples.open_file(tmp_path / "missing" / "s.db")


def test_a_password_never_comes_by_an_argument(tmp_path):
    for url in (
        "postgresql+psycopg://me:secret@host/db",
        "postgresql+psycopg://me@host/db?password=secret",
        "postgresql+psycopg://me:sec ret@host:port/db",
    ):
        with pytest.raises(Refused) as caught:
            plant_database(url, None, {})
        assert caught.value.clause == "no-password-in-arguments"
        assert "secret" not in str(caught.value)
    file = tmp_path / "url"
    # Nothing listens on port 9 of this machine.
    file.write_text("postgresql+psycopg://me:secret@127.0.0.1:9/db?connect_timeout=2\n")
    with pytest.raises(Unreachable) as unreachable:
        plant_database(None, file, {})
    assert "secret" not in str(unreachable.value)
    with pytest.raises(BadInput, match="Two databases"):
        plant_database("x.db", file, {})
    with pytest.raises(BadInput, match="URL cannot be used"):
        plant_database("mysql://host/db", None, {})


def test_a_database_is_found_by_argument_file_environment_or_folder(tmp_path):
    assert plant_database(None, None, {}) is None
    made = plant_database(None, None, {VARIABLE: str(tmp_path / "plant.db")})
    made.put(row())
    made.close()
    pointer = tmp_path / "where"
    pointer.write_text(f"{tmp_path / 'plant.db'}\n")
    out = tmp_path / "out"
    out.mkdir()
    (tmp_path / "plant.db").rename(out / "samples.db")
    opened = read_database(str(out), None, {})
    assert len(list(opened.all())) == 1
    opened.close()
    with pytest.raises(NotFound):
        read_database(None, pointer, {})
    with pytest.raises(NotFound):
        read_database(str(tmp_path), None, {})
    with pytest.raises(BadInput, match="No database is named"):
        read_database(None, None, {})
    assert not (tmp_path / "plant.db").exists()
