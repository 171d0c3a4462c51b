"""Gauge repeatability and reproducibility: how much of what is seen comes from the pictures, and how much from who counts.

Crossed two-way analysis of variance with random pictures and random counters, as in AIAG, Measurement Systems Analysis, 4th edition
(2010), chapter III section B and appendix A. Every counter counts every picture equally often. Of the mean squares

    repeatability  EV² = MS(repeats)                         counters AV² = (MS(counters) - MS(both)) / (pictures · repeats)
    both          INT² = (MS(both) - MS(repeats)) / repeats   pictures PV² = (MS(pictures) - MS(both)) / (counters · repeats)

with negative estimates set to zero; GRR² = EV² + AV² + INT² and TV² = GRR² + PV². Where counters and pictures do not interact
(p above 0.25, as in Burdick, Borror and Montgomery 2005, Design and Analysis of Gauge R&R Studies, section 3.3), the interaction is
pooled with the repeats. Shares are of standard deviations, so they do not add up to 100 %.

With one count of each there are no repeats: what remains is interaction and repeatability together, and stands as EV.

With two or three counters the variance between counters rests on one or two degrees of freedom; the intervals (generalised
confidence intervals: Hamada and Weerahandi 2000, J. Quality Technology 32, 241-253) show how little is known then.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cloister.acceptance.agreement import Estimate
from cloister.foundation.errors import BadInput

POOLED_ABOVE = 0.25
"""p value of the interaction above which it is pooled with the repeats."""

_DRAWS = 20_000


@dataclass(frozen=True)
class Row:
    """One source of variation in the table of the analysis; `f` and `p` are None where nothing is tested."""

    source: str
    freedom: int
    squares: float
    mean_square: float
    f: float | None = None
    p: float | None = None


@dataclass(frozen=True)
class Gauge:
    """The analysis of one set of counts.

    Args:
        table: of the analysis of variance, `total` last.
        pooled: whether the interaction was pooled with the repeats.
        repeated: whether there were repeats.
        variances: `repeatability`, `counters`, `interaction`, `pictures`; none is negative.
        share: GRR as a share of the total variation, per cent of standard deviations; None if nothing varies.
        categories: number of distinct categories, 1.41 PV / GRR cut to a whole number; None if GRR is zero.
    """

    table: tuple[Row, ...]
    pooled: bool
    repeated: bool
    variances: Mapping[str, float]
    share: Estimate | None
    categories: Estimate | None

    @property
    def grr(self) -> float:
        """Standard deviation of repeatability and reproducibility."""
        return math.sqrt(sum(value for name, value in self.variances.items() if name != "pictures"))

    @property
    def total(self) -> float:
        """Standard deviation of all."""
        return math.sqrt(sum(self.variances.values()))

    def percent(self, *names: str) -> float | None:
        """Standard deviation of these components together, per cent of the total; None if nothing varies."""
        if self.total == 0:
            return None
        return 100.0 * math.sqrt(sum(self.variances[name] for name in names)) / self.total


def gauge(counts: ArrayLike) -> Gauge:
    """The analysis.

    Args:
        counts: pictures x counters x repeats, at least 2 x 2 x 1; finite (counts, or their logarithms).

    Raises:
        BadInput: another shape, or not finite.
    """
    from scipy import stats

    y = np.asarray(counts, dtype=np.float64)
    if y.ndim != 3 or y.shape[0] < 2 or y.shape[1] < 2 or y.shape[2] < 1 or not np.isfinite(y).all():
        raise BadInput(
            "Repeatability and reproducibility cannot be computed.",
            "It takes at least two counters who count at least two pictures, each equally often.",
            "Complete the counts.",
        )
    p, o, r = y.shape
    repeated = r > 1
    grand, by_picture, by_counter, cells = y.mean(), y.mean(axis=(1, 2)), y.mean(axis=(0, 2)), y.mean(axis=2)
    squares = {
        "pictures": o * r * float(((by_picture - grand) ** 2).sum()),
        "counters": p * r * float(((by_counter - grand) ** 2).sum()),
        "both": r * float(((cells - by_picture[:, None] - by_counter[None, :] + grand) ** 2).sum()),
        "repeats": float(((y - cells[:, :, None]) ** 2).sum()),
    }
    freedom = {"pictures": p - 1, "counters": o - 1, "both": (p - 1) * (o - 1), "repeats": p * o * (r - 1)}
    means = {name: _ratio(squares[name], freedom[name]) for name in squares}

    def tested(name: str, against: str) -> Row:
        f = means[name] / means[against] if means[against] > 0 else None
        level = None if f is None else float(stats.f.sf(f, freedom[name], freedom[against]))
        return Row(name, freedom[name], squares[name], means[name], f, level)

    table = [tested("counters", "both"), tested("pictures", "both")]
    if repeated:
        table.append(tested("both", "repeats"))
        table.append(Row("repeats", freedom["repeats"], squares["repeats"], means["repeats"]))
    else:
        table.append(Row("both", freedom["both"], squares["both"], means["both"]))
    total = float(((y - grand) ** 2).sum())
    table.append(Row("total", p * o * r - 1, total, _ratio(total, p * o * r - 1)))
    interaction = table[2].p
    # Without any variation between repeats there is nothing to pool with: the interaction stands.
    pooled = repeated and interaction is not None and interaction > POOLED_ABOVE
    variances = {
        name: float(value)
        for name, value in _components(
            {name: np.asarray(value) for name, value in squares.items()}, freedom, (p, o, r), pooled=pooled
        ).items()
    }
    share, categories = _intervals(squares, freedom, (p, o, r), variances, pooled=pooled)
    return Gauge(tuple(table), pooled, repeated, variances, share, categories)


def _components(
    squares: Mapping[str, NDArray[np.float64]],
    freedom: Mapping[str, int],
    shape: tuple[int, int, int],
    *,
    pooled: bool,
    weights: Mapping[str, NDArray[np.float64]] | None = None,
) -> dict[str, NDArray[np.float64]]:
    """Variances of the components. With `weights` (draws of chi-square variables), sums of squares are divided by them."""
    p, o, r = shape

    def mean(*names: str) -> NDArray[np.float64]:
        top = sum((squares[name] for name in names), np.zeros(()))
        down = (
            np.asarray(float(sum(freedom[name] for name in names)))
            if weights is None
            else sum((weights[name] for name in names), np.zeros(()))
        )
        return np.asarray(top / down)

    def above_zero(value: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(value, 0.0)

    if pooled:
        error = other = mean("both", "repeats")
        both = np.zeros_like(error)
    elif r == 1:
        error = other = mean("both")
        both = np.zeros_like(error)
    else:
        error, other = mean("repeats"), mean("both")
        both = above_zero((other - error) / r)
    return {
        "repeatability": error,
        "counters": above_zero((mean("counters") - other) / (p * r)),
        "interaction": both,
        "pictures": above_zero((mean("pictures") - other) / (o * r)),
    }


def _intervals(
    squares: Mapping[str, float],
    freedom: Mapping[str, int],
    shape: tuple[int, int, int],
    found: Mapping[str, float],
    *,
    pooled: bool,
) -> tuple[Estimate | None, Estimate | None]:
    total = sum(found.values())
    if total <= 0:
        return None, None
    grr = total - found["pictures"]
    random = np.random.default_rng(1)
    weights = {
        name: random.chisquare(freedom[name], _DRAWS) if freedom[name] else np.ones(_DRAWS)
        for name in ("pictures", "counters", "both", "repeats")
    }
    drawn = _components(
        {name: np.full(_DRAWS, value) for name, value in squares.items()},
        freedom,
        shape,
        pooled=pooled,
        weights=weights,
    )
    noise = drawn["repeatability"] + drawn["counters"] + drawn["interaction"]
    everything = noise + drawn["pictures"]
    shares = np.sqrt(noise / np.where(everything > 0, everything, 1.0))
    low, high = (float(value) for value in np.quantile(shares, [0.025, 0.975]))
    share = Estimate(100.0 * math.sqrt(grr / total), 100.0 * low, 100.0 * high)
    if grr <= 0:
        return share, None
    categories = Estimate(
        float(_categories(found["pictures"], grr)), float(_of_share(high)), float(_of_share(low))
    )
    return share, categories


def _categories(pictures: float, grr: float) -> int:
    return int(1.41 * math.sqrt(pictures / grr) + 1e-9)


def _of_share(share: float) -> int:
    return _categories(1.0 - share * share, share * share) if share > 0 else 1_000_000


def _ratio(top: float, down: int) -> float:
    return top / down if down else 0.0
