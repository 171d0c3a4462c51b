"""The objects that a tool found: for programs one by one, and of many pictures together as one CSV and one Parquet file.

Every picture's objects are kept as a piece of their own, written before the picture counts as done. The tables over all
pictures are put together from the pieces, one in memory at a time, so that they can be larger than the memory.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cloister.foundation.errors import BadInput
from cloister.foundation.files import write_atomically
from cloister.foundation.spreadsheets import harmless
from cloister.tools import types as t

PIECES = "objects"
"""The folder of the pieces, below that of the results."""

CRYSTAL: Mapping[str, str] = {
    "x": "x",
    "y": "y",
    "length": "feret",
    "width": "feret_min",
    "area": "area",
    "ecd": "diameter",
    "circularity": "circularity",
    "focus": "focus",
    "agglomerate": "agglomerate",
    "border": "border",
}
"""What programs are told of each crystal, and the column of the tool's table that says it.

Length is the largest distance between two parallel tangents (maximum Feret diameter), width the smallest, ecd the diameter
of the circle with the same area (ISO 9276-6:2008).
"""

_YES_OR_NO = frozenset({"agglomerate", "border"})


def crystals(table: t.Table | None) -> list[dict[str, Any]]:
    """One entry per object, as `CRYSTAL` names them; what the tool does not tell, and what is no number, is None.

    Places are in pixels, other lengths in the table's own unit (`units_of`).
    """
    if table is None:
        return []
    columns = {name: _plain(name, table, column) for name, column in CRYSTAL.items()}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def units_of(table: t.Table | None) -> dict[str, str]:
    """The units of `crystals`, by the same names, where the tool gives any."""
    if table is None:
        return {}
    return {name: table.units[column] for name, column in CRYSTAL.items() if column in table.units}


def agglomerates(table: t.Table | None) -> int | None:
    """How many groups have grown together; None if the tool does not tell."""
    if table is None or "agglomerate" not in table.columns:
        return None
    groups = np.asarray(table.columns["agglomerate"], dtype=np.float64)
    return len(np.unique(groups[groups > 0]))


def _plain(name: str, table: t.Table, column: str) -> list[Any]:
    if column not in table.columns:
        return [None] * table.rows
    values = np.asarray(table.columns[column])
    if name in _YES_OR_NO and values.dtype.kind in "biu":
        return [bool(value) for value in values]
    if values.dtype.kind == "f":
        return [value if np.isfinite(value) else None for value in values.tolist()]
    return list(values.tolist())


def piece(out: Path, label: str) -> Path:
    """Where the objects of the picture with this label are kept."""
    return out / PIECES / f"{label}.parquet"


def write_piece(out: Path, label: str, table: t.Table) -> Path:
    """Keeps a picture's objects; gives the file's path."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    arrays = [pa.array(values, from_pandas=True) for values in table.columns.values()]
    fields = [
        pa.field(name, array.type, metadata={"unit": table.units[name]} if table.units.get(name) else None)
        for name, array in zip(table.columns, arrays, strict=True)
    ]
    stream = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=pa.schema(fields)), stream, compression="zstd")
    path = piece(out, label)
    write_atomically(path, stream.getvalue().to_pybytes())
    return path


def read_piece(path: Path) -> t.Table:
    """A picture's objects as they were kept. Raises `BadInput` if the file is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        # As a file, not as a data set, so that no column is made of the folders' names.
        kept = pq.ParquetFile(path).read()
    except (OSError, pa.ArrowException):
        raise BadInput(
            "The objects of a picture that was done before cannot be read.",
            f"{path.name} is missing or damaged.",
            "Compute it again with --again.",
        ) from None
    return t.Table(
        {name: kept.column(name).to_numpy(zero_copy_only=False) for name in kept.column_names},
        {field.name: unit for field in kept.schema if (unit := _unit(field))},
    )


def _unit(field: Any) -> str:
    told: bytes = (field.metadata or {}).get(b"unit", b"")
    return told.decode("utf-8")


def combine(out: Path, pieces: Iterable[tuple[str, Path]]) -> tuple[Path, Path, int]:
    """Puts the objects of many pictures into `objects.csv` and `objects.parquet`, one piece in memory at a time.

    In front stands a column `file`. Columns that some pieces lack are empty there. Units are in the CSV's header and in the
    Parquet's metadata, of each column as `unit` and of the whole as `units` (a JSON object).

    Args:
        out: the folder for results.
        pieces: the file's name as the table shall say it, and the path of its objects, in the order wanted.

    Returns:
        The paths of CSV and Parquet, and how many objects there are.

    Raises:
        BadInput: a piece cannot be read.
    """
    import pyarrow as pa
    import pyarrow.csv as pa_csv
    import pyarrow.parquet as pq

    wanted = list(pieces)
    schema = _together(path for _, path in wanted)
    heading = pa.schema([pa.field(f"{f.name} ({_unit(f)})" if _unit(f) else f.name, f.type) for f in schema])
    csv_path, parquet_path = out / "objects.csv", out / "objects.parquet"
    parts = [path.with_name(f".{path.name}.part") for path in (csv_path, parquet_path)]
    rows = 0
    try:
        with pa_csv.CSVWriter(parts[0], heading) as lines, pq.ParquetWriter(parts[1], schema) as columns:
            for file, path in wanted:
                table = _fitted(file, path, schema)
                rows += table.num_rows
                columns.write_table(table)
                lines.write_table(_for_spreadsheets(table, heading))
        for part, path in zip(parts, (csv_path, parquet_path), strict=True):
            part.replace(path)
    finally:
        for part in parts:
            part.unlink(missing_ok=True)
    return csv_path, parquet_path, rows


def _schemas(paths: Iterable[Path]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for path in paths:
        try:
            yield pq.read_schema(path)
        except (OSError, pa.ArrowException):
            raise BadInput(
                "The objects of a picture that was done before cannot be read.",
                f"{path.name} is missing or damaged.",
                "Compute it again with --again.",
            ) from None


def _together(paths: Iterable[Path]) -> Any:
    """A schema that all pieces fit into: their columns in the order in which they first come."""
    import pyarrow as pa

    fields: dict[str, Any] = {}
    units: dict[str, str] = {}
    for schema in _schemas(paths):
        for field in schema:
            name, unit = field.name, _unit(field)
            if name in fields and fields[name].type != field.type:
                field = pa.field(name, _common(fields[name].type, field.type), metadata=field.metadata)
            if units.setdefault(name, unit) != unit:
                raise BadInput(
                    f"The pictures have {name!r} in different units.",
                    f"Some have it in {units[name] or 'none'}, others in {unit or 'none'}.",
                    "Use a folder for results of its own for each scale, or compute all again with --again.",
                )
            fields[name] = field
    told = {"units": json.dumps({name: unit for name, unit in units.items() if unit}, ensure_ascii=False)}
    return pa.schema([pa.field("file", pa.string()), *fields.values()], metadata=told)


def _common(one: Any, other: Any) -> Any:
    """A type for both: reals for numbers (a column of an empty table has no type of its own), else text."""
    import pyarrow as pa

    kinds = [kind for kind in (one, other) if not pa.types.is_null(kind)]
    if len(kinds) < 2:
        return kinds[0] if kinds else pa.null()
    numbers = all(pa.types.is_integer(kind) or pa.types.is_floating(kind) for kind in kinds)
    return pa.float64() if numbers else pa.string()


def _fitted(file: str, path: Path, schema: Any) -> Any:
    import pyarrow as pa
    import pyarrow.parquet as pq

    kept = pq.ParquetFile(path).read()
    arrays = [pa.array([file] * kept.num_rows, pa.string())]
    for field in list(schema)[1:]:
        there = field.name in kept.column_names
        arrays.append(
            kept.column(field.name).cast(field.type) if there else pa.nulls(kept.num_rows, field.type)
        )
    return pa.Table.from_arrays(arrays, schema=schema)


def _for_spreadsheets(table: Any, heading: Any) -> Any:
    """The table under its headings; text that a spreadsheet would run as a formula is quoted by `'`."""
    import pyarrow as pa

    arrays = []
    for column, field in zip(table.columns, heading, strict=True):
        if pa.types.is_string(field.type):
            column = pa.array([harmless(value) for value in column.to_pylist()], field.type)
        arrays.append(column)
    return pa.Table.from_arrays(arrays, schema=heading)
