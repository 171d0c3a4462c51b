"""Tables become pandas frames and frames become tables, where pandas is installed; it is no part of Cloister's own needs."""

from __future__ import annotations

import importlib.util

import pyarrow.parquet as pq
import pytest

from cloister.data.tables import parse_parquet
from cloister.foundation.errors import BadInput
from cloister.sdk.tables import Record, Table, write_table


class Thing(Record):
    """Something with facts of every kind."""

    columns = ("name", "count")


LISTED = Table(
    [
        Thing({"name": "north", "count": 3, "share": 0.5, "open": True, "more": {"a": [1]}, "end": None}),
        Thing({"name": "south", "count": 4, "share": None, "open": False, "more": [2], "late": "yes"}),
    ]
)


def test_a_table_becomes_a_frame_with_a_column_for_each_fact():
    pytest.importorskip("pandas")
    frame = LISTED.to_pandas()
    assert list(frame.columns) == ["name", "count", "share", "open", "more", "end", "late"]
    assert list(frame["name"]) == ["north", "south"]
    assert int(frame["count"].sum()) == 7
    assert list(frame["more"]) == ['{"a": [1]}', "[2]"]
    assert frame["share"].isna().tolist() == [False, True]
    assert frame["end"].isna().all()
    assert Table().to_pandas().empty


def test_a_frame_is_written_so_that_a_server_reads_it(tmp_path):
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"heat": [1.5, 2.5], "steel": ["A", "B"], "good": [True, False], "run": [1, 2]})
    path = write_table(frame, tmp_path / "data" / "tests.parquet")
    read = parse_parquet(path.read_bytes())
    assert read.to_pydict() == frame.to_dict(orient="list")


def test_without_pandas_a_person_is_told_what_to_do(monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(BadInput, match="pandas is not installed") as caught:
        LISTED.to_pandas()
    assert "to_arrow" in caught.value.remedy


def test_columns_by_name_are_written_without_pandas(tmp_path):
    path = write_table({"heat": [1.5], "steel": ["A"]}, tmp_path / "tests.parquet")
    assert pq.read_table(path).to_pydict() == {"heat": [1.5], "steel": ["A"]}
    with pytest.raises(BadInput, match="no table"):
        write_table(7, tmp_path / "other.parquet")
