"""Synthetic micrographs with exact truth.

A picture is drawn from a factory's ranges and a seed: crystals at random places and depths, bubbles, dust
and threads between them, the lamp and the camera over all. Truth is what the geometry says, not what can
be seen: the outline, its centroid, the circle of equal area. A crystal is counted where its centre lies in
the picture, which makes counts of neighbouring fields additive.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.agglomerates import grow
from cloister.applications.crystals.camera import Camera, expose
from cloister.applications.crystals.factories import Factory, Range
from cloister.applications.crystals.framing import round_field, write_on
from cloister.applications.crystals.hiding import hidden_shares
from cloister.applications.crystals.mimics import (
    draw_rim,
    lay_curls,
    lay_fibres,
    lay_grid,
    lay_hairs,
    scatter_clumps,
    scatter_dust,
    scatter_soot,
    scratch,
)
from cloister.applications.crystals.odd_crystals import any_style, show_odd_crystals
from cloister.applications.crystals.optics import (
    Appearance,
    Optics,
    Part,
    blur_at,
    show_bubble,
    show_crystals,
    show_odd_bubble,
)
from cloister.applications.crystals.polyhedra import Polyhedron, make_crystal
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput

REFERENCE_AREA = 640 * 512
"""Pixels of the picture that a factory's numbers per picture refer to."""

LITTER = 0.12
"""Log transmission from which a speck or thread counts as visible."""


@dataclass(frozen=True)
class Crystal:
    """Truth about one crystal whose centre lies in the picture; pixels, x to the right, y down.

    Attributes:
        x: centroid of the outline; 0 is the centre of the first column.
        y: likewise, rows.
        diameter: of the circle of the outline's area (equivalent circle diameter).
        outline: corners [x, y] of the projected convex outline, in order.
        depth: distance from the focal plane, -1 to 1.
        cut: whether the border of the picture cuts the outline.
        blur: of the outline, pixels (Gaussian sigma): the camera's and that of the depth.
        agglomerate: number of the group that it has grown together with, from 1; 0 if it is alone.
        hidden: share of its outline, as far as it is in the picture, that lies under other crystals.
    """

    x: float
    y: float
    diameter: float
    outline: tuple[tuple[float, float], ...]
    depth: float
    cut: bool
    blur: float = 0.0
    agglomerate: int = 0
    hidden: float = 0.0


@dataclass(frozen=True)
class Micrograph:
    """A synthetic picture and its truth.

    Attributes:
        image: uint8 [height, width, 3].
        crystals: those whose centre lies in the picture, in the order drawn.
        bubbles: air bubbles drawn: x, y and radius of each, pixels.
        light: the kind of illumination.
        beyond: outlines of crystals whose centre lies outside the picture; part of them may be seen.
        litter: where dust, threads, scratches, a grid or a drop's edge can be seen, bool [height, width].
    """

    image: NDArray[np.uint8]
    crystals: tuple[Crystal, ...]
    bubbles: tuple[tuple[float, float, float], ...]
    light: str
    beyond: tuple[NDArray[np.float64], ...]
    litter: NDArray[np.bool_]

    def labels(self) -> dict[str, Any]:
        """The dataset convention: `{"centres": [[x, y], ...], "diameters": [...], "outlines": [...], "bubbles": [...]}`, pixels."""
        return {
            "centres": [[round(c.x, 2), round(c.y, 2)] for c in self.crystals],
            "diameters": [round(c.diameter, 2) for c in self.crystals],
            "outlines": [[[round(x, 2), round(y, 2)] for x, y in c.outline] for c in self.crystals],
            "bubbles": [[round(value, 2) for value in bubble] for bubble in self.bubbles],
        }

    def mask(self) -> NDArray[np.bool_]:
        """Pixels inside any outline of a crystal in `crystals`, shape [height, width]."""
        from PIL import Image, ImageDraw

        height, width = self.image.shape[:2]
        drawn = Image.new("1", (width, height), 0)
        pen = ImageDraw.Draw(drawn)
        for crystal in self.crystals:
            pen.polygon(list(crystal.outline), fill=1)
        return np.asarray(drawn, dtype=bool)


def synthesise(factory: Factory, seed: int | tuple[int, ...]) -> Micrograph:
    """One picture of a factory; the same arguments give the same picture.

    Args:
        factory: the ranges.
        seed: non-negative integers; distinct seeds give independent pictures.

    Raises:
        BadInput: the factory's picture has a side below 32 or above 20000 pixels.
    """
    width, height = factory.width, factory.height
    if not (min(width, height) >= 32 and max(width, height) <= 20000):
        raise BadInput(
            "A picture of this size cannot be drawn.",
            f"It would be {width} x {height}.",
            "Use 32 to 20000 pixels.",
        )
    rng = np.random.default_rng(seed)
    optics, camera = _optics(rng, factory), _camera(rng, factory)
    area = width * height / REFERENCE_AREA
    dark = np.zeros((height, width), dtype=np.float32)
    glow = None if optics.light == "bright" else np.zeros((height, width, 3), dtype=np.float32)
    if optics.light != "bright":
        camera = _darkened(rng, camera, factory)
    if rng.random() < factory.rim:
        draw_rim(rng, dark, glow)
    scatter_dust(rng, dark, glow, int(_draw(rng, factory.dust) * area), float(rng.uniform(2.0, 5.0)))
    lay_fibres(rng, dark, glow, int(_draw(rng, factory.fibres) + 0.5))
    scratch(rng, dark, glow, int(_draw(rng, factory.scratches) + 0.5))
    if factory.clumps[1] > 0:
        scatter_clumps(rng, dark, glow, int(_draw(rng, factory.clumps) * area + 0.5))
    if factory.soot[1] > 0:
        scatter_soot(rng, dark, glow, int(_draw(rng, factory.soot) * area + 0.5))
    if factory.curls[1] > 0:
        lay_curls(rng, dark, glow, int(_draw(rng, factory.curls) + 0.5))
    if factory.hairs[1] > 0:
        lay_hairs(rng, dark, glow, int(_draw(rng, factory.hairs) + 0.5))
    if factory.grid > 0 and rng.random() < factory.grid:
        lay_grid(rng, dark, glow)
    litter = np.abs(dark) > LITTER if glow is None else glow.max(axis=2) > LITTER / 2
    bubbles: list[tuple[float, float, float]] = []
    for _ in range(int(_draw(rng, factory.bubbles) * area + 0.5)):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        radius = float(
            np.exp(_draw(rng, (np.log(factory.bubble_radius[0]), np.log(factory.bubble_radius[1]))))
        )
        if factory.rafts[1] > 0 and bubbles and rng.random() < _draw(rng, factory.rafts):
            x, y, radius = _beside(rng, bubbles[-1], radius)
        odd = factory.odd_bubbles[1] > 0 and rng.random() < _draw(rng, factory.odd_bubbles)
        show = show_odd_bubble if odd else show_bubble
        _compose(dark, glow, show(rng, x, y, radius, float(rng.uniform(-1, 1)), optics))
        bubbles.append((x, y, radius))
    style = any_style(rng, optics) if factory.odd_crystals and rng.random() < factory.odd_crystals else None
    seen: list[Crystal] = []
    everything: list[NDArray[np.float64]] = []
    inside: list[int] = []
    groups = 0
    for x, y, diameter, members in _places(rng, factory, area):
        parts = _parts(rng, factory, x, y, diameter, members)
        depth = float(np.clip(rng.normal(0, 0.5), -1, 1))
        if style is None:
            shown = show_crystals(rng, parts, depth, optics)
        else:
            shown = show_odd_crystals(rng, parts, depth, optics, style)
        _compose(dark, glow, shown)
        groups += len(parts) > 1
        for part in parts:
            crystal = _truth(
                part, depth, width, height, blur_at(depth, optics), groups if len(parts) > 1 else 0
            )
            if -0.5 <= part.x < width - 0.5 and -0.5 <= part.y < height - 0.5:
                inside.append(len(everything))
                seen.append(crystal)
            everything.append(np.array(crystal.outline))
    shares = hidden_shares(everything, height, width)
    crystals = tuple(replace(c, hidden=shares[place]) for c, place in zip(seen, inside, strict=True))
    here = set(inside)
    beyond = tuple(outline for place, outline in enumerate(everything) if place not in here)
    covered = np.zeros((height, width), bool)
    if factory.round_field and rng.random() < factory.round_field:
        covered = ~round_field(rng, dark, glow)
    image = expose(rng, dark, glow, camera)
    if factory.lettering and rng.random() < factory.lettering:
        image, letters = write_on(rng, image)
        covered, litter = covered | letters, litter | letters
    made = Micrograph(image, crystals, tuple(bubbles), optics.light, beyond, litter)
    return _without(made, covered) if covered.any() else made


def write_dataset(folder: Path, factory: Factory, images: int, seed: int) -> None:
    """A factory's dataset as files: `images/*.png` and `labels/<stem>.json`.

    Args:
        folder: made if missing.
        factory: the ranges.
        images: how many.
        seed: of the dataset; picture i is `synthesise(factory, (seed, i))`.
    """
    from PIL import Image

    (folder / "images").mkdir(parents=True, exist_ok=True)
    (folder / "labels").mkdir(parents=True, exist_ok=True)
    for index in range(images):
        picture = synthesise(factory, (seed, index))
        stem = f"{factory.name}-{index:04d}"
        Image.fromarray(picture.image).save(folder / "images" / f"{stem}.png", compress_level=1)
        (folder / "labels" / f"{stem}.json").write_bytes(canonical(picture.labels()))


def _parts(
    rng: np.random.Generator, factory: Factory, x: float, y: float, diameter: float, members: int
) -> list[Part]:
    """One crystal, or several that have grown together."""

    def make(size: float) -> Polyhedron:
        habit = rng.choice(list(factory.habits), p=_shares(factory.habits.values()))
        return make_crystal(
            rng, habit, size, irregular=_draw(rng, factory.irregular), lying=_draw(rng, factory.lying)
        )

    if members == 1:
        return [Part(make(diameter), x, y)]
    return grow(rng, lambda: make(diameter * float(rng.uniform(0.7, 1.25))), members, x, y)


def _places(rng: np.random.Generator, factory: Factory, area: float) -> list[tuple[float, float, float, int]]:
    """Centres, diameters and primaries: a random sequential arrangement that keeps `crowding` between neighbours.

    The field is wider than the picture by half a crystal, so that crystals also enter it from outside.
    """
    low, high = factory.crystals
    wanted = int(np.exp(rng.uniform(np.log(max(low, 1)), np.log(max(high, 1)))) * area + 0.5)
    median, spread = _draw(rng, factory.diameter), _draw(rng, factory.spread)
    crowding = _draw(rng, factory.crowding)
    together = _draw(rng, factory.agglomerates) if factory.agglomerates[1] > 0 else 0.0
    margin = 0.6 * median
    outer = (1 + 2 * margin / factory.width) * (1 + 2 * margin / factory.height)
    placed: list[tuple[float, float, float, int]] = []
    kept = np.zeros((0, 3))
    remaining = int(wanted * outer)
    while remaining > 0:
        diameter = float(np.clip(median * spread ** rng.normal(), 0.45 * median, 2.5 * median))
        members = 1
        if together and rng.random() < together:
            members = min(remaining, 2 + int(rng.geometric(0.5)) - 1)
        remaining -= members
        # An agglomerate takes the room of its members, loosely packed.
        room = diameter * float(np.sqrt(members)) * (1.0 if members == 1 else 1.1)
        for _attempt in range(12):
            x = float(rng.uniform(-margin, factory.width + margin))
            y = float(rng.uniform(-margin, factory.height + margin))
            gap = np.hypot(kept[:, 0] - x, kept[:, 1] - y)
            if np.all(gap > crowding * (kept[:, 2] + room) / 2.0):
                placed.append((x, y, diameter, members))
                kept = np.vstack([kept, (x, y, room)])
                break
    return placed


def _beside(
    rng: np.random.Generator, bubble: tuple[float, float, float], radius: float
) -> tuple[float, float, float]:
    """A place where a bubble touches another, and a size like the other's."""
    x, y, other = bubble
    radius = float(np.clip(radius, 0.6 * other, 1.5 * other))
    angle, apart = float(rng.uniform(0, 2 * np.pi)), (radius + other) * float(rng.uniform(0.92, 1.15))
    return x + apart * float(np.cos(angle)), y + apart * float(np.sin(angle)), radius


def _without(made: Micrograph, covered: NDArray[np.bool_]) -> Micrograph:
    """The truth of a picture of which some places show nothing: what has its centre there belongs to no count."""
    height, width = covered.shape

    def shows(x: float, y: float) -> bool:
        row, column = round(min(max(y, 0), height - 1)), round(min(max(x, 0), width - 1))
        return not covered[row, column]

    crystals = tuple(c for c in made.crystals if shows(c.x, c.y))
    bubbles = tuple(b for b in made.bubbles if shows(b[0], b[1]))
    beyond = tuple(outline for outline in made.beyond if shows(*outline.mean(axis=0)))
    return replace(made, crystals=crystals, bubbles=bubbles, beyond=beyond)


def _truth(part: Part, depth: float, width: int, height: int, blur: float, agglomerate: int) -> Crystal:
    corners = part.body.outline + np.array([part.x, part.y])
    low, high = corners.min(axis=0), corners.max(axis=0)
    cut = bool(low.min() < -0.5 or high[0] > width - 0.5 or high[1] > height - 0.5)
    outline = tuple((float(cx), float(cy)) for cx, cy in corners)
    return Crystal(part.x, part.y, part.body.diameter, outline, depth, cut, blur, agglomerate)


def _compose(dark: NDArray[np.float32], glow: NDArray[np.float32] | None, seen: Appearance) -> None:
    rows, columns = seen.log_transmission.shape
    top, left = max(0, seen.top), max(0, seen.left)
    bottom, right = min(dark.shape[0], seen.top + rows), min(dark.shape[1], seen.left + columns)
    if top >= bottom or left >= right:
        return
    patch = (slice(top - seen.top, bottom - seen.top), slice(left - seen.left, right - seen.left))
    dark[top:bottom, left:right] += seen.log_transmission[patch]
    if glow is not None and seen.glow is not None:
        glow[top:bottom, left:right] += seen.glow[patch]


def _draw(rng: np.random.Generator, span: Range) -> float:
    return float(rng.uniform(span[0], span[1]))


def _shares(values: Any) -> NDArray[np.float64]:
    shares = np.array(list(values), dtype=np.float64)
    total: NDArray[np.float64] = shares / shares.sum()
    return total


def _optics(rng: np.random.Generator, f: Factory) -> Optics:
    return Optics(
        light=rng.choice(list(f.lights), p=_shares(f.lights.values())),
        contrast=_draw(rng, f.contrast),
        edge=_draw(rng, f.edge),
        halo=_draw(rng, f.halo),
        oblique=_draw(rng, f.oblique),
        azimuth=float(rng.uniform(0, 2 * np.pi)),
        sharpness=_draw(rng, f.sharpness),
        depth_blur=_draw(rng, f.depth_blur),
    )


def _camera(rng: np.random.Generator, f: Factory) -> Camera:
    return Camera(
        level=_draw(rng, f.level),
        tint=_tint(rng, _draw(rng, f.warmth)),
        vignette=_draw(rng, f.vignette),
        slope=_draw(rng, f.slope),
        mottle=_draw(rng, f.mottle),
        noise=_draw(rng, f.noise),
        grain=_draw(rng, f.grain),
        gamma=_draw(rng, f.gamma),
        grey=bool(rng.random() < f.grey),
        jpeg=int(_draw(rng, f.jpeg)),
    )


def _tint(rng: np.random.Generator, warmth: float) -> tuple[float, float, float]:
    """Lamps differ along blue to orange; green and magenta hardly occur."""
    return 1.0 + 0.6 * warmth, 1.0 + float(rng.normal(0, 0.02)), 1.0 - warmth


def _darkened(rng: np.random.Generator, camera: Camera, f: Factory) -> Camera:
    return replace(camera, level=_draw(rng, f.level_dark))
