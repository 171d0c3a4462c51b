"""Registering datasets, and the rules that data.registry states."""

from __future__ import annotations

import json
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from cloister.data import commitment as merkle
from cloister.data.registry import (
    DatasetChanged,
    DatasetFields,
    load,
    looks_unchanged,
    register,
    save,
    verify_unchanged,
)
from cloister.data.schema import UnitOfPrivacy
from cloister.data.tables import rows_of
from cloister.foundation.errors import BadInput, NotFound, Tampered

SALT = bytes(range(32))
NOW = 1_800_000_000


def fields(**changes):
    return DatasetFields(**({"name": "set", "title": "Set", "owner": "party-1", "residency": "DE"} | changes))


@pytest.fixture
def images(tmp_path):
    home = tmp_path / "SECRET-folder"
    (home / "images").mkdir(parents=True)
    (home / "labels").mkdir()
    for i in range(4):
        Image.fromarray(np.full((20, 30), i * 40, np.uint8)).save(home / "images" / f"SECRET{i}.png")
        (home / "labels" / f"SECRET{i}.json").write_text(json.dumps({"centres": [[i, i]], "diameters": [3]}))
    return home


@pytest.fixture
def table(tmp_path):
    path = tmp_path / "SECRET.csv"
    path.write_text("id,weight\n" + "".join(f"{i},{i}.5\n" for i in range(20)))
    return path


def test_an_image_dataset_registers_and_is_found_unchanged(images):
    registration = register(images, fields(), SALT, now=NOW)
    verify_unchanged(registration)
    assert looks_unchanged(registration)
    assert registration.description.image.labels == "centres and diameters"
    assert registration.description.unit_of_privacy.kind == "image"
    assert len(registration.images()) == 4


def test_a_table_registers_and_is_found_unchanged(table):
    registration = register(
        table, fields(unit_of_privacy=UnitOfPrivacy(kind="column", column="id")), SALT, now=NOW
    )
    verify_unchanged(registration)
    assert [column.name for column in registration.description.columns] == ["id", "weight"]
    assert registration.table().num_rows == 20


def test_rule_2_the_catalogue_entry_tells_no_name_path_count_or_salt(images, table):
    for source in (images, table):
        registration = register(source, fields(), SALT, now=NOW)
        told = registration.description.canonical().decode()
        assert "SECRET" not in told
        assert SALT.hex() not in told
        assert registration.description.size_band is None
        assert SALT.hex() not in repr(registration)
    assert register(table, fields(tell_size=True), SALT, now=NOW).description.size_band == "under 100"


def test_every_record_can_be_proved_later(images, table):
    registration = register(table, fields(), SALT, now=NOW)
    columns = registration.description.columns
    prefix = merkle.schema_prefix(columns)
    for index, row in enumerate(rows_of(registration.table(), columns)):
        merkle.verify(
            registration.description.commitment,
            merkle.row_record(prefix, columns, row),
            registration.prove(index),
        )
    registration = register(images, fields(), SALT, now=NOW)
    facts = {fact.path: fact.content for fact in registration.manifest.files}
    for index, image in enumerate(registration.images()):
        record = merkle.image_record(facts[f"images/{image.path.name}"], image.labels.as_json())
        merkle.verify(registration.description.commitment, record, registration.prove(index))


def test_the_same_rows_as_csv_and_as_parquet_have_one_commitment(table, tmp_path):
    registered = register(table, fields(), SALT, now=NOW)
    other = tmp_path / "other.parquet"
    pq.write_table(pa.table(registered.table()), other)
    assert (
        register(other, fields(), SALT, now=NOW).description.commitment == registered.description.commitment
    )


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_rule_1_any_flipped_byte_is_noticed_even_with_size_and_time_unchanged(images, table, data):
    source = data.draw(st.sampled_from([images, table]))
    registration = register(source, fields(), SALT, now=NOW)
    paths = [source] if source.is_file() else sorted(path for path in source.rglob("*") if path.is_file())
    path = data.draw(st.sampled_from(paths))
    before, stat = path.read_bytes(), path.stat()
    changed = bytearray(before)
    changed[data.draw(st.integers(0, len(changed) - 1))] ^= data.draw(st.integers(1, 255))
    try:
        path.write_bytes(bytes(changed))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert looks_unchanged(registration)
        with pytest.raises(DatasetChanged) as caught:
            verify_unchanged(registration)
        assert any(path.name in line for line in caught.value.local)
        assert "SECRET" not in str(caught.value)
        assert "SECRET" not in json.dumps(caught.value.problem())
    finally:
        path.write_bytes(before)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    verify_unchanged(registration)


def test_added_and_missing_files_are_noticed(images):
    registration = register(images, fields(), SALT, now=NOW)
    Image.fromarray(np.zeros((20, 30), np.uint8)).save(images / "images" / "new.png")
    (images / "labels" / "SECRET0.json").unlink()
    assert not looks_unchanged(registration)
    with pytest.raises(DatasetChanged) as caught:
        verify_unchanged(registration)
    assert caught.value.local[0].startswith("2 of 8 files")
    assert "labels/SECRET0.json is missing" in caught.value.local
    assert "images/new.png was added" in caught.value.local


def test_the_whole_folder_gone_is_noticed(images):
    registration = register(images, fields(), SALT, now=NOW)
    images.rename(images.with_name("elsewhere"))
    with pytest.raises(DatasetChanged):
        verify_unchanged(registration)


def test_changed_rows_of_a_table_are_named_to_the_owner(table):
    registration = register(table, fields(), SALT, now=NOW)
    lines = table.read_text().splitlines()
    lines[5] = "4,99.5"
    table.write_text("\n".join([*lines, "77,1.5"]) + "\n")
    with pytest.raises(DatasetChanged) as caught:
        verify_unchanged(registration)
    assert "There are 21 rows; 20 were registered." in caught.value.local
    assert "Rows that differ (from 1): 5." in caught.value.local


def test_a_registration_is_saved_privately_and_read_back(table, tmp_path):
    registration = register(table, fields(), SALT, now=NOW)
    save(registration, tmp_path / "reg")
    assert load(tmp_path / "reg") == registration
    if os.name == "posix":
        for name in ("manifest.json", "leaves"):
            assert (tmp_path / "reg" / name).stat().st_mode & 0o077 == 0


def test_halves_of_two_registrations_are_refused_together(table, tmp_path):
    save(register(table, fields(), SALT, now=NOW), tmp_path / "one")
    save(register(table, fields(), bytes(32), now=NOW), tmp_path / "two")
    (tmp_path / "one" / "leaves").write_bytes((tmp_path / "two" / "leaves").read_bytes())
    with pytest.raises(Tampered):
        load(tmp_path / "one")


def test_what_cannot_be_registered_is_refused_with_advice(tmp_path, table):
    with pytest.raises(NotFound):
        register(tmp_path / "none", fields(), SALT, now=NOW)
    empty = tmp_path / "empty.csv"
    empty.write_text("a,b\n")
    with pytest.raises(BadInput, match="no rows"):
        register(empty, fields(), SALT, now=NOW)
    with pytest.raises(BadInput, match="salt"):
        register(table, fields(), b"short", now=NOW)
    with pytest.raises(BadInput, match="residency"):
        register(table, fields(residency="Germany"), SALT, now=NOW)
    with pytest.raises(BadInput, match="another kind"):
        register(table, fields(), SALT, now=NOW).images()


def test_a_file_changed_while_it_is_registered_is_noticed(table, monkeypatch):
    from cloister.data import registry

    honest = registry.read_table

    def racing(path, *args, **kwargs):
        made = honest(path, *args, **kwargs)
        path.write_text(path.read_text() + "99,1.5\n")
        return made

    monkeypatch.setattr(registry, "read_table", racing)
    with pytest.raises(DatasetChanged):
        register(table, fields(), SALT, now=NOW)
