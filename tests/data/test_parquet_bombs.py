"""A small Parquet file that would be large once each row is written out is refused before it is."""

from __future__ import annotations

import base64
import io
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloister.data.column_kinds import TableLimits
from cloister.data.profile import profile
from cloister.data.tables import open_parquet, parse_parquet
from cloister.foundation.errors import BadInput


@pytest.fixture(params=["said to be repeated", "string", "large_string"])
def bomb(request, tmp_path):
    """Two thousand rows of one text of 2 MB, 4 GB written out; the file says of it that it repeats, or only that it is text."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 2_000_000]))
    table, stream = pa.table({"a": text, "b": list(range(2000))}), io.BytesIO()
    said = request.param == "said to be repeated"
    if not said:
        kind = {"string": pa.string(), "large_string": pa.large_string()}[request.param]
        schema = base64.b64encode(pa.schema({"a": kind, "b": pa.int64()}).serialize())
    with pq.ParquetWriter(stream, table.schema, compression="zstd", store_schema=said) as writer:
        writer.write_table(table)
        if not said:
            writer.add_key_value_metadata({"ARROW:schema": schema.decode()})
    path = tmp_path / "small.parquet"
    path.write_bytes(stream.getvalue())
    assert path.stat().st_size < 100_000
    if not said:
        assert pq.ParquetFile(path).schema_arrow.field("a").type == kind
    return path


def test_it_is_refused_with_little_memory(bomb):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(BadInput, match="unpacked"):
        parse_parquet(bomb.read_bytes())
    with pytest.raises(BadInput, match="unpacked"):
        profile(bomb)
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 600_000, f"{grown} KiB more"


def test_texts_that_repeat_within_the_limit_are_read(tmp_path):
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": ["yes", "no", None] * 100, "b": [1.5] * 300}), stream)
    table = parse_parquet(stream.getvalue())
    assert table.column("a").to_pylist()[:3] == ["yes", "no", None]


def test_numbers_that_repeat_are_counted_row_by_row_before_they_are_read():
    stream = io.BytesIO()
    table = pa.table({name: pa.array([1] * 100_000, pa.int64()) for name in "abcdefgh"})
    pq.write_table(table, stream, compression="zstd")
    assert len(stream.getvalue()) < 20_000
    for most, fits in ((6_000_000, False), (7_000_000, True)):
        limits = TableLimits(max_bytes=most)
        if fits:
            assert open_parquet(io.BytesIO(stream.getvalue()), limits=limits).metadata.num_rows == 100_000
        else:
            with pytest.raises(BadInput, match="unpacked"):
                open_parquet(io.BytesIO(stream.getvalue()), limits=limits)
