"""Gauge R&R: the worked example of the AIAG manual, a second analysis by least squares, and simulation."""

from __future__ import annotations

import itertools
import math
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

sys.path.insert(0, str(Path(__file__).resolve().parent))
from published import AIAG, WRIGHT

from cloister.acceptance.gauge import gauge
from cloister.acceptance.repeatability import repeatability
from cloister.foundation.errors import BadInput


def test_the_worked_example_of_the_manual():
    found = gauge(AIAG)
    table = {row.source: row for row in found.table}
    # Table III-B 7.
    printed = {
        "counters": (2, 3.1673, 1.58363),
        "pictures": (9, 88.3619, 9.81799),
        "both": (18, 0.3590, 0.01994),
        "repeats": (60, 2.7589, 0.04598),
        "total": (89, 94.6471, None),
    }
    for source, (freedom, squares, mean_square) in printed.items():
        assert table[source].freedom == freedom
        assert table[source].squares == pytest.approx(squares, abs=5e-5)
        if mean_square is not None:
            assert table[source].mean_square == pytest.approx(mean_square, abs=1e-5)
    assert table["counters"].f == pytest.approx(79.41, abs=0.02)
    assert table["pictures"].f == pytest.approx(492.29, abs=0.05)
    assert table["both"].f == pytest.approx(0.434, abs=5e-4)
    # Table III-B 8 and 9, with the interaction pooled.
    assert found.pooled
    assert found.variances["repeatability"] == pytest.approx(0.039973, abs=1e-6)
    assert found.variances["counters"] == pytest.approx(0.051455, abs=1e-6)
    assert found.variances["interaction"] == 0
    assert found.variances["pictures"] == pytest.approx(1.086446, abs=1e-6)
    assert found.grr == pytest.approx(0.302373, abs=2e-6)
    assert found.total == pytest.approx(1.085, abs=1e-3)
    assert found.percent("repeatability") == pytest.approx(18.4, abs=0.05)
    assert found.percent("counters") == pytest.approx(20.9, abs=0.05)
    assert found.share.value == pytest.approx(27.9, abs=0.05)
    assert found.percent("pictures") == pytest.approx(96.0, abs=0.05)
    assert found.categories.value == 4
    assert found.share.low < found.share.value < found.share.high
    assert found.categories.low <= 4 <= found.categories.high


def by_least_squares(y):
    """The sums of squares by fitting nested linear models with indicator columns: nothing shared with the code under test."""
    p, o, r = y.shape
    cells = [(i, j) for i, j, _ in itertools.product(range(p), range(o), range(r))]

    def rest(columns):
        design = np.array([[1.0, *(f(i, j) for f in columns)] for i, j in cells])
        values = y.reshape(-1)
        fitted = design @ np.linalg.lstsq(design, values, rcond=None)[0]
        return float(((values - fitted) ** 2).sum())

    pictures = [lambda i, _j, k=k: float(i == k) for k in range(1, p)]
    counters = [lambda _i, j, k=k: float(j == k) for k in range(1, o)]
    both = [
        lambda i, j, k=k, m=m: float(i == k and j == m)
        for k, m in itertools.product(range(1, p), range(1, o))
    ]
    nothing, left = rest([]), rest([*pictures, *counters])
    full = rest([*pictures, *counters, *both])
    return {
        "pictures": rest(counters) - left,
        "counters": rest(pictures) - left,
        "both": left - full,
        "repeats": full,
        "total": nothing,
    }


@settings(max_examples=25, deadline=None)
@given(
    hnp.arrays(
        np.int64,
        st.tuples(st.integers(2, 6), st.integers(2, 4), st.integers(1, 3)),
        elements=st.integers(0, 300),
    )
)
def test_sums_of_squares_are_those_of_least_squares(counts):
    expected = by_least_squares(counts.astype(float))
    for row in gauge(counts).table:
        assert row.squares == pytest.approx(expected[row.source], abs=1e-6 * max(1.0, expected["total"]))


def test_with_a_strong_interaction_nothing_is_pooled():
    random = np.random.default_rng(3)
    y = random.normal(0, 10, (20, 1, 1)) + random.normal(0, 3, (20, 3, 1)) + random.normal(0, 1, (20, 3, 2))
    found = gauge(y)
    table = {row.source: row for row in found.table}
    assert not found.pooled
    assert found.variances["repeatability"] == table["repeats"].mean_square
    assert found.variances["interaction"] == pytest.approx(
        (table["both"].mean_square - table["repeats"].mean_square) / 2
    )
    assert found.variances["counters"] == pytest.approx(
        max(0.0, (table["counters"].mean_square - table["both"].mean_square) / 40)
    )
    assert found.variances["pictures"] == pytest.approx(
        (table["pictures"].mean_square - table["both"].mean_square) / 6
    )


def test_components_are_right_on_average_and_their_interval_covers():
    random = np.random.default_rng(6)
    true = {"repeatability": 4.0, "counters": 9.0, "pictures": 100.0}
    share = 100 * math.sqrt(13 / 113)
    found, hits, studies = [], 0, 100
    for _ in range(studies):
        y = (
            random.normal(0, 10, (15, 1, 1))
            + random.normal(0, 3, (1, 6, 1))
            + random.normal(0, 2, (15, 6, 2))
        )
        made = gauge(y)
        found.append(made.variances)
        hits += made.share.low <= share <= made.share.high
    for name, value in true.items():
        assert np.mean([item[name] for item in found]) == pytest.approx(value, rel=0.2), name
    assert 0.89 < hits / studies <= 1


def test_one_count_of_each_leaves_interaction_and_repeatability_together():
    found = gauge(AIAG[:, :, :1])
    assert not found.repeated
    assert not found.pooled
    assert [row.source for row in found.table] == ["counters", "pictures", "both", "total"]
    assert found.variances["interaction"] == 0
    assert found.variances["repeatability"] == found.table[2].mean_square


def test_counts_that_never_differ_have_no_share_and_perfect_counters_no_bound_of_categories():
    alike = gauge(np.full((5, 2, 2), 7))
    assert alike.share is None
    assert alike.categories is None
    perfect = gauge(np.repeat(np.arange(5.0), 4).reshape(5, 2, 2))
    assert perfect.share.value == 0
    assert perfect.categories is None


def test_repeatability_is_the_mean_variance_within_pictures():
    found = repeatability(WRIGHT)
    expected = math.sqrt(np.mean([np.var(row, ddof=1) for row in WRIGHT]))
    assert found.deviation.value == pytest.approx(expected)
    assert found.limit.value == pytest.approx(2.77 * expected, rel=1e-3)
    assert found.deviation.low < expected < found.deviation.high
    assert repeatability(WRIGHT[:, :1]) is None
    random = np.random.default_rng(2)
    hits = sum(
        made.deviation.low <= 3 <= made.deviation.high
        for made in (repeatability(random.normal(0, 3, (12, 3))) for _ in range(400))
    )
    assert 0.92 < hits / 400 < 0.98


@pytest.mark.parametrize(
    "bad", [np.zeros((1, 2, 2)), np.zeros((2, 1, 2)), np.zeros((2, 2)), np.full((2, 2, 2), np.nan)]
)
def test_incomplete_counts_are_refused(bad):
    with pytest.raises(BadInput):
        gauge(bad)
