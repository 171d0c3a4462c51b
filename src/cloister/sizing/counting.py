"""How many particles there are where some hide others: a count with the range that the truth lies in.

What is found in a crowded picture is too few, and not by an unknown amount if particles lie at random. The model: particles
fall one after another on the plane, each anywhere with equal chance (a Boolean model: Poisson positions; G. Matheron 1975;
S. N. Chiu et al., Stochastic Geometry and its Applications, 2013, ch. 3), later ones on top. If a share c of the picture is
covered by particles, they would cover t = -ln(1 - c) times the picture laid side by side. A particle is lost if
later ones come too near to its middle. With u of all particles below it in the pile, u uniform on 0..1, the number that come
so near is Poisson with mean r·t·(1 - u), where the *reach* r is the area around a middle in which another's middle makes it lost,
in units of the mean particle area. So the share that is found is

    g = (1 - exp(-r·t)) / (r·t)·recall,

and where n were found, the number not found is negative binomial with n + 1/2 successes of chance g (the posterior prediction
under Jeffreys' prior, J. Roy. Soc. A 186, 1946). Size and shape do not enter beyond t, which makes it usable on crystals.

What it assumes, to be told with the number:
1. Particles lie at random. Clusters hide more than it says, particles that repel or were spread apart hide fewer.
2. Reach. 1 is exact for a finder that finds a particle if the point at its middle is seen. One that needs more of it seen has a
   larger reach, one that finds particles by a rim a smaller. `reach_from` measures it on pictures of which the truth is known.
3. Particles of all sizes are hidden alike. Small ones are hidden no more often under this rule, but found less.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

MAX_COVERAGE: Final = 0.95
"""Above, three times as much lies in the picture as fits side by side, and the model has little to say."""
MAX_REACH: Final = 20.0
MAX_FOUND: Final = 50_000
_LEAST_RECALL: Final = 0.05
_TAIL: Final = 1e-10


@dataclass(frozen=True)
class Count:
    """A count and the range that the truth lies in.

    Attributes:
        found: particles found.
        count: best estimate of how many there are (the median).
        count_low: lower end of the range.
        count_high: upper end of the range.
        level: probability of the range.
        hidden_share: share of all particles, 0..1, that is expected not to be found.
    """

    found: int
    count: int
    count_low: int
    count_high: int
    level: float
    hidden_share: float


def count_interval(
    found: int,
    coverage: float,
    *,
    reach: float = 1.0,
    recall: float = 1.0,
    area_variation: float = 0.0,
    probabilities: NDArray[Any] | None = None,
    level: float = 0.95,
) -> Count:
    """How many particles have their middle in the picture.

    Args:
        found: particles found.
        coverage: share of the picture that particles cover, 0 to `MAX_COVERAGE`, overlaps once.
        reach: of the finder, 0 (nothing is ever hidden) to `MAX_REACH`; see this module.
        recall: share of the particles in plain sight that are found, 0.05 to 1.
        area_variation: standard deviation of the particles' areas relative to their mean, 0 to 10. A few large particles
            cover as much as many small ones, so the more sizes differ, the less exactly coverage tells their number.
        probabilities: [found], for each found particle the probability that it is one, 0..1; all are taken as
            particles if left out. A detection strength is a probability only if it was calibrated to be.
        level: probability that the truth lies in the range, above 0 and below 1.

    Raises:
        BadInput: a value out of range.
    """
    share = found_share(coverage, reach) * _between(recall, "The recall", _LEAST_RECALL, 1.0)
    _between(area_variation, "The variation of areas", 0.0, 10.0)
    if not 0.0 < level < 1.0 or not 0 <= found <= MAX_FOUND:
        raise _refused(f"The level is between 0 and 1, and at most {MAX_FOUND} particles are found.")
    certain, chances = _true_found(found, probabilities)
    likely = np.nonzero(chances > _TAIL)[0]
    base, chances = certain + int(likely[0]), chances[likely[0] : likely[-1] + 1]
    cumulative = np.cumsum(_total(base, chances, _shares(found, coverage, reach, recall, area_variation)))
    cumulative /= cumulative[-1]
    tail = (1.0 - level) / 2.0
    low, middle, high = (base + int(np.searchsorted(cumulative, at)) for at in (tail, 0.5, 1.0 - tail))
    return Count(found, middle, low, high, level, 1.0 - share)


def found_share(coverage: float, reach: float = 1.0) -> float:
    """g: the share of all particles that are found.

    Raises:
        BadInput: coverage or reach out of range.
    """
    load = -math.log1p(-_between(coverage, "The coverage", 0.0, MAX_COVERAGE))
    return _found(_between(reach, "The reach", 0.0, MAX_REACH) * load)


def _found(depth: float) -> float:
    return 1.0 if depth < 1e-12 else -math.expm1(-depth) / depth


def reach_from(share: float, coverage: float) -> float:
    """The reach of a finder that found this share of all particles at this coverage, on pictures of which the truth is known.

    Args:
        share: found of all, above 0; 1 or more gives 0.
        coverage: above 0, at most `MAX_COVERAGE`.

    Returns:
        0 to `MAX_REACH`.

    Raises:
        BadInput: a value out of range, or fewer found than the largest reach explains.
    """
    from scipy.optimize import brentq

    if not (math.isfinite(share) and share > 0.0 and coverage > 0.0):
        raise _refused("The share found and the coverage have to be above 0.")
    if share >= 1.0:
        return 0.0
    if found_share(coverage, MAX_REACH) > share:
        raise _refused(
            "Fewer were found than hiding explains; the finder misses particles in plain sight (recall)."
        )
    return float(brentq(lambda reach: found_share(coverage, reach) - share, 0.0, MAX_REACH, xtol=1e-9))


def _true_found(found: int, probabilities: NDArray[Any] | None) -> tuple[int, NDArray[np.float64]]:
    """How many of those found are particles: a lowest number, and the chances of it and each one more."""
    if probabilities is None:
        return found, np.ones(1)
    chances = np.asarray(probabilities, dtype=np.float64)
    if chances.shape != (found,) or not ((chances >= 0) & (chances <= 1)).all():
        raise _refused("Probabilities are 0 to 1, one for each particle found.")
    # The sum of independent yes-or-no events: their generating polynomials multiplied, two by two.
    from scipy.signal import fftconvolve

    certain = int((chances == 1).sum())
    parts = [np.array([1.0 - chance, chance]) for chance in chances[(chances > 0) & (chances < 1)]]
    while len(parts) > 1:
        pairs = zip(parts[::2], parts[1::2], strict=False)
        odd = parts[-1:] if len(parts) % 2 else []
        parts = [
            np.convolve(a, b) if len(a) < 64 else np.maximum(fftconvolve(a, b), 0.0) for a, b in pairs
        ] + odd
    return certain, parts[0] if parts else np.ones(1)


def _total(base: int, true_found: NDArray[np.float64], shares: Mapping[float, float]) -> NDArray[np.float64]:
    """The chances of `base` particles in all and of each one more.

    By generating functions on the unit circle: each true one found brings itself and a geometric number of hidden ones.
    """
    most = len(true_found) + 1
    if (least := min(shares)) < 1.0:
        most += _most_hidden(base + len(true_found) + 0.5, least)
    circle = np.exp(-2j * np.pi * np.fft.rfftfreq(length := 1 << most.bit_length()))
    transform = np.zeros(len(circle), dtype=np.complex128)
    for share, weight in shares.items():
        hidden = share / (1.0 - (1.0 - share) * circle)
        transform += (
            weight * hidden ** (base + 0.5) * np.polynomial.polynomial.polyval(circle * hidden, true_found)
        )
    chances: NDArray[np.float64] = np.maximum(np.fft.irfft(transform, length), 0.0)
    return chances


def _most_hidden(found: float, share: float) -> int:
    """A number that those hidden exceed with a probability below `_TAIL`, if each found one hides a geometric number of others.

    Chernoff's bound of the negative binomial distribution, which is a little above its quantile (H. Chernoff, Ann. Math. Stat. 23, 1952).
    """

    def exponent(hidden: float) -> float:
        every = hidden + found
        return found * math.log(share * every / found) - hidden * math.log(hidden / (every * (1.0 - share)))

    high = low = max(1.0, found * (1.0 - share) / share)
    while exponent(high) > math.log(_TAIL):
        low, high = high, 2.0 * high
    while high - low > 0.5:
        middle = (low + high) / 2.0
        low, high = (middle, high) if exponent(middle) > math.log(_TAIL) else (low, middle)
    return math.ceil(high)


def _shares(
    found: int, coverage: float, reach: float, recall: float, area_variation: float
) -> dict[float, float]:
    """Found shares and their weights: one, or several where areas vary and so the coverage says less exactly how many there are."""
    expected = found_share(coverage, reach) * recall
    if area_variation == 0.0 or coverage == 0.0 or reach == 0.0:
        return {expected: 1.0}
    load = -math.log1p(-coverage)
    relative = area_variation / math.sqrt(max(1.0, found / expected))
    nodes, weights = np.polynomial.hermite_e.hermegauss(9)
    shares: dict[float, float] = {}
    for node, weight in zip(nodes, weights / weights.sum(), strict=True):
        # exp keeps it positive; the same to first order.
        share = _found(reach * load * math.exp(relative * float(node))) * recall
        shares[share] = shares.get(share, 0.0) + float(weight)
    return shares


def _between(value: float, name: str, low: float, high: float) -> float:
    if not low <= value <= high:
        raise _refused(f"{name} is {low:g} to {high:g}.")
    return float(value)


def _refused(why: str) -> BadInput:
    return BadInput(
        "No range can be given for this count.",
        why,
        "Give values in these ranges, or take less crowded pictures.",
    )
