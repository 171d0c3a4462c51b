"""The table of objects in a plant's own database: one row for each crystal that was found, beside the row of its picture.

Rules:
1. A picture's objects are written in the transaction that writes its sample, in place of what was there for the same sample: they
   are all there or none, and once, however often a batch sends them.
2. `sample` is the sample's key, `picture` the digest of the picture's bytes, `number` the object's number in the picture, as in
   its overlay. `sample` and `number` together are the key.
3. Places are in pixels; lengths and areas in `unit` (its square for areas): `µm` where the size of a pixel is known, else `px`.
4. What a tool does not tell, and what is no finite number (for `agglomerate` and `border`: no whole one from 0), is null.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    Boolean,
    Column,
    Connection,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Table,
    Text,
    inspect,
)

from cloister.foundation.errors import Refused
from cloister.tools import types as t

SIZES: Final = ("area", "diameter", "feret", "feret_min", "feret_90", "perimeter", "across", "down")
SHAPES: Final = ("aspect_ratio", "elongation", "circularity", "convexity", "solidity")
OTHERS: Final = ("strength", "brightness", "focus", "hidden")
_NUMBERS: Final = ("x", "y", *SIZES, *SHAPES, *OTHERS)
_AT_ONCE: Final = 1000
_MOST: Final = 2**31 - 1
"""The largest whole number that fits into a column `Integer`."""


def define(metadata: MetaData) -> Table:
    """The table's columns; `metadata` has `samples`."""
    return Table(
        "objects",
        metadata,
        Column("sample", Text, ForeignKey("samples.key"), primary_key=True),
        Column("number", Integer, primary_key=True, autoincrement=False),
        Column("picture", Text, nullable=False, index=True),
        Column("unit", Text, nullable=False),
        *(Column(name, Float) for name in _NUMBERS),
        Column("agglomerate", Integer),
        Column("border", Boolean),
    )


def make(connection: Connection, objects: Table) -> None:
    """Makes the table if it is not there. Raises `Refused` if another program has a table of that name."""
    there = inspect(connection)
    if not there.has_table(objects.name):
        objects.create(connection)
    elif not {"sample", "number", "picture"} <= {
        column["name"] for column in there.get_columns(objects.name)
    }:
        raise Refused(
            "This database has a table `objects` of something else.",
            "It is another program's.",
            "Give the samples a database (or a PostgreSQL schema) of their own.",
            clause="samples-database",
        )


def put(connection: Connection, objects: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Adds rows, within the transaction that wrote their sample."""
    for start in range(0, len(rows), _AT_ONCE):
        connection.execute(objects.insert(), [dict(row) for row in rows[start : start + _AT_ONCE]])


def rows_of(sample: str, picture: str, table: t.Table | None) -> list[dict[str, Any]]:
    """A picture's objects as rows; none for a table that is not of objects in a picture.

    Args:
        sample: the sample's key.
        picture: digest of the picture.
        table: as the tool gave it.
    """
    if table is None or not {"x", "y"} <= set(table.columns):
        return []
    unit = table.units.get("diameter", table.units.get("feret", "px"))
    columns = {
        name: [_finite(value) for value in _values(table, name)]
        for name in (*_NUMBERS, "agglomerate", "border")
        if name in table.columns
    }
    numbers = _numbered(table)
    return [
        {
            "sample": sample,
            "number": number,
            "picture": picture,
            "unit": unit,
            **{name: columns[name][place] if name in columns else None for name in _NUMBERS},
            "agglomerate": _whole(columns, "agglomerate", place),
            "border": None if (cut := _whole(columns, "border", place)) is None else bool(cut),
        }
        for place, number in enumerate(numbers)
    ]


def _values(table: t.Table, name: str) -> Iterator[Any]:
    values = np.asarray(table.columns[name])
    return iter(values.tolist() if values.dtype.kind in "biuf" else [None] * len(values))


def _numbered(table: t.Table) -> list[int]:
    """The objects' own numbers, where they tell them apart; else their places, from 1."""
    if "number" in table.columns:
        numbers = np.asarray(table.columns["number"])
        told_apart = numbers.dtype.kind in "iu" and len(np.unique(numbers)) == len(numbers)
        if told_apart and all(0 <= number <= _MOST for number in numbers.tolist()):
            return [int(number) for number in numbers]
    return list(range(1, table.rows + 1))


def _finite(value: Any) -> float | None:
    return None if value is None or not math.isfinite(value) else float(value)


def _whole(columns: dict[str, list[float | None]], name: str, place: int) -> int | None:
    value = columns[name][place] if name in columns else None
    return None if value is None or not 0 <= value <= _MOST else int(value)
