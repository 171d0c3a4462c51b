"""A row's record is read back as it was written, in one form only, and foreign bytes never crash."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.data.commitment import row_record, schema_prefix
from cloister.data.rows import row_values
from cloister.data.schema import Column
from cloister.foundation.errors import BadInput

VALUES = {
    "boolean": st.booleans(),
    "integer": st.integers(-(2**63), 2**63 - 1),
    "real": st.floats(allow_nan=False, allow_infinity=False).map(lambda value: value + 0.0),
    "text": st.text(max_size=20),
    "timestamp": st.integers(-(2**63), 2**63 - 1),
}
COLUMNS = tuple(Column(name=kind, kind=kind) for kind in VALUES)
PREFIX = schema_prefix(COLUMNS)
ROWS = st.tuples(*(st.none() | values for values in VALUES.values()))


@given(ROWS)
def test_a_row_comes_back_as_it_was(row):
    assert row_values(PREFIX, COLUMNS, row_record(PREFIX, COLUMNS, row)) == row


@given(ROWS, st.data())
def test_changed_bytes_are_refused_or_mean_another_row_written_in_its_one_form(row, data):
    record = bytearray(row_record(PREFIX, COLUMNS, row))
    at = data.draw(st.integers(0, len(record) - 1))
    record[at] ^= data.draw(st.integers(1, 255))
    with contextlib.suppress(BadInput):
        found = row_values(PREFIX, COLUMNS, bytes(record))
        assert row_record(PREFIX, COLUMNS, found) == bytes(record)


@given(st.binary(max_size=80))
def test_any_bytes_behind_the_prefix_are_read_or_refused(data):
    for record in (data, PREFIX + data):
        with contextlib.suppress(BadInput):
            assert row_record(PREFIX, COLUMNS, row_values(PREFIX, COLUMNS, record)) == record


def test_what_is_left_over_or_cut_short_is_refused():
    record = row_record(PREFIX, COLUMNS, (True, 1, 1.0, "x", 1))
    for wrong in (record + b"\0", record[:-1], record[1:], b""):
        with pytest.raises(BadInput):
            row_values(PREFIX, COLUMNS, wrong)
