"""How a translucent crystal and an air bubble look: small patches of darkening and of own light.

Bright field: a facet pair acts as a prism. The ray is bent by (n - 1) times the gradient of the thickness;
what is bent out of the objective's cone is missing from the picture, so parallel faces are as bright as the
background and slanted ones dark. Outlines and facet edges are dark lines; defocus adds the Becke halo.

Crossed polarisers: intensity sin^2(2 phi) sin^2(pi * retardation / wavelength) per colour (Born and Wolf,
Principles of Optics, ch. 15), retardation proportional to thickness, so that sloping faces carry fringes.

Reflected light: facets shine by their tilt towards the lamp.

A patch is added to the scene: `log_transmission` darkens what is under it, `glow` adds light.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cloister.applications.crystals.polyhedra import Polyhedron

Light = Literal["bright", "polarised", "reflected"]
Patch = NDArray[np.float32]
WAVELENGTHS = np.array([0.61, 0.54, 0.46], dtype=np.float32)  # micrometres: red, green, blue


@dataclass(frozen=True)
class Appearance:
    """What the eye sees of a body.

    Attributes:
        log_transmission: float32 [height, width], at most about 0.5 (a bright halo), negative is dark.
        glow: float32 [height, width, 3] of added light, or None.
        left: column of the patch's first pixel in the picture (may be negative).
        top: row of the patch's first pixel.
    """

    log_transmission: Patch
    glow: Patch | None
    left: int
    top: int


@dataclass(frozen=True)
class Optics:
    """A camera's way of showing crystals: one draw per picture.

    Attributes:
        light: the kind of illumination.
        contrast: strength of everything a crystal does to the light, about 0.2 (faint) to 1.2.
        edge: strength of outlines, 0 to 1.5.
        halo: strength of the bright fringe around outlines, 0 to 1.
        oblique: how much light comes from one side, 0 to 0.5.
        azimuth: from which side, radians.
        sharpness: blur of a body in focus, pixels (Gaussian sigma).
        depth_blur: further blur per unit of depth, pixels.
    """

    light: Light
    contrast: float
    edge: float
    halo: float
    oblique: float
    azimuth: float
    sharpness: float
    depth_blur: float


@dataclass(frozen=True)
class Part:
    """One body of a group that has grown together.

    Attributes:
        body: the polyhedron, centred.
        x: column of its centre, pixels.
        y: row of its centre, pixels.
        z: height of its centre over the group's, pixels; higher is nearer to the objective.
    """

    body: Polyhedron
    x: float
    y: float
    z: float = 0.0


@dataclass(frozen=True)
class Traced:
    """Where light meets a group: a patch of the picture.

    Attributes:
        left: column of the patch's first pixel.
        top: row of it.
        u: columns, float32 [1, width].
        v: rows, float32 [height, 1].
        inside: where there is a body, bool [height, width], as all that follow.
        thickness: of the group along z, pixels.
        front: number of the facet at which light enters, -1 for none.
        back: number of the one at which it leaves.
        slope: gradient of the thickness, along columns and along rows.
        nearest: number of the part at which light enters, -1 for none.
    """

    left: int
    top: int
    u: Patch
    v: Patch
    inside: NDArray[np.bool_]
    thickness: Patch
    front: NDArray[np.intp]
    back: NDArray[np.intp]
    slope: tuple[Patch, Patch]
    nearest: NDArray[np.intp]


def blur_at(depth: float, optics: Optics) -> float:
    """Blur of a body's outline, pixels (Gaussian sigma), at a distance from the focal plane of -1 to 1."""
    return float(np.hypot(optics.sharpness, optics.depth_blur * depth))


def show_crystals(
    rng: np.random.Generator, parts: Sequence[Part], depth: float, optics: Optics
) -> Appearance:
    """A crystal, or several that have grown together, at a depth.

    Light passes a group as one body: it enters at the surface nearest to the objective and leaves at the farthest, and what
    would be a face between two parts shows as an edge. Each part has its own birefringence, so that between polarisers the
    parts of an agglomerate differ in colour.

    Args:
        rng: for the group's own strength, and birefringence and phase of each part.
        parts: at least one.
        depth: distance from the focal plane, -1 to 1.
        optics: the camera.
    """
    blur = blur_at(depth, optics)
    seen = trace(parts, 3.0 * blur + 5.0)
    left, top, inside, thickness = seen.left, seen.top, seen.inside, seen.thickness
    slope, nearest = seen.slope, seen.nearest
    radius = max(p.body.diameter for p in parts) / 2.0
    mask = inside.astype(np.float32)
    soft = ndimage.gaussian_filter(mask, max(0.6, blur))
    wide = ndimage.gaussian_filter(mask, max(0.6, blur) + 1.2 + 0.03 * radius)
    facet_edges = lines(seen.front, inside) + 0.45 * lines(seen.back, inside)
    strength = optics.contrast * float(rng.uniform(0.75, 1.25))
    outline = 4.0 * soft * (1.0 - soft)
    bend = slope[0] ** 2 + slope[1] ** 2
    slanted = bend / (bend + 0.6)
    side = (slope[0] * np.cos(optics.azimuth) + slope[1] * np.sin(optics.azimuth)) / (1.0 + np.sqrt(bend))
    relief = facet_edges if optics.light == "bright" else -0.6 * facet_edges
    fringe = np.float32(optics.halo * strength * (0.8 + 0.6 * depth)) * (wide - soft)
    body_shade = -0.75 * slanted - 0.1 * np.minimum(thickness / radius, 2.0) - 0.45 * relief * optics.edge
    body_shade = (body_shade + 2.0 * optics.oblique * side) * mask
    body_shade = ndimage.gaussian_filter(body_shade.astype(np.float32), blur)
    if optics.light == "bright":
        dark = strength * (body_shade - optics.edge * 0.7 * outline) + fringe
        return Appearance(dark.astype(np.float32), None, left, top)
    if optics.light == "polarised":
        lit = np.zeros((*mask.shape, 3), dtype=np.float32)
        for number in range(len(parts)):
            lit += _interference(rng, thickness) * (nearest == number)[..., None]
        lit = strength * lit * (1.0 + 0.5 * np.clip(body_shade, -1, 1))[..., None]
        lit = lit + (0.35 * strength * facet_edges)[..., None]
        lit = ndimage.gaussian_filter((lit * mask[..., None]).astype(np.float32), (blur, blur, 0))
        lit += np.float32(0.12 * optics.halo * strength) * wide[..., None]
        return Appearance(np.zeros_like(soft), lit.astype(np.float32), left, top)
    lamp = np.clip(0.25 + 0.9 * side + 0.5 * slanted + 0.5 * facet_edges, 0.05, 2.0) * mask
    lit = strength * (ndimage.gaussian_filter(lamp.astype(np.float32), blur) + 0.25 * optics.edge * outline)
    return Appearance(
        (-0.35 * soft).astype(np.float32), np.repeat(lit[..., None].astype(np.float32), 3, 2), left, top
    )


def _interference(rng: np.random.Generator, thickness: Patch) -> Patch:
    """Colours of a birefringent body between crossed polarisers, float32 [height, width, 3]."""
    phase = np.sin(2.0 * rng.uniform(0.25, np.pi / 2 - 0.25)) ** 2
    retard = float(rng.uniform(0.004, 0.03)) * thickness + float(rng.uniform(0.0, 0.2))
    colour = np.sin(np.pi * retard[..., None] / WAVELENGTHS) ** 2 * np.float32(phase)
    white = np.float32(rng.uniform(0.15, 0.6))
    lit: Patch = white + (np.float32(1.0) - white) * colour
    return lit


def show_bubble(
    rng: np.random.Generator, x: float, y: float, radius: float, depth: float, optics: Optics
) -> Appearance:
    """An air bubble: a dark ring round a bright centre (bright field), a faint ring or a shining ball."""
    blur = blur_at(depth, optics)
    reach = radius + 3.0 * blur + 4.0
    left, top, side = int(np.floor(x - reach)), int(np.floor(y - reach)), int(2 * reach) + 2
    u = (np.arange(left, left + side, dtype=np.float32) - np.float32(x))[None, :]
    v = (np.arange(top, top + side, dtype=np.float32) - np.float32(y))[:, None]
    r = np.sqrt(u * u + v * v) / np.float32(radius)
    disc = np.clip((1.0 - r) * radius + 0.5, 0.0, 1.0)
    ring_from = float(rng.uniform(0.35, 0.8))
    ring = disc * np.clip((r - ring_from) / (1.02 - ring_from), 0.0, 1.0) ** float(rng.uniform(0.5, 1.6))
    rim = np.exp(-(((r - 1.06) * radius / 1.5) ** 2))
    strength = float(rng.uniform(0.7, 1.3)) * max(optics.contrast, 0.35)
    towards = (u * np.cos(optics.azimuth) + v * np.sin(optics.azimuth)) / np.float32(radius)
    spot_at = float(rng.uniform(0.0, 0.35))
    spot = np.exp(
        -(
            (u / radius - spot_at * np.cos(optics.azimuth)) ** 2
            + (v / radius - spot_at * np.sin(optics.azimuth)) ** 2
        )
        / (2 * float(rng.uniform(0.1, 0.25)) ** 2)
    )
    if optics.light == "bright":
        dark = -1.7 * strength * ring + 0.3 * strength * spot * disc + 0.35 * optics.halo * strength * rim
        dark = dark + optics.oblique * towards * disc
        return Appearance(ndimage.gaussian_filter(dark.astype(np.float32), blur), None, left, top)
    if optics.light == "polarised":
        lit = 0.16 * strength * np.exp(-(((r - 0.97) * radius / 1.3) ** 2)) + 0.1 * strength * spot * disc
    else:
        ball = np.clip(0.35 + 0.6 * towards, 0.0, 1.0) * disc * (0.5 + 0.5 * r)
        lit = strength * (0.8 * ball + 1.0 * spot * disc + 0.35 * np.exp(-(((r - 0.93) * radius / 1.5) ** 2)))
    lit = ndimage.gaussian_filter(lit.astype(np.float32), blur)
    return Appearance((-0.5 * disc).astype(np.float32), np.repeat(lit[..., None], 3, 2), left, top)


def show_odd_bubble(
    rng: np.random.Generator, x: float, y: float, radius: float, depth: float, optics: Optics
) -> Appearance:
    """A bubble as other lamps and condensers show it: a ring, a filled disc or a dark ball, slightly oval, with highlights.

    Each of its parts (body, rim inside and outside, up to three highlights) has a strength and a sign of its own.
    """
    blur = blur_at(depth, optics)
    oval, turn = float(rng.uniform(1.0, 1.25)), float(rng.uniform(0, np.pi))
    reach = radius * oval + 3.0 * blur + 5.0
    left, top, side = int(np.floor(x - reach)), int(np.floor(y - reach)), int(2 * reach) + 2
    u = (np.arange(left, left + side, dtype=np.float32) - np.float32(x))[None, :]
    v = (np.arange(top, top + side, dtype=np.float32) - np.float32(y))[:, None]
    along = (u * np.cos(turn) + v * np.sin(turn)) / np.float32(oval * radius)
    across = (v * np.cos(turn) - u * np.sin(turn)) / np.float32(radius)
    r = np.sqrt(along * along + across * across)
    disc = np.clip((1.0 - r) * radius + 0.5, 0.0, 1.0)
    wide = float(rng.uniform(0.05, 0.3))
    rim = np.exp(-0.5 * ((1.0 - r) / wide) ** 2) * disc
    line = np.exp(-0.5 * ((r - 1.0) * radius / float(rng.uniform(0.7, 1.8))) ** 2)
    middle = np.exp(-0.5 * (r / float(rng.uniform(0.15, 0.6))) ** 2) * disc
    made = (
        float(rng.normal(0.0, 0.45)) * disc
        + float(rng.normal(0.0, 0.6)) * rim
        + float(rng.normal(0.0, 0.6)) * line
        + float(rng.normal(0.0, 0.5)) * middle
    )
    for _ in range(int(rng.integers(0, 4))):
        at, angle = float(rng.uniform(0.2, 0.85)), float(rng.uniform(0, 2 * np.pi))
        spread = float(rng.uniform(0.05, 0.22))
        off = (along - at * np.cos(angle)) ** 2 + (across - at * np.sin(angle)) ** 2
        made = made + float(rng.uniform(0.3, 1.4)) * np.exp(-0.5 * off / spread**2)
    made = ndimage.gaussian_filter((max(optics.contrast, 0.4) * made).astype(np.float32), blur)
    if optics.light == "bright":
        return Appearance(np.minimum(made, 0.6).astype(np.float32), None, left, top)
    return Appearance(
        (-0.4 * disc).astype(np.float32), np.repeat(np.maximum(made, 0.0)[..., None], 3, 2), left, top
    )


def trace(parts: Sequence[Part], margin: float) -> Traced:
    """Follows the light along z through a group, from the objective's side.

    Args:
        parts: at least one.
        margin: pixels around the group.
    """
    low = np.min([np.array([p.x, p.y]) - np.abs(p.body.outline).max(axis=0) for p in parts], axis=0) - margin
    high = np.max([np.array([p.x, p.y]) + np.abs(p.body.outline).max(axis=0) for p in parts], axis=0) + margin
    left, top = int(np.floor(low[0])), int(np.floor(low[1]))
    width, height = int(high[0] - low[0]) + 2, int(high[1] - low[1]) + 2
    u = np.arange(left, left + width, dtype=np.float32)[None, :]
    v = np.arange(top, top + height, dtype=np.float32)[:, None]
    shape = (v.shape[0], u.shape[1])
    near, far = np.full(shape, -np.inf, np.float32), np.full(shape, np.inf, np.float32)
    front, back = np.full(shape, -1, np.intp), np.full(shape, -1, np.intp)
    nearest = np.full(shape, -1, np.intp)
    up, down = np.zeros((2, *shape), np.float32), np.zeros((2, *shape), np.float32)
    facets = 0
    for number, part in enumerate(parts):
        n = part.body.normals.astype(np.float32)
        d = part.body.offsets.astype(np.float32)
        # A facet seen exactly from its edge would divide by zero; the slight tilt is below a pixel's worth.
        nz = np.where(np.abs(n[:, 2]) < 1e-3, np.float32(1e-3), n[:, 2])
        x, y = u - np.float32(part.x), v - np.float32(part.y)
        depth = (d[:, None, None] - n[:, 0, None, None] * x - n[:, 1, None, None] * y) / nz[:, None, None]
        depth += np.float32(part.z)
        upper, lower = np.nonzero(nz > 0)[0], np.nonzero(nz < 0)[0]
        above, below = np.argmin(depth[upper], axis=0), np.argmax(depth[lower], axis=0)
        entry = np.take_along_axis(depth[upper], above[None], 0)[0]
        leave = np.take_along_axis(depth[lower], below[None], 0)[0]
        hit = entry > leave
        gradient = -n[:, :2] / nz[:, None]
        first, last = hit & (entry > near), hit & (leave < far)
        near, far = np.where(first, entry, near), np.where(last, leave, far)
        front = np.where(first, facets + upper[above], front)
        back = np.where(last, facets + lower[below], back)
        nearest = np.where(first, number, nearest)
        for axis in (0, 1):
            up[axis] = np.where(first, gradient[upper, axis][above], up[axis])
            down[axis] = np.where(last, gradient[lower, axis][below], down[axis])
        facets += len(n)
    inside = near > far
    thickness = np.where(inside, near - np.where(inside, far, 0), 0).astype(np.float32)
    slope = (up[0] - down[0], up[1] - down[1])
    return Traced(left, top, u, v, inside, thickness, front, back, slope, np.where(inside, nearest, -1))


def lines(facets: NDArray[np.intp], inside: NDArray[np.bool_]) -> Patch:
    """1 where a facet ends against another, inside the body."""
    edge = np.zeros(facets.shape, dtype=np.float32)
    edge[:, 1:] += (facets[:, 1:] != facets[:, :-1]) & inside[:, :-1]
    edge[1:, :] += (facets[1:, :] != facets[:-1, :]) & inside[:-1, :]
    return np.minimum(edge, 1.0) * inside
