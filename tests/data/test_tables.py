"""CSV and Parquet: kinds told strictly, errors by line and column, never the value."""

from __future__ import annotations

import contextlib
import datetime as dt
import io

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.data.column_kinds import TableLimits
from cloister.data.csv_tables import parse_csv
from cloister.data.tables import columns_of, parse_parquet, read_table, rows_of
from cloister.foundation.errors import BadInput, CloisterError, NotFound


def kinds(table):
    return {column.name: column.kind for column in columns_of(table)}


def rows(table):
    return list(rows_of(table, columns_of(table)))


def test_kinds_are_told_from_all_values():
    table = parse_csv(
        b"a,b,c,d,e\n1,2.5,x,true,2026-01-02\n,,,,\n+3,-1e3,y,FALSE,2026-01-02T03:04:05+02:00\n"
    )
    assert kinds(table) == {"a": "integer", "b": "real", "c": "text", "d": "boolean", "e": "timestamp"}
    first = int(dt.datetime(2026, 1, 2, tzinfo=dt.UTC).timestamp()) * 10**6
    second = int(dt.datetime(2026, 1, 2, 1, 4, 5, tzinfo=dt.UTC).timestamp()) * 10**6
    assert rows(table) == [(1, 2.5, "x", True, first), (None,) * 5, (3, -1000.0, "y", False, second)]


def test_a_text_at_the_very_end_is_seen():
    body = "a\n" + "".join(f"{i}\n" for i in range(300_000)) + "x\n"
    with pytest.raises(BadInput) as caught:
        parse_csv(body.encode())
    assert "Line 300002, column 'a'" in caught.value.why


def test_a_column_of_numbers_with_a_stray_word_is_refused_unless_declared_as_text():
    data = b"id,weight\n" + b"".join(b"%d,%d.5\n" % (i, i) for i in range(20)) + b"20,n/a secret\n"
    with pytest.raises(BadInput) as caught:
        parse_csv(data)
    assert "Line 22, column 'weight'" in caught.value.why
    assert "secret" not in str(caught.value)
    assert kinds(parse_csv(data, {"weight": "text"}))["weight"] == "text"


def test_a_declared_kind_is_enforced_and_the_line_named():
    with pytest.raises(BadInput) as caught:
        parse_csv(b"a,b\nx,1\ny,oops\n", {"b": "integer"})
    assert "Line 3, column 'b': not an integer" in caught.value.why
    with pytest.raises(BadInput, match="no column 'z'"):
        parse_csv(b"a\n1\n", {"z": "text"})


def test_lines_are_counted_over_quoted_line_breaks():
    with pytest.raises(BadInput) as caught:
        parse_csv(b'a,b\n"one\ntwo\nthree",1\nx,oops\n', {"b": "integer"})
    assert "Line 5," in caught.value.why


def test_impossible_dates_and_overflowing_numbers_are_refused():
    for data in (b"a\n2026-13-45\n2026-01-01\n", b"a\n1e999\n2.5\n"):
        with pytest.raises(BadInput, match="not of its column's kind") as caught:
            parse_csv(data)
        assert "Line 2" in caught.value.why


@pytest.mark.parametrize("separator", [";", "\t"])
def test_other_separators_and_decimal_commas_are_read(separator):
    data = f"a{separator}b\n1,5{separator}x\n2,25{separator}y\n".encode()
    assert rows(parse_csv(data, decimal=",")) == [(1.5, "x"), (2.25, "y")]


@pytest.mark.parametrize(
    ("data", "line"),
    [(b"a;b\n1,5;2\n", 2), (b"a;b\n1;2\n1,5;2\n2,5;3\n", 3), (b'b,a\n1,"1,5"\n2,\n3,"2,5"\n', 2)],
)
def test_a_decimal_comma_that_was_not_declared_is_refused_and_not_taken_for_text(data, line):
    """Rule 2."""
    with pytest.raises(BadInput) as caught:
        parse_csv(data)
    assert caught.value.what == "Column 'a' looks like numbers with a decimal comma."
    assert f"line {line}." in caught.value.why
    assert caught.value.remedy == "Say --decimal , or --column a=text."
    assert "5" not in caught.value.why.removesuffix(f"line {line}.")
    assert parse_csv(data, {"a": "text"}).schema.field("a").type == pa.string()
    assert parse_csv(data, decimal=",").schema.field("a").type == pa.float64()


def test_text_with_commas_stays_text():
    data = b'a\n"1,5"\n"red, round"\n"Graz, Austria"\n'
    assert parse_csv(data).schema.field("a").type == pa.string()


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "no columns"),
        (b"a,b\n1,2\n3\n", "Line 3 has 1 cells"),
        (b"a,b\n1,2\n3,4,5\n", "Line 3 has 3 cells"),
        (b"a,a\n1,2\n", "Column 2"),
        (b"a,,c\n1,2,3\n", "Column 2"),
        (b"a,b\n1,\xff\n", "Line 2"),
        (b"\xff\xfe\x00", "Line 1"),
    ],
)
def test_malformed_csv_is_refused_with_its_line(data, told):
    with pytest.raises(BadInput) as caught:
        parse_csv(data)
    assert told in str(caught.value)


def test_limits_on_rows_columns_and_bytes_hold(tmp_path):
    with pytest.raises(BadInput, match="too many rows"):
        parse_csv(b"a\n1\n2\n3\n", limits=TableLimits(max_rows=2))
    with pytest.raises(BadInput, match="too many"):
        parse_csv(b"a,b,c\n1,2,3\n", limits=TableLimits(max_columns=2))
    path = tmp_path / "a.csv"
    path.write_bytes(b"a\n1\n2\n")
    with pytest.raises(BadInput, match="too large"):
        read_table(path, limits=TableLimits(max_bytes=3))
    data = parquet({"a": pa.array([0] * 1000)})
    with pytest.raises(BadInput, match="too many rows"):
        parse_parquet(data, limits=TableLimits(max_rows=10))
    with pytest.raises(BadInput, match="too many columns"):
        parse_parquet(data, limits=TableLimits(max_columns=0))
    with pytest.raises(BadInput, match="bytes unpacked"):
        parse_parquet(data, limits=TableLimits(max_bytes=10))


def parquet(columns):
    stream = io.BytesIO()
    pq.write_table(pa.table(columns), stream)
    return stream.getvalue()


def test_parquet_kinds_are_mapped():
    table = parse_parquet(
        parquet(
            {
                "i": pa.array([1, None], pa.int16()),
                "f": pa.array([1.5, None], pa.float32()),
                "s": pa.array(["x", None]).dictionary_encode(),
                "b": pa.array([True, None]),
                "d": pa.array([dt.date(2026, 1, 2), None]),
                "t": pa.array(
                    [dt.datetime(2026, 1, 2, 3, tzinfo=dt.UTC).replace(tzinfo=None), None], pa.timestamp("ms")
                ),
            }
        )
    )
    assert kinds(table) == {
        "i": "integer",
        "f": "real",
        "s": "text",
        "b": "boolean",
        "d": "timestamp",
        "t": "timestamp",
    }
    day = int(dt.datetime(2026, 1, 2, tzinfo=dt.UTC).timestamp()) * 10**6
    assert rows(table) == [(1, 1.5, "x", True, day, day + 3 * 3600 * 10**6), (None,) * 6]


def test_parquet_columns_that_cannot_be_used_are_named():
    with pytest.raises(BadInput, match="'nested'"):
        parse_parquet(parquet({"a": [1], "nested": [[1, 2]]}))
    with pytest.raises(BadInput, match="cannot hold"):
        parse_parquet(parquet({"a": pa.array([2**63], pa.uint64())}))
    with pytest.raises(BadInput, match="Row 2, column 'a'"):
        parse_parquet(parquet({"a": [1.0, float("inf")]}))


def test_declared_kinds_are_compared_with_those_that_parquet_stores(tmp_path):
    path = tmp_path / "a.parquet"
    path.write_bytes(parquet({"a": [1, 2]}))
    assert read_table(path, {"a": "integer"}).num_rows == 2
    with pytest.raises(BadInput, match="another kind"):
        read_table(path, {"a": "text"})
    with pytest.raises(BadInput, match="no column 'z'"):
        read_table(path, {"z": "text"})


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_damaged_parquet_never_crashes(data):
    good = bytearray(parquet({"a": [1, 2, 3], "b": ["x", "y", None]}))
    for _ in range(data.draw(st.integers(1, 4))):
        good[data.draw(st.integers(0, len(good) - 1))] = data.draw(st.integers(0, 255))
    with contextlib.suppress(CloisterError):
        parse_parquet(bytes(good))


@settings(max_examples=120, deadline=None)
@given(st.binary(max_size=80) | st.text('ab,;\t"\n\r01.-eT:Z', max_size=60).map(str.encode))
def test_any_bytes_give_a_table_or_a_clear_error(data):
    with contextlib.suppress(CloisterError):
        table = parse_csv(data)
        assert len(rows(table)) == table.num_rows


def test_sensitivities_and_units_are_stated_by_column():
    table = parse_csv(b"a,b\n1,x\n")
    columns = columns_of(table, {"b": "personal"}, {"a": "mm"})
    assert [(c.sensitivity, c.unit) for c in columns] == [("confidential", "mm"), ("personal", "")]
    with pytest.raises(BadInput, match="no column 'z'"):
        columns_of(table, {"z": "public"})


def test_files_are_told_by_their_ending(tmp_path):
    with pytest.raises(NotFound):
        read_table(tmp_path / "none.csv")
    other = tmp_path / "a.xlsx"
    other.write_bytes(b"PK")
    with pytest.raises(BadInput, match=r"a\.xlsx"):
        read_table(other)
