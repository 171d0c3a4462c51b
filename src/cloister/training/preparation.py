"""Allow-listed preparations: a registered dataset and public constants become `Examples`.

Rules:
1. Only what the recipe's constants say is done; nothing is fitted to the records.
2. A record that cannot be read is an error that names its position, never its content.
3. An example is a record or, where the recipe makes windows, a fixed number of rows of one machine (`data.windows`).
4. Whether a record is kept apart for validation depends on that record alone, or on its unit's key (`splitting`).

Tables and folders of pictures are read as `cloister.data` reads them when they are registered.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cloister.data.windows import Windows, windows_of
from cloister.foundation.errors import BadInput, NotFound
from cloister.training.examples import ArrayExamples, Examples
from cloister.training.outlines import OutlinedPicture, OutlineExamples
from cloister.training.points import Picture, PointExamples
from cloister.training.recipe import (
    OutlinesPreparation,
    PointsPreparation,
    TabularPreparation,
    TrainingRecipe,
)
from cloister.training.splitting import identities, split

_TABLES = (".csv", ".tsv", ".parquet", ".pq")


@dataclass(frozen=True)
class Reading:
    """How a table's file is read: kinds by column, those without are guessed; the decimal sign of a CSV."""

    kinds: dict[str, str] = field(default_factory=dict)
    decimal: str = "."


def prepare(
    recipe: TrainingRecipe,
    source: Path,
    unit_column: str | None = None,
    reading: Reading | None = None,
    *,
    alone: bool = False,
) -> Examples:
    """The examples that a recipe makes of a dataset.

    Args:
        recipe: its `preparation` and `validation` are used.
        source: a table's file, or a folder of pictures.
        unit_column: rows that share a value in it are one unit of privacy; each row, or picture, is one if None.
        reading: how a table was read when it was registered.
        alone: each unit's fate is its own (`splitting`, rule 4), as private training needs.

    Raises:
        BadInput, NotFound: the dataset does not have what the preparation needs.
    """
    if isinstance(recipe.preparation, TabularPreparation):
        return _tabular(
            recipe.preparation, source, recipe.validation, unit_column, reading or Reading(), alone
        )
    if unit_column is not None:
        raise BadInput(
            "The unit of privacy does not fit the dataset.",
            "A column is named; pictures have none.",
            "Register the pictures with the unit image.",
        )
    if isinstance(recipe.preparation, OutlinesPreparation):
        return _outlines(recipe.preparation, source, recipe.validation, alone)
    return _points(recipe.preparation, source, recipe.validation, alone)


def _tabular(
    plan: TabularPreparation,
    source: Path,
    share: float,
    unit_column: str | None,
    reading: Reading,
    alone: bool,
) -> Examples:
    extra = () if unit_column is None else (unit_column,)
    table: Mapping[str, Sequence[Any]] = _read_table(
        source, list(dict.fromkeys([*plan.read, *extra])), reading, unit_column
    )
    if plan.windows is not None:
        table = _windowed(plan.windows, table, unit_column, alone)
    features = np.empty((len(table[plan.label]), len(plan.columns)), np.float32)
    for position, column in enumerate(plan.columns):
        values = _numbers(table[column.name], column.name)
        scaled = np.clip((values - column.centre) / column.spread, -column.limit, column.limit)
        features[:, position] = np.where(np.isnan(scaled), column.missing, scaled)
    target = _labels(plan, table[plan.label])

    def taken(rows: Sequence[int]) -> dict[str, np.ndarray]:
        chosen = np.asarray(rows, np.intp)
        return {"input": features[chosen], "target": target[chosen]}

    if unit_column is None:
        cut = split(
            identities(row.tobytes() + label.tobytes() for row, label in zip(features, target, strict=True)),
            share,
            alone=alone,
        )
        promoted = cut.units != cut.train
        return ArrayExamples(taken(cut.train), taken(cut.kept), () if promoted else None)
    units = _units(table[unit_column], unit_column)
    rows = list(units.values())
    cut = split(identities(key.encode() for key in units), share, alone=alone)

    def together(chosen: Sequence[int]) -> tuple[list[int], list[np.ndarray]]:
        starts = np.cumsum([0, *(len(rows[unit]) for unit in chosen)])
        places = [np.arange(starts[i], starts[i + 1]) for i in range(len(chosen))]
        return [row for unit in chosen for row in rows[unit]], places

    order, groups = together(cut.train)
    kept, kept_groups = together(cut.kept)
    return ArrayExamples(taken(order), taken(kept), groups[: len(cut.units)], kept_groups)


def _windowed(
    plan: Windows, table: Mapping[str, Sequence[Any]], unit_column: str | None, alone: bool
) -> dict[str, Sequence[Any]]:
    """A table of windows: their features, and of every other column what stands in the window's last row.

    A row more or less moves all windows after it, so that one row can change many examples. Only where a unit is a whole
    machine do others' windows stay as they are, and only then is privacy claimed.
    """
    if unit_column not in (None, plan.by) or (alone and unit_column is None):
        raise BadInput(
            "The windows do not fit the unit of privacy.",
            "A unit has to be all rows of one machine: one row more or less would change many windows.",
            f"Register the dataset with the unit {plan.by[:60]!a}, or agree on a recipe without windows.",
        )
    readings = {name: _numbers(table[name], name) for name in plan.sources}
    made = windows_of(plan, table[plan.by], readings)
    shown: dict[str, Sequence[Any]] = {
        name: [values[place] for place in made.last] for name, values in table.items()
    }
    return shown | {name: made.features[:, place].tolist() for place, name in enumerate(plan.names)}


def _units(values: Sequence[Any], name: str) -> dict[str, list[int]]:
    """Value of the unit's column → its rows, in order of appearance. Two that are written differently are two units."""
    found: dict[str, list[int]] = {}
    for place, value in enumerate(values):
        if not (
            value is None
            or isinstance(value, str)
            or (isinstance(value, int) and not isinstance(value, bool))
        ):
            # Rounded numbers and dates may be the same for units that are not.
            raise BadInput(
                "The table does not fit the unit of privacy.",
                f"The column {name[:60]!a} holds neither text nor whole numbers.",
                "Write the table with the unit's column as text.",
            )
        text = "" if value is None else str(value)
        if not text:
            raise BadInput(
                "The table does not fit the unit of privacy.",
                f"Record {place} has no value in the column {name[:60]!a}.",
                "Complete the table.",
            )
        found.setdefault(text, []).append(place)
    return found


def _labels(plan: TabularPreparation, values: Sequence[Any]) -> np.ndarray:
    if plan.classes:
        places = {name: place for place, name in enumerate(plan.classes)}
        found = [places.get(_text(value), -1) for value in values]
        if -1 in found:
            raise BadInput(
                "The table does not fit the recipe.",
                f"The label of record {found.index(-1)} is none of the recipe's classes.",
                "Correct the table, or agree on a recipe with all classes.",
            )
        return np.asarray(found, np.int32)
    numeric = _numbers(values, plan.label)
    if np.isnan(numeric).any():
        raise BadInput(
            "The table does not fit the recipe.",
            f"Record {int(np.isnan(numeric).argmax())} has no label.",
            "Complete the table.",
        )
    scaled = ((numeric - plan.label_centre) / plan.label_spread).astype(np.float32)
    return scaled[:, None] if plan.column_label else scaled


def _text(value: Any) -> str:
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip() if not isinstance(value, bool) else str(value).lower()


def _numbers(values: Sequence[Any], name: str) -> np.ndarray:
    """Float64, NaN where absent."""
    result = np.empty(len(values), np.float64)
    for place, value in enumerate(values):
        if value is None or value == "":
            result[place] = math.nan
            continue
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise BadInput(
                "The table does not fit the recipe.",
                f"Column {name[:60]!a} of record {place} is not a number.",
                "Correct the table.",
            )
        result[place] = number
    return result


def _read_table(
    source: Path, columns: list[str], reading: Reading, unit_column: str | None
) -> dict[str, list[Any]]:
    """The columns of a table, or of the only table in a folder; of a CSV, units as they are written."""
    from cloister.data.tables import read_table

    if source.is_dir():
        found = sorted(path for path in source.iterdir() if path.suffix.lower() in _TABLES)
        if len(found) != 1:
            raise NotFound(
                "The dataset has no single table.",
                f"Its folder holds {len(found)}.",
                "Name the table's file.",
            )
        source = found[0]
    kinds: dict[str, Any] = dict(reading.kinds)
    if unit_column is not None and source.suffix.lower() in (".csv", ".tsv"):
        kinds[unit_column] = "text"
    table = read_table(source, kinds, decimal=reading.decimal)
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise BadInput(
            "The table does not fit the recipe.",
            f"It has no column {missing[0][:60]!a}.",
            "Correct the recipe or the table.",
        )
    return {name: table.column(name).to_pylist() for name in columns}


def _points(plan: PointsPreparation, source: Path, share: float, alone: bool) -> Examples:
    from cloister.data.normalise import normalise_micrograph
    from cloister.data.readers import read_image_folder

    pictures = []
    for place, image in enumerate(read_image_folder(source, require_labels=True)):
        labels = image.labels
        assert labels is not None
        if "foreground" in plan.channels and labels.diameters is None and labels.centres:
            raise BadInput(
                "The dataset does not fit the recipe.",
                f"The recipe needs diameters; the picture at position {place} has none.",
                "Add diameters, or agree on a recipe with centres only.",
            )
        centres = np.asarray(labels.centres, np.float32).reshape(-1, 2)
        diameters = (
            np.full(len(centres), np.nan, np.float32)
            if labels.diameters is None
            else np.asarray(labels.diameters, np.float32)
        )
        pixels = np.asarray(normalise_micrograph(image.pixels()), np.float32)
        pictures.append(Picture.scaled(pixels, centres, diameters, plan.scale))
    cut = split(identities(picture.content() for picture in pictures), share, alone=alone)
    return PointExamples(
        plan,
        [pictures[i] for i in cut.train],
        [pictures[i] for i in cut.kept],
        drawn=cut.units == cut.train,
    )


def _outlines(plan: OutlinesPreparation, source: Path, share: float, alone: bool) -> Examples:
    from cloister.data.readers import read_image_folder

    pictures = []
    for place, image in enumerate(read_image_folder(source, require_labels=True)):
        labels = image.labels
        assert labels is not None
        if labels.diameters is None and labels.centres:
            raise BadInput(
                "The dataset does not fit the recipe.",
                f"The recipe needs sizes; the picture at position {place} has neither diameters nor outlines of all objects.",
                "Add them, or agree on a recipe with centres only.",
            )
        pictures.append(OutlinedPicture.of(image.pixels(), labels, plan))
    cut = split(identities(picture.content for picture in pictures), share, alone=alone)
    return OutlineExamples(
        plan,
        [pictures[i] for i in cut.train],
        [pictures[i] for i in cut.kept],
        drawn=cut.units == cut.train,
    )
