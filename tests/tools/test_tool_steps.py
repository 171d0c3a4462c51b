"""Single steps against what they should give."""

from __future__ import annotations

import math
from itertools import pairwise
from xml.etree import ElementTree as ET

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.steps import STEPS
from cloister.tools.steps.base import Context
from cloister.tools.steps.chart import Chart, chart
from cloister.tools.steps.imaging import NoParameters, Rescale, rescale
from cloister.tools.steps.measure import measure
from cloister.tools.steps.objects import Threshold, Watershed, threshold, watershed
from cloister.tools.steps.reporting import as_csv, as_json
from cloister.tools.steps.tabular import Aggregate, Condition, Filter, aggregate, keep
from cloister.tools.steps.tiling import RunModel, Tile, activate, run_model, stitch, tile

CONTEXT = Context()


class Blur:
    """A model that looks 2 pixels around, written in numpy; zero beyond the border, as a convolution."""

    rank = 4
    channels_in = channels_out = columns_in = None

    def __call__(self, batch):
        padded = np.pad(batch, ((0, 0), (0, 0), (2, 2), (2, 2)))
        height, width = batch.shape[2:]
        made = sum(padded[:, :, i : i + height, j : j + width] for i in range(5) for j in range(5))
        return np.asarray(made, np.float32)


@settings(max_examples=80, deadline=None)
@given(
    st.integers(1, 90),
    st.integers(1, 90),
    st.sampled_from([16, 24, 33]),
    st.sampled_from([4, 6, 8]),
    st.sampled_from([0, 1, 4]),
    st.integers(1, 3),
)
def test_tiles_give_what_the_whole_picture_would(height, width, size, overlap, multiple, channels):
    values = np.random.default_rng(height * width).normal(size=(height, width, channels)).astype(np.float32)
    context = Context(models={"m": Blur()})
    tiles = tile(context, Tile(size=size, overlap=overlap, multiple=multiple), field=t.Field(values))
    made = stitch(context, NoParameters(), tiles=run_model(context, RunModel(model="m"), tiles=tiles))
    whole = Blur()(values.transpose(2, 0, 1)[None])[0].transpose(1, 2, 0)
    assert np.allclose(made.values, whole, atol=1e-4)


def test_tiles_that_overlap_by_more_than_half_are_refused():
    with pytest.raises(BadInput, match="overlap"):
        tile(CONTEXT, Tile(size=16, overlap=10), field=t.Field(np.zeros((5, 5, 1), np.float32)))


def test_activations_hold_for_extreme_values():
    values = np.array([[[-1e4]], [[1e4]]], np.float32)
    assert activate(values, "sigmoid").ravel().tolist() == [0.0, 1.0]
    assert activate(values, "softmax").ravel().tolist() == [0.0, 1.0]
    assert activate(values, "none").ravel().tolist() == [-1e4, 1e4]


def regions_of(*shapes):
    numbers = np.zeros((80, 120), np.int32)
    for number, (rows, columns) in enumerate(shapes, 1):
        numbers[rows, columns] = number
    return t.Regions(numbers, len(shapes))


def test_a_rectangle_has_its_area_caliper_and_elongation():
    table = measure(CONTEXT, NoParameters(), regions=regions_of((slice(10, 13), slice(20, 24))))
    row = {name: values[0] for name, values in table.columns.items()}
    assert row["area"] == 12
    assert row["feret"] == pytest.approx(5.0)  # 3 by 4 pixels, corner to corner
    assert (row["x"], row["y"]) == (21.5, 11.0)
    assert row["diameter"] == pytest.approx(2 * math.sqrt(12 / math.pi))
    assert row["elongation"] == pytest.approx(4 / 3)
    assert row["border"] == 0


def test_a_disc_is_round_and_objects_at_the_edge_are_marked():
    rows, columns = np.mgrid[:80, :120]
    numbers = ((rows - 40) ** 2 + (columns - 60) ** 2 <= 400).astype(np.int32)
    numbers[0:3, 0:3] = 2
    table = measure(CONTEXT, NoParameters(), regions=t.Regions(numbers, 2))
    assert table.columns["diameter"][0] == pytest.approx(40, abs=0.7)
    assert table.columns["feret"][0] == pytest.approx(41, abs=0.7)
    assert table.columns["elongation"][0] == pytest.approx(1, abs=0.01)
    assert table.columns["border"].tolist() == [0, 1]


def test_brightness_and_strength_are_added_where_given():
    image = t.Image(np.tile(np.arange(120, dtype=np.uint8), (80, 1)))
    points = t.Points(np.array([[21.0, 11.0]]), np.array([0.75]))
    table = measure(
        CONTEXT,
        NoParameters(),
        regions=regions_of((slice(10, 13), slice(20, 23))),
        points=points,
        image=image,
    )
    assert table.columns["brightness"].tolist() == [21.0]
    assert table.columns["strength"].tolist() == [0.75]


def test_measures_of_a_smaller_copy_are_those_of_the_given_picture():
    pixels = np.zeros((100, 160), np.uint8)
    small = rescale(CONTEXT, Rescale(factor=0.5), image=t.Image(pixels))
    assert small.shape == (50, 80)
    assert small.scale == 2.0
    numbers = np.zeros((50, 80), np.int32)
    numbers[10:20, 30:40] = 1
    table = measure(CONTEXT, NoParameters(), regions=t.Regions(numbers, 1, small.scale))
    assert table.columns["area"][0] == 400
    assert (table.columns["x"][0], table.columns["y"][0]) == (69.5, 29.5)


def test_rescaling_by_the_longest_side_never_enlarges():
    image = t.Image(np.zeros((100, 200, 3), np.uint8))
    assert rescale(CONTEXT, Rescale(longest_side=100), image=image).shape == (50, 100)
    assert rescale(CONTEXT, Rescale(longest_side=400), image=image) is image


def test_touching_objects_are_told_apart_by_watershed_and_every_point_keeps_a_region():
    rows, columns = np.mgrid[:60, :100]
    hills = np.maximum(*(np.exp(-((rows - 30) ** 2 + (columns - x) ** 2) / 200) for x in (35, 60))).astype(
        np.float32
    )
    points = t.Points(np.array([[35.0, 30.0], [60.0, 30.0], [95.0, 5.0]]), np.array([1.0, 1.0, 0.2]))
    made = watershed(CONTEXT, Watershed(above=0.5, core=2), field=t.Field(hills[:, :, None]), points=points)
    assert made.count == 3
    areas = np.bincount(made.numbers.ravel(), minlength=4)[1:]
    assert areas[0] == pytest.approx(areas[1], rel=0.1)
    assert areas[2] == 13  # a disc of radius 2
    assert made.numbers[30, 35] == 1
    assert made.numbers[30, 60] == 2


def test_connected_pixels_above_a_threshold_are_objects_and_specks_are_dropped():
    values = np.zeros((20, 20, 1), np.float32)
    values[2:6, 2:6] = values[10, 10] = values[15:18, 1:19] = 1.0
    made = threshold(CONTEXT, Threshold(above=0.5, minimum_area=4), field=t.Field(values))
    assert made.count == 2
    assert sorted(np.unique(made.numbers)) == [0, 1, 2]


TABLE = t.Table(
    {"a": np.array([1.0, 2.0, np.nan, 4.0]), "b": np.array([1, 0, 1, 1]), "c": np.array(list("wxyz"))},
    {"a": "mm"},
)


def test_rows_are_kept_where_every_comparison_holds_and_missing_values_hold_none():
    where = (
        Condition(column="a", comparison=">=", value=1.5),
        Condition(column="b", comparison="!=", value=0.0),
    )
    assert keep(CONTEXT, Filter(where=where), table=TABLE).columns["c"].tolist() == ["z"]
    for wrong in ("none", "c"):
        with pytest.raises(BadInput):
            keep(CONTEXT, Filter(where=(Condition(column=wrong, comparison="<", value=1.0),)), table=TABLE)


def test_figures_describe_a_known_sample():
    sample = t.Table({"d": np.arange(1.0, 101.0)}, {"d": "µm"})
    made = aggregate(CONTEXT, Aggregate(column="d", bins=10), table=sample)
    assert made.values["count"] == 100
    assert made.values["d_mean"] == 50.5
    assert [made.values[f"d_{name}"] for name in ("d10", "d50", "d90")] == [10.5, 50.5, 90.5]
    assert made.histograms["d"][1] == (10,) * 10
    assert made.units["d_d50"] == "µm"


def test_volume_weighting_moves_percentiles_towards_large_objects():
    sample = t.Table({"d": np.array([1.0] * 999 + [10.0])})
    by_number = aggregate(CONTEXT, Aggregate(column="d"), table=sample).values
    by_volume = aggregate(CONTEXT, Aggregate(column="d", weighted_by_volume=True), table=sample).values
    assert by_number["d_d50"] == 1.0
    assert by_volume["d_d90"] > 5
    assert by_volume["d_mean"] == pytest.approx((999 + 10_000) / 1999)


@settings(max_examples=60)
@given(st.lists(st.floats(0.1, 1e4), min_size=1, max_size=60), st.booleans())
def test_percentiles_are_ordered_and_within_the_sample(values, weighted):
    table = t.Table({"d": np.array(values)})
    made = aggregate(CONTEXT, Aggregate(column="d", weighted_by_volume=weighted), table=table).values
    steps = [made[f"d_{name}"] for name in ("minimum", "d10", "d50", "d90", "maximum")]
    assert all(a <= b * (1 + 1e-12) for a, b in pairwise(steps))


def test_an_empty_table_gives_figures_without_numbers_and_a_chart_that_says_so():
    made = aggregate(CONTEXT, Aggregate(column="d"), table=t.Table({"d": np.zeros(0)}))
    assert made.values["count"] == 0
    assert made.values["d_d50"] is None
    assert b"nothing to show" in chart(CONTEXT, Chart(column="d"), figures=made).data


def test_charts_are_well_formed_and_escape_what_they_quote():
    figures = t.Figures({}, {}, {"<d>": ((0.0, 1.0, 2.0), (3, 1))})
    made = chart(CONTEXT, Chart(column="<d>", title="A & B"), figures=figures)
    root = ET.fromstring(made.data)
    assert "4 values" in root.attrib["aria-label"]
    assert len([e for e in root.iter() if e.tag.endswith("rect")]) == 3
    assert chart(CONTEXT, Chart(column="<d>", form="png"), figures=figures).data.startswith(b"\x89PNG")


def test_text_that_a_spreadsheet_would_run_is_quoted():
    table = t.Table({"a": np.array(["=1+1", "@x", "fine"], dtype=object), "n": np.array([-1.0, 2.0, np.nan])})
    assert as_csv(table).decode().splitlines() == ["a,n", "'=1+1,-1.0", "'@x,2.0", "fine,"]


def test_results_are_json_without_nan():
    assert b"NaN" not in as_json(CONTEXT, t.Figures({"a": float("nan")}), t.Table({"b": np.array([np.nan])}))


def test_every_step_is_on_the_list_once_and_says_what_it_does():
    for key, step in STEPS.items():
        assert key == f"{step.name}@{step.version}"
        assert step.about.endswith(".")
        assert step.inputs
        assert step.parameters.model_config["extra"] == "forbid"
        assert step.parameters.__doc__
