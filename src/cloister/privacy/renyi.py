"""Rényi differential privacy of the Poisson-sampled Gaussian mechanism at whole orders, and what it says in epsilon.

One step: each unit is drawn with probability q, the drawn units' sum gets Gaussian noise of z times the sensitivity.
For add-or-remove-one-unit neighbours and a whole order a ≥ 2,

    (a - 1) D_a = log Σ_j C(a, j) (1 - q)^(a-j) q^j exp((j² - j) / (2 z²)),

and no less is known (Mironov, Talwar, Zhang 2019, section 3.3: equality one way, theorem 5: no more the other way).
It is computed as log(1 + Σ_{j≥2} … (exp(…) - 1)), a sum of positive terms, so that it is right to the last digits
also where it is tiny, and then rounded up.

The same moments, term by term, are those of the discrete Gaussian on integer vectors, so here nothing is lost between
the two (`docs/proofs/discrete-gaussian.md`, 4).

Rules:
1. What is returned is never below the true value: every result is rounded up by more than its rounding error.
2. Orders, rates and multipliers from outside have limits.

Sources: Mironov, "Rényi differential privacy", CSF 2017; Mironov, Talwar, Zhang, "Rényi differential privacy of the
sampled Gaussian mechanism", arXiv 1908.10530; Canonne, Kamath, Steinke, NeurIPS 2020, proposition 12.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

ORDERS: Final = (*range(2, 33), *range(36, 65, 4), 72, 80, 96, 112, 128, 160, 192, 256, 384, 512, 1024)
"""The orders at which Cloister accounts."""
MAX_ORDER: Final = 1024
_UP: Final = 1 + 1e-9


@lru_cache(maxsize=4096)
def sampled_gaussian(order: int, noise_multiplier: float, rate: float) -> float:
    """D_a of one step. `inf` where it is beyond floating point.

    Raises:
        BadInput: order, multiplier or rate is out of range.
    """
    if not (2 <= order <= MAX_ORDER and 1e-3 <= noise_multiplier <= 1e9 and 0 < rate <= 1):
        raise BadInput(
            "The privacy of this noise cannot be computed.",
            f"Orders go from 2 to {MAX_ORDER}, noise multipliers from 0.001, sampling rates from above 0 to 1.",
            "Plan with other numbers.",
        )
    exponent = 1 / (2 * noise_multiplier * noise_multiplier)
    if rate == 1:
        return order * exponent * _UP
    j, log_binomials = _binomials(order)
    growth = (j * j - j) * exponent
    # log(exp(x) - 1), which is x where it overflows.
    log_growth = np.where(growth > 50, growth, np.log(np.expm1(np.minimum(growth, 50.0))))
    terms = log_binomials + (order - j) * math.log1p(-rate) + j * math.log(rate) + log_growth
    largest = float(terms.max())
    total = largest + math.log(float(np.exp(terms - largest).sum()))
    log_moment = math.log1p(math.exp(total)) if total < 30 else total + math.exp(-total)
    # A small moment is made of logarithms below 10^5, off by less than 10^-10; a large one is right to its last digits.
    return log_moment / (order - 1) * _UP


@lru_cache(maxsize=128)
def _binomials(order: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Each j from 2 to the order, and the logarithms of `order` over j."""
    numbers = range(2, order + 1)
    return (
        np.array(numbers, dtype=np.float64),
        np.array([math.log(math.comb(order, j)) for j in numbers]),
    )


def epsilon_of(curve: Mapping[int, float], delta: float) -> tuple[float, int]:
    """The epsilon that Rényi bounds at some orders give for a delta, and the order that gives it.

    Proposition 12 of Canonne, Kamath and Steinke: ε = D_a + log((a - 1) / a) - (log δ + log a) / (a - 1).
    """
    return min((max(rho + conversion(order, delta), 0.0) * _UP, order) for order, rho in curve.items())


def delta_of(curve: Mapping[int, float], epsilon: float) -> float:
    """The delta that Rényi bounds at some orders give for an epsilon, at most 1."""
    exponents = (
        (order - 1) * (rho - epsilon) - math.log(order - 1) + order * math.log1p(-1 / order)
        for order, rho in curve.items()
    )
    return min(1.0, math.exp(min(0.0, *exponents)) * _UP)


def conversion(order: int, delta: float) -> float:
    """What is added to a Rényi bound of that order to give epsilon at that delta; may be negative."""
    return math.log1p(-1 / order) - (math.log(delta) + math.log(order)) / (order - 1)
