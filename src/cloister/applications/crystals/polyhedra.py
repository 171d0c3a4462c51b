"""Crystals as convex polyhedra: planes in a body's frame, turned, scaled and projected.

A crystal is the set of points with `normals @ p <= offsets`. The rendering needs only the planes; the
truth (outline, area, centre) needs the projected vertices, which are the feasible intersections of three
planes. Shapes follow the habits of food crystals: cubes (salt), monoclinic blocks (sucrose, beta = 103
degrees, J. W. Mullin, Crystallization, ch. 1), hexagonal prisms, rhombs with roofs, thin plates, needles, and the
pieces of broken crystals.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Habit = Literal["cube", "sucrose", "prism", "rhomb", "plate", "needle", "fragment"]
HABITS: tuple[Habit, ...] = ("cube", "sucrose", "prism", "rhomb", "plate", "needle", "fragment")

Floats = NDArray[np.float64]
_TRIPLES = {n: np.array(list(combinations(range(n), 3))) for n in range(4, 21)}


@dataclass(frozen=True)
class Polyhedron:
    """A convex body in picture units, its projected outline's centroid at the origin.

    Attributes:
        normals: shape [planes, 3], unit vectors (x right, y down, z towards the objective).
        offsets: shape [planes], pixels.
        outline: shape [corners, 2], pixels, convex, in order around the body.
        diameter: of the circle with the outline's area, pixels (ISO 9276-6: equivalent circle diameter).
    """

    normals: Floats
    offsets: Floats
    outline: Floats
    diameter: float


def make_crystal(
    rng: np.random.Generator, habit: Habit, diameter: float, *, irregular: float = 0.12, lying: float = 0.8
) -> Polyhedron:
    """One crystal of a habit in a random pose.

    Args:
        rng: source of all randomness.
        habit: the shape's family.
        diameter: wanted equivalent circle diameter of the projection, pixels.
        irregular: relative jitter of faces and corners, 0 to 0.3; also how often corners are broken off.
        lying: share of crystals that rest nearly flat on the slide; the others have any orientation.

    Returns:
        The polyhedron, centred on its outline's centroid.
    """
    normals, offsets = _planes(rng, habit)
    normals = normals + rng.normal(0.0, 0.25 * irregular, normals.shape)
    normals /= np.linalg.norm(normals, axis=1, keepdims=True)
    offsets = offsets * (1.0 + rng.uniform(-irregular, irregular, offsets.shape))
    for _ in range(rng.binomial(3, min(1.0, 2.0 * irregular))):
        chip = rng.normal(size=3)
        chip /= np.linalg.norm(chip)
        reach = float(np.max(_vertices(normals, offsets) @ chip))
        normals, offsets = np.vstack([normals, chip]), np.append(offsets, reach * rng.uniform(0.75, 0.95))
    normals = normals @ _pose(rng, flat=bool(rng.random() < lying)).T
    corners = _vertices(normals, offsets)[:, :2]
    outline = _hull(corners)
    area, centre = _area_and_centroid(outline)
    scale = diameter / (2.0 * np.sqrt(area / np.pi))
    offsets = (offsets - normals[:, :2] @ centre) * scale
    return Polyhedron(normals, offsets, (outline - centre) * scale, diameter)


def _planes(rng: np.random.Generator, habit: Habit) -> tuple[Floats, Floats]:
    axes = np.vstack([np.eye(3), -np.eye(3)])
    if habit == "cube":
        size = rng.uniform(0.85, 1.2, 3)
        corners = _signs() / np.sqrt(3.0)
        reach = float(np.linalg.norm(size)) * rng.uniform(0.86, 1.1)
        chosen = corners[rng.random(8) < 0.5]
        return np.vstack([axes, chosen]), np.concatenate([size, size, np.full(len(chosen), reach)])
    if habit == "sucrose":
        beta = np.radians(103.0)
        slanted = np.array([np.sin(beta), 0.0, np.cos(beta)])
        length, width, height = rng.uniform(1.0, 1.6), rng.uniform(0.7, 1.0), rng.uniform(0.45, 0.8)
        tilt = rng.uniform(0.7, 1.1)
        ends = np.array([[np.cos(tilt), s * np.sin(tilt), 0.0] for s in (1, -1)])
        ends = np.vstack([ends, -ends])
        keep = ends[rng.random(4) < 0.7]
        reach = (length * np.cos(tilt) + width * np.sin(tilt)) * rng.uniform(0.72, 0.92)
        normals = np.vstack([axes[[1, 2, 4, 5]], slanted, -slanted, keep])
        return normals, np.concatenate(
            [[width, height, width, height, length, length], np.full(len(keep), reach)]
        )
    if habit == "fragment":
        # A block broken along one or two planes near its middle; of two that leave nothing between them, the second is left out.
        normals, offsets = _planes(rng, "cube" if rng.random() < 0.5 else "sucrose")
        for _ in range(int(rng.integers(1, 3))):
            broken = rng.normal(size=3)
            broken /= np.linalg.norm(broken)
            along = _vertices(normals, offsets) @ broken
            offset = float(rng.uniform(-0.1, 0.35))
            if offset > along.min() + 0.3:
                normals, offsets = np.vstack([normals, broken]), np.append(offsets, offset)
        return normals, offsets
    if habit in {"prism", "needle"}:
        angles = np.arange(6) * np.pi / 3
        sides = np.stack([np.cos(angles), np.sin(angles), np.zeros(6)], axis=1)
        length = rng.uniform(0.9, 2.0) if habit == "prism" else rng.uniform(2.2, 4.2)
        if rng.random() < 0.5:
            return np.vstack([sides, axes[[2, 5]]]), np.concatenate([np.full(6, 0.7), [length, length]])
        slope = rng.uniform(0.5, 0.9)
        caps = np.vstack([sides[::2] * slope + axes[2], sides[1::2] * slope - axes[2]])
        caps /= np.linalg.norm(caps, axis=1, keepdims=True)
        return np.vstack([sides, caps]), np.concatenate([np.full(6, 0.7), np.full(6, length * 0.8)])
    half = rng.uniform(0.45, 0.75)
    rhombus = np.array([[np.cos(a), np.sin(a), 0.0] for a in (half, -half, np.pi + half, np.pi - half)])
    if habit == "rhomb":
        lift = rng.uniform(0.3, 0.7)
        roof = np.array([[0.0, 1.0, lift], [0.0, -1.0, lift]]) / np.hypot(1.0, lift)
        height = rng.uniform(0.35, 0.7)
        normals = np.vstack([rhombus, axes[[2, 5]], roof])
        return normals, np.concatenate([np.full(4, 0.8), [height, height], np.full(2, rng.uniform(0.5, 0.8))])
    thin = rng.uniform(0.1, 0.25)
    cut = axes[[0, 3]] if rng.random() < 0.6 else axes[[1, 4]]
    reach = rng.uniform(0.75, 1.1)
    return np.vstack([rhombus, axes[[2, 5]], cut]), np.array([0.8] * 4 + [thin] * 2 + [reach] * 2)


def _signs() -> Floats:
    return np.array([[x, y, z] for x in (1.0, -1.0) for y in (1.0, -1.0) for z in (1.0, -1.0)])


def _pose(rng: np.random.Generator, *, flat: bool) -> Floats:
    """A rotation: about the optical axis with a slight tilt (lying), or uniform (Shoemake's quaternion)."""
    if not flat:
        q = rng.normal(size=4)
        w, x, y, z = q / np.linalg.norm(q)
        return np.array(
            [
                [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
                [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
                [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
            ]
        )
    turn, tip, lean = rng.uniform(0, 2 * np.pi), rng.normal(0, 0.15), rng.normal(0, 0.15)
    about = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1.0]])
    tilt = np.array([[1.0, 0, 0], [0, np.cos(tip), -np.sin(tip)], [0, np.sin(tip), np.cos(tip)]])
    side = np.array([[np.cos(lean), 0, np.sin(lean)], [0, 1.0, 0], [-np.sin(lean), 0, np.cos(lean)]])
    rotation: Floats = about @ tilt @ side
    if rng.random() < 0.3:  # on its edge side rather than its largest face
        rotation = rotation @ np.array([[1.0, 0, 0], [0, 0, -1.0], [0, 1.0, 0]])
    return rotation


def _vertices(normals: Floats, offsets: Floats) -> Floats:
    triples = _TRIPLES[len(normals)]
    systems = normals[triples]
    solvable = np.abs(np.linalg.det(systems)) > 1e-6
    points = np.linalg.solve(systems[solvable], offsets[triples[solvable]][..., None])[..., 0]
    inside = np.all(points @ normals.T <= offsets + 1e-7 * np.max(np.abs(offsets)), axis=1)
    found: Floats = points[inside]
    return found


def _hull(points: Floats) -> Floats:
    """Andrew's monotone chain, counter-clockwise."""
    ordered = points[np.lexsort((points[:, 1], points[:, 0]))].tolist()

    def half(sequence: list[list[float]]) -> list[list[float]]:
        chain: list[list[float]] = []
        for p in sequence:
            while len(chain) > 1:
                (ax, ay), (bx, by) = chain[-2], chain[-1]
                if (bx - ax) * (p[1] - ay) - (by - ay) * (p[0] - ax) > 1e-12:
                    break
                chain.pop()
            chain.append(p)
        return chain[:-1]

    return np.array(half(ordered) + half(ordered[::-1]))


def _area_and_centroid(outline: Floats) -> tuple[float, Floats]:
    following = np.roll(outline, -1, axis=0)
    cross = outline[:, 0] * following[:, 1] - following[:, 0] * outline[:, 1]
    area = float(cross.sum() / 2.0)
    centre: Floats = ((outline + following) * cross[:, None]).sum(axis=0) / (6.0 * area)
    return abs(area), centre
