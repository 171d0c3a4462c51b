"""Painted micrographs to judge on: another generator than the one that the model is trained with.

**For judging only, never for training.** A model that has learnt from drawn pictures may have learnt how they are drawn. These
pictures look like micrographs of seed crystals, too, but come about in another way: no polyhedra, no refraction, no camera model of
the project, only textures (`painted_brushes`) laid over fractal noise, imitated from photographs by eye. What a tool loses between
its own trials and these tells how far it leans on its generator.

Truth is exact: outlines are painted where they are told to be. Each set is seeded and the same each time.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from cloister.applications.crystals.synthesis import Crystal, Micrograph
from painted_brushes import Floats, Generator, Look, Shape, area, bubble, clouds, crystal, ramp, shape

SEED: Final = 7_700_000
WIDTH, HEIGHT = 1280, 1024
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


SCENES: Final[Mapping[str, Scene]] = {
    "bright": Scene(),
    "crowded": Scene(crystals=(320, 420), diameter=(18, 38), overlap=0.35, groups=(6, 14)),
    "agglomerates": Scene(crystals=(30, 60), groups=(30, 45)),
    "foam": Scene(crystals=(0, 4), groups=(0, 0), bubbles=(110, 220), radius=(6, 45), foam=0.7),
    "polarised": Scene("polarised", crystals=(90, 190), diameter=(12, 60), overlap=0.2),
    "dark field": Scene("dark", crystals=(100, 200), bubbles=(4, 20)),
    "reflected": Scene("reflected", crystals=(100, 180), bubbles=(10, 40), foam=0.5),
    "needles and shards": Scene(crystals=(100, 170), habits={"slab": 0.5, "shard": 0.35, "cell": 0.15}),
    "many sizes": Scene(crystals=(60, 120), diameter=(10, 130), overlap=0.15),
    "dirty": Scene(crystals=(40, 80), litter=(150, 260), bubbles=(15, 40), groups=(0, 3)),
    "faint and noisy": Scene(contrast=(0.25, 0.55), defocus=2.2, quality=(45, 75), noise=(0.015, 0.035)),
}


@dataclass(frozen=True)
class Placed:
    """A crystal's place: centre, outline around it, number of its group."""

    x: float
    y: float
    made: Shape
    reach: float
    group: int


def paintings(name: str, count: int, first: int = 0) -> Iterator[Micrograph]:
    """Pictures `first` to `first + count` of a set."""
    for number in range(first, first + count):
        yield paint(SCENES[name], (SEED, sorted(SCENES).index(name), number))


def paint(scene: Scene, seed: tuple[int, ...], width: int = WIDTH, height: int = HEIGHT) -> Micrograph:
    """One picture and its truth."""
    generator = np.random.default_rng(seed)
    crystals = _crystals(generator, scene, width, height)
    bubbles = _bubbles(generator, scene, crystals, width, height)
    empty = _field(generator, scene.light, width, height)
    canvas, litter = empty.copy(), np.zeros((height, width), dtype=bool)
    _litter(generator, scene, canvas, litter)
    owner = np.zeros((height, width), dtype=np.int32)
    contrast, clear = generator.uniform(*scene.contrast), generator.uniform(0.3, 0.9)
    blurs = np.zeros(len(crystals))
    sharp = generator.uniform(0.5, 1.2)
    things: list[tuple[bool, int]] = [(True, i) for i in range(len(crystals))]
    things += [(False, i) for i in range(len(bubbles))]
    for is_crystal, number in [things[i] for i in generator.permutation(len(things))]:
        blur = float(scene.defocus * generator.random() ** 3)
        if is_crystal:
            one = crystals[number]
            rows, columns, x, y = _patch(one.x, one.y, one.reach * 1.4 + 8, width, height)
            strength = contrast * generator.uniform(0.75, 1.25)
            look = crystal(generator, one.made, x, y, scene.light, strength)
            for _ in range(6):
                # Truth holds nothing that no eye could see.
                if not _faint(look, canvas[rows, columns], empty[rows, columns], scene, clear):
                    break
                strength *= 1.5
                look = crystal(generator, one.made, x, y, scene.light, strength)
            blurs[number] = float(np.hypot(blur, sharp))
            inside = look.cover >= 0.5
            owner[rows, columns][inside] = number + 1
        else:
            u, v, radius = bubbles[number]
            rows, columns, x, y = _patch(u, v, radius + 9, width, height)
            look = bubble(generator, radius, x, y, scene.light, contrast)
        _lay(canvas[rows, columns], empty[rows, columns], look, blur, clear if is_crystal else 0.0)
    image = _photograph(generator, scene, canvas, sharp)
    return _truth(image, crystals, bubbles, blurs, owner, scene.light, litter)


def _patch(u: float, v: float, reach: float, width: int, height: int) -> tuple[slice, slice, Floats, Floats]:
    left, right = max(0, int(u - reach)), max(1, min(width, int(u + reach) + 2))
    top, bottom = max(0, int(v - reach)), max(1, min(height, int(v + reach) + 2))
    left, top = min(left, width - 1), min(top, height - 1)
    y, x = np.mgrid[top:bottom, left:right].astype(np.float32)
    return slice(top, bottom), slice(left, right), x - u, y - v


def _faint(look: Look, canvas: Floats, empty: Floats, scene: Scene, clear: float) -> bool:
    """Whether a crystal can hardly be told from what lies around it."""
    if not (look.cover > 0.5).any():
        return False
    painted = canvas.copy()
    _lay(painted, empty, look, 0.0, clear)
    change = np.abs(np.minimum(painted, 1) - np.minimum(canvas, 1)).mean(axis=2)[look.cover > 0.5]
    # Where it lies over something as bright as itself only its rim shows.
    return bool(np.quantile(change, 0.85) < max(0.04, 1.5 * scene.noise[1])) and bool(canvas.mean() < 0.95)


def _lay(canvas: Floats, empty: Floats, look: Look, blur: float, clear: float) -> None:
    """Paints over what is there; through the clear part of a thing one sees what lies below."""
    cover, colour, around = look.cover[..., None], look.colour, look.around[..., None]
    if blur > 0.2:
        cover, around = (ndimage.gaussian_filter(a, (blur, blur, 0)) for a in (cover, around))
        colour = ndimage.gaussian_filter(colour, (blur, blur, 0))
    dark = empty.mean() < 0.4
    alone = empty * 0.3 + colour if dark else empty * colour
    through = canvas * 0.5 + colour if dark else canvas * colour
    painted = clear * through + (1 - clear) * alone
    canvas += cover * (painted - canvas)
    canvas += around * (0.6 if dark else canvas)


def _sizes(generator: Generator, limits: tuple[float, float], count: int) -> Floats:
    low, high = np.log(limits)
    drawn: Floats = np.exp(
        np.clip(generator.normal(low + 0.42 * (high - low), 0.24 * (high - low), count), low, high)
    )
    return drawn


def _crystals(generator: Generator, scene: Scene, width: int, height: int) -> list[Placed]:
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
            room = _support(one.made, other.x - one.x, other.y - one.y) + _support(
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
                    room = _support(anchor.made, u, v) + _support(outline, -u, -v)
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


def _support(made: Shape, u: float, v: float) -> float:
    """How far an outline reaches in a direction."""
    long = max(float(np.hypot(u, v)), 1e-9)
    return float((made.outline @ np.array([u, v])).max()) / long


def _bubbles(
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


def _field(generator: Generator, light: str, width: int, height: int) -> Floats:
    """The empty field: level, colour, uneven light, clouds."""
    y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j].astype(np.float32)
    turn = generator.uniform(0, 2 * np.pi)
    uneven = 1 + generator.uniform(0, 0.2) * (x * np.cos(turn) + y * np.sin(turn))
    u, v = generator.normal(0, 0.3, 2)
    uneven -= generator.uniform(0, 0.25) * ((x - u) ** 2 + (y - v) ** 2) / 2
    rough = clouds(generator, height, width, 256) * generator.uniform(0.004, 0.03)
    rough += clouds(generator, height, width, 24, 0.8) * generator.uniform(0.0, 0.008)
    if light == "bright":
        level, tint = generator.uniform(0.55, 0.82), generator.normal((0.02, 0.01, -0.04), 0.03)
    elif light == "reflected":
        level, tint = generator.uniform(0.15, 0.3), generator.normal(0, 0.05, 3)
        rough = 5 * rough
    else:
        level, tint = generator.uniform(0.06, 0.2), np.array([-0.25, 0.0, 0.2]) * generator.uniform(-0.2, 1.2)
        rough = 3 * rough
        corner = ramp(0.6, 2.2, x * np.cos(turn) + y * np.sin(turn) + 0.5)
        uneven += generator.uniform(0, 1.2) * corner
    made = level * np.maximum(uneven + rough, 0.1)[..., None] * (1 + tint)
    return made.astype(np.float32)


def _litter(generator: Generator, scene: Scene, canvas: Floats, litter: NDArray[np.bool_]) -> None:
    """Specks, clumps, fibres, scratches and out-of-focus smudges below everything else."""
    height, width = litter.shape
    bright = scene.light == "bright"
    for _ in range(int(generator.integers(scene.litter[0], scene.litter[1] + 1))):
        kind = generator.choice(
            ["speck", "clump", "fibre", "scratch", "smudge"], p=[0.5, 0.17, 0.13, 0.1, 0.1]
        )
        size = {"speck": 3.5, "clump": 16.0, "fibre": 90.0, "scratch": 160.0, "smudge": 26.0}[str(kind)]
        size *= float(np.exp(generator.normal(0, 0.4)))
        rows, columns, x, y = _patch(
            generator.uniform(0, width), generator.uniform(0, height), size + 4, width, height
        )
        dark = generator.uniform(0.2, 0.8)
        if kind in {"speck", "clump"}:
            lumps = clouds(generator, *x.shape, max(3, int(size / 1.5)))
            there = ramp(-0.4, 0.4, 1.0 - np.hypot(x, y) / (0.55 * size) + 0.45 * lumps)
            there *= np.hypot(x, y) < size + 2
        elif kind == "smudge":
            there = 0.25 * np.exp(-((np.hypot(x, y) / (0.45 * size)) ** 2))
        else:
            there = _thread(generator, x, y, size, 0.8 if kind == "scratch" else generator.uniform(1.0, 2.5))
        there = ndimage.gaussian_filter(there, generator.uniform(0.3, 1.5))
        if kind == "fibre" and bright:
            # A fibre is a lens: light in its middle, dark beside.
            dark *= 0.6
            canvas[rows, columns] *= 1 + 0.25 * ndimage.gaussian_filter(there, 0.4)[..., None] ** 3
        shade = there[..., None]
        if bright or (scene.light == "reflected" and generator.random() < 0.5):
            canvas[rows, columns] *= 1 - dark * shade
        else:
            canvas[rows, columns] += 0.4 * dark * shade
        litter[rows, columns] |= there > 0.25


def _thread(generator: Generator, x: Floats, y: Floats, size: float, wide: float) -> Floats:
    turn, bend = generator.uniform(0, 2 * np.pi), generator.normal(0, 0.5 if wide > 0.9 else 0.03)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    curve = bend * size * (np.cos(2.2 * along / size) - 1) + 0.08 * bend * size * np.sin(7 * along / size)
    slope = np.gradient(curve, axis=1) ** 2 + np.gradient(curve, axis=0) ** 2
    drawn: Floats = np.exp(-(((across - curve) / (wide * np.sqrt(1 + slope))) ** 2)) * (
        np.abs(along) < 0.8 * size
    )
    return drawn


def _photograph(generator: Generator, scene: Scene, canvas: Floats, sharp: float) -> NDArray[np.uint8]:
    """Glare, blur, fringes of colour, noise, sharpening, JPEG."""
    height, width = canvas.shape[:2]
    if scene.light != "bright":
        glare = np.maximum(canvas - 0.85, 0)
        canvas = (
            canvas
            + 0.25 * ndimage.gaussian_filter(glare, (9, 9, 0))
            + 0.4 * ndimage.gaussian_filter(glare, (3, 3, 0))
        )
    fringe = generator.normal(0, 0.0007)
    shown = np.empty_like(canvas)
    for channel, factor in enumerate((1 + fringe, 1.0, 1 - fringe)):
        middle = np.array([(height - 1) / 2, (width - 1) / 2])
        moved = ndimage.affine_transform(
            canvas[..., channel], (factor, factor), middle - factor * middle, order=1, mode="nearest"
        )
        shown[..., channel] = ndimage.gaussian_filter(moved, sharp * (1 + 0.25 * (channel != 1)))
    if generator.random() < 0.35:
        shown += generator.uniform(0.3, 0.9) * (shown - ndimage.gaussian_filter(shown, (1.6, 1.6, 0)))
    if generator.random() < 0.3:
        shown = shown.mean(axis=2, keepdims=True) * np.ones(3, dtype=np.float32)
    noise = np.float32(generator.uniform(*scene.noise))
    grain = 0.6 * generator.standard_normal(shown.shape, dtype=np.float32)
    grain += generator.standard_normal((height, width, 1), dtype=np.float32)
    if generator.random() < 0.5:
        grain = 1.6 * ndimage.gaussian_filter(grain, (0.6, 0.6, 0))
    shown = shown + noise * np.sqrt(np.clip(shown, 0.1, 1)) * grain
    pixels = np.rint(255 * np.clip(shown, 0, 1)).astype(np.uint8)
    stored = io.BytesIO()
    Image.fromarray(pixels).save(stored, "JPEG", quality=int(generator.integers(*scene.quality)))
    return np.asarray(Image.open(stored).convert("RGB"))


def _truth(
    image: NDArray[np.uint8],
    crystals: list[Placed],
    bubbles: list[tuple[float, float, float]],
    blurs: Floats,
    owner: NDArray[Any],
    light: str,
    litter: NDArray[np.bool_],
) -> Micrograph:
    height, width = image.shape[:2]
    told: list[Crystal] = []
    beyond: list[Floats] = []
    for number, one in enumerate(crystals):
        corners = np.add(one.made.outline, (one.x, one.y))
        x_most, y_most, x_least, y_least = *corners.max(axis=0), *corners.min(axis=0)
        inside = -0.5 <= one.x < width - 0.5 and -0.5 <= one.y < height - 0.5
        if not inside:
            beyond.append(corners)
            continue
        cut = x_least < -0.5 or y_least < -0.5 or x_most > width - 0.5 or y_most > height - 0.5
        rows, columns, _, _ = _patch(one.x, one.y, one.reach + 1, width, height)
        drawn = Image.new("1", (columns.stop - columns.start, rows.stop - rows.start), 0)
        ImageDraw.Draw(drawn).polygon([(x - columns.start, y - rows.start) for x, y in corners], fill=1)
        own = np.asarray(drawn)
        told.append(
            Crystal(
                x=one.x,
                y=one.y,
                diameter=2 * float(np.sqrt(area(corners) / np.pi)),
                outline=tuple((float(x), float(y)) for x, y in corners),
                depth=0.0,
                cut=bool(cut),
                blur=float(blurs[number]),
                agglomerate=one.group,
                hidden=float(((owner[rows, columns] != number + 1) & own).sum() / max(1, own.sum())),
            )
        )
    return Micrograph(image, tuple(told), tuple(bubbles), light, tuple(beyond), litter)
