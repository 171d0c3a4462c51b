"""Windows over rows: every feature against a second, plain way to compute it; machines never meet; bad plans are refused."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from cloister.data.windows import Windows, windows_of
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import parse_document
from cloister.foundation.errors import BadInput

STATISTICS = ("mean", "deviation", "minimum", "maximum", "slope", "band")


def plan(length=6, stride=4, beginning=3, **changes):
    feature = {"name": "f", "column": "x", "statistic": "mean"} | changes
    content = {"by": "m", "length": length, "stride": stride, "beginning": beginning, "features": [feature]}
    return parse_document(Windows, canonical(content), "Windows")


def features(made):
    return made.features[:, 0]


def plainly(statistic, values, low=0.0, high=0.5):
    """A window's feature, value by value."""
    known = [(row, value) for row, value in enumerate(values) if not math.isnan(value)]
    if 2 * len(known) < len(values):
        return math.nan
    numbers = [value for _, value in known]
    mean = math.fsum(numbers) / len(numbers)
    if statistic == "mean":
        return mean
    if statistic == "deviation":
        return math.sqrt(math.fsum((value - mean) ** 2 for value in numbers) / len(numbers))
    if statistic in ("minimum", "maximum"):
        return min(numbers) if statistic == "minimum" else max(numbers)
    if statistic == "slope":
        if len(known) < 2:
            return 0.0
        return float(np.polyfit([row for row, _ in known], numbers, 1)[0])
    # The variance between two frequencies, by fitting each cosine and sine by itself (they are orthogonal).
    filled = [0.0 if math.isnan(value) else value - mean for value in values]
    length, power = len(values), 0.0
    for number in range(length // 2 + 1):
        if not low <= number / length <= high:
            continue
        turns = 2 * math.pi * number / length
        cosine = math.fsum(value * math.cos(turns * row) for row, value in enumerate(filled)) / length
        sine = math.fsum(value * math.sin(turns * row) for row, value in enumerate(filled)) / length
        alone = number == 0 or 2 * number == length
        power += (1 if alone else 2) * (cosine**2 + sine**2)
    return math.sqrt(power)


VALUES = st.lists(st.one_of(st.floats(-1e3, 1e3, width=32), st.just(math.nan)), min_size=0, max_size=40)


@settings(max_examples=80, deadline=None)
@given(VALUES, st.integers(2, 9), st.integers(1, 7), st.sampled_from(STATISTICS))
def test_every_feature_is_what_a_plain_computation_gives(values, length, stride, statistic):
    made = windows_of(
        plan(length, stride, statistic=statistic, low=0.1, high=0.4),
        ["a"] * len(values),
        {"x": np.array(values)},
    )
    starts = range(0, len(values) - length + 1, stride)
    expected = [plainly(statistic, values[at : at + length], 0.1, 0.4) for at in starts]
    assert list(made.last) == [at + length - 1 for at in starts]
    np.testing.assert_allclose(features(made), expected, rtol=1e-6, atol=1e-6, equal_nan=True)


def test_a_band_finds_the_swing_of_its_own_pace_only():
    """A sine of amplitude 3 and eight rows a turn: all of its root mean square, 3/√2, is at 1/8 cycles per row."""
    rows = np.arange(32)
    swing = 10.0 + 3.0 * np.sin(2 * np.pi * rows / 8)
    for low, high, expected in ((0.1, 0.2, 3 / math.sqrt(2)), (0.2, 0.5, 0.0)):
        made = windows_of(plan(32, 1, statistic="band", low=low, high=high), ["a"] * 32, {"x": swing})
        assert features(made)[0] == pytest.approx(expected, abs=1e-9)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(-10, 10)), max_size=60))
def test_rows_of_other_machines_change_nothing(rows):
    keys, values = [key for key, _ in rows], np.array([value for _, value in rows])
    together = windows_of(plan(against="beginning"), keys, {"x": values})
    for key in set(keys):
        own = np.array([value for other, value in rows if other == key])
        alone = windows_of(plan(against="beginning"), [key] * len(own), {"x": own})
        mine = [place for place, other in enumerate(together.keys) if other == key]
        np.testing.assert_array_equal(features(together)[mine], features(alone))


def test_the_beginning_is_the_median_of_the_first_windows():
    values = np.array([1.0, 1, 2, 2, 9, 9, 20, 20])
    made = windows_of(plan(2, 2, beginning=3, against="beginning"), ["a"] * 8, {"x": values})
    assert features(made).tolist() == [-1.0, 0.0, 7.0, 18.0]
    ratio = windows_of(plan(2, 2, beginning=3, against="ratio"), ["a"] * 8, {"x": values})
    np.testing.assert_allclose(np.exp(features(ratio)), [0.5, 1.0, 4.5, 10.0])


def test_a_scale_that_differs_between_plants_does_not_matter_to_a_ratio():
    values = np.random.default_rng(1).uniform(1, 3, 60)
    one = windows_of(plan(against="ratio"), ["a"] * 60, {"x": values})
    other = windows_of(plan(against="ratio"), ["a"] * 60, {"x": 25.4 * values})
    np.testing.assert_allclose(features(one), features(other), atol=1e-12)


def test_too_few_rows_give_no_window_and_a_row_of_nothing_is_refused():
    assert windows_of(plan(), ["a"] * 5, {"x": np.zeros(5)}).features.shape == (0, 1)
    with pytest.raises(BadInput, match="Row 2"):
        windows_of(plan(), ["a", None], {"x": np.zeros(2)})
    with pytest.raises(BadInput, match="no column 'x'"):
        windows_of(plan(), ["a"], {})


@pytest.mark.parametrize(
    "wrong",
    [
        {"length": 1},
        {"stride": 0},
        {"beginning": 0},
        {"statistic": "median"},
        {"low": 0.4, "high": 0.4},
        {"high": 0.6},
        {"name": "m"},
    ],
)
def test_a_plan_that_says_nothing_useful_is_refused(wrong):
    with pytest.raises((BadInput, ValidationError)):
        plan(**wrong)
