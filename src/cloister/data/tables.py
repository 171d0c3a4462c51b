"""CSV and Parquet tables, typed strictly, as Arrow tables of five kinds of columns.

Kinds: boolean, integer (64 bits), real (64 bits, finite), text, timestamp (microseconds, UTC). Rules:
1. A CSV column's kind is inferred from all its values, not from the first rows; an empty cell is missing.
2. A column that is nearly all numbers but not quite is an error, not silently text: that is how a stray `n/a` spoils a
   study. So is a column of numbers with a decimal comma where none was declared. Declare it as text to keep it so.
3. Errors name line and column, never the value.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cloister.data.column_kinds import TABLE_LIMITS, TableLimits, arrow_type, kind_of
from cloister.data.csv_tables import parse_csv
from cloister.data.schema import Column, ColumnKind, Sensitivity
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, NotFound


def read_table(
    path: Path,
    kinds: Mapping[str, ColumnKind] | None = None,
    *,
    decimal: str = ".",
    limits: TableLimits = TABLE_LIMITS,
) -> Any:
    """A `pyarrow.Table` from a .csv (or .tsv) or .parquet file.

    Args:
        path: the file.
        kinds: declared kinds of columns by name; the others are inferred (CSV) or as stored (Parquet).
        decimal: `.` or `,` (CSV only).
        limits: refuse more than this.

    Raises:
        NotFound: no such file.
        BadInput: malformed, over a limit, or a value that is not of its column's kind (line and column are named).
    """
    if not path.is_file():
        raise NotFound(f"There is no file {path}.", "", "Check the path.")
    size = path.stat().st_size
    if size > limits.max_bytes:
        raise BadInput(
            f"{path.name} is too large.", f"The limit is {limits.max_bytes} bytes.", "Split the table."
        )
    if path.suffix.lower() in (".csv", ".tsv", ".txt"):
        return parse_csv(path.read_bytes(), kinds, decimal=decimal, limits=limits, name=path.name)
    if path.suffix.lower() in (".parquet", ".pq"):
        table = parse_parquet(path.read_bytes(), limits=limits, name=path.name)
        _as_declared(table, kinds or {}, path.name)
        return table
    raise BadInput(
        f"{path.name} is not a table that can be read.",
        "Tables end in .csv, .tsv or .parquet.",
        "Save it as one of them.",
    )


def columns_of(
    table: Any,
    sensitivity: Mapping[str, Sensitivity] | None = None,
    units: Mapping[str, str] | None = None,
    descriptions: Mapping[str, str] | None = None,
) -> tuple[Column, ...]:
    """The schema of a table as read here; columns without a stated sensitivity are confidential."""
    from pydantic import ValidationError

    for given in (sensitivity or {}, units or {}, descriptions or {}):
        for name in given:
            if name not in table.column_names:
                raise BadInput(
                    f"The table has no column {name!r}.",
                    "A sensitivity, unit or description was stated for it.",
                    "Check the spelling.",
                )
    try:
        return tuple(
            Column(
                name=field.name,
                kind=kind_of(field.type),
                sensitivity=(sensitivity or {}).get(field.name, "confidential"),
                unit=(units or {}).get(field.name, ""),
                description=(descriptions or {}).get(field.name, ""),
            )
            for field in table.schema
        )
    except ValidationError as error:
        raise invalid(error, "The table's schema") from None


def parse_parquet(data: bytes, *, limits: TableLimits = TABLE_LIMITS, name: str = "The table") -> Any:
    """A Parquet file's bytes as an Arrow table of the five kinds."""
    file = open_parquet(io.BytesIO(data), limits=limits, name=name)

    def whole() -> Any:
        table = file.read(use_threads=False)
        require_room(table, limits.max_bytes, name)
        return table

    return parquet_kinds(file.schema_arrow, whole, name)


_WIDTHS = {"BOOLEAN": 1 / 8, "INT32": 4, "INT64": 8, "INT96": 8, "FLOAT": 4, "DOUBLE": 8, "BYTE_ARRAY": 4}
"""Bytes of a value by how Parquet stores it; of a text, of its place in the dictionary."""


def open_parquet(source: Any, *, limits: TableLimits = TABLE_LIMITS, name: str = "The table") -> Any:
    """A `pyarrow.parquet.ParquetFile` whose own words about its size are within limits; nothing of its values is read.

    Texts of every Arrow type come as dictionaries: a file of some bytes can name one long text in every row, which `require_room` finds
    before it is written out row by row.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        plain = pq.ParquetFile(source)
        # By what is stored: which of several types of text it becomes, the file itself says.
        stored = [plain.schema.column(place) for place in range(len(plain.schema))]
        texts = [column.path for column in stored if column.physical_type == "BYTE_ARRAY"]
        file = pq.ParquetFile(source, read_dictionary=texts, metadata=plain.metadata)
        meta = file.metadata
        told = sum(meta.row_group(group).total_byte_size for group in range(meta.num_row_groups))
        # A number that repeats takes next to nothing in the file; in memory each row has its own.
        unpacked = max(told, meta.num_rows * sum(_WIDTHS.get(column.physical_type, 0) for column in stored))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(
            f"{name} is not a Parquet file, or damaged.", type(error).__name__, "Write it again."
        ) from None
    for value, limit, unit in (
        (meta.num_rows, limits.max_rows, "rows"),
        (meta.num_columns, limits.max_columns, "columns"),
        (unpacked, limits.max_bytes, "bytes unpacked"),
    ):
        if value > limit:
            raise BadInput(f"{name} has too many {unit}.", f"The limit is {limit}.", "Split the table.")
    return file


def require_room(table: Any, most: int, name: str) -> None:
    """Raises `BadInput` if the table, each row written out, would have more than `most` bytes."""
    import pyarrow as pa
    import pyarrow.compute as pc

    total = 0
    for column in table.columns:
        for chunk in column.chunks:
            kind = chunk.type
            if pa.types.is_dictionary(kind) and (
                pa.types.is_string(kind.value_type) or pa.types.is_binary(kind.value_type)
            ):
                lengths = pc.binary_length(chunk.dictionary).cast(pa.int64())
                total += pc.sum(lengths.take(chunk.indices.drop_null())).as_py() or 0
            else:
                total += chunk.nbytes
    if total > most:
        raise BadInput(
            f"{name} has too many bytes unpacked.",
            f"The limit is {most}.",
            "Shorten its texts, or split the table.",
        )


def parquet_kinds(schema: Any, read: Callable[[], Any], name: str) -> Any:
    """What `read` gives of a Parquet file with this schema, as a table of the five kinds."""
    import pyarrow as pa

    targets = [(field.name, _arrow_target(field, name)) for field in schema]
    names = [column for column, _ in targets]
    if len(set(names)) != len(names):
        raise BadInput(
            f"{name} has two columns of one name.", "Columns are addressed by name.", "Rename one of them."
        )
    try:
        table = read()
        columns = {column: _to_utc(table.column(column), target) for column, target in targets}
    except (pa.ArrowException, OSError, ValueError) as error:
        raise BadInput(
            f"{name} has values that its columns' kinds cannot hold.",
            type(error).__name__,
            "Integers have 64 bits; times microseconds.",
        ) from None
    result = pa.table(columns)
    _finite_only(result, name)
    return result


def rows_of(table: Any, columns: Sequence[Column]) -> Any:
    """An iterator over a table's rows as Python values by column kind (timestamps as microseconds since 1970 UTC)."""
    import pyarrow as pa

    cast = [
        table.column(column.name).cast(pa.int64())
        if column.kind == "timestamp"
        else table.column(column.name)
        for column in columns
    ]
    slim = pa.table(cast, names=[str(place) for place in range(len(cast))])
    for batch in slim.to_batches(max_chunksize=65_536):
        yield from zip(*(column.to_pylist() for column in batch.columns), strict=True)


def _as_declared(table: Any, kinds: Mapping[str, ColumnKind], name: str) -> None:
    for column, kind in kinds.items():
        if column not in table.column_names:
            raise BadInput(
                f"{name} has no column {column!r}.", "A kind was declared for it.", "Check the spelling."
            )
        stored = kind_of(table.schema.field(column).type)
        if stored != kind:
            raise BadInput(
                f"{name} has a column of another kind than declared.",
                f"Column {column!r} holds {stored}, not {kind}.",
                "A Parquet file says its kinds itself: leave the declaration out, or write the file again.",
            )


def _arrow_target(field: Any, name: str) -> Any:
    import pyarrow as pa

    plain = field.type.value_type if pa.types.is_dictionary(field.type) else field.type
    try:
        return arrow_type(kind_of(plain))
    except BadInput:
        raise BadInput(
            f"{name} has a column of a kind that cannot be used.",
            f"Column {field.name!r} is {str(field.type)[:100]}.",
            "Use numbers, text, booleans and times; unpack lists and structures into columns.",
        ) from None


def _to_utc(column: Any, target: Any) -> Any:
    import pyarrow as pa

    if pa.types.is_dictionary(column.type):
        column = column.cast(column.type.value_type)
    if pa.types.is_timestamp(target) and pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    return column.cast(target)


def _finite_only(table: Any, name: str) -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    for column in table.column_names:
        values = table.column(column)
        if pa.types.is_floating(values.type) and pc.all(pc.is_finite(values)).as_py() is False:
            row = pc.index(pc.is_finite(values), value=False).as_py()
            raise BadInput(
                f"{name} has a number that is not finite.",
                f"Row {row + 1}, column {column!r}.",
                "Write missing values as null.",
            )
