"""What cannot be trained is found before anybody is asked (`training.fitting`)."""

from __future__ import annotations

import numpy as np
import pytest

from cloister.data.schema import DatasetDescription
from cloister.foundation.errors import BadInput
from cloister.training.fitting import check_schema, columns_read, fit, read_recipe, trained_numbers
from node.town import model, recipe


def run(**changes):
    return fit({"recipe": recipe(**changes)}, {"model": np.frombuffer(model(), np.uint8)})[0]


def tabular(**changes):
    return recipe()["preparation"] | changes


def test_what_fits_is_told_with_the_shape_of_its_output():
    assert run()["prediction"] == [16, 1]


def test_how_many_numbers_are_trained_is_told_from_names_and_shapes():
    report = {"parameters": [{"name": "body.w", "shape": [3, 4]}, {"name": "head.w", "shape": [5]}]}
    assert trained_numbers(read_recipe(recipe()), report) == 17
    assert trained_numbers(read_recipe(recipe(trainable=["head"])), report) == 5
    assert trained_numbers(read_recipe(recipe()), run()["report"]) == run()["report"]["size"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"loss": "hinge"}, "`loss`"),
        ({"metric": "elegance"}, "`metric`"),
        ({"metric": "count-accuracy"}, "`metric`"),
        ({"input": "z"}, "`input`"),
        ({"output": "z"}, "`output`"),
        ({"trainable": ["nothing"]}, "`trainable`"),
        ({"preparation": tabular(column_label=False)}, "`loss`"),
        ({"preparation": tabular(columns=[{"name": "heat"}])}, "`input`"),
        ({"loss": "cross-entropy", "preparation": tabular(classes=["a", "b", "c"])}, "`preparation.classes`"),
        ({"steps": 0}, "steps"),
    ],
)
def test_every_name_and_shape_that_does_not_fit_is_refused_by_its_field(changes, field):
    """Rules 1 and 2."""
    with pytest.raises(BadInput) as caught:
        run(**changes)
    assert field in f"{caught.value.what} {caught.value.why} {caught.value.remedy}"
    assert caught.value.remedy


def dataset(**kinds):
    columns = [{"name": name, "kind": kind} for name, kind in kinds.items()]
    return DatasetDescription.model_validate(
        {
            "name": "tests", "title": "Tests", "kind": "table", "columns": tuple(columns),
            "unit_of_privacy": {"kind": "record"}, "residency": "DE", "owner": "o",
            "commitment": "sha256:" + "0" * 64, "registered": "2026-01-01T00:00:00Z",
        }
    )  # fmt: skip


def test_a_recipe_reads_exactly_the_columns_that_it_names():
    """Rule 3."""
    assert columns_read(read_recipe(recipe())) == ("heat", "time", "strength")


@pytest.mark.parametrize(
    ("kinds", "field"),
    [
        ({"heat": "real", "strength": "real"}, "`preparation.columns.1.name`"),
        ({"heat": "text", "time": "real", "strength": "real"}, "`preparation.columns.0.name`"),
        ({"heat": "real", "time": "integer"}, "`preparation.label`"),
        ({"heat": "real", "time": "integer", "strength": "text"}, "`preparation.classes`"),
    ],
)
def test_columns_that_a_dataset_lacks_or_has_otherwise_are_named(kinds, field):
    """Rule 3."""
    with pytest.raises(BadInput) as caught:
        check_schema(read_recipe(recipe()), dataset(**kinds))
    assert field in caught.value.what
    check_schema(read_recipe(recipe()), dataset(heat="real", time="integer", strength="real", other="text"))


def test_pictures_and_tables_are_not_mistaken_for_each_other():
    points = read_recipe(recipe(preparation={"name": "points"}, metric="count-accuracy"))
    with pytest.raises(BadInput):
        check_schema(points, dataset(heat="real"))
