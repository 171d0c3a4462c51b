"""Steps over rows: windows, one row for each machine, order, choice of columns, lines."""

from __future__ import annotations

import io
import xml.etree.ElementTree as ET

import numpy as np
import pytest
from PIL import Image

from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.check import parameters_of
from cloister.tools.manifest import StepUse
from cloister.tools.steps import find_step
from cloister.tools.steps.base import Context

TABLE = t.Table(
    {
        "machine": np.array(["a", "b", "a", "b", "a"], dtype=object),
        "heat": np.array([1.0, 10.0, 3.0, np.nan, 8.0]),
        "when": np.array(["1", "2", "3", "4", "5"], dtype=object),
    },
    {"heat": "°C"},
)


def run(key, table=TABLE, **parameters):
    use = StepUse(name="s", step=key, inputs={"table": "table"}, parameters=parameters)
    step = find_step(key)
    parsed = parameters_of(use)
    if step.infer is not None:
        inferred = step.infer({"table": t.ValueType("table", columns=tuple(table.columns))}, parsed, {})
    made = step.run(Context(), parsed, table=table)
    if isinstance(made, t.Table):
        assert inferred.columns == tuple(made.columns)
    return made


def test_a_window_keeps_what_stands_in_its_last_row():
    feature = {"name": "mean heat", "column": "heat", "statistic": "mean"}
    made = run("windows@1", by="machine", length=2, stride=1, features=[feature])
    assert made.columns["machine"].tolist() == ["a", "a", "b"]
    assert made.columns["when"].tolist() == ["3", "5", "4"]
    assert made.columns["mean heat"].tolist() == [2.0, 5.5, 10.0]
    assert made.units == {"heat": "°C"}


def test_a_group_is_one_row_with_what_is_known():
    columns = [
        {"column": "heat", "what": "mean"},
        {"column": "heat", "what": "maximum", "into": "most"},
        {"column": "heat", "what": "minimum", "into": "least"},
        {"column": "when", "what": "last"},
    ]
    made = run("group@1", by="machine", columns=columns, rows="rows")
    assert made.columns["machine"].tolist() == ["a", "b"]
    assert made.columns["heat"].tolist() == [4.0, 10.0]
    assert made.columns["most"].tolist() == [8.0, 10.0]
    assert made.columns["least"].tolist() == [1.0, 10.0]
    assert made.columns["when"].tolist() == ["5", "4"]
    assert made.columns["rows"].tolist() == [3.0, 2.0]
    assert made.units == {"heat": "°C", "most": "°C", "least": "°C"}


def test_only_recent_rows_count_where_that_is_asked():
    made = run("group@1", by="machine", columns=[{"column": "heat", "what": "mean"}], recent=1)
    assert made.columns["heat"][0] == 8.0
    assert np.isnan(made.columns["heat"][1])


@pytest.mark.parametrize(("descending", "order"), [(False, "13524"), (True, "25314")])
def test_rows_without_a_value_come_last_either_way(descending, order):
    made = run("sort@1", column="heat", descending=descending)
    assert "".join(made.columns["when"]) == order


def test_selected_columns_stay_in_the_order_in_which_they_are_named():
    assert list(run("select@1", columns=["when", "machine"]).columns) == ["when", "machine"]
    with pytest.raises(BadInput, match="'cold'"):
        run("select@1", columns=["cold"])


def test_scaling_cuts_as_training_does_and_can_leave_the_column_as_it_was():
    entry = {"column": "heat", "offset": 3.0, "divisor": 2.0, "limit": 2.0, "missing": 3.0, "into": "scaled"}
    made = run("scale@1", columns=[entry])
    assert made.columns["scaled"].tolist() == [-1.0, 2.0, 0.0, 0.0, 2.0]
    assert made.columns["heat"][0] == 1.0
    assert made.units == {"heat": "°C"}


def test_lines_are_named_from_the_one_that_ends_lowest_or_highest():
    lines = {"column": "heat", "by": "machine", "named": 1, "mark": 5.0}
    highest, lowest = run("plot@1", **lines), run("plot@1", **lines, lowest_first=True)
    names = [
        [text.text for text in ET.fromstring(made.data).iter("{http://www.w3.org/2000/svg}text")]
        for made in (highest, lowest)
    ]
    assert "b" in names[0]
    assert "a" not in names[0]
    assert "a" in names[1]
    assert "2 lines; b ends at 10" in highest.alternative


def test_lines_are_drawn_as_a_picture_too_and_an_empty_table_says_so():
    made = run("plot@1", column="heat", by="machine", form="png", title="Wärme in µ € <b>")
    assert Image.open(io.BytesIO(made.data)).size == (1520, 720)
    empty = t.Table({"machine": np.zeros(0, object), "heat": np.zeros(0)})
    for form in ("png", "svg"):
        assert "nothing to show" in run("plot@1", empty, column="heat", by="machine", form=form).alternative


def test_names_of_machines_are_text_in_the_drawing():
    odd = t.Table({"machine": np.array(["<x>&\x1b"], object), "heat": np.array([1.0])})
    ET.fromstring(run("plot@1", odd, column="heat", by="machine").data)
