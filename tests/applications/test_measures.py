from __future__ import annotations

import numpy as np
import pytest

from cloister.applications.crystals.measures import CrystalMeasure, distribution, measure, regions
from cloister.applications.crystals.targets import BUMP, body_target, heat_target, targets
from cloister.data.peaks import find_peaks
from cloister.foundation.errors import BadInput

CENTRES = [(30.0, 40.0), (80.0, 40.0), (96.0, 44.0), (3.0, 90.0)]
DIAMETERS = [20.0, 14.0, 14.0, 18.0]


def _maps() -> tuple[np.ndarray, np.ndarray]:
    both = targets(CENTRES, DIAMETERS, 128, 160)
    return both[0], both[1]


def test_targets_peak_at_the_centres_and_fill_the_areas() -> None:
    heat, body = _maps()
    found = find_peaks(heat, 0.5, 5, border=True)
    assert sorted(map(tuple, found.tolist())) == sorted(CENTRES)
    assert abs(body[20:60, 15:45].sum() - np.pi * 100) < 12
    assert heat.max() <= 1
    assert heat[100, 100] == 0


def test_a_larger_crystal_has_a_wider_bump() -> None:
    for diameter in (20.0, 40.0):
        heat = heat_target([(60.0, 60.0)], [diameter], 120, 120)
        sigma = BUMP * diameter
        assert np.isclose(heat[60, 60 + 4], np.exp(-16 / (2 * sigma**2)), rtol=1e-3)


def test_targets_of_crystals_outside_the_picture_are_harmless() -> None:
    assert heat_target([(-100.0, 5.0)], [10.0], 32, 32).max() == 0
    assert body_target([(500.0, 500.0)], [10.0], 32, 32).max() == 0


def test_diameters_come_back_from_perfect_maps() -> None:
    heat, body = _maps()
    crystals = {(round(c.x), round(c.y)): c for c in measure(heat, body)}
    for centre, diameter in zip(CENTRES[:3], DIAMETERS[:3], strict=True):
        crystal = crystals[round(centre[0]), round(centre[1])]
        assert abs(crystal.diameter - diameter) < 0.5
        assert not crystal.border
    assert crystals[3, 90].border


def test_micrometres_scale_lengths_and_areas() -> None:
    heat, body = _maps()
    for px, um in zip(measure(heat, body), measure(heat, body, um_per_px=2.5), strict=True):
        assert np.isclose(um.diameter, 2.5 * px.diameter)
        assert np.isclose(um.area, 6.25 * px.area)
        assert (px.unit, um.unit) == ("px", "µm")


def test_every_centre_keeps_a_region_even_without_a_body() -> None:
    numbers = regions(np.zeros((20, 20)), np.array([[3.0, 4.0], [19.0, 19.0]]))
    assert set(np.unique(numbers)) == {0, 1, 2}
    assert numbers[4, 3] == 1
    assert regions(np.ones((8, 8)), np.zeros((0, 2))).max() == 0


def test_the_distribution_follows_its_definition_and_leaves_border_crystals_out() -> None:
    crystals = [CrystalMeasure(0, 0, 1.0, float(d), False, "px") for d in range(1, 102)]
    crystals.append(CrystalMeasure(0, 0, 1.0, 1000.0, True, "px"))
    result = distribution(crystals)
    assert result["count"] == 102
    assert result["measured"] == 101
    assert np.isclose(result["number"]["d50"], 51)
    assert np.isclose(result["number"]["d10"], 10.6, atol=0.2)
    # Half of the volume of 1..101 lies below 101 / 2^(1/4).
    assert np.isclose(result["volume"]["d50"], 101 / 2**0.25, atol=1.0)
    assert distribution([])["number"]["d50"] is None


def test_maps_that_do_not_belong_together_are_refused() -> None:
    with pytest.raises(BadInput):
        measure(np.zeros((3, 3)), np.zeros((4, 4)))
    with pytest.raises(BadInput):
        measure(np.zeros((3, 3)), np.zeros((3, 3)), um_per_px=0.0)
