"""The catalogue entry: complete, frozen, and telling nothing that the owner did not choose to tell."""

from __future__ import annotations

import contextlib
import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.data.schema import (
    Column,
    DatasetDescription,
    ImageFacts,
    UnitOfPrivacy,
    most_records,
    parse_description,
    size_band,
)
from cloister.foundation.errors import BadInput, CloisterError


def table(**changes):
    fields = {
        "name": "shipments",
        "title": "Shipments 2026",
        "kind": "table",
        "columns": (
            Column(name="weight", kind="real", unit="kg"),
            Column(name="customer", kind="text", sensitivity="personal"),
        ),
        "unit_of_privacy": UnitOfPrivacy(kind="column", column="customer"),
        "residency": "DE",
        "owner": "party-1",
        "commitment": "sha256:" + "ab" * 32,
        "registered": "2026-11-22T14:00:00Z",
    }
    return DatasetDescription(**(fields | changes))


def test_a_column_without_a_stated_sensitivity_is_confidential():
    assert table().columns[0].sensitivity == "confidential"
    assert ImageFacts().sensitivity == "confidential"


def test_a_description_survives_its_canonical_bytes_and_keeps_its_digest():
    made = parse_description(table().canonical())
    assert made == table()
    assert made.digest() == table().digest()
    assert made.digest() != table(version=2).digest()


def test_a_description_cannot_be_altered():
    with pytest.raises(ValidationError):
        table().title = "other"


@pytest.mark.parametrize(
    "changes",
    [
        {"residency": "XX"},
        {"residency": "de"},
        {"registered": "yesterday"},
        {"name": "../etc"},
        {"name": "With Spaces"},
        {"commitment": "abc"},
        {"columns": ()},
        {
            "columns": (Column(name="a", kind="text"), Column(name="a", kind="text")),
            "unit_of_privacy": UnitOfPrivacy(kind="record"),
        },
        {"unit_of_privacy": UnitOfPrivacy(kind="column", column="nobody")},
        {"unit_of_privacy": UnitOfPrivacy(kind="image")},
        {"kind": "image-points"},
        {"image": ImageFacts()},
        {"title": "two\nlines"},
        {"size_band": "1234"},
        {"version": 0},
        {"owner": ""},
    ],
)
def test_a_description_that_contradicts_itself_is_refused(changes):
    with pytest.raises((ValidationError, CloisterError)):
        table(**changes)


def test_a_unit_of_privacy_by_column_names_the_column():
    with pytest.raises(ValidationError):
        UnitOfPrivacy(kind="column")
    with pytest.raises(ValidationError):
        UnitOfPrivacy(kind="record", column="a")


def test_an_unknown_field_is_refused_and_named_without_its_value():
    content = json.loads(table().canonical()) | {"records": 4711}
    with pytest.raises(BadInput) as caught:
        parse_description(json.dumps(content).encode())
    assert "records" in caught.value.why
    assert "4711" not in str(caught.value)


def test_bands_never_tell_the_count():
    assert size_band(99) == "under 100"
    assert size_band(100) == size_band(999) == "100 to 1000"
    assert size_band(10**9) == "over 1000000"


@given(st.integers(0, 10**9))
def test_a_band_bounds_what_it_stands_for(records):
    most = most_records(size_band(records))
    assert records < most if most is not None else records >= 10**6


@settings(max_examples=100)
@given(st.one_of(st.binary(max_size=100), st.data()))
def test_foreign_bytes_give_a_description_or_a_clear_error(foreign):
    if not isinstance(foreign, bytes):
        good = bytearray(table().canonical())
        for _ in range(foreign.draw(st.integers(0, 4))):
            good[foreign.draw(st.integers(0, len(good) - 1))] = foreign.draw(st.integers(0, 255))
        foreign = bytes(good)
    with contextlib.suppress(CloisterError):
        assert isinstance(parse_description(foreign), DatasetDescription)


@pytest.mark.parametrize("mark", ["\u202e", "\u2066", "\u200f", "\x9b", "\x1b", "\u2028", "\n", "\ufeff"])
@pytest.mark.parametrize("field", ["title", "column", "unit", "description"])
def test_what_people_read_of_a_dataset_holds_nothing_that_acts(mark, field):
    """Rule 4."""
    document = json.loads(table().canonical())
    text = f"a{mark}b"
    if field == "title":
        document["title"] = text
    else:
        document["columns"][0]["name" if field == "column" else field] = text
    with pytest.raises(BadInput):
        parse_description(json.dumps(document).encode())
