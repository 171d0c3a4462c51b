"""True agglomerates: primary crystals that have grown together, at one depth, sharing faces.

What looks like one on a picture may be two things: crystals that lie over each other without touching (they differ in
depth, so in sharpness) and crystals that have grown into each other (they do not). The second are made here: each new
primary is set against a random earlier one so that their bodies run into each other a little.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from cloister.applications.crystals.optics import Part
from cloister.applications.crystals.polyhedra import Polyhedron
from cloister.data.polygons import reach

CONTACT = (0.7, 0.95)
"""Distance of two grown-together centres over that at which their outlines would just touch."""

APART = 0.55
"""The same for primaries of one agglomerate that were not set against each other: they may not swallow each other."""

_TRIES = 10


def grow(
    rng: np.random.Generator, make: Callable[[], Polyhedron], members: int, x: float, y: float
) -> list[Part]:
    """An agglomerate around a place.

    Args:
        rng: source of all randomness.
        make: draws one primary crystal.
        members: primaries wanted; fewer come where there is no room.
        x: column of the agglomerate's middle, pixels.
        y: row of it.

    Returns:
        At least one part.
    """
    parts = [Part(make(), 0.0, 0.0)]
    for _ in range(members - 1):
        body = make()
        for _attempt in range(_TRIES):
            host = parts[int(rng.integers(len(parts)))]
            angle = float(rng.uniform(0, 2 * np.pi))
            gap = _touching(host.body, body, angle) * float(rng.uniform(*CONTACT))
            lift = host.z + float(rng.normal(0.0, 0.12)) * body.diameter
            new = Part(body, host.x + gap * float(np.cos(angle)), host.y + gap * float(np.sin(angle)), lift)
            if all(_clear(new, other) for other in parts if other is not host):
                parts.append(new)
                break
    middle_x, middle_y = float(np.mean([p.x for p in parts])), float(np.mean([p.y for p in parts]))
    return [Part(p.body, p.x - middle_x + x, p.y - middle_y + y, p.z) for p in parts]


def _touching(first: Polyhedron, second: Polyhedron, angle: float) -> float:
    """Distance of the centres at which the outlines meet on the line between them."""
    here = reach(first.outline, np.array([angle]))[0]
    there = reach(second.outline, np.array([angle + np.pi]))[0]
    return float(here + there)


def _clear(new: Part, other: Part) -> bool:
    across, down = new.x - other.x, new.y - other.y
    angle = float(np.arctan2(down, across))
    return float(np.hypot(across, down)) > APART * _touching(other.body, new.body, angle)
