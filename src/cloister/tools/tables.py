"""A table file as the value that a tool's first step takes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.data.tables import read_table
from cloister.foundation.digests import digest_file
from cloister.foundation.errors import BadInput
from cloister.tools import types as t


def read_tool_table(path: Path, columns: Sequence[str]) -> tuple[t.Table, str]:
    """The table in a CSV or Parquet file and the file's digest; missing numbers are NaN.

    Raises:
        BadInput: the file cannot be read, or lacks one of `columns`.
    """
    table = read_table(path)
    lacking = [name for name in columns if name not in table.column_names]
    if lacking:
        raise BadInput(
            f"{path.name} lacks columns that the tool needs.",
            f"The first is {lacking[0]!r}.",
            "Add it, or rename the column that has it.",
        )
    return t.Table(
        {name: _array(table.column(name)) for name in (columns or table.column_names)}
    ), digest_file(path)


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
