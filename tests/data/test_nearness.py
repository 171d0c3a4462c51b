from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from cloister.data import nearness
from cloister.data.nearness import close_pairs

discs = st.lists(
    st.tuples(st.floats(-100, 100, width=32), st.floats(-100, 100, width=32), st.floats(0, 60, width=32)),
    max_size=40,
)


def tried_each(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> set[tuple[int, int]]:
    count = range(len(x))
    return {
        (a, b)
        for a in count
        for b in count
        if a < b and np.hypot(x[a] - x[b], y[a] - y[b]) <= radius[a] + radius[b]
    }


@given(discs)
def test_the_same_pairs_meet_as_when_each_is_tried_with_each(
    given_discs: list[tuple[float, float, float]],
) -> None:
    x, y, radius = np.array(given_discs, dtype=float).reshape(-1, 3).T
    first, second = close_pairs(x, y, radius)
    found = list(zip(first.tolist(), second.tolist(), strict=True))
    assert len(found) == len(set(found))
    assert set(found) == tried_each(x, y, radius)


def test_many_discs_are_worked_on_in_parts(monkeypatch: object) -> None:
    rng = np.random.default_rng(3)
    x, y, radius = rng.uniform(0, 300, 200), rng.uniform(0, 300, 200), rng.uniform(0, 30, 200)
    expected = tried_each(x, y, radius)
    monkeypatch.setattr(nearness, "_CANDIDATES", 50)  # type: ignore[attr-defined]
    first, second = close_pairs(x, y, radius)
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
