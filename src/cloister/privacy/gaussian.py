"""The Gaussian mechanism without sampling, exactly: many steps are as one with less noise.

With z the standard deviation over the sensitivity, it is (epsilon, delta)-DP for exactly

    delta ≥ Φ(1 / (2 z) - epsilon z) - exp(epsilon) Φ(-1 / (2 z) - epsilon z),

and T steps are as one with z / √T. What is returned is rounded up.

Source: Balle, Wang, "Improving the Gaussian mechanism for differential privacy", ICML 2018, theorem 8.
"""

from __future__ import annotations

import math

_UP = 1 + 1e-9


def delta(noise_multiplier: float, epsilon: float) -> float:
    """The least delta for this epsilon."""
    z = noise_multiplier
    first = _normal(1 / (2 * z) - epsilon * z)
    tail = _normal(-1 / (2 * z) - epsilon * z)
    # Near the end of floating point the tail loses digits: left out, it makes the result larger.
    second = math.exp(epsilon + math.log(tail)) if tail > 1e-290 else 0.0
    return min(1.0, max(first - second, 0.0) + first * 1e-12 + 1e-300)


def epsilon(noise_multiplier: float, delta_: float) -> float:
    """The least epsilon for this delta, up to one part in 10^9."""
    if delta(noise_multiplier, 0.0) <= delta_:
        return 0.0
    low, high = 0.0, 1.0
    while delta(noise_multiplier, high) > delta_:
        low, high = high, 2 * high
        if high > 1e7:
            return math.inf
    while high > low * _UP + 1e-12:
        middle = (low + high) / 2
        low, high = (middle, high) if delta(noise_multiplier, middle) > delta_ else (low, middle)
    return high


def _normal(x: float) -> float:
    return math.erfc(-x / math.sqrt(2)) / 2
