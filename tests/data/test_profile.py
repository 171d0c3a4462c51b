"""A profile says what is in the data, as registering would read it, and does not read more than it may."""

from __future__ import annotations

import datetime as dt

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloister.applications.crystals.factories import preset
from cloister.applications.crystals.synthesis import write_dataset
from cloister.data.profile import ProfileLimits, profile
from cloister.data.tables import read_table
from cloister.foundation.errors import BadInput, NotFound

SMALL = ProfileLimits(max_bytes=2000, max_rows=50, max_pictures=3)


def write(path, text):
    path.write_text(text, encoding="utf-8")
    return path


def columns(found):
    return {column.name: column for column in found.columns}


def test_counts_ranges_missing_and_frequent_values_are_those_of_the_table(tmp_path):
    path = write(
        tmp_path / "a.csv",
        "n,x,word,yes,day\n1,1.5,a,true,2026-01-01\n3,,b,false,2026-01-03\n5,2.5,a,true,\n",
    )
    found = profile(path)
    told = columns(found)
    assert (found.rows, found.about, found.whole, found.exact, found.decimal) == (3, 3, True, True, ".")
    assert (told["n"].kind, told["n"].least, told["n"].middle, told["n"].most) == ("integer", "1", "3", "5")
    assert told["n"].bins == (1, 0, 1, 0, 1)
    assert (told["x"].kind, told["x"].missing, told["x"].distinct) == ("real", 1, 2)
    assert told["word"].frequent == (("a", 2), ("b", 1))
    assert told["yes"].frequent == (("true", 2), ("false", 1))
    assert (told["day"].least, told["day"].most, told["day"].missing) == ("2026-01-01", "2026-01-03", 1)
    assert found.examples[1] == ("3", "", "b", "false", "2026-01-03")


def test_kinds_are_those_that_registering_finds(tmp_path):
    path = write(tmp_path / "a.csv", "n,x,word,at\n1,1.5,a,2026-01-01 10:00\n2,2e3,7b,2026-01-02T11:30:10Z\n")
    kinds = {field.name: str(field.type) for field in read_table(path).schema}
    arrow = {"integer": "int64", "real": "double", "text": "string", "timestamp": "timestamp[us, tz=UTC]"}
    assert {column.name: arrow[column.kind] for column in profile(path).columns} == kinds


def test_a_decimal_comma_is_found_and_a_chosen_sign_is_kept(tmp_path):
    path = write(tmp_path / "a.csv", "name;x\nA;1,5\nB;2,25\nC;\n")
    found = profile(path)
    assert found.decimal == ","
    assert (columns(found)["x"].kind, columns(found)["x"].most) == ("real", "2.25")
    kept = profile(path, decimal=".")
    assert kept.decimal == "."
    assert "decimal comma" in columns(kept)["x"].trouble


def test_a_column_that_registering_would_refuse_is_text_with_the_reason_and_no_value(tmp_path):
    rows = "".join(f"{'secret' if row == 7 else row}\n" for row in range(20))
    path = write(tmp_path / "a.csv", "x\n" + rows)
    with pytest.raises(BadInput):
        read_table(path)
    told = columns(profile(path))["x"]
    assert told.kind == "text"
    assert "Line 9" in told.trouble
    assert "secret" not in told.trouble
    assert columns(profile(path, {"x": "text"}))["x"].trouble == ""


def test_of_a_long_table_only_the_start_is_read_and_that_is_said(tmp_path):
    path = write(tmp_path / "a.csv", "n,word\n" + "".join(f"{row},w{row}\n" for row in range(5000)))
    found = profile(path, limits=SMALL)
    assert (found.rows, found.whole, found.exact) == (50, False, False)
    assert 3000 < found.about < 8000
    assert len(found.examples) == 5


def test_a_cut_inside_quotes_goes_back_to_a_whole_line(tmp_path):
    row = '1,"two\nlines, and ""quotes"""\n'
    path = write(tmp_path / "a.csv", "n,text\n" + row * 200)
    for most in range(900, 960):
        found = profile(path, limits=ProfileLimits(max_bytes=most))
        assert columns(found)["text"].frequent[0][0] == 'two\\nlines, and "quotes"'
        assert columns(found)["text"].distinct == 1


@pytest.mark.timeout(60)
def test_quotes_that_never_close_end_in_an_error_soon(tmp_path):
    path = tmp_path / "a.csv"
    path.write_bytes(b'a,b\n"' + b'""\n' * 3_000_000)
    with pytest.raises(BadInput):
        profile(path, limits=ProfileLimits(max_bytes=4 << 20))


def test_a_parquet_files_own_count_is_exact_though_only_its_start_is_read(tmp_path):
    path = tmp_path / "a.parquet"
    day = dt.datetime(2026, 1, 1, tzinfo=dt.UTC)
    pq.write_table(
        pa.table({"n": list(range(500)), "at": [day] * 500, "x": [1.5, None] * 250}), path, row_group_size=20
    )
    found = profile(path, limits=SMALL)
    assert (found.rows, found.about, found.exact, found.whole, found.stored) == (50, 500, True, False, True)
    assert columns(found)["n"].most == "49"
    assert columns(found)["x"].missing == 25


def test_what_is_no_table_is_refused(tmp_path):
    write(tmp_path / "a.exe", "x\n1\n")
    with pytest.raises(BadInput, match="not a table"):
        profile(tmp_path / "a.exe")
    with pytest.raises(NotFound):
        profile(tmp_path / "b.csv")
    (tmp_path / "c.parquet").write_bytes(b"PAR1" + b"\0" * 100)
    with pytest.raises(BadInput, match="not a Parquet file"):
        profile(tmp_path / "c.parquet")


def test_a_header_of_too_many_or_unreadable_names_is_refused_at_once(tmp_path):
    write(tmp_path / "many.csv", ",".join(f"c{n}" for n in range(2001)) + "\n")
    with pytest.raises(BadInput, match="too many"):
        profile(tmp_path / "many.csv")
    write(tmp_path / "long.csv", "c" * 129 + "\n1\n")
    with pytest.raises(BadInput):
        profile(tmp_path / "long.csv")
    write(tmp_path / "turned.csv", "a\u202eb\n1\n")
    with pytest.raises(BadInput):
        profile(tmp_path / "turned.csv")


def test_cells_are_shown_in_one_line_and_cut(tmp_path):
    path = write(tmp_path / "a.csv", 'text\n"\x1b[31mred\nnext"\n' + "y" * 5000 + "\n")
    first, second = (row[0] for row in profile(path).examples)
    assert "\x1b" not in first
    assert "\n" not in first
    assert len(second) == 120


def test_of_pictures_it_tells_numbers_sizes_and_labels(tmp_path):
    write_dataset(tmp_path / "d", preset("seed-like"), 5, 1)
    found = profile(tmp_path / "d")
    assert (found.pictures, found.looked_at, found.whole, found.labelled) == (5, 5, True, 5)
    assert found.sizes[0][2] == 5
    assert found.labels == "centres and diameters"
    assert found.points > 5
    some = profile(tmp_path / "d", limits=SMALL)
    assert (some.pictures, some.looked_at, some.whole) == (5, 3, False)


def test_a_profile_shows_no_value_when_it_is_printed(tmp_path):
    path = write(tmp_path / "a.csv", "word,n\nsecretvalue,424242\nother,1\n")
    told = repr(profile(path))
    assert "word" in told
    assert "secretvalue" not in told
    assert "424242" not in told
