"""Crystals as no formula of light foretells them: only the outline is right, all that lies in it is drawn at random.

Optics (`optics.show_crystals`) says what an ideal microscope shows. Real ones differ in ways that are not written down: walls
are black bands or hair lines, one side is missing, the middle is bright, dull or structured. A model that has learnt only the ideal
takes the inner side of a black band for the outline. Here each picture has a style, and each crystal keeps to it roughly, so
that what all styles have in common, the outline, is what can be learnt (domain randomisation; J. Tobin et al., IROS 2017).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import ndimage

from cloister.applications.crystals.optics import Appearance, Optics, Part, Patch, blur_at, lines, trace

FAINTEST = 0.35
"""Strength that a style's wall, body or line has at least; below, noise hides what is asked for."""


@dataclass(frozen=True)
class Style:
    """How a picture's crystals look; strengths are log transmission (bright field) or added light, of either sign.

    Attributes:
        wall: the band along the inner side of the outline.
        width: of the band, over the crystal's radius.
        lopsided: share of the band's strength that depends on the side, 0 to 1.
        line: on the outline itself.
        body: all within.
        shade: from one side of a crystal to the other.
        core: the middle.
        facets: edges between facets.
        texture: a slow random structure.
        fringe: outside, along the outline.
        unlike: how much the strength differs from crystal to crystal, 0 to 1.
    """

    wall: float
    width: float
    lopsided: float
    line: float
    body: float
    shade: float
    core: float
    facets: float
    texture: float
    fringe: float
    unlike: float


def any_style(rng: np.random.Generator, optics: Optics) -> Style:
    """A style for one picture: dark walls in most bright fields, bright ones on black; something of it can always be seen."""
    sign = -1.0 if optics.light == "bright" else 1.0
    if optics.light == "bright" and rng.random() < 0.12:
        sign = 1.0
    made = Style(
        wall=sign * abs(float(rng.normal(0.0, 1.0))),
        width=float(np.exp(rng.uniform(np.log(0.04), np.log(0.5)))),
        lopsided=float(rng.uniform(0, 1)) ** 2,
        line=sign * float(rng.normal(0.2, 0.4)),
        body=sign * float(rng.normal(0.15, 0.3)),
        shade=abs(float(rng.normal(0.0, 0.3))),
        core=-sign * float(rng.normal(0.1, 0.35)),
        facets=sign * float(rng.normal(0.0, 0.4)),
        texture=abs(float(rng.normal(0.0, 0.2))),
        fringe=-sign * float(rng.normal(0.1, 0.3)),
        unlike=float(rng.uniform(0, 0.8)),
    )
    if max(abs(made.wall) * min(1.0, 4.0 * made.width), abs(made.body), abs(made.line)) < FAINTEST:
        made = replace(made, body=made.body + 1.2 * sign * FAINTEST)
    return made


def show_odd_crystals(
    rng: np.random.Generator, parts: Sequence[Part], depth: float, optics: Optics, style: Style
) -> Appearance:
    """A crystal, or several that have grown together, in a style.

    Args:
        rng: for what differs from crystal to crystal.
        parts: at least one.
        depth: distance from the focal plane, -1 to 1.
        optics: the camera.
        style: the picture's.
    """
    blur = blur_at(depth, optics)
    traced = trace(parts, 3.0 * blur + 5.0)
    mask = traced.inside.astype(np.float32)
    u, v = traced.u, traced.v
    made = np.zeros_like(mask)
    for number, part in enumerate(parts):
        own = traced.nearest == number
        radius = part.body.diameter / 2.0
        # A pixel's centre lies half a pixel behind the border between it and its neighbour.
        deep = np.maximum(ndimage.distance_transform_edt(own).astype(np.float32) - 0.5, 0.0)
        side = _side(u - part.x, v - part.y, float(rng.uniform(0, 2 * np.pi)), radius)
        lit = 1.0 + style.lopsided * side
        wall = np.exp(-0.5 * (deep / max(0.8, style.width * radius)) ** 2) * lit
        core = np.exp(-0.5 * ((deep - radius) / (0.4 * radius)) ** 2)
        lean = style.shade * _side(u - part.x, v - part.y, float(rng.uniform(0, 2 * np.pi)), radius)
        looks = style.wall * wall + style.body + style.core * core + lean
        made += own * looks.astype(np.float32) * np.float32(1.0 - style.unlike * rng.uniform(0, 1))
    made += np.float32(style.facets) * lines(traced.front, traced.inside)
    made += np.float32(style.texture) * _texture(rng, mask.shape) * mask
    soft = ndimage.gaussian_filter(mask, max(0.6, blur))
    wide = ndimage.gaussian_filter(mask, max(0.6, blur) + 1.5)
    made = ndimage.gaussian_filter(made, blur)
    made += np.float32(style.line) * 4.0 * soft * (1.0 - soft) + np.float32(style.fringe) * 2.0 * (
        wide - soft
    )
    made *= np.float32(optics.contrast)
    if optics.light == "bright":
        return Appearance(np.minimum(made, 0.6).astype(np.float32), None, traced.left, traced.top)
    # Between polarisers nothing is behind a crystal that it could hide; otherwise it stands before what is lit.
    polarised = optics.light == "polarised"
    tint = rng.uniform(0.5, 1.0, 3).astype(np.float32) if polarised else np.ones(3, np.float32)
    glow = np.maximum(made, 0.0)[..., None] * tint
    hides = np.zeros_like(soft) if polarised else -0.3 * soft
    return Appearance(hides.astype(np.float32), glow.astype(np.float32), traced.left, traced.top)


def _side(u: Patch, v: Patch, towards: float, radius: float) -> Patch:
    """From -1 on one side of a crystal to 1 on the other."""
    along = (u * np.float32(np.cos(towards)) + v * np.float32(np.sin(towards))) / np.float32(radius)
    made: Patch = np.clip(along, -1.0, 1.0).astype(np.float32)
    return made


def _texture(rng: np.random.Generator, shape: tuple[int, int]) -> Patch:
    """Random structure, coarser than a few pixels, standard deviation about 1."""
    coarse = rng.standard_normal((max(2, shape[0] // 5), max(2, shape[1] // 5)), dtype=np.float32)
    zoom = (shape[0] / coarse.shape[0], shape[1] / coarse.shape[1])
    made: Patch = ndimage.zoom(coarse, zoom, order=1, grid_mode=True, mode="nearest")[: shape[0], : shape[1]]
    return made
