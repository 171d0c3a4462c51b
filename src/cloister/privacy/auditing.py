"""What canaries show about a mechanism: a lower bound of its epsilon, at a stated confidence.

Accounting bounds epsilon from above, if noise and sampling are as planned. Auditing bounds it from below by what an
adversary achieves: canaries (planted contributions of full norm) are put in or left out by coin flips, and the flips are
guessed from what the mechanism publishes. A lower bound above the accounted epsilon proves a mistake: noise too small, a
share that is missing, a unit that counts twice. One below it proves nothing.

Rules:
1. A bound is wrong with a chance of at most 1 - confidence, if coins and canaries are independent of everything else.
2. Only figures on canaries go in: never on records.

Sources: Steinke, Nasr, Jagielski, "Privacy auditing with one (1) training run", NeurIPS 2023 (arXiv 2305.08846),
theorem 5.2; Clopper, Pearson, Biometrika 1934; Jagielski, Ullman, Oprea, NeurIPS 2020 (many runs).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable

from cloister.foundation.errors import BadInput

_MOST_EPSILON = 100.0
_NOTHING = 1e-30


def one_run(canaries: int, guesses: int, correct: int, delta: float, confidence: float = 0.95) -> float:
    """A lower bound of epsilon from one run with many independent canaries.

    Each canary was in with probability 1/2. The auditor guessed about some of them and abstained on the others. If the
    mechanism is (epsilon, delta)-DP, then the number of right guesses is, but for a chance that delta bounds, at most
    that of coins that show heads with probability exp(epsilon) / (1 + exp(epsilon)).

    Args:
        canaries: how many there were.
        guesses: how many were guessed about.
        correct: how many guesses were right.
        delta: of the guarantee that is audited.
        confidence: of the bound.
    """
    if not 0 <= correct <= guesses <= canaries or guesses == 0:
        raise BadInput("Guesses about canaries do not add up.", "", "Count again.")
    _check(delta, confidence)

    def excluded(epsilon: float) -> bool:
        heads = 1 / (1 + math.exp(-epsilon))
        steepest = total = 0.0
        for i in range(1, correct + 1):
            chance = _binomial(guesses, correct - i, heads)
            total += chance
            steepest = max(steepest, total / i)
            if correct - i < guesses * heads and chance < _NOTHING:
                break
        return _at_least(guesses, correct, heads) + 2 * canaries * delta * steepest < 1 - confidence

    return _largest(excluded)


def many_runs(
    with_canary: int, hits: int, without: int, false_alarms: int, delta: float, confidence: float = 0.95
) -> float:
    """A lower bound of epsilon from independent runs with and without a canary.

    Args:
        with_canary: runs with it.
        hits: in how many of these the test said "in".
        without: runs without it.
        false_alarms: in how many of these the test said "in".
        delta: of the guarantee that is audited.
        confidence: of the bound.
    """
    if not (0 <= hits <= with_canary and 0 <= false_alarms <= without and with_canary and without):
        raise BadInput("Hits and false alarms do not add up.", "", "Count again.")
    _check(delta, confidence)
    # Each rate is bounded at half of what may be wrong.
    error = (1 - confidence) / 2
    hit = rate_at_least(hits, with_canary, error)
    alarm = 1 - rate_at_least(without - false_alarms, without, error)
    ratios = [(hit - delta, alarm), (1 - alarm - delta, 1 - hit)]
    return max((math.log(up / down) for up, down in ratios if up > down > 0), default=0.0)


def rate_at_least(successes: int, trials: int, error: float) -> float:
    """Clopper and Pearson's lower bound of a rate, wrong with a chance of at most `error`."""
    low, high = 0.0, successes / trials
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if _at_least(trials, successes, middle) < error else (low, middle)
    return low


def _at_least(n: int, k: int, p: float) -> float:
    """P[Bin(n, p) ≥ k], summed away from the mode until nothing is left to add."""
    if k <= n * p:
        return 1 - _sum(_binomial(n, i, p) for i in range(k - 1, -1, -1))
    return _sum(_binomial(n, i, p) for i in range(k, n + 1))


def _sum(falling: Iterable[float]) -> float:
    total = 0.0
    for chance in falling:
        if chance <= _NOTHING:
            break
        total += chance
    return total


def _binomial(n: int, k: int, p: float) -> float:
    if not 0 < p < 1:
        return float(k == (n if p >= 1 else 0))
    log = math.lgamma(n + 1) - math.lgamma(k + 1) - math.lgamma(n - k + 1)
    return math.exp(log + k * math.log(p) + (n - k) * math.log1p(-p))


def _largest(excluded: Callable[[float], bool]) -> float:
    low, high = 0.0, _MOST_EPSILON
    if not excluded(low):
        return 0.0
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if excluded(middle) else (low, middle)
    return low


def _check(delta: float, confidence: float) -> None:
    if not (0 <= delta < 1 and 0.5 <= confidence < 1):
        raise BadInput("Delta or confidence is out of range.", "", "Choose other numbers.")
