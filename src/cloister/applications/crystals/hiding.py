"""Of drawn crystals' outlines: how much of each lies under others."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from cloister.data.polygons import covered

Floats = NDArray[np.float64]


def hidden_shares(outlines: Sequence[Floats], height: int, width: int) -> list[float]:
    """Of each outline, the share of its pixels in the picture that lie under later ones; 0 to 1."""
    taken = np.zeros((height, width), dtype=bool)
    shares: list[float] = []
    masks = list(covered(outlines, height, width))
    for rows, columns, inside in reversed(masks):
        own = int(inside.sum())
        shares.append(float((taken[rows, columns] & inside).sum() / own) if own else 0.0)
        taken[rows, columns] |= inside
    return shares[::-1]
