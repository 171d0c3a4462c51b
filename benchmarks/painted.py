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
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

from cloister.applications.crystals.synthesis import Crystal, Micrograph
from painted_brushes import Look, bubble, clouds, crystal, ramp
from painted_layout import Placed, Scene, place_bubbles, place_crystals
from painted_shapes import Floats, Generator, area

SEED: Final = 7_700_000
WIDTH, HEIGHT = 1280, 1024


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


def paintings(name: str, count: int, first: int = 0) -> Iterator[Micrograph]:
    """Pictures `first` to `first + count` of a set."""
    for number in range(first, first + count):
        yield paint(SCENES[name], (SEED, sorted(SCENES).index(name), number))


def paint(scene: Scene, seed: tuple[int, ...], width: int = WIDTH, height: int = HEIGHT) -> Micrograph:
    """One picture and its truth."""
    generator = np.random.default_rng(seed)
    crystals = place_crystals(generator, scene, width, height)
    bubbles = place_bubbles(generator, scene, crystals, width, height)
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
        shines = scene.light != "bright"
        _lay(
            canvas[rows, columns],
            empty[rows, columns],
            look,
            blur,
            clear if is_crystal else 0.0,
            shines=shines,
        )
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
    _lay(painted, empty, look, 0.0, clear, shines=scene.light != "bright")
    change = np.abs(np.minimum(painted, 1) - np.minimum(canvas, 1)).mean(axis=2)[look.cover > 0.5]
    # Where it lies over something as bright as itself only its rim shows.
    return bool(np.quantile(change, 0.85) < max(0.04, 1.5 * scene.noise[1])) and bool(canvas.mean() < 0.95)


def _lay(canvas: Floats, empty: Floats, look: Look, blur: float, clear: float, *, shines: bool) -> None:
    """Paints over what is there; through the clear part of a thing one sees what lies below."""
    cover, colour, around = look.cover[..., None], look.colour, look.around[..., None]
    if blur > 0.2:
        cover, around = (ndimage.gaussian_filter(a, (blur, blur, 0)) for a in (cover, around))
        colour = ndimage.gaussian_filter(colour, (blur, blur, 0))
    alone = empty * 0.3 + colour if shines else empty * colour
    through = canvas * 0.5 + colour if shines else canvas * colour
    painted = clear * through + (1 - clear) * alone
    canvas += cover * (painted - canvas)
    canvas += around * (0.6 if shines else canvas)


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
