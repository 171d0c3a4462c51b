"""What a run of noisy steps costs: epsilon for a delta, and the noise that an epsilon needs.

A *run* is fixed in advance: so many steps of the Gaussian mechanism, each on a fresh Poisson sample. Two accountants
bound it. The privacy loss distribution (`pld`) is nearly exact. The Rényi bound (`renyi`) is a closed form that sums
up over runs which are chosen as one goes; `filters` decides by it. Both are upper bounds; `epsilon` takes the lesser.
Without sampling there is an exact formula (`gaussian`), which bounds runs with it too.

Rules:
1. Add-or-remove one unit; a unit that may occur at m nodes multiplies the sensitivity by m, and is drawn somewhere with
   probability 1 - (1 - q)^m (`docs/proofs/accounting.md`, 3).
2. Delta counts what else can go wrong, sums that wrap and batches that overflow: a chance of f adds (1 + exp(epsilon)) f.
3. Everything from outside is bounded: steps, rates, multipliers, deltas, and the time that a foreign plan can take.
4. A PLD is used only for a run that is fixed in advance; adaptive choices are left to the filters.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, Literal, TypeAlias

from cloister.foundation.errors import BadInput, Refused
from cloister.privacy import gaussian, renyi
from cloister.privacy.mechanisms import Mechanism

Accountant: TypeAlias = Literal["pld", "renyi"]

MAX_STEPS: Final = 10_000_000
MAX_UNITS: Final = 1 << 32
LEAST_DELTA: Final = 1e-15
LEAST_RATE: Final = 1e-12
PLD_STEPS: Final = 100_000
PLD_MULTIPLIER: Final = 0.3
PLD_EPSILON: Final = 50.0
"""Beyond these a PLD takes minutes or all memory, for epsilons that protect nobody: the Rényi bound alone is used."""
_LEAST_MULTIPLIER: Final = 0.05
_MOST_MULTIPLIER: Final = 1e6


@dataclass(frozen=True)
class Run:
    """A run of Poisson-sampled Gaussian steps, fixed in advance.

    Attributes:
        noise_multiplier: standard deviation over sensitivity.
        rate: the chance of a unit to be in a step's sample; 1: every unit is in every step.
        steps: how many.
        failure: the chance, over the whole run, that something else than this happens (rule 2).
    """

    noise_multiplier: float
    rate: float
    steps: int
    failure: float = 0.0

    def __post_init__(self) -> None:
        """Raises `BadInput` for numbers out of range."""
        if not (
            1e-3 <= self.noise_multiplier <= 1e9
            and LEAST_RATE <= self.rate <= 1
            and 1 <= self.steps <= MAX_STEPS
            and 0 <= self.failure < 1
        ):
            raise BadInput(
                "The privacy of this run cannot be computed.",
                "Its noise, sampling rate, number of steps or delta is out of range.",
                "Plan with other numbers.",
            )

    def renyi_curve(self) -> dict[int, float]:
        """Order → bound of the whole run, at `renyi.ORDERS`."""
        return {
            order: self.steps * renyi.sampled_gaussian(order, self.noise_multiplier, self.rate)
            for order in renyi.ORDERS
        }


def run_of(mechanism: Mechanism, rate: float, steps: int, failure: float = 0.0) -> Run:
    """The run of a mechanism's steps, where each node draws each unit with chance `rate` for itself (rule 1)."""
    if mechanism.steps < steps:
        raise BadInput(
            "The mechanism is planned for fewer steps than the run has.",
            f"{mechanism.steps} steps are planned.",
            "Plan it for the whole run.",
        )
    somewhere = rate if mechanism.occurrences == 1 else -math.expm1(mechanism.occurrences * _log_rest(rate))
    return Run(mechanism.noise_multiplier, min(1.0, somewhere * (1 + 1e-12)), steps, failure + mechanism.wrap)


def epsilon(run: Run, delta: float, accountant: Accountant = "pld") -> float:
    """The least epsilon that is proved for this delta, `inf` if none is.

    Args:
        run: fixed in advance.
        delta: in total.
        accountant: `renyi` is quick and only a little worse; `pld` takes the lesser of both.

    Raises:
        BadInput: delta is out of range.
    """
    if not LEAST_DELTA <= delta < 1:
        raise BadInput(
            "Delta is out of range.", f"It lies between {LEAST_DELTA:g} and 1.", "Choose another delta."
        )
    found = _of_noise(run, delta, accountant)
    if not run.failure:
        return found
    # A larger epsilon leaves less of delta, which asks for a larger epsilon: tried until one suffices for itself.
    margin = 1e-6
    while found < math.inf:
        tried = found * (1 + margin) + 1e-9
        found = _of_noise(run, delta - _failing(run, tried), accountant)
        if found <= tried:
            return tried
        margin *= 2
    return math.inf


def delta(run: Run, epsilon: float, accountant: Accountant = "pld") -> float:
    """The least delta that is proved for this epsilon; at most 1."""
    if not 0 <= epsilon < math.inf:
        raise BadInput("Epsilon is out of range.", "It is a number from 0 on.", "Choose another.")
    unsampled = gaussian.delta(run.noise_multiplier / math.sqrt(run.steps), epsilon)
    found = min(unsampled, renyi.delta_of(run.renyi_curve(), epsilon))
    if run.rate < 1 and accountant == "pld" and _quick_enough(run) and epsilon <= PLD_EPSILON:
        from cloister.privacy.pld import delta as by_pld  # it loads SciPy

        found = min(found, by_pld(run.noise_multiplier, run.rate, run.steps, epsilon))
    return min(1.0, found + _failing(run, epsilon))


def noise_multiplier(
    target: float,
    delta: float,
    *,
    rate: float,
    steps: int,
    failure: float = 0.0,
    accountant: Accountant = "pld",
    precision: float = 1e-3,
) -> float:
    """A noise multiplier with which the run keeps epsilon between `target` · (1 - `precision`) and `target`.

    Raises:
        BadInput: a number is out of range.
        Refused: no noise reaches it (clause `noise`).
    """
    if not 0 < target < math.inf:
        raise BadInput("Epsilon is out of range.", "It is a number above 0.", "Choose another.")

    def quick(multiplier: float) -> bool:
        return epsilon(Run(multiplier, rate, steps, failure), delta, "renyi") <= target

    high = least_multiplier(quick, precision=precision / 2)
    if accountant == "renyi":
        return high
    # The nearly exact accountant is slow: a secant in logarithms asks it four or five times.
    low, log_low = _LEAST_MULTIPLIER / 2, math.inf
    found = epsilon(Run(high, rate, steps, failure), delta)
    log_high = math.log(found / target) if found > 0 else -math.inf
    for _ in range(40):
        if log_high >= -precision or high <= _LEAST_MULTIPLIER or low * (1 + precision / 10) > high:
            break
        if log_low < math.inf and log_high > -math.inf:
            slope = (log_low - log_high) / math.log(high / low)
            guess = high * math.exp((log_high + precision / 2) / slope)
        else:
            guess = high * math.exp(max(log_high, -1.0))
        guess = min(max(guess, low * (1 + precision / 20)), high * (1 - precision / 20), _MOST_MULTIPLIER)
        guess = max(guess, _LEAST_MULTIPLIER)
        found = epsilon(Run(guess, rate, steps, failure), delta)
        if found <= target:
            high, log_high = guess, math.log(found / target) if found > 0 else -math.inf
        else:
            low, log_low = guess, math.log(found / target) if found < math.inf else math.inf
    return high


def least_multiplier(fits: Callable[[float], bool], *, precision: float = 1e-3, start: float = 1.0) -> float:
    """The smallest multiplier, up to a factor of 1 + `precision`, that fits; more noise must not fit worse.

    For planners that ask a filter: `fits` is whether the budget permits a run with that multiplier.

    Raises:
        Refused: even the largest does not fit (clause `noise`).
    """
    low = high = min(max(start, _LEAST_MULTIPLIER), _MOST_MULTIPLIER)
    step = 1.5
    if fits(high):
        while low > _LEAST_MULTIPLIER and fits(low):
            high, low, step = low, max(low / step, _LEAST_MULTIPLIER), step * step
        if fits(low):
            return low
    else:
        while not fits(high):
            if high >= _MOST_MULTIPLIER:
                raise Refused(
                    "No noise is large enough for this privacy.",
                    "The privacy that is asked for, or what is left of it, does not cover even one such run.",
                    "Ask for fewer steps, or for a larger epsilon or delta.",
                    clause="noise",
                )
            low, high, step = high, min(high * step, _MOST_MULTIPLIER), step * step
    while high > low * (1 + precision):
        middle = math.sqrt(low * high)
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high


def overflow(units: int, rate: float, capacity: int, steps: int) -> float:
    """A bound of the chance that a Poisson sample exceeds a batch's capacity in any step: a run's `failure`.

    Chernoff: P[Bin(n, q) ≥ k] ≤ exp(-n KL(k / n, q)) for k > nq.

    Args:
        units: a public bound of how many there are at the node (their number itself is private).
        rate: of sampling.
        capacity: what the padded batch holds.
        steps: of the run, at all nodes together.

    Raises:
        BadInput: a number is out of range.
    """
    if not (1 <= units <= MAX_UNITS and 0 < rate <= 1 and capacity >= 1 and 1 <= steps <= 1000 * MAX_STEPS):
        raise BadInput("Batches of these sizes cannot be accounted for.", "", "Plan with other numbers.")
    full = capacity + 1
    if full > units:
        return 0.0
    share = full / units
    if share <= rate:
        return 1.0
    rest = (1 - share) * math.log((1 - share) / (1 - rate)) if share < 1 else 0.0
    # The divergence is off by less than 10^-15, and so its product with the units by less than 10^-5.
    exponent = -units * (share * math.log(share / rate) + rest)
    return min(1.0, steps * math.exp(min(exponent, 0.0)) * (1 + 1e-5))


def _of_noise(run: Run, delta: float, accountant: Accountant) -> float:
    if delta < LEAST_DELTA:
        return math.inf
    # Sampling never makes it worse, so that the exact formula for none bounds it too.
    unsampled = gaussian.epsilon(run.noise_multiplier / math.sqrt(run.steps), delta)
    found = min(unsampled, renyi.epsilon_of(run.renyi_curve(), delta)[0])
    if run.rate < 1 and accountant == "pld" and _quick_enough(run) and found <= PLD_EPSILON:
        from cloister.privacy.pld import epsilon as by_pld  # it loads SciPy

        found = min(found, by_pld(run.noise_multiplier, run.rate, run.steps, delta))
    return found


def _quick_enough(run: Run) -> bool:
    return run.steps <= PLD_STEPS and run.noise_multiplier >= PLD_MULTIPLIER


def _failing(run: Run, epsilon: float) -> float:
    return run.failure * (1 + math.exp(min(epsilon, 700.0))) if run.failure else 0.0


def _log_rest(rate: float) -> float:
    return math.log1p(-rate) if rate < 1 else -math.inf
