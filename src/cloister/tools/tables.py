"""A table file as the value that a tool's first step takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.data.column_kinds import TableLimits
from cloister.data.csv_tables import parse_csv
from cloister.data.tables import parse_parquet, read_table
from cloister.foundation.digests import digest_file
from cloister.foundation.errors import BadInput
from cloister.tools import types as t


def read_tool_table(path: Path, columns: Sequence[str]) -> tuple[t.Table, str]:
    """The table in a CSV or Parquet file and the file's digest; missing numbers are NaN.

    Raises:
        BadInput: the file cannot be read, or lacks one of `columns`.
    """
    return as_tool_table(read_table(path), columns, path.name), digest_file(path)


def parse_tool_table(data: bytes, columns: Sequence[str], limits: TableLimits, name: str) -> t.Table:
    """The table in the bytes of a Parquet file, told by its first bytes, or else of a CSV file. Raises as `read_tool_table`."""
    if len(data) > limits.max_bytes:
        raise BadInput(f"{name} is too large.", f"The limit is {limits.max_bytes} bytes.", "Split the table.")
    parse = parse_parquet if data.startswith(b"PAR1") else parse_csv
    return as_tool_table(parse(data, limits=limits, name=name), columns, name)


def as_tool_table(table: Any, columns: Sequence[str], name: str) -> t.Table:
    """An Arrow table as what a tool's first step takes: `columns` of it, or all. Raises `BadInput`."""
    lacking = [column for column in columns if column not in table.column_names]
    if lacking:
        raise BadInput(
            f"{name} lacks columns that the tool needs.",
            f"The first is {lacking[0]!r}.",
            "Add it, or rename the column that has it.",
        )
    return t.Table({column: _array(table.column(column)) for column in (columns or table.column_names)})


def _array(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    if (
        pa.types.is_boolean(column.type)
        or pa.types.is_integer(column.type)
        or pa.types.is_floating(column.type)
    ):
        made: NDArray[Any] = np.asarray(
            column.cast(pa.float64()).to_numpy(zero_copy_only=False), dtype=np.float64
        )
        return made
    if pa.types.is_timestamp(column.type):
        return np.array(
            [None if value is None else value.isoformat() for value in column.to_pylist()], dtype=object
        )
    return np.array(column.to_pylist(), dtype=object)
