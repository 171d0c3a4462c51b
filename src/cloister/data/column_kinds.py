"""The five kinds of columns as Arrow types, and how much a table may ask of this machine."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from cloister.data.schema import ColumnKind
from cloister.foundation.errors import BadInput


@dataclass(frozen=True)
class TableLimits:
    """How much a table may ask of this machine: bytes of the file (and of a Parquet file unpacked), rows, columns."""

    max_bytes: int = 2 << 30
    max_rows: int = 20_000_000
    max_columns: int = 2000


TABLE_LIMITS = TableLimits()


def arrow_type(kind: ColumnKind) -> Any:
    """The Arrow type that holds a kind."""
    import pyarrow as pa

    return {
        "boolean": pa.bool_(),
        "integer": pa.int64(),
        "real": pa.float64(),
        "text": pa.string(),
        "timestamp": pa.timestamp("us", tz="UTC"),
    }[kind]


def kind_of(given: Any) -> ColumnKind:
    """The kind that an Arrow type is read as. Raises `BadInput` for lists, structures, decimals and the like."""
    import pyarrow as pa

    checks: tuple[tuple[Any, ColumnKind], ...] = (
        (pa.types.is_boolean, "boolean"),
        (pa.types.is_integer, "integer"),
        (pa.types.is_floating, "real"),
        (pa.types.is_timestamp, "timestamp"),
        (pa.types.is_date, "timestamp"),
        (pa.types.is_string, "text"),
        (pa.types.is_large_string, "text"),
    )
    for check, kind in checks:
        if check(given):
            return kind
    raise BadInput(
        "A table has a column of an unknown kind.",
        str(given)[:100],
        "Use numbers, text, booleans and times.",
    )
