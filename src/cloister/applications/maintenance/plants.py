"""Synthetic plants with pumps: rows of sensors as a process computer keeps them, with the truth exactly known.

Each row is one machine at one time: speed, current, pressure, temperature of the bearing, and three figures of an
accelerometer at its housing (overall velocity from 10 to 1000 Hz as in ISO 20816-1, the part at the frequency of rotation,
and the acceleration of a high band). Plants differ as plants do: machines, foundations, loads, climate, how often a row is
kept, how gauges are set, and which fault is common. Everything follows from a seed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

import numpy as np

from cloister.applications.maintenance.faults import (
    STATES,
    VISIBLE,
    Course,
    Drift,
    Fault,
    Reals,
    drifted,
    effects,
)
from cloister.foundation.errors import BadInput, NotFound

Range = tuple[float, float]
UNITS = {
    "speed": "1/min",
    "current": "A",
    "pressure": "bar",
    "temperature": "°C",
    "vibration": "mm/s",
    "rotation": "mm/s",
    "high_band": "m/s²",
}
"""The readings and their units, in the order of the columns."""
COLUMNS = ("time", "machine", *UNITS, "state")
"""The columns of a plant's table; `state` is the label, one of `STATES`."""
_BEGIN = datetime(2026, 1, 5, tzinfo=UTC)


@dataclass(frozen=True)
class Plant:
    """Ranges from which the machines of a plant are drawn.

    Attributes:
        name: of the plant.
        hours: between two rows of a machine.
        speed: nominal, 1/min.
        driven: share of machines with a converter, whose speed follows the load.
        power: nominal current, A.
        head: pressure at zero flow, bar.
        gauge: bar that the plant's gauges show at rest: 1 where they show absolute pressure.
        ambient: °C around the machines.
        vibration: overall velocity of a sound machine, mm/s; foundations differ.
        unbalanced: share of a sound machine's vibration (of its square) at the frequency of rotation.
        high_band: of a sound machine, m/s².
        faulty: share of machines that develop a fault.
        faults: weight of each fault.
        drifting: share of machines of which a sensor drifts.
        missing: share of readings that are lost.
    """

    name: str
    hours: float = 1.0
    speed: Range = (1450, 1490)
    driven: float = 0.0
    power: Range = (40, 120)
    head: Range = (3, 6)
    gauge: float = 0.0
    ambient: Range = (18, 26)
    vibration: Range = (0.7, 1.6)
    unbalanced: Range = (0.2, 0.5)
    high_band: Range = (2, 5)
    faulty: float = 0.5
    faults: dict[Fault, float] = field(
        default_factory=lambda: {"bearing": 1, "imbalance": 1, "cavitation": 1}
    )
    drifting: float = 0.25
    missing: float = 0.01


PLANTS: dict[str, Plant] = {
    plant.name: plant
    for plant in (
        Plant("north", ambient=(6, 16), faults={"bearing": 8, "imbalance": 1, "cavitation": 1}),
        Plant(
            "south",
            hours=2.0,
            speed=(1150, 1485),
            driven=0.8,
            ambient=(24, 34),
            vibration=(0.9, 2.0),
            faults={"bearing": 1, "imbalance": 8, "cavitation": 1},
        ),
        Plant(
            "west",
            speed=(2900, 2980),
            head=(6, 11),
            gauge=1.0,
            high_band=(4, 9),
            vibration=(0.8, 1.8),
            faults={"bearing": 1, "imbalance": 1, "cavitation": 8},
        ),
        Plant(
            "harbour",
            hours=1.0,
            speed=(960, 1480),
            driven=0.4,
            head=(2, 9),
            gauge=0.4,
            ambient=(12, 30),
            vibration=(0.9, 2.5),
            high_band=(1.5, 7),
            drifting=0.4,
        ),
    )
}
"""Three plants that train, each knowing mostly one fault, and `harbour`, which has all of them and never trains."""


@dataclass(frozen=True)
class Machine:
    """The rows of one machine and the truth about it.

    Attributes:
        name: of the machine.
        days: of each row, from the first.
        readings: by name, in the order of `UNITS`; NaN where lost.
        course: its fault, or None.
        drift: the sensor that drifts and from which day, or None.
    """

    name: str
    days: Reals
    readings: dict[str, Reals]
    course: Course | None
    drift: tuple[Drift, float] | None

    @property
    def severity(self) -> Reals:
        """Of each row, 0 to 1."""
        return np.zeros_like(self.days) if self.course is None else self.course.severity(self.days)

    @property
    def states(self) -> list[str]:
        """The label of each row: the fault from a severity of `VISIBLE` on."""
        fault = STATES[0] if self.course is None else self.course.fault
        return [fault if severity >= VISIBLE else STATES[0] for severity in self.severity]


def plant(name: str) -> Plant:
    """A plant by name. Raises `NotFound`."""
    if name not in PLANTS:
        raise NotFound(f"There is no plant {name[:40]!r}.", f"There are {', '.join(PLANTS)}.", "Name one.")
    return PLANTS[name]


def machines(name: str, seed: int, *, count: int = 16, days: float = 90.0) -> list[Machine]:
    """The machines of a plant.

    Args:
        name: of `PLANTS`.
        seed: the same seed gives the same rows.
        count: machines, 1 to 10,000.
        days: for which rows are kept, 30 to 3650; rows of a machine end when it fails.

    Raises:
        NotFound: no such plant.
        BadInput: a number is out of range.
    """
    kind = plant(name)
    if not (1 <= count <= 10_000 and 30 <= days <= 3650 and seed >= 0):
        raise BadInput("Such a plant cannot be drawn.", "1 to 10,000 machines, 30 to 3650 days.", "")
    number = list(PLANTS).index(name)
    return [
        _machine(kind, np.random.default_rng([seed, number, place]), place, days) for place in range(count)
    ]


def table(found: Sequence[Machine]) -> dict[str, list[object]]:
    """The rows of machines as a table: `COLUMNS`, ordered by time, lost readings None."""
    rows = sorted(_rows(found), key=lambda row: (row[0], row[1]))
    return {name: [row[place] for row in rows] for place, name in enumerate(COLUMNS)}


def _rows(found: Sequence[Machine]) -> Iterator[tuple[str, ...]]:
    for machine in found:
        times = [(_BEGIN + timedelta(days=float(day))).isoformat(timespec="minutes") for day in machine.days]
        columns = [
            [None if np.isnan(value) else round(float(value), 3) for value in values]
            for values in machine.readings.values()
        ]
        yield from zip(times, [machine.name] * len(times), *columns, machine.states, strict=True)


def _machine(kind: Plant, rng: np.random.Generator, place: int, last: float) -> Machine:
    days = np.arange(0.0, last, kind.hours / 24.0)
    course = _course(kind, rng, last)
    drift: tuple[Drift, float] | None = None
    if rng.random() < kind.drifting:
        which: Drift = ("accelerometer", "thermometer", "gauge")[int(rng.integers(3))]
        drift = (which, float(rng.uniform(0.2, 0.7) * last))
    if course is not None and course.failure < last:
        days = days[days <= course.failure]
    load = _load(rng, days, kind.hours)
    done = effects(course, days, load)
    gain, warm, lifted = drifted(drift, days, last)

    def noise(spread: float | Reals) -> Reals:
        return 1.0 + spread * rng.standard_normal(len(days))

    turning = rng.random() < kind.driven
    ratio = 0.75 + 0.25 * load if turning else 1.0 - 0.01 * load
    whole, share = rng.uniform(*kind.vibration), rng.uniform(*kind.unbalanced)
    rotation = whole * np.sqrt(share) * done.rotation * ratio**2 * noise(0.05)
    broad = whole * np.sqrt(1 - share) * (0.7 + 0.3 * load) * noise(0.08) + done.broad * noise(0.1)
    pressure = rng.uniform(*kind.head) * ratio**2 * (1.0 - 0.3 * load**2) * done.head
    climate = rng.uniform(*kind.ambient) + 3.0 * np.sin(2 * np.pi * (days - 0.6))
    rise = rng.uniform(14, 26) * (0.5 + 0.5 * load)
    readings = {
        "speed": rng.uniform(*kind.speed) * ratio * noise(0.002),
        "current": rng.uniform(*kind.power) * (0.45 + 0.55 * load) * noise(0.01 + done.swing / 3),
        "pressure": pressure * noise(0.01 + done.swing) + kind.gauge + lifted,
        "temperature": climate + rise + done.heat + warm + rng.normal(0, 0.5, len(days)),
        "vibration": np.sqrt(rotation**2 + broad**2) * gain,
        "rotation": rotation * gain,
        "high_band": rng.uniform(*kind.high_band) * (0.8 + 0.2 * load) * done.high * noise(0.1) * gain,
    }
    for values in readings.values():
        values[rng.random(len(days)) < kind.missing] = np.nan
    return Machine(f"{kind.name}-{place + 1:02d}", days, readings, course, drift)


def _course(kind: Plant, rng: np.random.Generator, last: float) -> Course | None:
    if rng.random() >= kind.faulty:
        return None
    names = list(kind.faults)
    weights = np.asarray([kind.faults[name] for name in names], np.float64)
    fault = names[int(rng.choice(len(names), p=weights / weights.sum()))]
    onset = float(rng.uniform(0.25, 0.75) * last)
    return Course(fault, onset, onset + float(rng.uniform(12, 35)))


def _load(rng: np.random.Generator, days: Reals, hours: float) -> Reals:
    """Flow as a share of the nominal one: by the hour of the day, and wandering over a day or so (first-order autoregression)."""
    keep = float(np.exp(-hours / 18.0))
    steps = rng.standard_normal(len(days)) * np.sqrt(1 - keep**2)
    wandering = np.empty_like(steps)
    state = rng.standard_normal()
    for place, step in enumerate(steps):
        state = keep * state + step
        wandering[place] = state
    return np.asarray(np.clip(0.75 + 0.06 * np.sin(2 * np.pi * days) + 0.12 * wandering, 0.3, 1.15))
