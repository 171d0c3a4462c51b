"""How well one counter repeats itself on the same picture.

Bland and Altman 1999, section 2; ISO 5725-6:1994, 4.1.1: two counts of one picture by one counter differ by less than
r = 1.96 · sqrt(2) · s in 95 % of cases, where s² is the mean of the variances within pictures.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cloister.acceptance.agreement import QUANTILE, Estimate, Within
from cloister.foundation.errors import BadInput


@dataclass(frozen=True)
class Repeatability:
    """Of one counter.

    Args:
        deviation: standard deviation between counts of one picture.
        limit: repeatability limit, which two counts of one picture exceed in 5 % of cases.
        freedom: degrees of freedom.
        counts: of each picture.
    """

    deviation: Estimate
    limit: Estimate
    freedom: int
    counts: int

    @property
    def within(self) -> Within:
        """What this counter adds to differences between means."""
        return Within(self.deviation.value**2, self.freedom, self.counts)


def repeatability(counts: ArrayLike) -> Repeatability | None:
    """From counts, pictures x repeats; None if each picture was counted once.

    Raises:
        BadInput: another shape, or not finite.
    """
    from scipy import stats

    y = np.asarray(counts, dtype=np.float64)
    if y.ndim != 2 or y.shape[0] < 1 or y.shape[1] < 1 or not np.isfinite(y).all():
        raise BadInput("Repeatability cannot be computed.", "It takes finite counts of each picture.", "")
    if y.shape[1] == 1:
        return None
    freedom = y.shape[0] * (y.shape[1] - 1)
    variance = float(y.var(axis=1, ddof=1).mean())
    low, high = (math.sqrt(variance * freedom / stats.chi2.ppf(share, freedom)) for share in (0.975, 0.025))
    found = math.sqrt(variance)
    reach = QUANTILE * math.sqrt(2)
    return Repeatability(
        Estimate(found, low, high), Estimate(reach * found, reach * low, reach * high), freedom, y.shape[1]
    )
