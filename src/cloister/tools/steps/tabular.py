"""Tables: scale columns, score rows with a model, keep rows, and say in figures what is there."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.schema import ColumnName
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.manifest import Word
from cloister.tools.steps.base import (
    Context,
    Model,
    Parameters,
    Slot,
    Step,
    columns_needed,
    rank_needed,
)
from cloister.tools.steps.tiling import activate

_BATCH = 4096
_COMPARE: Mapping[str, Callable[[Any, Any], Any]] = {
    ">": operator.gt,
    ">=": operator.ge,
    "<": operator.lt,
    "<=": operator.le,
    "==": operator.eq,
    "!=": operator.ne,
}


class Condition(Parameters):
    """One comparison of a column with a number."""

    column: ColumnName
    comparison: Literal[">", ">=", "<", "<=", "==", "!="]
    value: float


class Filter(Parameters):
    """Rows stay if every condition holds; a missing value holds none."""

    where: Annotated[tuple[Condition, ...], Field(min_length=1, max_length=32)]


class Scaling(Parameters):
    """(value - offset) / divisor for one column; a missing value is `missing` before that, or an error if that is null.

    What comes out beyond `limit` is cut, as in training; it replaces the column, or becomes a new one, `into`.
    """

    column: ColumnName
    offset: float = 0.0
    divisor: Annotated[float, Field(gt=0)] = 1.0
    missing: float | None = None
    limit: Annotated[float, Field(gt=0)] | None = None
    into: ColumnName | None = None


class Scale(Parameters):
    """The columns to scale; the others stay as they are.

    Args:
        columns: which, and how; each from the table as it came.
    """

    columns: Annotated[tuple[Scaling, ...], Field(min_length=1, max_length=2000)]


class Score(Parameters):
    """A model over rows.

    Args:
        model: a name of the manifest's models; it takes float32 [rows, columns].
        columns: its inputs in order.
        outputs: names for its outputs in order, added as columns.
        activation: applied to the output: nothing, the logistic function, or softmax over outputs.
    """

    model: Word
    columns: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=2000)]
    outputs: Annotated[tuple[ColumnName, ...], Field(min_length=1, max_length=64)]
    activation: Literal["none", "sigmoid", "softmax"] = "none"


class Aggregate(Parameters):
    """What to say about a table.

    Args:
        column: the one to describe; without it, only rows are counted.
        measured_where: conditions for rows whose `column` is described; all rows are counted in any case.
        weighted_by_volume: weight percentiles and mean by the cube of the value, as laser diffraction reports sizes.
        bins: bars of the histogram, 0 for none.
    """

    column: ColumnName | None = None
    measured_where: Annotated[tuple[Condition, ...], Field(max_length=32)] = ()
    weighted_by_volume: bool = False
    bins: Annotated[int, Field(ge=0, le=200)] = 20


def keep(_context: Context, parameters: Filter, *, table: t.Table) -> t.Table:
    """Keeps the rows for which all conditions hold."""
    held = _holds(table, parameters.where)
    return t.Table({name: values[held] for name, values in table.columns.items()}, table.units)


def scale(_context: Context, parameters: Scale, *, table: t.Table) -> t.Table:
    """Shifts and divides columns, as a model was trained to expect them."""
    made = dict(table.columns)
    for entry in parameters.columns:
        values = numbers(table, entry.column).copy()
        missing = np.isnan(values)
        if missing.any():
            if entry.missing is None:
                raise BadInput(
                    f"Column {entry.column!r} has missing values.",
                    f"The first is in row {int(np.argmax(missing)) + 1}, and the tool has no substitute for them.",
                    "Fill them in, or leave those rows out.",
                )
            values[missing] = entry.missing
        values = (values - entry.offset) / entry.divisor
        if entry.limit is not None:
            values = np.clip(values, -entry.limit, entry.limit)
        made[entry.into or entry.column] = values
    replaced = {entry.into or entry.column for entry in parameters.columns}
    return t.Table(made, {name: unit for name, unit in table.units.items() if name not in replaced})


def score(context: Context, parameters: Score, *, table: t.Table) -> t.Table:
    """Adds a model's outputs to every row."""
    model = context.models[parameters.model]
    rows = np.stack([numbers(table, name) for name in parameters.columns], axis=1).astype(np.float32)
    if not np.isfinite(rows).all():
        raise BadInput(
            "A row has a missing value in a column that the model needs.",
            f"The first is row {int(np.argmin(np.isfinite(rows).all(axis=1))) + 1}.",
            "Fill it in, or put a step scale@1 with a substitute before this one.",
        )
    parts = []
    for at in range(0, len(rows), _BATCH):
        made = model(rows[at : at + _BATCH])
        made = made.reshape(len(made), -1)
        if made.shape[1] != len(parameters.outputs):
            raise BadInput(
                "The model does not give the outputs that the tool names.",
                f"It gives {made.shape[1]}, the tool names {len(parameters.outputs)}.",
                "Correct the manifest.",
            )
        parts.append(activate(made.T, parameters.activation).T)
        context.tick(min(1.0, (at + _BATCH) / max(1, len(rows))))
    together = np.concatenate(parts) if parts else np.zeros((0, len(parameters.outputs)), np.float32)
    added = {name: together[:, place].astype(np.float64) for place, name in enumerate(parameters.outputs)}
    return t.Table({**table.columns, **added}, table.units)


def aggregate(_context: Context, parameters: Aggregate, *, table: t.Table) -> t.Figures:
    """Counts rows; of one column gives mean, spread, D10, D50, D90 and a histogram."""
    values: dict[str, float | int | None] = {"count": table.rows}
    if parameters.column is None:
        return t.Figures(values)
    sample = numbers(table, parameters.column)[_holds(table, parameters.measured_where)]
    sample = sample[np.isfinite(sample)]
    weights = sample**3 if parameters.weighted_by_volume else np.ones_like(sample)
    name, unit = parameters.column, table.units.get(parameters.column, "")
    values[f"{name}_measured"] = len(sample)
    wanted = ("mean", "deviation", "minimum", "d10", "d50", "d90", "maximum")
    values |= {f"{name}_{word}": None for word in wanted}
    if len(sample) and weights.sum() > 0:
        mean = float(np.average(sample, weights=weights))
        spread = float(np.sqrt(np.average((sample - mean) ** 2, weights=weights)))
        d10, d50, d90 = _percentiles(sample, weights, (10.0, 50.0, 90.0))
        statistics = (mean, spread, float(sample.min()), d10, d50, d90, float(sample.max()))
        values |= {f"{name}_{word}": value for word, value in zip(wanted, statistics, strict=True)}
    histograms = {}
    if parameters.bins and len(sample):
        histograms[name] = histogram(sample, parameters.bins)
    return t.Figures(
        values,
        {f"{name}_{word}": unit for word in wanted if unit} | ({name: unit} if unit else {}),
        histograms,
    )


def numbers(table: t.Table, name: str) -> NDArray[np.float64]:
    """A column as reals, missing values as NaN. Raises `BadInput` for text or a column that is not there."""
    if name not in table.columns:
        raise BadInput(
            f"There is no column {name!r}.",
            f"The table has {', '.join(table.columns)}."[:400],
            "Name one of them.",
        )
    values = table.columns[name]
    if values.dtype.kind not in "biuf":
        raise BadInput(
            f"Column {name!r} does not hold numbers.",
            "This step computes with it.",
            "Name a column of numbers.",
        )
    return values.astype(np.float64)


def histogram(sample: NDArray[np.float64], bins: int) -> tuple[tuple[float, ...], tuple[int, ...]]:
    """Edges and counts of bins of equal width; a unit wide in all where the values differ by rounding only."""
    low, high = float(sample.min()), float(sample.max())
    if high - low <= 1e-9 * max(abs(low), abs(high)):
        low, high = low - 0.5, high + 0.5
    counts, edges = np.histogram(sample, bins=bins, range=(low, high))
    return tuple(float(edge) for edge in edges), tuple(int(count) for count in counts)


def _holds(table: t.Table, conditions: tuple[Condition, ...]) -> NDArray[np.bool_]:
    held = np.ones(table.rows, dtype=bool)
    for condition in conditions:
        values = numbers(table, condition.column)
        held &= _COMPARE[condition.comparison](values, condition.value) & ~np.isnan(values)
    return held


def _percentiles(
    sample: NDArray[np.float64], weights: NDArray[np.float64], wanted: tuple[float, ...]
) -> list[float]:
    """Percentiles of a weighted sample; with equal weights, Hyndman and Fan's definition 5 (1996)."""
    order = np.argsort(sample)
    sorted_sample, sorted_weights = sample[order], weights[order]
    middle = np.cumsum(sorted_weights) - 0.5 * sorted_weights
    return [
        float(value)
        for value in np.interp(np.asarray(wanted) / 100.0 * sorted_weights.sum(), middle, sorted_sample)
    ]


def _same(inputs: Mapping[str, t.ValueType], parameters: Filter, _models: Mapping[str, Model]) -> t.ValueType:
    columns_needed(inputs["table"], *(entry.column for entry in parameters.where))
    return inputs["table"]


def _scaled(
    inputs: Mapping[str, t.ValueType], parameters: Scale, _models: Mapping[str, Model]
) -> t.ValueType:
    columns_needed(inputs["table"], *(entry.column for entry in parameters.columns))
    known = inputs["table"].columns
    if known is None:
        return inputs["table"]
    made = (entry.into for entry in parameters.columns if entry.into is not None)
    return t.ValueType("table", columns=tuple(dict.fromkeys([*known, *made])))


def _scored(inputs: Mapping[str, t.ValueType], parameters: Score, models: Mapping[str, Model]) -> t.ValueType:
    columns_needed(inputs["table"], *parameters.columns)
    model = models.get(parameters.model)
    rank_needed(model, 2)
    if model is not None and model.columns_in not in (None, len(parameters.columns)):
        raise BadInput(
            "The model does not fit the columns.",
            f"It takes {model.columns_in}; the manifest names {len(parameters.columns)}.",
            "Correct the manifest.",
        )
    known = inputs["table"].columns
    return t.ValueType("table", columns=None if known is None else (*known, *parameters.outputs))


def _figures(
    inputs: Mapping[str, t.ValueType], parameters: Aggregate, _models: Mapping[str, Model]
) -> t.ValueType:
    named = [entry.column for entry in parameters.measured_where]
    columns_needed(inputs["table"], *named, *([parameters.column] if parameters.column else []))
    return t.ValueType("figures")


_TABLE = {"table": Slot("table")}
STEPS = (
    Step(
        "filter",
        1,
        "Keeps the rows of a table for which all comparisons hold.",
        _TABLE,
        "table",
        Filter,
        keep,
        _same,
    ),
    Step("scale", 1, "Shifts and divides columns of a table.", _TABLE, "table", Scale, scale, _scaled),
    Step(
        "score",
        1,
        "Runs an ONNX model on every row of a table.",
        _TABLE,
        "table",
        Score,
        score,
        _scored,
        model="model",
    ),
    Step(
        "aggregate",
        1,
        "Counts rows and describes one column in figures.",
        _TABLE,
        "figures",
        Aggregate,
        aggregate,
        _figures,
    ),
)
