"""What the star network should answer for a drawn picture: fine maps, and for each cell the crystal that owns it.

Four fine maps at half the picture's resolution (`FINE`): a bump at each crystal's centre, the bodies of crystals, air
bubbles, and litter (dust, threads, grids). Coarse cells, a quarter of the resolution, each belong to at most one crystal:
of several that cover a cell, to the one whose centre is nearest for its size. A cell asks for what is true of its crystal,
wherever in the crystal it lies: the distances from the crystal's centre to its outline in `RAYS` directions, its blur, whether
it is part of an agglomerate, how much of it is hidden.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.outlines import covered, reach
from cloister.applications.crystals.synthesis import Crystal, Micrograph
from cloister.data.normalise import normalise_micrograph
from cloister.data.stars import ANGLES, FINE, RAYS, star_area

UNSEEN: Final = 0.8
"""Of a crystal hidden for more than this share nothing is asked, and nothing refused."""

IGNORED: Final = 255
"""Value of a fine map where nothing is asked; `ONE` stands for 1."""
ONE: Final = 254
BUMP: Final = 0.11
NARROWEST, WIDEST = 1.8, 6.0


@dataclass(frozen=True)
class Sample:
    """A picture with what should be answered.

    Attributes:
        picture: int8 [height, width]: the normalised picture times 127.
        fine: uint8 [4, height / 2, width / 2]: 0 to `ONE`, or `IGNORED`.
        owner: int16 [height / 4, width / 4]: which crystal's a cell is, -1 for none.
        rays: float32 [crystals, RAYS], pixels; the polygon through their ends has exactly the outline's area.
        facts: float32 [crystals, 3]: blur in pixels, 1 if part of an agglomerate, share hidden.
    """

    picture: NDArray[np.int8]
    fine: NDArray[np.uint8]
    owner: NDArray[np.int16]
    rays: NDArray[np.float32]
    facts: NDArray[np.float32]


def sample(micrograph: Micrograph) -> Sample:
    """The answers for a drawn picture whose sides are multiples of 4."""
    height, width = micrograph.image.shape[:2]
    crystals = micrograph.crystals
    fine = np.zeros((len(FINE), height // 2, width // 2), dtype=np.uint8)
    outlines = [np.array(crystal.outline) for crystal in crystals]
    for rows, columns, inside in covered([*outlines, *micrograph.beyond], *fine.shape[1:], scale=0.5):
        fine[1, rows, columns][inside] = ONE
    for x, y, radius in micrograph.bubbles:
        _disc(fine[2], x, y, radius)
    litter = micrograph.litter.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) >= 0.5
    fine[3][litter] = ONE
    for crystal in crystals:
        _bump(fine[0], crystal)
    normal = normalise_micrograph(micrograph.image)
    return Sample(
        np.rint(np.clip(normal, -1, 1) * 127).astype(np.int8),
        fine,
        _owners(crystals, outlines, height // 4, width // 4),
        _rays(crystals, outlines),
        np.array([(c.blur, c.agglomerate > 0, c.hidden) for c in crystals], np.float32).reshape(-1, 3),
    )


def _rays(crystals: Sequence[Crystal], outlines: Sequence[NDArray[np.float64]]) -> NDArray[np.float32]:
    rays = np.zeros((len(crystals), RAYS), dtype=np.float32)
    for number, (crystal, outline) in enumerate(zip(crystals, outlines, strict=True)):
        found = reach(outline - (crystal.x, crystal.y), ANGLES).astype(np.float32)
        area = np.pi * crystal.diameter**2 / 4
        rays[number] = found * np.sqrt(area / star_area(found))
    return rays


def _owners(
    crystals: Sequence[Crystal], outlines: Sequence[NDArray[np.float64]], height: int, width: int
) -> NDArray[np.int16]:
    """Cells by the gauge of each convex outline: 0 at its centre, 1 on it."""
    owner = np.full((height, width), -1, dtype=np.int16)
    nearest = np.ones((height, width), dtype=np.float32)
    for number, (crystal, outline) in enumerate(zip(crystals, outlines, strict=True)):
        corners = outline - (crystal.x, crystal.y)
        side = np.roll(corners, -1, axis=0) - corners
        normal = np.stack([side[:, 1], -side[:, 0]], axis=1)
        normal /= (normal * corners).sum(axis=1, keepdims=True)
        low, high = outline.min(axis=0), outline.max(axis=0)
        left, top = int(max(0, (low[0] - 1.5) // 4)), int(max(0, (low[1] - 1.5) // 4))
        right, bottom = (
            int(min(width, (high[0] - 1.5) // 4 + 2)),
            int(min(height, (high[1] - 1.5) // 4 + 2)),
        )
        if right <= left or bottom <= top:
            continue
        u = 4.0 * np.arange(left, right) + 1.5 - crystal.x
        v = 4.0 * np.arange(top, bottom) + 1.5 - crystal.y
        gauge = (
            normal[:, 0, None, None] * u[None, None, :] + normal[:, 1, None, None] * v[None, :, None]
        ).max(axis=0)
        window = (slice(top, bottom), slice(left, right))
        closer = gauge < nearest[window]
        nearest[window][closer] = gauge[closer]
        owner[window][closer] = number
    return owner


def _bump(heat: NDArray[np.uint8], crystal: Crystal) -> None:
    """A Gaussian at the centre, or a hole in what is asked where the crystal can hardly be seen."""
    sigma = float(np.clip(BUMP * crystal.diameter, NARROWEST, WIDEST)) / 2.0
    x, y, span = (crystal.x - 0.5) / 2.0, (crystal.y - 0.5) / 2.0, 3.3 * sigma
    top, bottom = max(0, int(y - span)), min(heat.shape[0], int(y + span) + 2)
    left, right = max(0, int(x - span)), min(heat.shape[1], int(x + span) + 2)
    u, v = np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y
    bump = np.exp(-(u * u + v * v) / (2 * sigma * sigma))
    window = heat[top:bottom, left:right]
    if crystal.hidden > UNSEEN:
        window[(bump > 0.05) & (window < ONE // 2)] = IGNORED
        return
    asked = np.rint(ONE * bump).astype(np.uint8)
    window[:] = np.where(window == IGNORED, asked, np.maximum(window, asked))


def _disc(bubbles: NDArray[np.uint8], x: float, y: float, radius: float) -> None:
    x, y, radius = (x - 0.5) / 2.0, (y - 0.5) / 2.0, radius / 2.0
    top, bottom = max(0, int(y - radius)), min(bubbles.shape[0], int(y + radius) + 2)
    left, right = max(0, int(x - radius)), min(bubbles.shape[1], int(x + radius) + 2)
    if top >= bottom or left >= right:
        return
    u, v = np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y
    bubbles[top:bottom, left:right][u * u + v * v <= radius * radius] = ONE
