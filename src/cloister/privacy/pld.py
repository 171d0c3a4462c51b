"""The privacy loss distribution of the Poisson-sampled Gaussian, by dp-accounting: the one door to that library.

The distribution is discretised pessimistically (every bound is an upper bound) and composed by FFT. Importing it loads
SciPy, so it is imported where it is used.

Sources: Koskela, Jälkö, Honkela, AISTATS 2020; Doroshenko, Ghazi, Kamath, Kumar, Manurangsi, "Connect the dots", PETS
2022; the library's documentation.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

_UP = 1 + 1e-9


@lru_cache(maxsize=256)
def epsilon(noise_multiplier: float, rate: float, steps: int, delta: float) -> float:
    """Epsilon of the run at a delta."""
    return float(_accountant(noise_multiplier, rate, steps).get_epsilon(delta)) * _UP


@lru_cache(maxsize=256)
def delta(noise_multiplier: float, rate: float, steps: int, epsilon: float) -> float:
    """Delta of the run at an epsilon."""
    return float(_accountant(noise_multiplier, rate, steps).get_delta(epsilon)) * _UP


@lru_cache(maxsize=1)  # up to some hundred MB
def _accountant(noise_multiplier: float, rate: float, steps: int) -> Any:
    import dp_accounting  # type: ignore[import-untyped]  # it has no marker for its types
    from dp_accounting import pld

    accountant = pld.PLDAccountant(dp_accounting.NeighboringRelation.ADD_OR_REMOVE_ONE)
    event = dp_accounting.GaussianDpEvent(noise_multiplier)
    if rate < 1:
        event = dp_accounting.PoissonSampledDpEvent(rate, event)
    return accountant.compose(dp_accounting.SelfComposedDpEvent(event, steps))
