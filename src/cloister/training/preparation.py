"""Allow-listed preparations: a registered dataset and public constants become `Examples`.

Rules:
1. Only what the recipe's constants say is done; nothing is fitted to the records.
2. A record that cannot be read is an error that names its position, never its content.
3. Which records are kept apart for validation depends on their position only.

Tables and folders of pictures are read as `cloister.data` reads them when they are registered.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from cloister.foundation.errors import BadInput, NotFound
from cloister.training.examples import ArrayExamples, Examples, split
from cloister.training.points import Picture, PointExamples
from cloister.training.recipe import PointsPreparation, TabularPreparation, TrainingRecipe

_TABLES = (".csv", ".tsv", ".parquet", ".pq")


def prepare(recipe: TrainingRecipe, source: Path) -> Examples:
    """The examples that a recipe makes of a dataset.

    Args:
        recipe: its `preparation` and `validation` are used.
        source: a table's file, or a folder of pictures.

    Raises:
        BadInput, NotFound: the dataset does not have what the preparation needs.
    """
    if isinstance(recipe.preparation, TabularPreparation):
        return _tabular(recipe.preparation, source, recipe.validation)
    return _points(recipe.preparation, source, recipe.validation)


def _tabular(plan: TabularPreparation, source: Path, share: float) -> Examples:
    names = [column.name for column in plan.columns]
    table = _read_table(source, [*names, plan.label])
    features = np.empty((len(table[plan.label]), len(names)), np.float32)
    for position, column in enumerate(plan.columns):
        values = _numbers(table[column.name], column.name)
        scaled = np.clip((values - column.centre) / column.spread, -column.limit, column.limit)
        features[:, position] = np.where(np.isnan(scaled), column.missing, scaled)
    target = _labels(plan, table[plan.label])
    train, kept = split(len(features), share)
    return ArrayExamples(
        {"input": features[train], "target": target[train]}, {"input": features[kept], "target": target[kept]}
    )


def _labels(plan: TabularPreparation, values: list[Any]) -> np.ndarray:
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


def _numbers(values: list[Any], name: str) -> np.ndarray:
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


def _read_table(source: Path, columns: list[str]) -> dict[str, list[Any]]:
    """The columns of a table, or of the only table in a folder."""
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
    table = read_table(source)
    missing = [name for name in columns if name not in table.column_names]
    if missing:
        raise BadInput(
            "The table does not fit the recipe.",
            f"It has no column {missing[0][:60]!a}.",
            "Correct the recipe or the table.",
        )
    return {name: table.column(name).to_pylist() for name in columns}


def _points(plan: PointsPreparation, source: Path, share: float) -> Examples:
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
    train, kept = split(len(pictures), share)
    return PointExamples(plan, [pictures[i] for i in train], [pictures[i] for i in kept])
