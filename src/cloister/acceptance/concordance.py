"""Lin's concordance correlation coefficient: how close pairs lie to the line on which both values are equal.

Lin 1989, Biometrics 45, 255-268, and the correction of 2000, Biometrics 56, 324-325. It is 1 for equal values, and falls with scatter,
with a shift and with a difference in scale. Like every correlation it depends on how different the pictures are: it tells nothing
beyond the studied range, and it decides nothing here.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from cloister.acceptance.agreement import LEAST, QUANTILE, Estimate
from cloister.foundation.errors import BadInput


def concordance(first: ArrayLike, second: ArrayLike) -> Estimate | None:
    """The coefficient with its 95 % interval, by Fisher's z transformation.

    Args:
        first: counts by one method, one for each picture.
        second: by the other.

    Returns:
        None where one of them does not vary: there is nothing to correlate.

    Raises:
        BadInput: too few, not finite, or not as many of one as of the other.
    """
    x, y = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if x.shape != y.shape or x.ndim != 1 or len(x) < LEAST or not (np.isfinite(x) & np.isfinite(y)).all():
        raise BadInput(
            "Concordance cannot be computed.", "It takes pairs of finite counts.", "Count more pictures."
        )
    n = len(x)
    sx, sy = float(x.std()), float(y.std())
    if sx == 0 or sy == 0:
        return None
    shift = float(x.mean() - y.mean())
    shared = float(((x - x.mean()) * (y - y.mean())).mean())
    value = 2 * shared / (sx * sx + sy * sy + shift * shift)
    r = shared / (sx * sy)
    if abs(value) >= 1 - 1e-12:
        return Estimate(value, value, value)
    if abs(r) < 1e-12:
        return Estimate(value, -1.0, 1.0)
    u2 = shift * shift / (sx * sy)
    left = 1 - value * value
    variance = (
        (1 - r * r) * value**2 / (left * r * r)
        + 2 * value**3 * (1 - value) * u2 / (r * left**2)
        - value**4 * u2**2 / (2 * r * r * left**2)
    ) / (n - 2)
    z, half = math.atanh(value), QUANTILE * math.sqrt(max(0.0, variance))
    return Estimate(value, math.tanh(z - half), math.tanh(z + half))
