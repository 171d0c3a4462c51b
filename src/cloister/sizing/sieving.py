"""The sugar industry's sizes: mean aperture (MA) and coefficient of variation (CV), from sieves or from pictures.

Sugar is sold by sieve analysis: MA is the aperture that half of the mass passes, CV how far 16 % and 84 % lie from it:

    MA = d50,   CV = (d84 - d16) / (2·MA) · 100 %,

with d of the cumulative mass passing. For a normal distribution CV is the standard deviation in per cent of the mean,
because 16 % and 84 % lie one standard deviation below and above (15.87 % and 84.13 %, rounded by custom).
ICUMSA method GS2/9-37 prescribes the sieving and leaves the calculation to the user: its appendix lists those of Powers,
Rens, RRSB and Butler (as told at pollach.at/pages/icumsa/gs2-37.html, where the figure from
16 % and 84 % is rather called *coefficient of distribution*, since no normal distribution need lie behind it). Two are here: reading the
measured curve (`mean_aperture`, `from_sieves`), and a straight line on arithmetic probability paper (`on_probability_paper`).

From pictures this stands on two assumptions, which only a comparison with sieves on the same sugar can test:
a crystal passes the aperture that equals its smallest Feret diameter in the picture (in truth it passes a square hole, also by
its diagonal, and its thickness is not seen); and mass is proportional to width² times length, the same for all crystals.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import Distribution

MAX_SIEVES: Final = 100

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class MeanAperture:
    """MA and CV.

    Attributes:
        aperture: MA, in the unit of the sizes.
        variation: CV, per cent.
        d16: aperture that 16 % of the mass passes.
        d84: aperture that 84 % of the mass passes.
    """

    aperture: float
    variation: float
    d16: float
    d84: float


def mean_aperture(
    feret_min: NDArray[Any], feret: NDArray[Any] | None = None, *, weights: NDArray[Any] | None = None
) -> MeanAperture:
    """MA and CV of crystals measured in pictures, under the assumptions of this module.

    Args:
        feret_min: [n], smallest Feret diameters, taken as the apertures that the crystals just pass; positive.
        feret: [n], largest Feret diameters; mass is then width² · length. Without it mass is width³.
        weights: [n], for how many crystals each stands (`frame.miles_lantuejoul`).

    Raises:
        BadInput: sizes that have no distribution.
    """
    widths = np.asarray(feret_min, dtype=np.float64)
    lengths = widths if feret is None else np.asarray(feret, dtype=np.float64)
    if lengths.shape != widths.shape:
        raise BadInput(
            "No mean aperture can be given.",
            "Widths and lengths differ in number.",
            "Give both of each crystal.",
        )
    curve = Distribution.of(widths, weights=weights, amounts=widths**2 * lengths)
    d16, middle, d84 = curve.percentile(np.array([16.0, 50.0, 84.0]))
    return _read(float(d16), float(middle), float(d84))


def from_sieves(apertures: NDArray[Any], retained: NDArray[Any], pan: float = 0.0) -> MeanAperture:
    """MA and CV of a sieve analysis, linear between sieves.

    Args:
        apertures: [k], of the sieves, any order, one unit, positive and different.
        retained: [k], mass on each, one unit, not negative.
        pan: mass that passed all of them.

    Raises:
        BadInput: not such values, or 16 % or 84 % lie outside the sieves: the curve is not extrapolated.
    """
    openings, passing = _passing(apertures, retained, pan)
    if passing[0] > 0.16 or passing[-1] < 0.84:
        raise BadInput(
            "No mean aperture can be given.",
            f"The sieves span {passing[0]:.0%} to {passing[-1]:.0%} of the mass; 16% and 84% have to lie between.",
            "Add a finer or a coarser sieve to the set.",
        )
    d16, middle, d84 = (float(np.interp(at, passing, openings)) for at in (0.16, 0.5, 0.84))
    return _read(d16, middle, d84)


def on_probability_paper(apertures: NDArray[Any], retained: NDArray[Any], pan: float = 0.0) -> MeanAperture:
    """MA and CV by the straight line through a sieve analysis on arithmetic probability paper (after H. E. C. Powers).

    The paper's axis is the normal quantile of the cumulative mass; the line is fitted by least squares of aperture on quantile,
    over sieves between 1 % and 99 %. It assumes a normal distribution of mass over size; compare `from_sieves`.

    Args, Raises: as `from_sieves`; at least two sieves have to lie between 1 % and 99 %.
    """
    from scipy.special import ndtri

    openings, passing = _passing(apertures, retained, pan)
    inner = (passing >= 0.01) & (passing <= 0.99)
    if inner.sum() < 2 or np.ptp(passing[inner]) == 0:
        raise BadInput(
            "No line can be drawn.",
            "Fewer than two sieves lie between 1% and 99% of the mass.",
            "Add sieves near the middle of the sizes.",
        )
    slope, middle = np.polyfit(ndtri(passing[inner]), openings[inner], 1)
    return _read(float(middle - slope), float(middle), float(middle + slope))


def _passing(apertures: NDArray[Any], retained: NDArray[Any], pan: float) -> tuple[Floats, Floats]:
    """Apertures in ascending order, and the share of the mass that passes each."""
    openings, masses = np.asarray(apertures, dtype=np.float64), np.asarray(retained, dtype=np.float64)
    fits = openings.ndim == 1 and openings.shape == masses.shape and 2 <= len(openings) <= MAX_SIEVES
    numbers = fits and bool(np.isfinite(openings).all() and np.isfinite(masses).all() and np.isfinite(pan))
    if not numbers or (openings <= 0).any() or (masses < 0).any() or pan < 0 or masses.sum() + pan <= 0:
        raise BadInput(
            "This sieve analysis cannot be used.",
            f"It needs 2 to {MAX_SIEVES} apertures, the mass on each and the mass in the pan, none negative.",
            "Give apertures and masses in the same order.",
        )
    order = np.argsort(openings)
    openings, masses = openings[order], masses[order]
    if (np.diff(openings) <= 0).any():
        raise BadInput(
            "This sieve analysis cannot be used.", "Two apertures are equal.", "Add their masses up."
        )
    below = pan + np.concatenate([[0.0], np.cumsum(masses)[:-1]])
    return openings, below / (masses.sum() + pan)


def _read(d16: float, middle: float, d84: float) -> MeanAperture:
    return MeanAperture(middle, (d84 - d16) / (2.0 * middle) * 100.0, d16, d84)
