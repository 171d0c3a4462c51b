"""The privacy loss of sampled Gaussian steps by direct numerical integration: slow, plain, independent of `privacy`.

Densities are integrated on a fine grid; steps are composed by convolving the loss distribution, all mass rounded
towards the larger loss (pessimistic) or the smaller (optimistic), so that the truth lies between.
"""

from __future__ import annotations

import numpy as np
from scipy import signal, stats


def renyi(order: float, noise_multiplier: float, rate: float) -> tuple[float, float]:
    """D_a of the mixture against the noise alone, and the other way."""
    z = noise_multiplier
    x = np.arange(-60 * z, 60 * z + 40, z / 400)
    log_noise = stats.norm.logpdf(x, 0, z)
    log_mixture = np.logaddexp(np.log1p(-rate) + log_noise, np.log(rate) + stats.norm.logpdf(x, 1, z))
    step = x[1] - x[0]
    return renyi_of(order, log_mixture, log_noise, step), renyi_of(order, log_noise, log_mixture, step)


def renyi_of(order: float, log_first: np.ndarray, log_second: np.ndarray, step: float = 1.0) -> float:
    """D_a of one density, given by its logarithm on a grid, against another."""
    total = np.logaddexp.reduce(order * log_first + (1 - order) * log_second) + np.log(step)
    return float(total / (order - 1))


def delta_bounds(
    epsilon: float, noise_multiplier: float, rate: float, steps: int, grain: float = 2e-4
) -> tuple[float, float]:
    """A lower and an upper bound of delta of the composed steps, the greater over both neighbouring directions."""
    found = [
        [_delta(epsilon, noise_multiplier, rate, steps, grain, add=add, up=up) for add in (True, False)]
        for up in (False, True)
    ]
    return max(found[0]), max(found[1])


def _delta(epsilon: float, z: float, rate: float, steps: int, grain: float, *, add: bool, up: bool) -> float:
    # The unit is in the first distribution (removed from it in the second) or the other way round.
    edges = np.linspace(-14 * z, 14 * z + 1, 400_001)
    noise, shifted = stats.norm.cdf(edges / z), stats.norm.cdf((edges - 1) / z)
    mixture = (1 - rate) * noise + rate * shifted
    masses = np.diff(mixture if add else noise)
    moved = (2 * edges - 1) / (2 * z * z)
    ratio = np.logaddexp(np.log1p(-rate), np.log(rate) + moved) if rate < 1 else moved
    loss = ratio if add else -ratio
    ends = np.sort(np.stack([loss[:-1], loss[1:]]), axis=0)
    cells = np.ceil(ends[1] / grain) if up else np.floor(ends[0] / grain)
    first = int(cells.min())
    one = np.bincount((cells - first).astype(int), weights=masses)
    total, offset, power = np.array([1.0]), 0, one
    start, left = first, steps
    while left:
        if left & 1:
            total, offset = signal.fftconvolve(total, power), offset + start
        left >>= 1
        if left:
            power, start = signal.fftconvolve(power, power), 2 * start
    losses = (np.arange(len(total)) + offset) * grain
    above = losses > epsilon
    missing = 1 - masses.sum() if up else 0.0
    return float(np.sum(total[above] * -np.expm1(epsilon - losses[above])) + steps * missing)
