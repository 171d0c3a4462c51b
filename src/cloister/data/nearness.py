"""Which discs of a picture meet: all pairs, found by sorting instead of by trying each with each.

A sweep along x (M. I. Shamos, D. Hoey, "Geometric intersection problems", FOCS 1976): the larger disc of a pair looks for the other
among those whose middle is at most its own diameter away along x. Few discs are much larger than most, and only those look far.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_CANDIDATES: Final = 2_000_000
"""Worked on at once."""

Positions = NDArray[np.intp]


def close_pairs(x: NDArray[Any], y: NDArray[Any], radius: NDArray[Any]) -> tuple[Positions, Positions]:
    """Pairs of discs that overlap or touch.

    Args:
        x: of the middles, [n].
        y: of the middles, [n].
        radius: of the discs, [n], not negative.

    Returns:
        Positions of the one and of the other of each pair, the first below the second, in no order.
    """
    across, down, reach = (np.asarray(values, dtype=np.float64) for values in (x, y, radius))
    order = np.argsort(across, kind="stable")
    across, down, reach = across[order], down[order], reach[order]
    # A little wider than needed: what rounding lets in here is judged by its distance below.
    wide = 2.0 * reach * (1.0 + 1e-9) + 1e-9
    begin = np.searchsorted(across, across - wide, side="left")
    count = np.searchsorted(across, across + wide, side="right") - begin
    found: list[tuple[Positions, Positions]] = []
    total = np.concatenate([[0], np.cumsum(count)])
    start = 0
    while start < len(order):
        stop = max(start + 1, int(np.searchsorted(total, total[start] + _CANDIDATES, side="right")) - 1)
        one = np.repeat(np.arange(start, stop), count[start:stop])
        other = np.arange(len(one)) - np.repeat(
            total[start:stop] - total[start] - begin[start:stop], count[start:stop]
        )
        # Each pair is the larger disc's, or of equal ones the first one's.
        own = (reach[other] < reach[one]) | ((reach[other] == reach[one]) & (other > one))
        one, other = one[own], other[own]
        near = np.hypot(across[one] - across[other], down[one] - down[other]) <= reach[one] + reach[other]
        a, b = order[one[near]], order[other[near]]
        found.append((np.minimum(a, b), np.maximum(a, b)))
        start = stop
    if not found:
        return np.zeros(0, np.intp), np.zeros(0, np.intp)
    return np.concatenate([a for a, _ in found]), np.concatenate([b for _, b in found])
