from __future__ import annotations

import datetime as dt
import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput
from cloister.sizing.calibration import MAX_BYTES, Calibration, concerns, from_ruled_lines, from_ruler, read
from cloister.sizing.ruled_lines import RuledLines

WHERE = {"objective": "10x / 0.25", "size": (1920, 1080), "day": "2026-03-01"}
TODAY = dt.date(2026, 6, 1)


def _ruler() -> Calibration:
    return from_ruler((100.0, 200.0), (1300.0, 1100.0), 3000.0, **WHERE)


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
        (100.0, 50.0), (400.0, 50.0), 1000.0, length_uncertainty=5.0, point_uncertainty=2.0, **WHERE
    )
    assert np.std(scales) == pytest.approx(made.uncertainty, rel=0.05)


def test_ruled_lines_give_the_scale_and_both_uncertainties() -> None:
    made = from_ruled_lines(RuledLines(25.0, 0.05, 3.0), 10.0, spacing_uncertainty=0.03, **WHERE)
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


def test_a_fitting_picture_gives_no_concern() -> None:
    assert concerns(_ruler(), size=(1920, 1080), today=TODAY, objective="10X/0.25") == ()
    assert concerns(_ruler(), size=(1080, 1920), today=TODAY) == ()


def test_age_size_objective_and_unknown_uncertainty_are_told() -> None:
    made = _ruler()
    assert "92 days old" in concerns(made, size=(1920, 1080), today=TODAY, max_age_days=30)[0]
    assert "future" in concerns(made, size=(1920, 1080), today=dt.date(2026, 2, 1))[0]
    assert "resized" in concerns(made, size=(960, 540), today=TODAY)[0]
    assert "objective" in concerns(made, size=(1920, 1080), today=TODAY, objective="4x")[0]
    stated = made.model_copy(update={"uncertainty": 0.0, "method": "stated"})
    assert "how exact" in concerns(stated, size=(1920, 1080), today=TODAY)[0]
    everything = concerns(stated, size=(1, 1), today=dt.date(2030, 1, 1), objective="4x")
    assert len(everything) == 4


@pytest.mark.parametrize(
    "values",
    [
        {"end": (101.0, 200.0)},
        {"length": 0.0},
        {"length": float("nan")},
        {"length_uncertainty": -1.0},
        {"end": (float("nan"), 0.0)},
        {"objective": ""},
        {"size": (0, 10)},
        {"day": "yesterday"},
        {"length": 1e12},
    ],
)
def test_points_and_lengths_that_give_no_scale_are_refused(values: dict[str, object]) -> None:
    usual = {"start": (100.0, 200.0), "end": (1300.0, 1100.0), "length": 3000.0, **WHERE}
    with pytest.raises(BadInput):
        from_ruler(**{**usual, **values})
    with pytest.raises(BadInput):
        from_ruled_lines(RuledLines(25.0, 0.05, 3.0), 0.0, **WHERE)
