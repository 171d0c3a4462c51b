"""Size distributions: cumulative and density curves, percentiles, span and mean diameters.

A distribution says how much of all particles is of which size, and "how much" is counted by number, by area or by volume
(ISO 9276-1, type of quantity r = 0, 2, 3). One sample has three very different medians: a single particle of ten times the
size weighs as much as a thousand others by volume, and nothing by number. So no number leaves here without its weighting.

Volume is not seen in a picture: without better knowledge a particle's volume is taken as proportional to the cube of
its size, which holds where all particles have the same shape. `Distribution.of` takes other amounts.

Percentiles are of the cumulative curve through the middle of each particle's own step, linear between particles.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

Weighting = Literal["number", "area", "volume"]
Series = Literal["R5", "R10", "R20"]

WEIGHTINGS: Final[Mapping[Weighting, int]] = {"number": 0, "area": 2, "volume": 3}
"""Type of quantity r of ISO 9276-1."""

PREFERRED: Final[Mapping[Series, tuple[float, ...]]] = {
    "R5": (1.0, 1.6, 2.5, 4.0, 6.3),
    "R10": (1.0, 1.25, 1.6, 2.0, 2.5, 3.15, 4.0, 5.0, 6.3, 8.0),
    "R20": (
        *(1.0, 1.12, 1.25, 1.4, 1.6, 1.8, 2.0, 2.24, 2.5, 2.8),
        *(3.15, 3.55, 4.0, 4.5, 5.0, 5.6, 6.3, 7.1, 8.0, 9.0),
    ),
}
"""Preferred numbers of one decade (ISO 3); the apertures of test sieves follow them (ISO 565)."""

MAX_CLASSES: Final = 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Distribution:
    """Sizes in ascending order and the share of the whole that each particle makes up.

    Attributes:
        sizes: [n], positive, ascending.
        shares: [n], adding up to 1.
    """

    sizes: Floats
    shares: Floats

    @classmethod
    def of(
        cls,
        sizes: NDArray[Any],
        *,
        weighting: Weighting = "number",
        weights: NDArray[Any] | None = None,
        amounts: NDArray[Any] | None = None,
    ) -> Distribution:
        """The distribution of measured particles.

        Args:
            sizes: [n], positive, one unit.
            weighting: what shares are counted by, each particle as its size to the power 0, 2 or 3.
            weights: [n], for how many particles each stands, for example from `frame.miles_lantuejoul`; not negative.
                Particles of weight 0 are left out.
            amounts: [n], what each particle counts instead of its size to that power, for example its volume where
                size is a width; not negative.

        Raises:
            BadInput: shapes differ, a value is not finite or has the wrong sign, or nothing is left.
        """
        sizes = np.asarray(sizes, dtype=np.float64)
        if sizes.ndim != 1 or not np.isfinite(sizes).all() or (sizes <= 0).any():
            raise _unusable("Sizes have to be positive numbers, one for each particle.")
        # Relative to the largest, so that no power overflows.
        powers = (sizes / sizes.max(initial=1e-300)) ** WEIGHTINGS[weighting]
        counted = powers if amounts is None else _given(amounts, sizes)
        if weights is not None:
            counted = counted * _given(weights, sizes)
        total = counted.sum()
        if not total > 0:
            raise _unusable("No particle is left that counts.")
        kept = counted > 0
        sizes, counted = sizes[kept], counted[kept]
        order = np.argsort(sizes, kind="stable")
        return cls(sizes[order], counted[order] / total)

    def percentile(self, percent: float | NDArray[Any]) -> Any:
        """The size below which `percent` (0..100) of the whole lies: x_50 of type r, written D50.

        Beyond the middle of the outermost particles the curve ends, so the smallest and largest sizes bound the answer.
        """
        middle = np.cumsum(self.shares) - self.shares / 2.0
        found = np.interp(np.asarray(percent, dtype=np.float64) / 100.0, middle, self.sizes)
        return float(found) if np.ndim(percent) == 0 else found

    def cumulative(self, size: float | NDArray[Any]) -> Any:
        """Q_r: the share of the whole, 0..1, in particles of at most this size (undersize; ISO 9276-1)."""
        totals = np.concatenate([[0.0], np.cumsum(self.shares)])
        found = np.minimum(totals[np.searchsorted(self.sizes, size, side="right")], 1.0)
        return float(found) if np.ndim(size) == 0 else found

    @property
    def span(self) -> float:
        """Width relative to the median: (D90 - D10) / D50."""
        low, middle, high = self.percentile(np.array([10.0, 50.0, 90.0]))
        return float((high - low) / middle)

    @property
    def geometric_standard_deviation(self) -> float:
        """The exponential of the standard deviation of ln(size); 1 if all sizes are equal; of a log-normal the same for every r."""
        logs = np.log(self.sizes)
        mean = float(self.shares @ logs)
        return float(np.exp(np.sqrt(self.shares @ (logs - mean) ** 2)))


@dataclass(frozen=True, eq=False)
class Histogram:
    """A distribution in classes.

    Attributes:
        edges: [k + 1], ascending; a class holds its lower edge, and not its upper one.
        shares: [k], of the whole in each class.
        density: [k], share per unit of size: q_r (ISO 9276-1).
        density_log: [k], share per unit of ln(size): q_r*, whose areas are right on a logarithmic axis.
        cumulative: [k + 1], Q_r at each edge, of everything below it.
        below: share under the lowest edge.
        above: share from the highest edge on.
    """

    edges: Floats
    shares: Floats
    density: Floats
    density_log: Floats
    cumulative: Floats
    below: float
    above: float


def histogram(distribution: Distribution, edges: NDArray[Any]) -> Histogram:
    """The distribution in classes.

    Args:
        distribution: of any weighting.
        edges: [k + 1], positive, strictly ascending, 1 to `MAX_CLASSES` classes.

    Raises:
        BadInput: other edges.
    """
    edges = np.asarray(edges, dtype=np.float64)
    fits = edges.ndim == 1 and 2 <= len(edges) <= MAX_CLASSES + 1
    if not fits or not np.isfinite(edges).all() or edges[0] <= 0 or (np.diff(edges) <= 0).any():
        raise BadInput(
            "These classes cannot be used.",
            f"Edges have to be positive and ascending, for 1 to {MAX_CLASSES} classes.",
            "Take them from preferred_classes or logarithmic_classes.",
        )
    totals = np.concatenate([[0.0], np.cumsum(distribution.shares)])
    cumulative = np.minimum(totals[np.searchsorted(distribution.sizes, edges, side="left")], 1.0)
    shares = np.diff(cumulative)
    return Histogram(
        edges,
        shares,
        shares / np.diff(edges),
        shares / np.diff(np.log(edges)),
        cumulative,
        float(cumulative[0]),
        float(1.0 - cumulative[-1]),
    )


def preferred_classes(low: float, high: float, series: Series = "R10") -> Floats:
    """Class edges from the preferred numbers of ISO 3 that just enclose `low`..`high`.

    Args:
        low: smallest size, positive.
        high: largest size, at least `low`.
        series: numbers per decade: 5, 10 or 20.

    Raises:
        BadInput: not positive, the wrong way round, or more than `MAX_CLASSES` classes.
    """
    _range(low, high)
    first, last = int(np.floor(np.log10(low))) - 1, int(np.floor(np.log10(high))) + 1
    if (last - first) * len(PREFERRED[series]) > MAX_CLASSES:
        raise _range_refused()
    numbers = np.array(
        [float(f"{value}e{power}") for power in range(first, last + 1) for value in PREFERRED[series]]
    )
    start = int(np.searchsorted(numbers, low, side="right")) - 1
    end = int(np.searchsorted(numbers, high, side="right"))
    return numbers[start : end + 1]


def logarithmic_classes(low: float, high: float, per_decade: int = 20) -> Floats:
    """Class edges of equal ratio, `per_decade` of them for each factor of ten, that just enclose `low`..`high`.

    Raises:
        BadInput: as `preferred_classes`.
    """
    _range(low, high)
    if per_decade < 1:
        raise _range_refused()
    first = int(np.floor(np.log10(low) * per_decade + 1e-9))
    last = int(np.floor(np.log10(high) * per_decade + 1e-9)) + 1
    if last - first > MAX_CLASSES:
        raise _range_refused()
    return 10.0 ** (np.arange(first, last + 1) / per_decade)


def mean_diameter(sizes: NDArray[Any], p: int, q: int, weights: NDArray[Any] | None = None) -> float:
    """The moment-ratio mean D[p,q] = (Σ d^p / Σ d^q)^(1/(p-q)) of ISO 9276-2.

    D[1,0] is the arithmetic mean by number, D[3,2] the Sauter diameter (volume to surface), D[4,3] the arithmetic mean by
    volume. For p = q it is the limit, exp(Σ d^p·ln d / Σ d^p).

    Args:
        sizes: [n], positive.
        p: 0 to 10.
        q: 0 to 10.
        weights: [n], for how many particles each stands; 1 if left out.

    Raises:
        BadInput: as `Distribution.of`, or a power out of range.
    """
    if not (0 <= p <= 10 and 0 <= q <= 10):
        raise _unusable("Powers of a mean diameter are 0 to 10.")
    counted = Distribution.of(sizes, weights=weights)
    largest = counted.sizes[-1]
    relative = counted.sizes / largest
    upper, lower = counted.shares @ relative**p, counted.shares @ relative**q
    if p == q:
        return float(largest * np.exp((counted.shares * relative**p) @ np.log(relative) / upper))
    return float(largest * (upper / lower) ** (1.0 / (p - q)))


def summary(sizes: NDArray[Any], weights: NDArray[Any] | None = None) -> dict[str, Any]:
    """What a report shows: percentiles and span per weighting, and mean diameters; None each where nothing was measured.

    Args:
        sizes: [n], positive, one unit.
        weights: [n], for how many particles each stands; 1 if left out.

    Returns:
        `measured` (particles of positive weight); `number`, `area`, `volume`, each with `d10`, `d50`, `d90`, `span`;
        `mean` with `D[1,0]`, `D[3,2]`, `D[4,3]`.
    """
    sizes = np.asarray(sizes, dtype=np.float64)
    counted = np.ones_like(sizes) if weights is None else np.asarray(weights, dtype=np.float64)
    measured = int((counted > 0).sum())
    shown: dict[str, Any] = {"measured": measured}
    for weighting in WEIGHTINGS:
        one: dict[str, float | None] = dict.fromkeys(("d10", "d50", "d90", "span"))
        if measured:
            found = Distribution.of(sizes, weighting=weighting, weights=counted)
            one = {f"d{percent}": found.percentile(float(percent)) for percent in (10, 50, 90)}
            one["span"] = found.span
        shown[weighting] = one
    shown["mean"] = {
        f"D[{p},{q}]": mean_diameter(sizes, p, q, counted) if measured else None
        for p, q in ((1, 0), (3, 2), (4, 3))
    }
    return shown


def _given(values: NDArray[Any], sizes: Floats) -> Floats:
    given = np.asarray(values, dtype=np.float64)
    if given.shape != sizes.shape or not np.isfinite(given).all() or (given < 0).any():
        raise _unusable("Weights and amounts have to be numbers of at least 0, one for each particle.")
    return given


def _unusable(why: str) -> BadInput:
    return BadInput(
        "These sizes have no distribution.", why, "Give at least one measured particle, and only such."
    )


def _range(low: float, high: float) -> None:
    if not (np.isfinite(low) and np.isfinite(high) and 0 < low <= high):
        raise _range_refused()


def _range_refused() -> BadInput:
    return BadInput(
        "No size classes can be made.",
        f"The range has to be positive and ascending, and give at most {MAX_CLASSES} classes.",
        "Give the smallest and the largest size.",
    )
