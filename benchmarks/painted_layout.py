"""What a painted picture shows and where: numbers, sizes, groups, overlaps, foam.

Agglomerates grow by pushing an outline against one of the group's until they overlap a little; foam by attaching circles to
circles. Strangers may overlap as far as the scene says.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np

from painted_shapes import Floats, Generator, Shape, shape, support

COMPACT: Final = {"cell": 0.35, "skewed": 0.3, "hexagon": 0.15, "oval": 0.15, "shard": 0.05}


@dataclass(frozen=True)
class Scene:
    """What a set's pictures show; ranges are least and most.

    Attributes:
        light: "bright", "dark", "polarised" or "reflected".
        crystals: how many, besides those of groups.
        diameter: pixels, log-normal within.
        groups: agglomerates of two to six.
        overlap: how far strangers may lie over one another, share of the sum of their radii.
        bubbles: how many.
        radius: of bubbles, pixels, log-normal within.
        foam: share of bubbles that touch another.
        litter: pieces of dust, fibres and specks.
        contrast: of crystals.
        defocus: largest blur of single crystals, pixels.
        quality: of the JPEG.
        habits: probability of each outline, see `painted_brushes.shape`.
        noise: of the sensor, share of full scale.
    """

    light: str = "bright"
    crystals: tuple[int, int] = (160, 230)
    diameter: tuple[float, float] = (16, 40)
    groups: tuple[int, int] = (2, 6)
    overlap: float = 0.1
    bubbles: tuple[int, int] = (4, 14)
    radius: tuple[float, float] = (6, 30)
    foam: float = 0.2
    litter: tuple[int, int] = (10, 40)
    contrast: tuple[float, float] = (0.7, 1.3)
    defocus: float = 1.2
    quality: tuple[int, int] = (75, 95)
    habits: Mapping[str, float] = field(default_factory=lambda: COMPACT)
    noise: tuple[float, float] = (0.006, 0.02)


@dataclass(frozen=True)
class Placed:
    """A crystal's place: centre, outline around it, number of its group."""

    x: float
    y: float
    made: Shape
    reach: float
    group: int


def _sizes(generator: Generator, limits: tuple[float, float], count: int) -> Floats:
    low, high = np.log(limits)
    drawn: Floats = np.exp(
        np.clip(generator.normal(low + 0.42 * (high - low), 0.24 * (high - low), count), low, high)
    )
    return drawn


def place_crystals(generator: Generator, scene: Scene, width: int, height: int) -> list[Placed]:
    names, weights = list(scene.habits), np.array(list(scene.habits.values()))
    rounding = generator.uniform(0.02, 0.3)

    def made(diameter: float) -> Shape:
        habit = str(generator.choice(names, p=weights / weights.sum()))
        return shape(generator, habit, diameter, float(np.clip(generator.normal(rounding, 0.06), 0.0, 0.4)))

    def fits(one: Placed) -> bool:
        if not placed:
            return True
        near = (
            np.hypot(*(where[: len(placed), :2] - (one.x, one.y)).T) < where[: len(placed), 2] + one.reach + 1
        )
        for number in np.flatnonzero(near):
            other = placed[number]
            room = support(one.made, other.x - one.x, other.y - one.y) + support(
                other.made, one.x - other.x, one.y - other.y
            )
            if np.hypot(one.x - other.x, one.y - other.y) < (1 - scene.overlap) * room + 1:
                return False
        return True

    placed: list[Placed] = []
    margin = 0.7 * scene.diameter[1]
    groups, alone = (int(generator.integers(low, high + 1)) for low, high in (scene.groups, scene.crystals))
    tasks = [int(generator.integers(2, 7)) for _ in range(groups)] + [1] * alone
    group, where = 0, np.zeros((sum(tasks), 3))
    for members in tasks:
        for _ in range(60):
            own: list[Placed] = []
            for diameter in _sizes(generator, scene.diameter, members):
                outline = made(float(diameter))
                if own:
                    anchor = own[int(generator.integers(len(own)))]
                    angle = generator.uniform(0, 2 * np.pi)
                    u, v = np.cos(angle), np.sin(angle)
                    room = support(anchor.made, u, v) + support(outline, -u, -v)
                    room *= generator.uniform(0.72, 0.95)
                    x, y = anchor.x + room * u, anchor.y + room * v
                    if any(np.hypot(x - o.x, y - o.y) < 0.6 * (o.reach + diameter / 2) for o in own):
                        continue
                else:
                    x, y = (
                        generator.uniform(-margin, width + margin),
                        generator.uniform(-margin, height + margin),
                    )
                own.append(
                    Placed(float(x), float(y), outline, float(np.hypot(*outline.outline.T).max()), group + 1)
                )
            if len(own) == 1:
                own = [replace(own[0], group=0)]
            if all(fits(one) for one in own):
                where[len(placed) : len(placed) + len(own)] = [(one.x, one.y, one.reach) for one in own]
                placed += own
                group += len(own) > 1
                break
    return placed


def place_bubbles(
    generator: Generator, scene: Scene, crystals: list[Placed], width: int, height: int
) -> list[tuple[float, float, float]]:
    taken = np.array([(c.x, c.y, c.reach) for c in crystals]).reshape(-1, 3)
    bubbles: list[tuple[float, float, float]] = []
    for radius in _sizes(
        generator, scene.radius, int(generator.integers(scene.bubbles[0], scene.bubbles[1] + 1))
    ):
        for _ in range(40):
            x, y = generator.uniform(0, width), generator.uniform(0, height)
            if bubbles and generator.random() < scene.foam:
                u, v, other = bubbles[int(generator.integers(len(bubbles)))]
                angle, gap = generator.uniform(0, 2 * np.pi), generator.uniform(0.94, 1.02) * (other + radius)
                x, y = u + gap * np.cos(angle), v + gap * np.sin(angle)
            there = np.concatenate([taken, np.array(bubbles).reshape(-1, 3) * (1, 1, 0.92)])
            free = bool((np.hypot(there[:, 0] - x, there[:, 1] - y) >= 0.92 * (there[:, 2] + radius)).all())
            if free and 0 <= x < width and 0 <= y < height:
                bubbles.append((float(x), float(y), float(radius)))
                break
    return bubbles
