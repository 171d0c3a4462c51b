from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from cloister.applications.crystals.agglomerates import grow
from cloister.applications.crystals.factories import SEED_LIKE
from cloister.applications.crystals.hiding import hidden_shares
from cloister.applications.crystals.optics import Optics, Part, show_crystals
from cloister.applications.crystals.polyhedra import HABITS, make_crystal
from cloister.applications.crystals.synthesis import synthesise
from cloister.data.polygons import covered, reach

OPTICS = Optics("bright", 1.0, 1.0, 0.4, 0.0, 0.0, 0.8, 1.0)


@given(st.integers(0, 10**6), st.integers(2, 7), st.sampled_from(HABITS))
@settings(max_examples=40, deadline=None)
def test_primaries_of_an_agglomerate_touch_another_and_none_swallows_one(
    seed: int, members: int, habit: str
) -> None:
    rng = np.random.default_rng(seed)
    parts = grow(rng, lambda: make_crystal(rng, habit, 20.0), members, 50.0, 60.0)  # type: ignore[arg-type]
    assert 1 <= len(parts) <= members
    assert np.isclose(np.mean([p.x for p in parts]), 50.0)
    assert np.isclose(np.mean([p.y for p in parts]), 60.0)
    for part in parts:
        ratios = []
        for other in parts:
            if other is not part:
                across, down = other.x - part.x, other.y - part.y
                angle = np.arctan2(down, across)
                touching = reach(part.body.outline, np.array([angle]))[0]
                touching += reach(other.body.outline, np.array([angle + np.pi]))[0]
                ratios.append(np.hypot(across, down) / touching)
        if ratios:
            assert min(ratios) > 0.5
            assert min(ratios) < 0.96


def test_a_group_lets_light_through_as_one_body() -> None:
    """Two halves of a cube that touch are as dark as what they make up: nothing is counted twice where they overlap."""
    rng = np.random.default_rng(5)
    cube = make_crystal(rng, "cube", 30.0, irregular=0.0, lying=1.0)
    one = show_crystals(np.random.default_rng(0), [Part(cube, 40.0, 40.0)], 0.0, OPTICS)
    twice = show_crystals(
        np.random.default_rng(0), [Part(cube, 40.0, 40.0), Part(cube, 40.0, 40.0)], 0.0, OPTICS
    )
    np.testing.assert_allclose(one.log_transmission, twice.log_transmission, atol=1e-6)


def test_between_polarisers_the_parts_of_an_agglomerate_differ() -> None:
    rng = np.random.default_rng(8)
    optics = replace(OPTICS, light="polarised", edge=0.0)
    cube = make_crystal(rng, "cube", 30.0, irregular=0.0, lying=1.0)
    seen = show_crystals(
        np.random.default_rng(2), [Part(cube, 40.0, 40.0), Part(cube, 66.0, 40.0)], 0.0, optics
    )
    assert seen.glow is not None
    left = seen.glow[40 - seen.top, 36 - seen.left]
    right = seen.glow[40 - seen.top, 70 - seen.left]
    assert np.abs(left - right).max() > 0.02


def test_reach_is_where_a_ray_leaves_the_outline() -> None:
    square = np.array([[-2.0, -1.0], [2.0, -1.0], [2.0, 1.0], [-2.0, 1.0]])
    angles = np.array([0.0, np.pi / 2, np.pi, np.arctan2(1.0, 2.0)])
    np.testing.assert_allclose(reach(square, angles), [2.0, 1.0, 2.0, np.sqrt(5.0)])
    np.testing.assert_allclose(reach(square[::-1], angles), [2.0, 1.0, 2.0, np.sqrt(5.0)])


def test_what_lies_under_later_outlines_is_hidden() -> None:
    below = np.array([[10.0, 10.0], [30.0, 10.0], [30.0, 30.0], [10.0, 30.0]])
    half = below + np.array([10.0, 0.0])
    shares = hidden_shares([below, half], 50, 60)
    assert shares[1] == 0.0
    assert 0.45 < shares[0] < 0.56
    outside = below + np.array([500.0, 0.0])
    assert hidden_shares([outside, below], 50, 60) == [0.0, 0.0]


def test_covered_pixels_are_those_inside_at_any_resolution() -> None:
    square = np.array([[8.0, 8.0], [40.0, 8.0], [40.0, 24.0], [8.0, 24.0]])
    for scale in (1.0, 0.5, 0.25):
        (found,) = covered([square], round(64 * scale), round(64 * scale), scale=scale)
        assert abs(found[2].sum() - 32 * 16 * scale**2) <= (32 + 16) * scale + 2


def test_a_picture_tells_agglomerates_hidden_shares_and_blur() -> None:
    factory = replace(SEED_LIKE, agglomerates=(0.6, 0.6), crystals=(70, 70), crowding=(0.6, 0.6))
    picture = synthesise(factory, 3)
    groups = [c.agglomerate for c in picture.crystals if c.agglomerate]
    assert len(groups) > 15
    assert min(np.bincount(groups)[np.unique(groups)]) >= 1
    assert max(np.bincount(groups)) >= 2
    assert any(c.hidden > 0.1 for c in picture.crystals)
    assert all(0.0 <= c.hidden <= 1.0 and c.blur > 0 for c in picture.crystals)
    depths = {c.agglomerate: c.depth for c in picture.crystals if c.agglomerate}
    assert all(c.depth == depths[c.agglomerate] for c in picture.crystals if c.agglomerate)
