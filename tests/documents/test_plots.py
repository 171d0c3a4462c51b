"""Plots: what is drawn lies where the values say."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cloister.documents import plots
from cloister.documents.axes import Axis, Frame, around, decade_ticks, round_ticks
from cloister.documents.shapes import Box, Dot, Stroke, Words, as_svg
from cloister.foundation.errors import BadInput

NUMBER = st.floats(-1e6, 1e6)


@given(low=NUMBER, span=st.floats(1e-3, 1e6), wanted=st.integers(2, 10))
def test_ticks_are_round_lie_within_and_are_about_as_many_as_wanted(low, span, wanted):
    ticks = round_ticks(low, low + span, wanted)
    assert 1 <= len(ticks) <= wanted + 2
    assert all(low - 1e-6 * span <= tick <= low + span + 1e-6 * span for tick in ticks)
    if len(ticks) > 1:
        step = ticks[1] - ticks[0]
        leading = step / 10 ** math.floor(math.log10(step) + 1e-6)
        assert min(abs(leading - nice) for nice in (1, 2, 5, 10)) < 1e-3


def test_ticks_of_a_logarithmic_axis():
    assert decade_ticks(1, 100) == [1, 2, 5, 10, 20, 50, 100]
    assert decade_ticks(0.5, 3) == [0.5, 1, 2]
    assert decade_ticks(1, 1e6) == pytest.approx([10.0**power for power in range(7)])


def test_an_axis_without_a_range_is_refused():
    for low, high, logarithmic in (
        (1, 1, False),
        (2, 1, False),
        (0, 1, True),
        (math.nan, 1, False),
        (0, math.inf, False),
    ):
        with pytest.raises(BadInput):
            Axis(low, high, "", logarithmic)


@given(values=st.lists(NUMBER, min_size=1, max_size=20))
def test_an_axis_around_values_holds_them(values):
    axis = around(values)
    assert all(-1e-9 <= axis.share(value) <= 1 + 1e-9 for value in values)


def test_the_bars_of_a_histogram_are_as_high_as_their_counts():
    drawing = plots.histogram([0, 1, 3, 4], [2, 8, 4], "size (µm)")
    bars = [shape for shape in drawing.shapes if isinstance(shape, Box)]
    assert [bar.height / bars[0].height for bar in bars] == pytest.approx([1, 4, 2])
    assert bars[1].width == pytest.approx(2 * bars[0].width + 1)  # between bars there is one point free
    assert "most between 1 and 3" in drawing.alternative
    for edges, counts in (([0, 1], [1, 2]), ([0, 0, 1], [1, 2]), ([0], [])):
        with pytest.raises(BadInput):
            plots.histogram(edges, counts, "x")


def test_points_and_lines_of_a_bland_altman_plot_lie_where_the_values_say():
    means, differences = [10.0, 20.0, 40.0], [1.0, -2.0, 0.0]
    drawing = plots.bland_altman(
        means,
        differences,
        bias=plots.Rule("bias", [(0, 0.0)]),
        limits=[plots.Rule("upper", [(0, 3.0)]), plots.Rule("lower", [(0, -3.0)])],
        x_label="mean",
        y_label="difference",
    )
    dots = [shape for shape in drawing.shapes if isinstance(shape, Dot)]
    level = {
        shape.text: line.points[0][1]
        for shape, line in zip(
            [
                item
                for item in drawing.shapes
                if isinstance(item, Words) and item.text in ("bias", "upper", "lower")
            ],
            [item for item in drawing.shapes if isinstance(item, Stroke) and item.width == 1.0],
            strict=True,
        )
    }
    unit = (level["upper"] - level["lower"]) / 6
    assert [(dot.y - level["bias"]) / unit for dot in dots] == pytest.approx(differences)
    assert (dots[2].x - dots[0].x) / (dots[1].x - dots[0].x) == pytest.approx(3)
    assert "upper 3; lower -3" in drawing.alternative


def test_texts_of_lines_close_together_are_moved_apart():
    rules = [plots.Rule(str(number), [(0, 0.001 * number)]) for number in range(4)]
    drawing = plots.scatter({"a": [(0, -5.0), (1, 5.0)]}, "x", "y", rules=rules)
    places = [shape.y for shape in drawing.shapes if isinstance(shape, Words) and shape.text in "0123"][-4:]
    assert min(abs(a - b) for i, a in enumerate(places) for b in places[:i]) >= 9 - 1e-9


def test_a_plot_of_equal_axes_has_the_line_of_equality_at_half_a_right_angle():
    drawing = plots.scatter({"a": [(1, 2), (3, 9)]}, "x", "y", equality=True)
    line = next(shape for shape in drawing.shapes if isinstance(shape, Stroke) and shape.dash)
    (x1, y1), (x2, y2) = line.points
    assert x2 - x1 == pytest.approx(y2 - y1)


def test_curves_and_run_charts_are_drawn_and_refuse_nothing_to_draw():
    curve = plots.cumulative({"a": ([1, 2, 4], [0.0, 0.5, 1.0])}, "size", logarithmic=True)
    track = next(shape for shape in curve.shapes if isinstance(shape, Stroke) and shape.width == 1.4)
    xs = [point[0] for point in track.points]
    assert xs[1] - xs[0] == pytest.approx(xs[2] - xs[1])
    chart = plots.run_chart([1, 2, 9], ["a", "b", "c"], "count", marked=[2])
    dots = [shape for shape in chart.shapes if isinstance(shape, Dot)]
    assert [dot.mark for dot in dots] == ["circle", "circle", "square"]
    with pytest.raises(BadInput):
        plots.cumulative({}, "x")
    with pytest.raises(BadInput):
        plots.run_chart([], [], "x")
    with pytest.raises(BadInput):
        plots.scatter({"a": [(math.nan, 1)]}, "x", "y")


def test_values_far_outside_stay_near_the_frame():
    frame = Frame(Axis(0, 1), Axis(0, 1))
    assert frame.at(1e300, -1e300) == (frame.left + 1.5 * frame.width, frame.bottom - 0.5 * frame.height)


def test_svg_escapes_its_texts_and_turns_the_plane_over():
    drawing = plots.scatter({"<a>": [(1, 2), (2, 3)], "b": [(2, 2)]}, "<x>", "y & z")
    text = as_svg(drawing)
    assert "<x>" not in text
    assert "&lt;x&gt;" in text
    low, high = sorted(
        shape.y for shape in drawing.shapes if isinstance(shape, Dot) and shape.mark == "circle"
    )[:2]
    assert f'cy="{drawing.height - low:.2f}"' in text
    assert f'cy="{drawing.height - high:.2f}"' in text
