"""How single things are painted: crystals, bubbles and litter as textures on a patch of a picture.

Nothing here knows optics or solids. A crystal is a flat convex outline; its look is made up of what one sees in micrographs:
a rim of uneven darkness with gaps, roof-like facets (which side is nearest), a flat top with its own line, bright cores, soft
gradients, fractures, inclusions, halos and shadows. Colours between crossed polarisers come from a hand-picked palette. This is
on purpose another way than that of the pictures the model is trained on, see `painted`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from PIL import Image
from scipy import ndimage

from painted_shapes import Floats, Generator, Shape, depths

PALETTE: Final = np.array(
    [
        (0.05, 0.06, 0.09),
        (0.30, 0.42, 0.60),
        (0.62, 0.75, 0.88),
        (1.00, 1.00, 0.98),
        (1.00, 0.93, 0.62),
        (0.98, 0.66, 0.22),
        (0.84, 0.32, 0.52),
        (0.46, 0.32, 0.80),
        (0.22, 0.60, 0.92),
        (0.40, 0.84, 0.66),
        (0.92, 0.92, 0.44),
        (0.96, 0.52, 0.58),
        (0.56, 0.80, 0.84),
        (0.72, 0.86, 0.68),
        (0.94, 0.72, 0.74),
    ]
)
"""Colours of a wedge between crossed polarisers, as pictures show them, thin to thick."""


def waves(generator: Generator, angle: Floats, count: int = 4) -> Floats:
    """Smooth random values around a circle, about -1 to 1."""
    total = np.zeros_like(angle)
    for number in range(1, count + 1):
        total += generator.normal(0, 0.7) / number**0.5 * np.cos(number * angle + generator.uniform(0, 6.28))
    return total


def ramp(low: float, high: float, values: Floats) -> Floats:
    """0 below, 1 above, smooth between."""
    t: Floats = np.clip((values - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@dataclass(frozen=True)
class Look:
    """A thing as painted on its patch.

    Attributes:
        cover: share of each pixel that it covers, [h, w].
        colour: what it shows there, relative to the light (1 is the empty bright field), [h, w, 3].
        around: what it adds beside itself (halo, caustic) or takes away (shadow), factor less one, [h, w].
    """

    cover: Floats
    colour: Floats
    around: Floats


def crystal(generator: Generator, made: Shape, x: Floats, y: Floats, light: str, contrast: float) -> Look:
    """A crystal.

    Args:
        generator: of random numbers.
        made: its outline.
        x: columns of the patch's pixels, from its centroid.
        y: rows.
        light: "bright", "dark", "polarised" or "reflected".
        contrast: of all it shows, 1 is usual.
    """
    depth = depths(made.outline, x, y).min(axis=0)
    to_sides = depths(made.sides, x, y)
    facet = to_sides.argmin(axis=0)
    roof = np.maximum(to_sides.min(axis=0), 0)
    high = max(float(roof.max()), 2.0)
    angle, reach = np.arctan2(y, x), float(np.hypot(*made.outline.T).max())
    cover = np.clip(depth + 0.5, 0, 1)
    sun = generator.uniform(0, 2 * np.pi)

    tone = generator.normal(0, 0.5, len(made.sides))
    normals = np.roll(made.sides, -1, axis=0) - made.sides
    tone += generator.uniform(0, 0.8) * np.cos(np.arctan2(-normals[:, 0], normals[:, 1]) - sun)
    bevel = high * generator.choice([0.25, 0.45, 0.7, 1.2])
    sloped = ndimage.gaussian_filter(tone[facet] * (roof < bevel), generator.uniform(0.5, 1.2))
    soft = sum(
        generator.normal(0, 0.5)
        * np.cos((x * np.cos(t) + y * np.sin(t)) * generator.uniform(1, 4) / reach + t)
        for t in generator.uniform(0, 6.28, 3)
    )
    wide = generator.uniform(0.7, 1.4) + generator.gamma(1.5, 0.06) * reach
    uneven = np.clip(
        0.85 + 0.4 * waves(generator, angle) + generator.uniform(0, 0.4) * np.cos(angle - sun), 0.0, 1.3
    )
    if generator.random() < 0.35:
        uneven *= ramp(-0.9, -0.4, waves(generator, angle, 3))
    rim = np.exp(-(((depth - 0.7 * wide) / wide) ** 2)) * uneven
    flat = np.exp(-(((roof - bevel) / generator.uniform(0.6, 1.3)) ** 2)) * ramp(
        -0.5, 0.4, waves(generator, angle)
    )
    spot_x, spot_y = generator.normal(0, 0.22, 2) * reach
    core = np.exp(-(((x - spot_x) ** 2 + (y - spot_y) ** 2) / (reach * generator.uniform(0.15, 0.5)) ** 2))
    lines = np.zeros_like(x)
    for _ in range(generator.poisson(0.5)):
        lines += _fracture(generator, x, y, reach) * generator.choice([-1.0, 0.6])
    for _ in range(generator.poisson(0.5)):
        u, v = generator.normal(0, 0.3, 2) * reach
        lines -= np.exp(-((x - u) ** 2 + (y - v) ** 2) / generator.uniform(0.8, 4.0))

    glow = generator.uniform(0.0, 0.12) * np.exp(-(((depth + 1.6) / 1.3) ** 2))
    beyond = ndimage.shift(cover, generator.normal(0, 0.10 * reach, 2), order=1, mode="constant")
    beyond = ndimage.gaussian_filter(beyond, 0.08 * reach + 0.7) * (1 - cover)
    if light == "bright":
        thick = generator.random() < 0.3
        value = 1 + generator.normal(-0.02, 0.06) + 0.05 * soft + 0.16 * generator.uniform(0.2, 1.4) * sloped
        if thick:
            # Thick pieces bend the light away but in their middle.
            dark = 1 - ramp(0.15, generator.uniform(0.4, 0.9), np.maximum(depth, 0) / high + 0.12 * soft)
            value -= generator.uniform(0.3, 0.65) * dark
        value += generator.uniform(-0.05, 0.22) * core + 0.16 * lines
        value -= generator.uniform(0.2, 0.75) * rim + generator.uniform(-0.12, 0.22) * flat
        value = 1 + contrast * (value - 1)
        around = contrast * (glow + generator.choice([0.12, -0.12, 0.0]) * beyond)
        colour = value[..., None] * (1 + generator.normal(0, 0.008, 3))
    elif light == "dark":
        value = generator.uniform(0.05, 0.3) + 0.05 * soft + 0.15 * sloped + 0.2 * core * generator.random()
        value += generator.uniform(0.4, 0.9) * rim + generator.uniform(0.0, 0.35) * flat + 0.2 * np.abs(lines)
        colour = contrast * value[..., None] * (1 + generator.normal(0, 0.03, 3))
        around = contrast * 0.4 * glow
    elif light == "polarised":
        colour = _polarised(generator, roof / high, sloped, soft, rim) * contrast
        colour *= 1 + 0.3 * lines[..., None]
        around = contrast * 0.6 * glow
    else:
        value = 0.42 + 0.07 * soft + generator.uniform(0.12, 0.3) * sloped + 0.12 * lines
        value += generator.uniform(-0.2, 0.5) * rim + generator.uniform(0.0, 0.35) * flat
        value += generator.uniform(0.1, 0.7) * np.exp(
            -(((x + spot_x) ** 2 + (y + spot_y) ** 2) / (0.1 * reach) ** 2)
        )
        colour = (0.25 + contrast * (value - 0.25))[..., None] * (1 + generator.normal(0, 0.02, 3))
        shadow = np.clip(depths(made.outline, x - 0.12 * reach, y - 0.2 * reach).min(axis=0) + 0.5, 0, 1)
        around = -0.5 * ndimage.gaussian_filter(shadow, 0.06 * reach + 0.6) * (1 - cover)
    return Look(cover, np.maximum(colour, 0.0), around)


def _fracture(generator: Generator, x: Floats, y: Floats, reach: float) -> Floats:
    turn = generator.uniform(0, 2 * np.pi)
    along, across = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    bent = across - generator.normal(0, 0.3) * reach
    bent += 0.06 * reach * np.sin(along / reach * generator.uniform(2, 9) + turn)
    begins = generator.uniform(-1, 0.3) * reach
    ends = begins + generator.uniform(0.5, 1.8) * reach
    drawn: Floats = np.exp(-((bent / generator.uniform(0.6, 1.2)) ** 2)) * ((along > begins) & (along < ends))
    return drawn


def _polarised(generator: Generator, roof: Floats, sloped: Floats, soft: Floats, rim: Floats) -> Floats:
    """Colours by thickness, from grey-blue of thin ones over white to bands of the rainbow."""
    kind = generator.random()
    top = generator.uniform(0.6, 2.2) if kind < 0.4 else generator.uniform(2.2, 5.0) if kind < 0.8 else 13.0
    steep = generator.uniform(0.5, 3.0)
    thick = top * (1 - np.exp(-steep * roof)) / (1 - np.exp(-steep)) + 0.25 * sloped + 0.2 * soft
    thick = np.clip(thick + generator.uniform(0.2, 0.9), 0, len(PALETTE) - 1.001)
    below = thick.astype(np.intp)
    part = (thick - below)[..., None]
    colour = PALETTE[below] * (1 - part) + PALETTE[below + 1] * part
    strength = generator.choice([0.3, 0.7, 1.2, 2.0], p=[0.15, 0.35, 0.3, 0.2]) * (1 + 0.25 * sloped)
    shown: Floats = colour * strength[..., None] * (1 + generator.uniform(-0.5, 0.4) * rim)[..., None]
    return shown


def bubble(generator: Generator, radius: float, x: Floats, y: Floats, light: str, contrast: float) -> Look:
    """An air bubble: arguments as of `crystal`."""
    far, angle = np.hypot(x, y), np.arctan2(y, x)
    v = far / radius
    cover = np.clip(radius - far + 0.5, 0, 1)
    sun = generator.uniform(0, 2 * np.pi)
    spots = np.zeros_like(x)
    for _ in range(int(generator.integers(1, 4))):
        at, out = sun + generator.normal(0, 1.2), generator.uniform(0.2, 0.8) * radius
        size = radius * generator.uniform(0.05, 0.16) + 0.4
        spots += np.exp(-((x - out * np.cos(at)) ** 2 + (y - out * np.sin(at)) ** 2) / size**2)
    around = 0.12 * generator.random() * np.exp(-(((far - radius - 1.5) / 1.3) ** 2))
    if light == "bright":
        # A flat one between slide and cover glass has a narrow ring, a round one shows only a bright core.
        hole = generator.uniform(0.15, 0.6) if generator.random() < 0.7 else generator.uniform(0.6, 0.88)
        shift = generator.normal(0, 0.06, 2)
        w = np.hypot(x / radius - shift[0], y / radius - shift[1])
        edge = generator.uniform(0.05, 0.16)
        ring = ramp(hole - edge, hole + edge, w)
        black = generator.uniform(0.02, 0.3)
        value = 1.04 - (1.04 - black) * ring
        value += generator.uniform(0.1, 0.5) * spots * ring
        value += generator.choice([0.0, 0.25]) * np.exp(-(((v - 0.5 - hole / 2) / 0.05) ** 2))
        value += generator.uniform(0, 0.3) * ramp(0.88, 1.0, v) * ring
        colour = (1 + contrast**0.5 * (value - 1))[..., None] * (1 + generator.normal(0, 0.008, 3))
    elif light == "reflected":
        value = (
            0.45
            + 0.35 * ramp(-0.9, 0.2, -y / radius)
            + generator.uniform(0.1, 0.4) * np.exp(-(((v - 0.85) / 0.12) ** 2))
        )
        value -= generator.uniform(0.0, 0.35) * np.exp(
            -(((y / radius - generator.uniform(-0.2, 0.5)) / 0.08) ** 2)
        )
        value += 0.8 * spots + 0.1 * waves(generator, angle) * v
        colour = contrast * value[..., None] * np.array([1.0, 0.96, 0.84])
    else:
        thin = generator.uniform(0.05, 0.14)
        value = generator.uniform(0.3, 0.9) * np.exp(-(((v - 0.93) / thin) ** 2))
        value *= np.clip(0.7 + 0.5 * waves(generator, angle, 2), 0.1, 1.3)
        value += (
            0.3 * np.exp(-(((v - generator.uniform(0.4, 0.7)) / 0.06) ** 2)) * generator.random()
            + 0.8 * spots
        )
        colour = contrast * (0.03 + value)[..., None] * (1 + generator.normal(0, 0.02, 3))
    return Look(cover, np.maximum(colour, 0.0), around * contrast)


def clouds(generator: Generator, height: int, width: int, coarsest: int, roughness: float = 0.55) -> Floats:
    """Fractal noise of mean 0 and spread 1: octaves from `coarsest` pixels down, each weaker by `roughness`."""
    step, weight = coarsest, 1.0
    total = np.zeros((height // step + 3, width // step + 3), dtype=np.float32)
    while True:
        total += np.float32(weight) * generator.standard_normal(total.shape, dtype=np.float32)
        finer = max(1, step // 2 if step >= 6 else 1)
        rows, columns = height // finer + 3, width // finer + 3
        # Twice as many points as before, whose places need not match to the pixel.
        total = np.asarray(Image.fromarray(total).resize((columns, rows), Image.Resampling.BICUBIC)).copy()
        weight, step = weight * roughness, finer
        if step == 1:
            break
    total = total[1 : height + 1, 1 : width + 1]
    made: Floats = (total - total.mean()) / max(float(total.std()), 1e-9)
    return made
