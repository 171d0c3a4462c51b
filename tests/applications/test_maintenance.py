"""Drawn plants: the truth is exact, the signatures are where the literature has them, and the figures mean what they say."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.applications.maintenance import evaluate, plants, work
from cloister.applications.maintenance.evaluate import Watched
from cloister.applications.maintenance.faults import STATES, VISIBLE, Course, drifted, effects
from cloister.foundation.errors import BadInput, NotFound

DAYS = np.arange(0, 60, 1 / 24)
FULL = np.full_like(DAYS, 1.0)


def test_the_same_seed_draws_the_same_rows_and_another_one_others():
    first, again = (
        plants.table(plants.machines("south", 5, count=2)),
        plants.table(plants.machines("south", 5, count=2)),
    )
    assert first == again
    assert first != plants.table(plants.machines("south", 6, count=2))
    assert tuple(first) == plants.COLUMNS
    assert len({len(column) for column in first.values()}) == 1


def test_more_machines_leave_the_first_ones_as_they_were():
    few, many = plants.machines("west", 2, count=2), plants.machines("west", 2, count=3)
    np.testing.assert_array_equal(few[1].readings["vibration"], many[1].readings["vibration"])


@pytest.mark.parametrize("fault", STATES[1:])
def test_severity_is_nothing_before_the_onset_and_one_at_the_failure(fault):
    course = Course(fault, 20.0, 40.0)
    severity = course.severity(np.array([0.0, 19.9, 20.0, 30.0, 40.0, 50.0]))
    assert severity[:2].tolist() == [0.0, 0.0]
    assert severity[4:] == pytest.approx([1.0, 1.0])
    assert np.all(np.diff(severity) >= 0)


def test_each_fault_has_its_own_signature():
    """Randall (2021) and Brennen (1994): what rises most tells the faults apart."""
    bearing = effects(Course("bearing", 10.0, 50.0), DAYS, FULL)
    imbalance = effects(Course("imbalance", 10.0, 50.0), DAYS, FULL)
    cavitation = effects(Course("cavitation", 10.0, 50.0), DAYS, FULL)
    at = int(np.searchsorted(DAYS, 48))
    assert bearing.high[at] > cavitation.high[at] > imbalance.high[at] == 1.0
    assert imbalance.rotation[at] > 2.0
    assert bearing.rotation[at] == cavitation.rotation[at] == 1.0
    assert cavitation.swing[at] > 3 * bearing.swing[at]
    assert cavitation.head[at] < 1.0 == bearing.head[at]
    assert bearing.heat[at] > imbalance.heat[at] > cavitation.heat[at]


def test_a_bearing_rings_long_before_the_overall_vibration_rises():
    worn = effects(Course("bearing", 10.0, 50.0), DAYS, FULL)
    assert DAYS[np.argmax(worn.high > 1.3)] < DAYS[np.argmax(worn.broad > 0.3)]


def test_cavitation_needs_flow_and_drift_is_no_fault():
    course = Course("cavitation", 10.0, 50.0)
    assert effects(course, DAYS, 0.4 * FULL).high.max() < effects(course, DAYS, FULL).high.max() / 2
    gain, kelvin, bar = drifted(("accelerometer", 20.0), DAYS, 60.0)
    assert gain[-1] > 1.5
    assert kelvin.max() == bar.max() == 0.0
    drifting = [item for item in plants.machines("harbour", 1, count=40) if item.drift and not item.course]
    assert drifting
    assert all(set(item.states) == {"sound"} for item in drifting)


def test_rows_end_when_a_machine_fails_and_are_labelled_by_what_was_wrong():
    for machine in plants.machines("north", 4, count=30):
        if machine.course is None:
            continue
        assert machine.days[-1] <= machine.course.failure
        visible = np.array(machine.states) != "sound"
        np.testing.assert_array_equal(visible, machine.severity >= VISIBLE)


def test_a_plant_that_cannot_be_drawn_is_refused():
    with pytest.raises(NotFound):
        plants.machines("nowhere", 1)
    for wrong in ({"count": 0}, {"days": 3}, {"count": 10**6}):
        with pytest.raises(BadInput):
            plants.machines("north", 1, **wrong)


# Figures ----------------------------------------------------------------------------------------------------------------


@settings(max_examples=100, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 6), st.booleans()), min_size=1, max_size=40))
def test_average_precision_is_the_sum_over_the_steps_of_the_curve(pairs):
    risk = np.array([float(value) for value, _ in pairs])
    truth = np.array([value for _, value in pairs])
    found = evaluate.average_precision(risk, truth)
    if not truth.any():
        assert np.isnan(found)
        return
    area, before = 0.0, 0.0
    for level in sorted(set(risk.tolist()), reverse=True):
        taken = risk >= level
        recall = truth[taken].sum() / truth.sum()
        area += (recall - before) * truth[taken].mean()
        before = recall
    assert found == pytest.approx(area)


def watched(risk, severity, failure=None, step=0.5):
    days = step * np.arange(len(risk))
    return Watched(days, np.array(severity, float), np.array(risk, float), failure)


def test_a_failure_is_announced_by_the_first_alarm_after_the_fault_began():
    machine = watched([0, 9, 0, 0, 9, 9], [0, 0, 0, 0.2, 0.5, 1.0], failure=2.5)
    recall, lead, false_alarms = evaluate.at_level([machine], 5.0)
    assert (recall, lead) == (1.0, 0.5)
    assert false_alarms == pytest.approx(1 / (1.5 / 30))


def test_an_alarm_that_stays_is_one_and_after_some_days_of_quiet_it_is_another():
    risk = [0] * 40
    risk[2] = risk[3] = risk[5] = 1  # 1.0, 1.5 and 2.5 days: one alarm
    risk[20] = 1  # 10 days: another
    assert evaluate.at_level([watched(risk, [0] * 40)], 0.5)[2] == pytest.approx(2 / (20 / 30))


def test_at_the_chosen_level_false_alarms_are_no_more_than_allowed():
    rng = np.random.default_rng(0)
    machines = [watched(rng.random(300), np.zeros(300)) for _ in range(20)]
    machines.append(
        watched(np.r_[rng.random(280), 2 * np.ones(20)], np.r_[np.zeros(280), np.ones(20)], failure=149.5)
    )
    told = evaluate.score(machines, allowed=0.1)
    assert told.false_alarms <= 0.1
    assert told.recall == 1.0


def test_vibration_by_the_standard_is_in_millimetres_per_second():
    (machine,) = plants.machines("harbour", 8, count=1)
    level, rise = evaluate.by_level(machine), evaluate.by_rise(machine)
    assert level[0] == pytest.approx(np.nanmean(machine.readings["vibration"][: work.LENGTH]))
    np.testing.assert_allclose(level - rise, (level - rise)[0])


def test_the_figures_see_what_the_tool_sees():
    found = plants.machines("harbour", 8, count=2)
    states = evaluate.states_by(work.network())(found[0])
    np.testing.assert_allclose(states.sum(axis=1), 1.0, rtol=1e-6)
    assert len(evaluate.watch(found, evaluate.by_model(work.network()))) == 2
    assert 0 <= evaluate.naming(plants.machines("harbour", 8, count=12), work.network()) <= 1
