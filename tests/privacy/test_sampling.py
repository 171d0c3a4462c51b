"""Poisson samples."""

from __future__ import annotations

import math

import numpy as np
import pytest

from cloister.foundation.errors import BadInput
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream

SECRET = bytes(range(32))


def sampled(label: str, units: int, rate: float) -> np.ndarray:
    return poisson_sample(NoiseStream(SECRET, label), units, rate)


@pytest.mark.parametrize("rate", [1e-3, 0.1, 0.5, 0.97])
def test_each_unit_is_drawn_with_the_chance_that_is_accounted_for(rate: float) -> None:
    """Rule 1."""
    units, rounds = 2000, 300
    counts = np.zeros(units)
    sizes = []
    for step in range(rounds):
        found = sampled(f"step/{step}", units, rate)
        assert (np.diff(found) > 0).all()
        counts[found] += 1
        sizes.append(len(found))
    # Units are alike, and sizes vary as those of independent coins do.
    assert abs(counts.sum() - units * rounds * rate) < 4 * math.sqrt(units * rounds * rate * (1 - rate))
    assert counts.var() == pytest.approx(rounds * rate * (1 - rate), rel=0.2)
    assert np.var(sizes) == pytest.approx(units * rate * (1 - rate), rel=0.4)


def test_the_same_secret_and_label_draw_the_same_units() -> None:
    """Rule 2."""
    assert sampled("a", 1000, 0.3).tolist() == sampled("a", 1000, 0.3).tolist()
    assert sampled("a", 1000, 0.3).tolist() != sampled("b", 1000, 0.3).tolist()


def test_the_edges() -> None:
    assert sampled("a", 5, 1.0).tolist() == [0, 1, 2, 3, 4]
    assert sampled("a", 0, 0.5).tolist() == []
    assert sampled("a", 1000, 1e-30).tolist() == []
    for units, rate in ((-1, 0.5), (10, 0.0), (10, 1.1), (10, math.nan), (1 << 40, 0.5)):
        with pytest.raises(BadInput):
            sampled("a", units, rate)
