"""Which units are in a step's sample: each with the same chance, independently, by secret coins (Poisson sampling).

Accounting with amplification presumes exactly this: sampling by shuffling, or of a fixed number, is another mechanism with
another bound (Chua et al. 2024 show how far apart they are). Who sees the coins gets no amplification.

Rules:
1. A unit's chance is at most the rate that is accounted for, and less by at most 2^-63; units, not rows, are drawn.
2. Secret and label determine the sample, so that a resumed step uses the same units.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput
from cloister.privacy.stream import NoiseStream

_MOST_UNITS = 1 << 32


def poisson_sample(stream: NoiseStream, units: int, rate: float) -> NDArray[np.int64]:
    """The numbers (from 0, ascending) of the units that are drawn.

    Args:
        stream: fresh; its label differs from that of any noise.
        units: how many there are, in a fixed order.
        rate: the chance of each, as accounted for.

    Raises:
        BadInput: an argument is out of range.
    """
    if not 0 <= units <= _MOST_UNITS or not 0 < rate <= 1:
        raise BadInput(
            "A sample of these sizes cannot be drawn.", "Units or rate are out of range.", "Plan again."
        )
    if rate == 1:
        return np.arange(units, dtype=np.int64)
    # 2^-63 steps: rate · 2^63 is exact but for its last digits, and is rounded down.
    below = np.uint64(math.floor(math.ldexp(rate, 63)))
    return np.flatnonzero(stream.words(units) >> np.uint64(1) < below).astype(np.int64)
