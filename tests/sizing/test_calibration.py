from __future__ import annotations

import dataclasses
import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.sizing.calibration import (
    MAX_BYTES,
    Calibration,
    Circumstances,
    concerns,
    described,
    expect_size,
    from_ruled_lines,
    from_ruler,
    read,
    stated,
)
from cloister.sizing.ruled_lines import RuledLines

WHERE = Circumstances("10x / 0.25", (1920, 1080), "2026-03-01")
TODAY = dt.date(2026, 6, 1)


def _ruler() -> Calibration:
    return from_ruler((100.0, 200.0), (1300.0, 1100.0), 3000.0, WHERE)


def test_two_points_and_a_length_give_the_scale() -> None:
    made = _ruler()
    assert made.micrometres_per_pixel == pytest.approx(2.0)
    assert made.relative_uncertainty == pytest.approx(np.sqrt(2) / 1500)
    assert (made.method, made.width, made.height) == ("ruler", 1920, 1080)


def test_the_uncertainty_is_the_spread_of_repeated_measurements() -> None:
    rng = np.random.default_rng(0)
    scales = []
    for _ in range(4000):
        start = (100 + rng.normal(0, 2.0), 50 + rng.normal(0, 2.0))
        end = (400 + rng.normal(0, 2.0), 50 + rng.normal(0, 2.0))
        length = 1000.0 + rng.normal(0, 5.0)
        scales.append(length / np.hypot(end[0] - start[0], end[1] - start[1]))
    made = from_ruler(
        (100.0, 50.0), (400.0, 50.0), 1000.0, WHERE, length_uncertainty=5.0, point_uncertainty=2.0
    )
    assert np.std(scales) == pytest.approx(made.uncertainty, rel=0.05)


def test_ruled_lines_give_the_scale_and_both_uncertainties() -> None:
    made = from_ruled_lines(RuledLines(25.0, 0.05, 3.0), 10.0, WHERE, spacing_uncertainty=0.03)
    assert made.micrometres_per_pixel == pytest.approx(0.4)
    assert made.relative_uncertainty == pytest.approx(np.hypot(0.003, 0.002))


def test_a_calibration_comes_back_from_its_bytes() -> None:
    assert read(_ruler().canonical()) == _ruler()


def test_a_calibration_cannot_be_changed() -> None:
    with pytest.raises(ValueError, match="frozen"):
        _ruler().day = "2030-01-01"  # type: ignore[misc]


@given(st.binary(max_size=300))
@settings(max_examples=50, deadline=None)
def test_any_bytes_are_a_calibration_or_refused(data: bytes) -> None:
    try:
        assert isinstance(read(data), Calibration)
    except BadInput:
        pass


_values = st.one_of(st.none(), st.booleans(), st.integers(-5, 10**9), st.floats(), st.text(max_size=90))


@given(st.sampled_from(sorted(Calibration.model_fields)), _values)
@settings(max_examples=80, deadline=None)
def test_any_value_in_a_field_is_within_its_limits_or_refused(field: str, value: object) -> None:
    document = json.loads(_ruler().canonical())
    document[field] = value
    try:
        found = read(json.dumps(document).encode())
    except BadInput:
        return
    assert 0 < found.micrometres_per_pixel <= 1e5
    assert 0 <= found.uncertainty <= 1e5
    assert dt.date.fromisoformat(found.day)
    assert 1 <= len(found.objective) <= 80


def test_unknown_fields_missing_ones_and_too_many_bytes_are_refused() -> None:
    document = json.loads(_ruler().canonical())
    less = {name: value for name, value in document.items() if name != "day"}
    for bad in (
        {**document, "more": 1},
        less,
        {**document, "day": "2026-02-30"},
        {**document, "method": "guess"},
    ):
        with pytest.raises(BadInput):
            read(json.dumps(bad).encode())
    with pytest.raises(BadInput):
        read(_ruler().canonical() + b" " * MAX_BYTES)


def test_the_same_camera_fits_also_turned_and_another_size_is_refused() -> None:
    assert concerns(_ruler(), today=TODAY, objective="10X/0.25") == ()
    expect_size(_ruler(), (1920, 1080))
    expect_size(_ruler(), (1080, 1920))
    with pytest.raises(BadInput, match="not of the size"):
        expect_size(_ruler(), (960, 540))


def test_age_objective_and_unknown_uncertainty_are_told() -> None:
    made = _ruler()
    assert "92 days old" in concerns(made, today=TODAY, max_age_days=30)[0]
    assert "future" in concerns(made, today=dt.date(2026, 2, 1))[0]
    assert "objective" in concerns(made, today=TODAY, objective="4x")[0]
    told = stated(0.65, WHERE)
    assert "how exact" in concerns(told, today=TODAY)[0]
    assert len(concerns(told, today=dt.date(2030, 1, 1), objective="4x")) == 3


def test_its_own_last_day_counts_more_than_its_age() -> None:
    made = from_ruler((0.0, 0.0), (1000.0, 0.0), 500.0, dataclasses.replace(WHERE, valid_until="2028-03-01"))
    assert concerns(made, today=dt.date(2028, 3, 1)) == ()
    assert "valid until 2028-03-01" in concerns(made, today=dt.date(2028, 3, 2))[0]
    with pytest.raises(BadInput, match="malformed"):
        from_ruler((0.0, 0.0), (1000.0, 0.0), 500.0, dataclasses.replace(WHERE, valid_until="2026-02-28"))


@pytest.mark.parametrize(
    "change",
    [
        {"micrometres_per_pixel": 2.0001},
        {"uncertainty": 0.0},
        {"known": None},
        {"method": "stated"},
        {"measured": 1501.0},
    ],
)
def test_a_scale_that_its_own_lengths_do_not_give_is_refused(change: dict[str, object]) -> None:
    document = {**json.loads(_ruler().canonical()), **change}
    with pytest.raises(BadInput):
        read(json.dumps(document).encode())


def test_what_it_says_in_one_line_names_the_doubt_and_what_it_is_for() -> None:
    told = described(_ruler())
    assert "2 µm per pixel" in told
    assert "0.09%" in told
    assert "objective 10x / 0.25" in told
    assert "made 2026-03-01" in told
    assert "not known" in described(stated(0.65, WHERE))


@pytest.mark.parametrize(
    "values",
    [
        {"end": (101.0, 200.0)},
        {"length": 0.0},
        {"length": float("nan")},
        {"length_uncertainty": -1.0},
        {"end": (float("nan"), 0.0)},
        {"where": dataclasses.replace(WHERE, objective="")},
        {"where": dataclasses.replace(WHERE, objective="10x\u202e")},
        {"where": dataclasses.replace(WHERE, size=(0, 10))},
        {"where": dataclasses.replace(WHERE, day="yesterday")},
        {"length": 1e12},
    ],
)
def test_points_and_lengths_that_give_no_scale_are_refused(values: dict[str, object]) -> None:
    usual = {"start": (100.0, 200.0), "end": (1300.0, 1100.0), "length": 3000.0, "where": WHERE}
    with pytest.raises(BadInput):
        from_ruler(**{**usual, **values})
    with pytest.raises(BadInput):
        from_ruled_lines(RuledLines(25.0, 0.05, 3.0), 0.0, WHERE)
