"""How far two ways of counting differ: bias and limits of agreement, with what is not known about them.

Bland and Altman 1986 (Lancet 327, 307-310) and 1999 (Statistical Methods in Medical Research 8, 135-160): of n pictures the
differences d between two methods have the mean b (the bias) and the standard deviation s; about 95 % of differences lie between
b - 1.96 s and b + 1.96 s, the limits of agreement. All of these are estimates from n pictures, so each has an interval:

- of the bias, Student's t with n - 1 degrees of freedom;
- of a limit, exactly for normal differences: it is a quantile of a normal distribution, whose interval follows from the noncentral t
  distribution (Owen 1968; for limits of agreement Carkeet 2015, Optometry and Vision Science 92, e71-e80). Bland and Altman give an
  approximation of it.

Where means of repeated counts are compared, the limits for single counts are wider (1999, section 5.1): each method adds
(1 - 1/m) times its variance within pictures. The intervals are then Zou's (2013, Stat. Methods Med. Res. 22, 630-642).

Where differences grow with the mean (1999, section 3), the limits are lines: `growth`. Ratios are this, with logarithms.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloister.foundation.errors import BadInput

LEAST = 3
"""Fewest pictures of which anything is computed."""

QUANTILE = 1.959963984540054
"""Of the standard normal distribution at 97.5 %."""

_HALF_NORMAL = math.sqrt(math.pi / 2)
_RESAMPLES = 4000


@dataclass(frozen=True)
class Estimate:
    """A value and its 95 % confidence interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Agreement:
    """Of two methods.

    Args:
        pictures: how many were compared.
        bias: mean difference, first method minus second.
        deviation: standard deviation of differences; of single counts, where that was asked for.
        lower: limit of agreement, 2.5 % of differences lie below it.
        upper: limit of agreement.
    """

    pictures: int
    bias: Estimate
    deviation: float
    lower: Estimate
    upper: Estimate


@dataclass(frozen=True)
class Within:
    """What one method adds when means of its counts were compared, but single counts are asked about.

    Args:
        variance: between counts of the same picture.
        freedom: degrees of freedom of that variance, pictures times (counts of each - 1).
        counts: of each picture, over which the mean was taken.
    """

    variance: float
    freedom: int
    counts: int

    @property
    def added(self) -> float:
        """To the variance of differences."""
        return (1.0 - 1.0 / self.counts) * self.variance


def agreement(differences: ArrayLike, within: Sequence[Within] = ()) -> Agreement:
    """Bias and limits of agreement.

    Args:
        differences: one for each picture, first method minus second; at least three.
        within: of methods whose means were compared; empty for limits of what was compared itself.

    Raises:
        BadInput: too few differences, or not finite.
    """
    from scipy import stats

    d = _series(differences)
    n = len(d)
    mean, s = float(d.mean()), float(d.std(ddof=1))
    half = float(stats.t.ppf(0.975, n - 1)) * s / math.sqrt(n)
    bias = Estimate(mean, mean - half, mean + half)
    if not within:
        near, far = (s * tolerance_factor(n, QUANTILE, share) for share in (0.025, 0.975))
        reach = QUANTILE * s
        lower = Estimate(mean - reach, mean - far, mean - near)
        upper = Estimate(mean + reach, mean + near, mean + far)
        return Agreement(n, bias, s, lower, upper)
    parts = [(s * s, n - 1), *((item.added, item.freedom) for item in within if item.added > 0)]
    total, low, high = _variance(parts)
    reach = QUANTILE * math.sqrt(total)
    inner = math.hypot(half, QUANTILE * (math.sqrt(total) - math.sqrt(low)))
    outer = math.hypot(half, QUANTILE * (math.sqrt(high) - math.sqrt(total)))
    lower = Estimate(mean - reach, mean - reach - outer, mean - reach + inner)
    upper = Estimate(mean + reach, mean + reach - inner, mean + reach + outer)
    return Agreement(n, bias, math.sqrt(total), lower, upper)


def tolerance_factor(n: int, quantile: float, confidence: float) -> float:
    """How many standard deviations above the mean of n normal values a bound of the population's quantile lies.

    Args:
        n: how many values.
        quantile: of the standard normal distribution, for example 1.96.
        confidence: that the population's quantile lies below the bound, between 0 and 1.
    """
    from scipy import stats

    return float(stats.nct.ppf(confidence, n - 1, quantile * math.sqrt(n))) / math.sqrt(n)


@dataclass(frozen=True)
class Growth:
    """Whether bias or spread change with the mean of the two methods, and the limits as lines.

    At mean a: bias = intercept + slope * a; limits = that ± 1.96 * spread(a), where the spread is
    sqrt(pi/2) * (spread_intercept + spread_slope * a), or the residuals' standard deviation if the spread does not change.

    Args:
        intercept: of the bias.
        slope: of the bias.
        slope_p: two-sided p value of no slope.
        spread_intercept: of the residuals' absolute values.
        spread_slope: of the residuals' absolute values.
        spread_p: two-sided p value of no slope of the spread.
        residual: standard deviation of residuals about the line.
        low: least mean among the pictures.
        high: greatest.
    """

    intercept: float
    slope: float
    slope_p: float
    spread_intercept: float
    spread_slope: float
    spread_p: float
    residual: float
    low: float
    high: float

    @property
    def bias_changes(self) -> bool:
        """At the 5 % level."""
        return self.slope_p < 0.05

    @property
    def spread_changes(self) -> bool:
        """At the 5 % level."""
        return self.spread_p < 0.05

    @property
    def grows(self) -> bool:
        """Whether level limits of agreement do not describe these differences."""
        return self.bias_changes or self.spread_changes

    def limits(self, mean: float) -> tuple[float, float, float]:
        """(lower limit, bias, upper limit) at a mean."""
        bias = self.intercept + self.slope * mean
        spread = (
            _HALF_NORMAL * max(0.0, self.spread_intercept + self.spread_slope * mean)
            if self.spread_changes
            else self.residual
        )
        return bias - QUANTILE * spread, bias, bias + QUANTILE * spread

    @property
    def farthest(self) -> float:
        """The largest distance of a limit from zero within the studied range. Lines are farthest at an end."""
        ends = [*self.limits(self.low), *self.limits(self.high)]
        return max(abs(value) for value in ends)


def growth(means: ArrayLike, differences: ArrayLike) -> Growth | None:
    """The regression form of Bland and Altman 1999, section 3.2; None where all means are alike.

    Args:
        means: of the two methods, one for each picture.
        differences: as for `agreement`.

    Raises:
        BadInput: too few, not finite, or not as many of one as of the other.
    """
    from scipy import stats

    a, d = _series(means), _series(differences)
    if len(a) != len(d):
        raise BadInput("Means and differences do not belong together.", "One of each for every picture.", "")
    if np.ptp(a) <= 1e-9 * max(1.0, float(np.abs(a).max())):
        return None
    line = stats.linregress(a, d)
    rest = d - (line.intercept + line.slope * a)
    # Residuals that are only rounding have no slope to be tested.
    if np.abs(rest).max() <= 1e-9 * max(1.0, float(np.abs(d).max())):
        rest = np.zeros_like(rest)
        spread = (0.0, 0.0, 1.0)
    else:
        fitted = stats.linregress(a, np.abs(rest))
        spread = (float(fitted.intercept), float(fitted.slope), float(fitted.pvalue))
    level = np.ptp(d) <= 1e-9 * max(1.0, float(np.abs(d).max()))
    return Growth(
        intercept=float(line.intercept),
        slope=float(line.slope),
        slope_p=1.0 if level else float(line.pvalue),
        spread_intercept=spread[0],
        spread_slope=spread[1],
        spread_p=spread[2],
        residual=float(np.sqrt((rest**2).sum() / (len(a) - 2))),
        low=float(a.min()),
        high=float(a.max()),
    )


def farthest_limit(means: ArrayLike, differences: ArrayLike, *, seed: int = 1) -> Estimate | None:
    """`Growth.farthest` with a 95 % percentile interval by resampling pictures (Efron 1979); None as for `growth`.

    The form found in the pictures themselves (which slopes are there) is kept in every resample.
    """
    found = growth(means, differences)
    if found is None:
        return None
    a, d = _series(means), _series(differences)
    n = len(a)
    draws = np.random.default_rng(seed).integers(0, n, size=(_RESAMPLES, n))
    x, y = a[draws], d[draws]
    kept = np.ptp(x, axis=1) > 0
    x, y = x[kept], y[kept]
    intercept, slope = _lines(x, y)
    rest = y - intercept[:, None] - slope[:, None] * x
    if found.spread_changes:
        base, rise = _lines(x, np.abs(rest))
        spreads = [_HALF_NORMAL * np.maximum(0.0, base + rise * end) for end in (found.low, found.high)]
    else:
        level = np.sqrt((rest**2).sum(axis=1) / (n - 2))
        spreads = [level, level]
    reached = [
        np.abs(intercept + slope * end) + QUANTILE * spread
        for end, spread in zip((found.low, found.high), spreads, strict=True)
    ]
    low, high = np.quantile(np.maximum(*reached), [0.025, 0.975])
    return Estimate(found.farthest, float(low), float(high))


def _lines(x: NDArray[np.float64], y: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Least squares, one line for each row."""
    centred = x - x.mean(axis=1, keepdims=True)
    slope = (centred * y).sum(axis=1) / (centred**2).sum(axis=1)
    return y.mean(axis=1) - slope * x.mean(axis=1), slope


def _variance(parts: Sequence[tuple[float, int]]) -> tuple[float, float, float]:
    """A sum of variances and its interval (Zou 2013: the distances of each part's limits are added in quadrature)."""
    from scipy import stats

    total = sum(variance for variance, _ in parts)
    down = up = 0.0
    for variance, freedom in parts:
        down += (variance * (1 - freedom / stats.chi2.ppf(0.975, freedom))) ** 2
        up += (variance * (freedom / stats.chi2.ppf(0.025, freedom) - 1)) ** 2
    return total, max(0.0, total - math.sqrt(down)), total + math.sqrt(up)


def _series(values: ArrayLike) -> NDArray[np.float64]:
    made = np.asarray(values, dtype=np.float64)
    if made.ndim != 1 or len(made) < LEAST or not np.isfinite(made).all():
        raise BadInput(
            "Agreement cannot be computed.",
            f"It takes finite counts of at least {LEAST} pictures.",
            "Count more pictures.",
        )
    return made
