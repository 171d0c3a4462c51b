"""A small Parquet file that would be large once each row is written out is refused before it is."""

from __future__ import annotations

import io
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloister.data.profile import profile
from cloister.data.tables import parse_parquet
from cloister.foundation.errors import BadInput


@pytest.fixture
def bomb(tmp_path):
    """Two thousand rows of one text of 2 MB: 4 GB written out."""
    text = pa.DictionaryArray.from_arrays(pa.array([0] * 2000, pa.int32()), pa.array(["x" * 2_000_000]))
    stream = io.BytesIO()
    pq.write_table(pa.table({"a": text, "b": list(range(2000))}), stream, compression="zstd")
    path = tmp_path / "small.parquet"
    path.write_bytes(stream.getvalue())
    assert path.stat().st_size < 100_000
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
