"""How well machines that will fail are told from those that will not: on rows whose truth is exactly known.

Every way of watching gives each window of each machine a risk; the higher, the worse. Then the same questions are asked of all:
how well do risks order windows (average precision, the area under the precision-recall curve), and where false alarms are as
rare as people bear, how many failures are announced, and how long before.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from cloister.applications.maintenance.faults import STATES, VISIBLE, Reals
from cloister.applications.maintenance.plants import Machine
from cloister.applications.maintenance.work import RECENT, WINDOWS, recipe
from cloister.data.windows import Windows, windows_of
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import parse_document
from cloister.tools.inference import OnnxModel

MONTH = 30.0
"""Days of a machine-month."""
QUIET = 3.0
"""Days without alarm after which the next one is a new one."""
ZONE_C, RISE = 2.8, 0.7
"""mm/s: ISO 10816-3:2009, table A.2 (15 to 300 kW, rigid), where zone B ends; and a quarter of that, which section 5.3.2 calls
a significant change."""


@dataclass(frozen=True)
class Watched:
    """One machine as it is watched, window by window.

    Attributes:
        days: of each window's last row.
        severity: true, then.
        risk: told of it, the mean of the last `RECENT` windows.
        failure: day of its failure, if that was seen.
    """

    days: Reals
    severity: Reals
    risk: Reals
    failure: float | None


@dataclass(frozen=True)
class Score:
    """What a way of watching is worth on a plant.

    Attributes:
        precision: average precision of windows, 0 to 1; what chance gives is the share of windows with a fault.
        chance: that share.
        threshold: the alarm level at which false alarms come as often as allowed.
        recall: share of failures that were announced at that level.
        lead: days from the announcement to the failure, the median; NaN if none was announced.
        false_alarms: for each machine and month, at that level.
    """

    precision: float
    chance: float
    threshold: float
    recall: float
    lead: float
    false_alarms: float


def states_by(model: bytes) -> Callable[[Machine], Reals]:
    """The probabilities of `STATES` that a model gives to each window of a machine: [windows, states]."""
    network = OnnxModel(model, "the model", threads=1)

    def states(machine: Machine) -> Reals:
        logits = network(features(machine)).astype(np.float64)
        raised = np.exp(logits - logits.max(axis=1, keepdims=True))
        return np.asarray(raised / raised.sum(axis=1, keepdims=True))

    return states


def by_model(model: bytes) -> Callable[[Machine], Reals]:
    """Risk as one minus the model's probability of `sound`."""
    states = states_by(model)
    return lambda machine: 1.0 - states(machine)[:, STATES.index("sound")]


def naming(found: Sequence[Machine], model: bytes) -> float:
    """Share of the windows with a visible fault of which the right fault is the likeliest of all faults; NaN if there are none."""
    states, right = states_by(model), []
    for machine in found:
        if machine.course is None or len(machine.days) < _windows().length:
            continue
        last = windows_of(_windows(), [machine.name] * len(machine.days), machine.readings).last
        visible = machine.severity[last] >= VISIBLE
        told = 1 + states(machine)[visible, 1:].argmax(axis=1)
        right += list(told == STATES.index(machine.course.fault))
    return float(np.mean(right)) if right else float("nan")


def by_level(machine: Machine) -> Reals:
    """Risk as the overall vibration in mm/s, as zones of ISO 10816-3 and 20816 are told apart."""
    return _vibration(machine, "nothing")


def by_rise(machine: Machine) -> Reals:
    """Risk as the overall vibration above the machine's own beginning, mm/s: the second criterion of these standards."""
    return _vibration(machine, "beginning")


def features(machine: Machine) -> np.ndarray:
    """What the model sees of each window: float32 [windows, features], as training and the tool make it."""
    plan, columns = _windows(), recipe()["preparation"]["columns"]
    made = windows_of(plan, [machine.name] * len(machine.days), machine.readings).features
    for place, column in enumerate(columns):
        made[:, place] = np.clip(made[:, place] / column["spread"], -column["limit"], column["limit"])
    return np.nan_to_num(made, nan=0.0).astype(np.float32)


def watch(found: Sequence[Machine], risk: Callable[[Machine], Reals]) -> list[Watched]:
    """Machines as they are watched; those with fewer rows than a window are left out."""
    watched = []
    for machine in found:
        last = windows_of(_windows(), [machine.name] * len(machine.days), machine.readings).last
        if len(last) == 0:
            continue
        days = machine.days[last]
        end = machine.course.failure if machine.course is not None else np.inf
        seen = end <= machine.days[-1] + 1.0
        watched.append(Watched(days, machine.severity[last], _recent(risk(machine)), end if seen else None))
    return watched


def score(watched: Sequence[Watched], allowed: float = 0.1) -> Score:
    """The figures of a plant; `allowed` false alarms for each machine and month."""
    risk = np.concatenate([item.risk for item in watched])
    truth = np.concatenate([item.severity >= VISIBLE for item in watched])
    level = _threshold(watched, allowed)
    recall, lead, false_alarms = at_level(watched, level)
    return Score(average_precision(risk, truth), float(truth.mean()), level, recall, lead, false_alarms)


def at_level(watched: Sequence[Watched], level: float) -> tuple[float, float, float]:
    """Recall of failures, median lead in days, and false alarms for each machine and month, with alarms from `level` on.

    A failure is announced by the first alarm after the fault began. An alarm of a machine without a fault, or before it, is false.
    """
    leads, failures, false_alarms, sound_days = [], 0, 0, 0.0
    for item in watched:
        alarm = item.risk >= level
        sound = item.severity == 0.0
        step = float(np.median(np.diff(item.days))) if len(item.days) > 1 else 0.0
        sound_days += step * int(sound.sum())
        before = -np.inf
        for day in item.days[alarm & sound]:
            false_alarms += bool(day - before > QUIET)
            before = day
        if item.failure is None:
            continue
        failures += 1
        told = item.days[alarm & ~sound]
        if len(told):
            leads.append(item.failure - float(told[0]))
    recall = len(leads) / failures if failures else float("nan")
    lead = float(np.median(leads)) if leads else float("nan")
    return recall, lead, false_alarms / max(sound_days / MONTH, 1e-9)


def average_precision(risk: Reals, truth: np.ndarray) -> float:
    """Area under the precision-recall curve as the sum over its steps; windows of equal risk are taken together.

    Boyd, Eng and Page (2013), "Area under the precision-recall curve", section 3: the estimator `AP`, without interpolation.
    """
    order = np.argsort(-risk, kind="stable")
    hits = np.cumsum(truth[order])
    if not len(hits) or not hits[-1]:
        return float("nan")
    last = np.flatnonzero(np.append(np.diff(risk[order]) != 0, True))
    found, taken = hits[last], last + 1
    return float((np.diff(np.append(0, found)) * (found / taken)).sum() / hits[-1])


def _threshold(watched: Sequence[Watched], allowed: float) -> float:
    """The lowest level, coming down from the highest, before false alarms exceed what is allowed."""
    sound = np.concatenate([item.risk[item.severity == 0.0] for item in watched])
    level = float(np.nextafter(sound.max(), np.inf))
    for quantile in np.linspace(1.0, 0.5, 400):
        lower = float(np.quantile(sound, quantile))
        if at_level(watched, lower)[2] > allowed:
            break
        level = lower
    return level


def _recent(risk: Reals) -> Reals:
    """The mean of the last `RECENT` windows at each."""
    total = np.cumsum(np.insert(risk, 0, 0.0))
    places = np.arange(1, len(risk) + 1)
    begins = np.maximum(0, places - RECENT)
    return (total[places] - total[begins]) / (places - begins)


def _vibration(machine: Machine, against: str) -> Reals:
    feature = {"name": "level", "column": "vibration", "statistic": "mean", "against": against}
    plan = parse_document(Windows, canonical({**WINDOWS, "features": [feature]}), "Windows")
    made = windows_of(plan, [machine.name] * len(machine.days), {"vibration": machine.readings["vibration"]})
    return np.nan_to_num(made.features[:, 0], nan=0.0)


def _windows() -> Windows:
    return parse_document(Windows, canonical(WINDOWS), "Windows")
