"""Trends over shifts: limits against a published example, shifts over midnight and over changes of the clock."""

from __future__ import annotations

import csv
import io
import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.foundation.errors import BadInput, NotFound
from cloister.tools.batch.drawing import trend_csv, trend_svg
from cloister.tools.batch.samples import Sample
from cloister.tools.batch.trends import (
    DEFAULT_SHIFTS,
    individuals,
    named_zone,
    period_start,
    shift_times,
    trend,
)

VIENNA = ZoneInfo("Europe/Vienna")


def sample(taken, d50=30.0, **changes):
    at = taken if isinstance(taken, int) else int(taken.timestamp())
    made = Sample(
        key=f"{at}-{changes.get('file', '')}", file="f.png", digest="", size=1, modified_ns=at * 10**9, taken=at,
        computed=at, seconds=0.1, tool="crystals", version="1.0.0", tool_digest="sha256:a", settings="{}",
        um_per_px=2.0, label="f", count=10, d50=d50, unit="µm", measured="diameter",
        figures=json.dumps({"values": {"count": 10, "roundness": 0.5}, "units": {"roundness": "1"}}),
    )  # fmt: skip
    return replace(made, **changes)


def test_the_limits_are_those_of_the_handbooks_worked_example():
    """NIST/SEMATECH e-Handbook of Statistical Methods, section 6.3.2.2: flow rates of ten batches."""
    flow = [49.6, 47.6, 49.9, 51.3, 47.8, 51.2, 52.6, 52.4, 53.6, 52.1]
    limits = individuals(flow)
    # The handbook: mean 50.81, mean moving range 1.8778, UCL 55.8041, LCL 45.8159 (with 3/1.128 for 2.66).
    assert limits.centre == pytest.approx(50.81)
    assert limits.mean_range == pytest.approx(1.8778, abs=5e-5)
    assert limits.upper == pytest.approx(55.8041, abs=2e-3)
    assert limits.lower == pytest.approx(45.8159, abs=2e-3)
    assert individuals([1.0]) is None


def test_about_three_in_a_thousand_normal_values_lie_outside_and_the_limits_estimate_three_deviations():
    values = np.random.default_rng(1).normal(100.0, 5.0, 20_000)
    limits = individuals(values.tolist())
    assert (limits.upper - limits.centre) / 5.0 == pytest.approx(3.0, abs=0.06)
    outside = ((values < limits.lower) | (values > limits.upper)).mean()
    assert 0.001 < outside < 0.005
    moves = np.abs(np.diff(values))
    assert 0.002 < (moves > limits.range_upper).mean() < 0.016


def test_a_shift_over_midnight_belongs_to_the_day_on_which_it_began():
    shifts = DEFAULT_SHIFTS
    for told, wanted in (
        ("2026-03-10 05:59", "2026-03-09 22:00"),
        ("2026-03-10 06:00", "2026-03-10 06:00"),
        ("2026-03-10 13:59", "2026-03-10 06:00"),
        ("2026-03-10 22:30", "2026-03-10 22:00"),
    ):
        moment = datetime.fromisoformat(told).replace(tzinfo=VIENNA)
        start = period_start(int(moment.timestamp()), "shift", VIENNA, shifts)
        assert start.strftime("%Y-%m-%d %H:%M") == wanted


def test_the_hour_that_the_change_of_clocks_repeats_is_two_and_the_night_shift_over_it_one():
    # In Vienna on 2026-10-25 the clock goes from 03:00 back to 02:00.
    first = datetime(2026, 10, 25, 0, 30, tzinfo=UTC)
    starts = [
        period_start(int((first + timedelta(hours=h)).timestamp()), "hour", VIENNA, DEFAULT_SHIFTS)
        for h in (0, 1)
    ]
    assert [start.isoformat() for start in starts] == [
        "2026-10-25T02:00:00+02:00",
        "2026-10-25T02:00:00+01:00",
    ]
    assert len(set(starts)) == 2
    night = {
        period_start(int((first + timedelta(hours=h)).timestamp()), "shift", VIENNA, DEFAULT_SHIFTS)
        for h in range(4)
    }
    assert {start.isoformat() for start in night} == {"2026-10-24T22:00:00+02:00"}


@settings(max_examples=200, deadline=None)
@given(
    st.integers(0, 4 * 10**9),
    st.sampled_from(["shift", "day", "hour"]),
    st.sampled_from([UTC, VIENNA, ZoneInfo("America/St_Johns"), ZoneInfo("Australia/Lord_Howe")]),
    st.sets(st.times().map(lambda t: t.replace(second=0, microsecond=0)), min_size=1, max_size=4),
)
def test_a_period_begins_at_or_before_its_pictures_and_not_long_before(taken, by, zone, shifts):
    start = period_start(taken, by, zone, tuple(sorted(shifts)))
    lasted = taken - start.timestamp()
    # A shift that begins in the hour that spring leaves out is up to that hour later than the clock says.
    assert -3600 <= lasted < {"hour": 2, "day": 26, "shift": 50}[by] * 3600


def test_pictures_of_a_period_are_averaged_and_what_leaves_the_limits_is_marked():
    first = datetime(2026, 3, 1, 7, tzinfo=VIENNA)
    steady = [30.0, 31.0, 29.5, 30.5, 30.0, 29.0, 30.5, 31.0, 30.0, 29.5]
    samples = []
    for day, value in enumerate([*steady, 40.0]):
        samples += [
            sample(first + timedelta(days=day), value - 1, file="a"),
            sample(first + timedelta(days=day, hours=1), value + 1, file="b"),
        ]
    samples.append(sample(first, error='{"what": ""}', d50=None, file="bad"))
    made = trend(samples, "d50", "day", zone=VIENNA, zone_name="Europe/Vienna", baseline=10)
    assert [point.value for point in made.points] == pytest.approx([*steady, 40.0])
    assert [point.samples for point in made.points] == [2] * 11
    assert made.points[0].objects == 20
    assert [point.outside for point in made.points] == [False] * 10 + [True]
    assert made.limits.centre == pytest.approx(np.mean(steady))
    assert made.limits.mean_range == pytest.approx(np.abs(np.diff(steady)).mean())
    assert made.unit == "µm"
    lines = list(csv.reader(io.StringIO(trend_csv(made).decode("utf-8"))))
    assert lines[0][0] == "start (Europe/Vienna)"
    assert lines[0][3] == "d50 (µm)"
    assert lines[-1][0] == "2026-03-11T00:00+01:00"
    assert float(lines[-1][7]) == made.limits.upper
    assert lines[-1][-1] == "1"
    drawn = ET.fromstring(trend_svg(made).decode("utf-8"))
    tags = [item.tag.rpartition("}")[2] for item in drawn.iter()]
    assert tags.count("circle") == 10
    assert tags.count("polyline") == 1
    assert "1 outside" in drawn.get("aria-label")


def test_the_drawing_puts_larger_values_higher_and_the_limits_where_they_are():
    first = datetime(2026, 3, 1, 7, tzinfo=UTC)
    made = trend(
        [sample(first + timedelta(hours=n), value) for n, value in enumerate((10.0, 20.0, 10.0, 20.0))],
        "d50", "hour", zone=UTC, zone_name="UTC",
    )  # fmt: skip
    text = trend_svg(made).decode("utf-8")
    drawn = ET.fromstring(text)
    places = [float(item.get("cy")) for item in drawn.iter("{http://www.w3.org/2000/svg}circle")]
    assert places[0] == places[2] > places[1] == places[3]
    per_unit = (places[0] - places[1]) / 10.0
    dashed = [
        float(item.get("y1"))
        for item in drawn.iter("{http://www.w3.org/2000/svg}line")
        if item.get("stroke-dasharray")
    ]
    assert len(dashed) == 2
    assert abs(dashed[0] - dashed[1]) == pytest.approx(2 * 2.66 * 10.0 * per_unit, abs=0.3)


def test_samples_of_other_tools_or_settings_are_left_out_and_counted():
    first = datetime(2026, 3, 1, 7, tzinfo=UTC)
    samples = [
        sample(first, 10.0, settings='{"threshold":0.9}', file="old"),
        sample(first, 11.0, tool_digest="sha256:b", file="older"),
        sample(first, 12.0, um_per_px=None, unit="px", file="px"),
        sample(first + timedelta(hours=9), 30.0),
    ]
    made = trend(samples, zone=UTC, zone_name="UTC")
    assert made.left_out == 3
    assert (made.um_per_px, made.uncalibrated) == (samples[-1].um_per_px, 1)
    assert [point.value for point in made.points] == [30.0]
    assert made.limits is None
    trend_svg(made)
    own = trend(samples, "roundness", zone=UTC, zone_name="UTC")
    assert (own.points[0].value, own.unit) == (0.5, "1")
    with pytest.raises(NotFound, match="moons"):
        trend(samples, "moons", zone=UTC, zone_name="UTC")
    with pytest.raises(NotFound, match="no samples"):
        trend([], zone=UTC, zone_name="UTC")
    with pytest.raises(BadInput, match="baseline"):
        trend(samples, baseline=1, zone=UTC, zone_name="UTC")


def test_a_picture_that_was_looked_at_again_counts_once_as_it_was_last():
    first = datetime(2026, 3, 1, 7, tzinfo=UTC)
    before = sample(first, 10.0, digest="sha256:f", calibration=None)
    again = replace(before, key="again", d50=12.0, computed=before.computed + 60, calibration="{}")
    (point,) = trend([again, before], zone=UTC, zone_name="UTC").points
    assert (point.value, point.samples, point.objects) == (12.0, 1, 10)


def test_shifts_and_zones_are_read_or_refused():
    assert shift_times("22:00, 06:00,14:30") == (time(6), time(14, 30), time(22))
    for wrong in ("", "6", "25:00", "06:00,06:00", "06:00;14:00", ","):
        with pytest.raises(BadInput, match="shifts"):
            shift_times(wrong)
    assert named_zone("Europe/Vienna")[1] == "Europe/Vienna"
    for wrong in ("Mars/Base", "../../etc/passwd", "", "/etc/localtime"):
        with pytest.raises(BadInput, match="time zone"):
            named_zone(wrong)
