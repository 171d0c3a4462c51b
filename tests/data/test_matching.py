from __future__ import annotations

import numpy as np
import pytest

from cloister.data.matching import count_accuracy, pairs


@pytest.mark.parametrize(
    ("found", "true", "accuracy"),
    [(10, 10, 1), (8, 10, 0.8), (12, 10, 0.8), (30, 10, 0), (0, 0, 1), (3, 0, 0)],
)
def test_count_accuracy_follows_its_definition(found: int, true: int, accuracy: float) -> None:
    assert count_accuracy(found, true) == pytest.approx(accuracy)


def test_an_object_is_matched_once_and_within_half_its_diameter() -> None:
    found = np.array([[10.0, 10.0], [12.0, 10.0], [50.0, 50.0]])
    assert [place.tolist() for place in pairs(found, [[11.0, 10.0]], [20.0])] == [[0], [0]]
    assert len(pairs(found, [[50.0, 56.0]], [10.0])[0]) == 0
    assert [place.tolist() for place in pairs(found, [[50.0, 54.0]], [10.0])] == [[2], [0]]
    assert len(pairs(found[:0], [[1.0, 1.0]], [5.0])[0]) == 0


def test_a_match_is_not_lost_to_a_nearer_neighbour() -> None:
    # Greedy matching would give the first object its nearest centre and leave the second without any.
    found = np.array([[10.0, 0.0], [3.0, 0.0]])
    assert len(pairs(found, [[6.0, 0.0], [11.0, 0.0]], [9.0, 4.0])[0]) == 2
