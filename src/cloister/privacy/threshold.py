"""Whether the mean of bounded scores reaches a floor, told by noisy sums that cost nothing beside a private run.

Each unit has a score between 0 and 1. What is looked at is the sum of (score - floor), which one unit changes by at most
max(floor, 1 - floor); the answer is whether it is at least zero, with noise. The sum is taken as often as the run has
steps, each time over a fresh Poisson sample at the run's own rate, with noise that is as large beside what one unit
changes as the run's; the noisy sums are added up, and their sign is the answer.

So to whoever sees the answers, a unit that is checked on is hidden exactly as well as one that is trained on. Where each
unit is either the one or the other by its own fate (`training.splitting`, rule 4), training and checks together are
dominated by the run alone: what was charged for it covers both, in epsilon and delta, at every Rényi order, whichever
way it was worked out (`docs/proofs/quality-gate.md`).

Privacy: add-or-remove one unit, at one owner or, as the run states, at up to `occurrences` of them, each of which may
train on it or check on it.

Rules:
1. Rate, steps and noise follow from the run and the floor alone, which are public.
2. Where a unit may be at m owners, each adds √m times the noise, since there may be m answers about one unit.
3. Scores are brought to a lattice one by one, within the bound, and added as integers: nothing is rounded in the sum.
4. A secret serves one set of scores. The same secret and scores give the same answer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.privacy.mechanisms import Mechanism, mechanism_for
from cloister.privacy.runs import PrivateRun
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream

_FINE, _COARSE = 14, 6
_FINE_UP_TO: Final = 2.0**13
_LARGEST: Final = 2.0**28
"""More units than this on one side of the floor count as so many; only the sum's sign is told."""
_UP: Final = 1 + 1e-12


@dataclass(frozen=True)
class Weighed:
    """What was found of a set of scores.

    Attributes:
        reached: whether the noisy sum is at least zero. This alone may be told to others.
        units: how many scores there are.
        mean: theirs; NaN if there are none.
        noisy: the mean with its noise, as far as one can be worked out; NaN if there are none.
    """

    reached: bool
    units: int
    mean: float
    noisy: float


def weigh(run: PrivateRun, floor: float, scores: NDArray[Any], secret: bytes) -> Weighed:
    """Weighs scores against a floor.

    Args:
        run: the private run that is charged for; every unit of the scores is in none of its samples.
        floor: 0 to 1.
        scores: (units,), each of one unit alone; what is not between 0 and 1 is brought there.
        secret: 32 bytes, for these scores and nothing else (rule 4).

    Raises:
        BadInput: floor or run is out of range.
    """
    mechanism = noise(run, floor)
    most = math.ldexp(mechanism.clip, mechanism.exponent)
    bounded = np.clip(np.nan_to_num(np.asarray(scores, np.float64)), 0.0, 1.0)
    points = np.rint(np.clip(np.ldexp(bounded - floor, mechanism.exponent), -most, most)).astype(np.int64)
    total, steps = 0, mechanism.steps
    for step in range(steps):
        sample = poisson_sample(NoiseStream(secret, f"quality/{step}/sample"), len(points), run.rate)
        drawn = math.ldexp(float(points[sample].sum()), -mechanism.exponent)
        total += int(mechanism.noisy(np.array([drawn]), secret, f"quality/{step}/noise")[0])
    units = len(bounded)
    if not units:
        return Weighed(total >= 0, 0, math.nan, math.nan)
    change = math.ldexp(float(total), -mechanism.exponent) / (run.rate * steps * units)
    return Weighed(total >= 0, units, float(bounded.mean()), floor + change)


@lru_cache(maxsize=64)
def noise(run: PrivateRun, floor: float) -> Mechanism:
    """The noise of one of the sums (rules 1 and 2). Raises `BadInput` for a floor or a run out of range."""
    if not 0 <= floor <= 1:
        raise BadInput(
            "There is no such floor.", "Scores lie between 0 and 1, and so does a floor.", "Choose another."
        )
    multiplier = run.run.noise_multiplier * math.sqrt(run.mechanism.occurrences) * _UP
    exponent = _FINE if multiplier <= _FINE_UP_TO else _COARSE
    return mechanism_for(
        dimension=1,
        # A whole number of lattice steps, so that no score is rounded beyond it.
        clip=math.ldexp(math.ceil(math.ldexp(max(floor, 1 - floor), exponent)), -exponent),
        noise_multiplier=multiplier,
        largest=_LARGEST,
        exact_exponent=exponent,
        steps=run.mechanism.steps,
    )


def deviation(run: PrivateRun, floor: float) -> float:
    """Standard deviation of the noise in the sum of scores, in scores; that of sampling comes besides (see `needed`)."""
    mechanism = noise(run, floor)
    return mechanism.deviation / (run.rate * math.sqrt(mechanism.steps))


def needed(run: PrivateRun, floor: float, error: float) -> int:
    """From how many units on the mean is known up to a standard deviation of `error`, sampling included.

    Sampling adds at most units · bound² (1 - rate) / (rate · steps) to the variance of the sum.
    """
    mechanism = noise(run, floor)
    sampled = mechanism.clip**2 * (1 - run.rate) / (run.rate * mechanism.steps)
    # error² n² = sampled · n + deviation²
    root = math.sqrt(sampled**2 + 4 * (error * deviation(run, floor)) ** 2)
    return math.ceil((sampled + root) / (2 * error**2))
