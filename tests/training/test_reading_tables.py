"""Tables are read for training as they were when they were registered, and units as they are written."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cloister.foundation.errors import BadInput
from cloister.training.preparation import Reading, prepare
from cloister.training.recipe import TrainingRecipe

RECIPE = TrainingRecipe.model_validate_json(
    json.dumps(
        {
            "loss": "mean-squared-error",
            "input": "x",
            "output": "y",
            "validation": 0.0,
            "preparation": {
                "name": "tabular",
                "columns": [{"name": "heat", "limit": 1000.0}],
                "label": "strength",
            },
        }
    )
)


def written(folder, *rows, header="who,heat,strength"):
    path = folder / "t.csv"
    path.write_text("\n".join([header, *rows]) + "\n")
    return path


@pytest.mark.parametrize(
    "keys", [("007", "7"), ("10000000000000000001", "10000000000000000002"), ("1e3", "1000"), ("a", " a")]
)
def test_units_that_are_written_differently_are_never_one(tmp_path, keys):
    path = written(tmp_path, *(f"{key},1.0,2.0" for key in keys))
    found = prepare(RECIPE, path, "who", Reading({"heat": "real", "strength": "real"}))
    assert found.units == 2


def test_one_unit_changes_how_no_other_is_read(tmp_path):
    """Guessed anew, a fifth of textual keys would make a column of numbers one of text, and every unit another."""
    rows = [f"{number}.0,1.0,2.0" for number in range(8)]
    alone = prepare(RECIPE, written(tmp_path, *rows), "who")
    more = prepare(RECIPE, written(tmp_path, *rows, *(["x,1.0,2.0"] * 4)), "who")
    assert (alone.units, more.units) == (8, 9)


def test_a_decimal_comma_is_read_as_registered(tmp_path):
    path = tmp_path / "t.csv"
    path.write_text("heat;strength\n1,5;2,5\n2,5;3,5\n")
    found = prepare(RECIPE, path, None, Reading({"heat": "real", "strength": "real"}, ","))
    np.testing.assert_allclose(sorted(found.train["input"][:, 0]), [1.5, 2.5])


def test_numbers_with_fractions_and_times_are_no_units(tmp_path):
    path = tmp_path / "t.parquet"
    pq.write_table(pa.table({"who": [1.0, 2.0], "heat": [1.0, 2.0], "strength": [1.0, 2.0]}), path)
    with pytest.raises(BadInput) as caught:
        prepare(RECIPE, path, "who")
    assert "unit of privacy" in caught.value.what
