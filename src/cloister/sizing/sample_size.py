"""How many particles have to be measured, for a mean or percentile within a wanted error.

Two answers for a log-normal distribution, with s = ln(geometric standard deviation), u the two-sided normal quantile of the
wanted confidence, and d the wanted relative error:

1. The standard's (ISO 13322-1, annex on the number of particles; H. Masuda, K. Iinoya, J. Chem. Eng. Japan 4, 1971), for
   somebody who fits a log-normal distribution and reads the mean of x^a, weighted by x^b, from the fit:

       n = u² · a²·s²·(2·c²·s² + 1) / d²,   c = b + a/2,   or   log n = -2·log d + K.

   Its reason: ln of that mean is a·μ + a·c·s², estimates of μ and s² are independent, with variances s²/n and 2·s⁴/n.
   A median weighted by x^b has a = 1 and c = b. With a geometric standard deviation of 1.6, 5 % and 95 %, the mean volume (a = 3,
   b = 0) takes 6 092 particles, which is the "over 6 000" that ISO 13322-1:2004 states in its scope.

2. For percentiles read from the measured curve, as this package does. No distribution is fitted, so a few large particles weigh
   more, and more particles are needed. The weighted quantile's large-sample variance (from its estimating
   equation Σ x^b·(1[x ≤ q] - p) = 0), for the log-normal with z = Φ⁻¹(p):

       n = u² · s² · exp(b²·s²) · [p² + (1 - 2p)·Φ(z - b·s)] / φ(z)² / d².

Both need independent particles: those of one picture often are not, and then `confidence` tells what was really reached.
"""

from __future__ import annotations

import math
from typing import Final

from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import WEIGHTINGS, Weighting

MAX_SPREAD: Final = 10.0
"""Geometric standard deviation; beyond, no image method measures such particles in one picture."""


def particles_for_mean(
    geometric_standard_deviation: float,
    *,
    power: int,
    weight: int,
    error: float = 0.05,
    confidence: float = 0.95,
) -> int:
    """Answer 1 for the mean of x^`power` weighted by x^`weight`; for example 3 and 0 for the mean volume, 1 and 3 for D[4,3].

    Args:
        geometric_standard_deviation: of the sizes, 1 to `MAX_SPREAD`.
        power: a, 1 to 6.
        weight: b, 0 to 6.
        error: wanted relative error, above 0 and at most 1, of the mean of x^a itself: that of a size derived from it is
            1/a as large.
        confidence: probability with which the error is kept, above 0 and below 1.

    Returns:
        The number of particles, at least 1.

    Raises:
        BadInput: a value out of range.
    """
    s = _spread(geometric_standard_deviation)
    _wanted(error, confidence)
    if not (1 <= power <= 6 and 0 <= weight <= 6):
        raise _refused("Powers are 1 to 6 and weights 0 to 6.")
    c = weight + power / 2.0
    return _number(power**2 * s**2 * (2.0 * c**2 * s**2 + 1.0), error, confidence)


def particles_for_median(
    geometric_standard_deviation: float,
    *,
    weighting: Weighting = "volume",
    error: float = 0.05,
    confidence: float = 0.95,
) -> int:
    """Answer 1 for the median of a fitted log-normal distribution, counted by number, area or volume.

    Args, Returns, Raises: as `particles_for_mean`.
    """
    s = _spread(geometric_standard_deviation)
    _wanted(error, confidence)
    return _number(s**2 * (2.0 * WEIGHTINGS[weighting] ** 2 * s**2 + 1.0), error, confidence)


def particles_for_percentile(
    geometric_standard_deviation: float,
    percent: float = 50.0,
    *,
    weighting: Weighting = "volume",
    error: float = 0.05,
    confidence: float = 0.95,
) -> int:
    """Answer 2: particles for a percentile read from the measured curve.

    Args:
        geometric_standard_deviation: of the sizes, 1 to `MAX_SPREAD`.
        percent: 1 to 99.
        weighting: what the curve is counted by.
        error: wanted relative error, above 0 and at most 1.
        confidence: probability with which the error is kept, above 0 and below 1.

    Returns, Raises: as `particles_for_mean`.
    """
    return _number(
        percentile_variance(geometric_standard_deviation, percent, weighting), *_wanted(error, confidence)
    )


def error_of_percentile(
    geometric_standard_deviation: float,
    particles: float,
    percent: float = 50.0,
    *,
    weighting: Weighting = "volume",
    confidence: float = 0.95,
) -> float:
    """The relative error that so many independent particles keep with this confidence: answer 2, the other way round.

    Raises:
        BadInput: a value out of range, or not at least one particle.
    """
    from scipy.special import ndtri

    _wanted(0.05, confidence)
    if not (math.isfinite(particles) and particles >= 1):
        raise _refused("At least one particle has to be measured.")
    variance = percentile_variance(geometric_standard_deviation, percent, weighting)
    return float(ndtri((1.0 + confidence) / 2.0) * math.sqrt(variance / particles))


def percentile_variance(geometric_standard_deviation: float, percent: float, weighting: Weighting) -> float:
    """The large-sample variance of ln of a percentile read from the measured curve of a log-normal distribution, times n.

    Raises:
        BadInput: a value out of range.
    """
    from scipy.special import ndtr, ndtri

    s = _spread(geometric_standard_deviation)
    if not 1.0 <= percent <= 99.0:
        raise _refused("Percentiles are 1 to 99.")
    p, b = percent / 100.0, WEIGHTINGS[weighting]
    z = float(ndtri(p))
    density = math.exp(-z * z / 2.0) / math.sqrt(2.0 * math.pi)
    return s**2 * math.exp(b**2 * s**2) * (p**2 + (1.0 - 2.0 * p) * float(ndtr(z - b * s))) / density**2


def _number(variance: float, error: float, confidence: float) -> int:
    from scipy.special import ndtri

    u = float(ndtri((1.0 + confidence) / 2.0))
    needed = u**2 * variance / error**2
    if not needed < 1e15:
        raise _refused("So wide a distribution would take more particles than can be measured.")
    return max(1, math.ceil(needed - 1e-9))


def _spread(geometric_standard_deviation: float) -> float:
    if not 1.0 <= geometric_standard_deviation <= MAX_SPREAD:
        raise _refused(f"The geometric standard deviation is 1 to {MAX_SPREAD:g}.")
    return math.log(geometric_standard_deviation)


def _wanted(error: float, confidence: float) -> tuple[float, float]:
    if not (0.0 < error <= 1.0 and 0.0 < confidence < 1.0):
        raise _refused("The relative error is above 0 and at most 1, the confidence above 0 and below 1.")
    return error, confidence


def _refused(why: str) -> BadInput:
    return BadInput("No number of particles can be given.", why, "Give values in these ranges.")
