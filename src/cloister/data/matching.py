"""How near a count is to the truth, and which found object is which true one.

A found centre matches a true object when it lies within half the object's diameter, each at most once, so that the total distance
is smallest (H. W. Kuhn's assignment, 1955).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray


def count_accuracy(found: int, true: int) -> float:
    """max(0, 1 - |found - true| / true); with no true object, 1 if none is found and 0 otherwise."""
    return max(0.0, 1.0 - abs(found - true) / max(true, 1))


def pairs(
    found: NDArray[Any],
    true: Sequence[Sequence[float]] | NDArray[Any],
    diameters: Sequence[float] | NDArray[Any],
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which found centre is which true object: places in the found and in the true.

    Args:
        found: [n, 2], pixels.
        true: [m, 2], pixels.
        diameters: [m], pixels.
    """
    from scipy.optimize import linear_sum_assignment

    if not len(found) or not len(true):
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    truth = np.asarray(true, dtype=np.float64)
    gaps = np.hypot(found[:, None, 0] - truth[None, :, 0], found[:, None, 1] - truth[None, :, 1])
    allowed = gaps <= np.asarray(diameters, dtype=np.float64)[None, :] / 2.0
    # A refused pair costs more than all allowed ones together, so none is taken in place of an allowed one.
    rows, columns = linear_sum_assignment(np.where(allowed, gaps, 1e9))
    good = allowed[rows, columns]
    return rows[good], columns[good]
