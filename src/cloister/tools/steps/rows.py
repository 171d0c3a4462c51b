"""Rows of a table: many readings of one machine become windows with features, then one row for each machine."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.schema import ColumnName
from cloister.data.windows import Windows, windows_of
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, columns_needed
from cloister.tools.steps.tabular import numbers

Reals = NDArray[np.float64]


class Rolling(Windows, Parameters):
    """The same windows as in a training recipe.

    Args:
        by: the column whose values name the machines; each has windows of its own.
        length: rows in a window.
        stride: rows from the beginning of a window to that of the next.
        beginning: windows at the start of each machine's rows with whose median features are compared, where told to be.
        features: what is computed of each window, in order.
    """


class Summary(Parameters):
    """What is said of one column of each group; a missing value counts in none but `last`."""

    column: ColumnName
    what: Literal["mean", "minimum", "maximum", "last"]
    into: ColumnName | None = None


class Group(Parameters):
    """One row for each value of a column.

    Args:
        by: the column; its values keep the order in which they first come.
        columns: what is said of others; each goes into the column `into`, or keeps its name.
        recent: only the last rows of each group count; all of them if 0.
        rows: name of a column that tells how many rows counted; none if empty.
    """

    by: ColumnName
    columns: Annotated[tuple[Summary, ...], Field(min_length=1, max_length=200)]
    recent: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    rows: Annotated[str, Field(max_length=128)] = ""


class Sort(Parameters):
    """Rows in order of a column of numbers; those without a value come last, equal ones stay as they were.

    Args:
        column: by which.
        descending: the largest first.
    """

    column: ColumnName
    descending: bool = False


class Select(Parameters):
    """The columns that stay, in this order.

    Args:
        columns: their names.
    """

    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=2000)]


def windows(_context: Context, parameters: Rolling, *, table: t.Table) -> t.Table:
    """Windows of a fixed number of rows of each machine, with features.

    Of every other column, a window has what stands in its last row. Machines with fewer rows than a window have none.
    """
    readings = {name: numbers(table, name) for name in parameters.sources}
    made = windows_of(parameters, _keys(table.columns[parameters.by]), readings)
    columns: dict[str, NDArray[Any]] = {name: values[made.last] for name, values in table.columns.items()}
    columns |= {name: made.features[:, place] for place, name in enumerate(parameters.names)}
    units = {name: unit for name, unit in table.units.items() if name not in parameters.names}
    return t.Table(columns, units)


def group(_context: Context, parameters: Group, *, table: t.Table) -> t.Table:
    """One row for each value of a column."""
    places: dict[Hashable, list[int]] = {}
    for place, key in enumerate(_keys(table.columns[parameters.by])):
        places.setdefault(key, []).append(place)
    rows = [np.asarray(found[-parameters.recent :], np.intp) for found in places.values()]
    firsts = np.asarray([found[0] for found in places.values()], np.intp)
    columns: dict[str, NDArray[Any]] = {parameters.by: table.columns[parameters.by][firsts]}
    for entry in parameters.columns:
        name = entry.into or entry.column
        if entry.what == "last":
            columns[name] = table.columns[entry.column][np.asarray([found[-1] for found in rows], np.intp)]
        else:
            values, said = numbers(table, entry.column), _SAID[entry.what]
            columns[name] = np.asarray([_of_known(said, values[found]) for found in rows], np.float64)
    if parameters.rows:
        columns[parameters.rows] = np.asarray([len(found) for found in rows], np.float64)
    units = {
        entry.into or entry.column: table.units[entry.column]
        for entry in parameters.columns
        if entry.column in table.units
    }
    return t.Table(columns, units)


def sort(_context: Context, parameters: Sort, *, table: t.Table) -> t.Table:
    """Puts rows in order of a column."""
    values = numbers(table, parameters.column)
    signed = -values if parameters.descending else values
    order = np.argsort(np.where(np.isnan(signed), np.inf, signed), kind="stable")
    return t.Table({name: column[order] for name, column in table.columns.items()}, table.units)


def select(_context: Context, parameters: Select, *, table: t.Table) -> t.Table:
    """Keeps some columns, in the order in which they are named."""
    kept = {name: table.columns[name] for name in parameters.columns}
    return t.Table(kept, {name: unit for name, unit in table.units.items() if name in kept})


def _keys(values: NDArray[Any]) -> list[Hashable]:
    return list(values.tolist())


def _of_known(said: Callable[[Reals], Any], values: Reals) -> float:
    known = values[np.isfinite(values)]
    return float(said(known)) if len(known) else float("nan")


_SAID: Mapping[str, Callable[[Reals], Any]] = {"mean": np.mean, "minimum": np.min, "maximum": np.max}


def _made(known: tuple[str, ...] | None, *more: str) -> t.ValueType:
    return t.ValueType("table", columns=None if known is None else tuple(dict.fromkeys([*known, *more])))


def _windowed(
    inputs: Mapping[str, t.ValueType], parameters: Rolling, _models: Mapping[str, Model]
) -> t.ValueType:
    columns_needed(inputs["table"], parameters.by, *parameters.sources)
    return _made(inputs["table"].columns, *parameters.names)


def _grouped(
    inputs: Mapping[str, t.ValueType], parameters: Group, _models: Mapping[str, Model]
) -> t.ValueType:
    columns_needed(inputs["table"], parameters.by, *(entry.column for entry in parameters.columns))
    more = [parameters.rows] if parameters.rows else []
    return _made((parameters.by,), *(entry.into or entry.column for entry in parameters.columns), *more)


def _sorted(inputs: Mapping[str, t.ValueType], parameters: Sort, _models: Mapping[str, Model]) -> t.ValueType:
    columns_needed(inputs["table"], parameters.column)
    return inputs["table"]


def _selected(
    inputs: Mapping[str, t.ValueType], parameters: Select, _models: Mapping[str, Model]
) -> t.ValueType:
    columns_needed(inputs["table"], *parameters.columns)
    return t.ValueType("table", columns=parameters.columns)


_TABLE = {"table": Slot("table")}
STEPS = (
    Step(
        "windows",
        1,
        "Makes windows of a fixed number of rows of each machine, with features: mean, spread, slope, swing.",
        _TABLE,
        "table",
        Rolling,
        windows,
        _windowed,
    ),
    Step("group", 1, "Makes one row for each value of a column.", _TABLE, "table", Group, group, _grouped),
    Step("sort", 1, "Puts the rows of a table in order.", _TABLE, "table", Sort, sort, _sorted),
    Step("select", 1, "Keeps some columns of a table.", _TABLE, "table", Select, select, _selected),
)
