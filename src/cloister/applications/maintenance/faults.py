"""What goes wrong with a pump, and what its sensors show of it.

Severity runs from 0 (sound) to 1 (failure). How it grows, and which readings follow it, is after

- N. Z. Gebraeel et al., "Residual-life distributions from component degradation signals", IIE Transactions 37(6), 2005:
  bearing wear shows late, then grows exponentially;
- R. B. Randall, "Vibration-based Condition Monitoring", 2nd ed., 2021, chapters 2 and 5: imbalance shows at the frequency of
  rotation and grows with the square of the speed; a damaged bearing rings in a high band long before the overall level rises;
- C. E. Brennen, "Hydrodynamics of Pumps", 1994, chapters 5 and 6: cavitation is noise of a broad, high band, begins where the
  flow is large, takes head away and makes it swing;
- ISO 13373-3:2015 and ISO 17359:2018: which quantity to watch for which fault;
- sensors: an accelerometer that loses its calibration scales all that is measured with it alike, a thermometer drifts by
  itself. That is no fault of the machine, and an alarm about it is a false one.

The sizes of these effects are choices made here, not measurements of real pumps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Reals: TypeAlias = NDArray[np.float64]
Fault: TypeAlias = Literal["bearing", "imbalance", "cavitation"]
Drift: TypeAlias = Literal["accelerometer", "thermometer", "gauge"]

STATES = ("sound", "bearing", "imbalance", "cavitation")
"""What a machine can be, in the order of the model's outputs."""
VISIBLE = 0.1
"""From this severity on, rows are called by the fault: in hindsight, a plant dates a defect about so."""


@dataclass(frozen=True)
class Course:
    """One fault of one machine, exactly known.

    Attributes:
        fault: which.
        onset: days from the beginning of the rows.
        failure: when the machine fails, days.
    """

    fault: Fault
    onset: float
    failure: float

    def severity(self, days: Reals) -> Reals:
        """0 before the onset, 1 at the failure."""
        share = np.clip((days - self.onset) / (self.failure - self.onset), 0.0, 1.0)
        begun = days >= self.onset
        if self.fault == "bearing":
            return np.asarray(np.expm1(4.0 * share) / np.expm1(4.0))
        if self.fault == "imbalance":  # a piece is lost, or a crust sits down, and then more of it
            return np.where(begun, 0.25 + 0.75 * share, 0.0)
        return np.where(begun, 0.15 + 0.85 * share, 0.0)


@dataclass(frozen=True)
class Effects:
    """What a fault does to the readings, per row; factors are 1 and additions 0 where nothing is wrong.

    Attributes:
        rotation: factor of the vibration at the frequency of rotation.
        broad: addition to the other vibration, mm/s.
        high: factor of the high band.
        heat: addition to the bearing's temperature, kelvin.
        head: factor of the pressure.
        swing: relative standard deviation that pressure and, by a third, current gain.
    """

    rotation: Reals
    broad: Reals
    high: Reals
    heat: Reals
    head: Reals
    swing: Reals


def effects(course: Course | None, days: Reals, load: Reals) -> Effects:
    """The effects of a fault at each row; `load` is the flow as a share of the nominal one."""
    zero = np.zeros_like(days)
    one = zero + 1.0
    if course is None:
        return Effects(one, zero, one, zero, one, zero)
    severity = course.severity(days)
    if course.fault == "bearing":
        return Effects(
            one, 2.6 * severity**2, 1.0 + 7.0 * severity, 16.0 * severity**1.5, one, 0.01 * severity
        )
    if course.fault == "imbalance":
        return Effects(1.0 + 3.2 * severity, 0.2 * severity, one, 2.0 * severity, one, zero)
    # The more the flow, the lower the pressure at the inlet: cavitation comes and goes with the load.
    active = severity / (1.0 + np.exp(-(load - (0.95 - 0.3 * severity)) / 0.05))
    return Effects(one, 1.6 * active, 1.0 + 3.0 * active, 1.5 * active, 1.0 - 0.12 * active, 0.07 * active)


def drifted(drift: tuple[Drift, float] | None, days: Reals, last: float) -> tuple[Reals, Reals, Reals]:
    """Factor of everything the accelerometer measures, kelvin and bar that are read too much; from the drift's day to the last."""
    zero = np.zeros_like(days)
    if drift is None:
        return zero + 1.0, zero, zero
    which, begins = drift
    share = np.clip((days - begins) / max(1.0, last - begins), 0.0, 1.0)
    return (
        1.0 + 0.9 * share if which == "accelerometer" else zero + 1.0,
        18.0 * share if which == "thermometer" else zero,
        0.8 * share if which == "gauge" else zero,
    )
