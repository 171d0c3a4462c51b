"""What a network should answer for a picture whose objects are known: the maps and cells of `data.stars`, asked where they are known.

Fine maps at half the picture's resolution: a bump at each object's centre, the objects' bodies, and what is none (bubbles, litter).
Cells, a quarter of the resolution, each belong to at most one object: of several that cover a cell, to the one whose centre is
nearest for its size. A cell asks for what is true of its object, wherever in the object it lies: the distances from the
object's centre to its outline in `RAYS` directions, its blur, whether it has grown together with others, how much of it is hidden.

What nobody knows is not asked: a fine map has holes (`IGNORED`), an object of which only the size is known asks for its area and for
no ray, and a fact that is not a number asks for nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.polygons import gauge, reach, shares
from cloister.data.stars import ANGLES, CHANNELS, FINE, FOLDED, LONGEST, RAYS, RAYS_FROM, UNIT, star_area

IGNORED: Final = 255
"""Value of a fine map where nothing is asked; `ONE` stands for 1."""
ONE: Final = 254
BUMP: Final = 0.11
"""Width of the bump at a centre (Gaussian sigma) as a share of the object's diameter, kept between the two limits, pixels."""
NARROWEST, WIDEST = 1.8, 6.0
FACTS: Final = 3
"""Blur in pixels, whether it has grown together with others, the share of it that others hide."""
AROUND: Final = 0.1
"""How much a cell counts that is not at its object's centre: the answer is read near centres."""

WEIGHTED: Final = FOLDED + 2 + FACTS
"""Channels of weights: the fine maps, folded; the rays; the polygon's area; the facts."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class StarTargets:
    """What should be answered for a picture of which each side is a multiple of 4.

    Attributes:
        fine: uint8 [len(FINE), height / 2, width / 2]: 0 to `ONE`, or `IGNORED`.
        owner: int32 [height / 4, width / 4]: which object's a cell is, -1 for none.
        rays: float32 [objects, RAYS], pixels.
        outlined: bool [objects]: whether the rays are known, or only the area that they enclose.
        facts: float32 [objects, FACTS]; not a number where it is not known.
    """

    fine: NDArray[np.uint8]
    owner: NDArray[np.int32]
    rays: NDArray[np.float32]
    outlined: NDArray[np.bool_]
    facts: NDArray[np.float32]

    def window(self, top: int, left: int, side: int) -> StarTargets:
        """A square of it; all pixels, and multiples of 4."""
        return replace(
            self,
            fine=self.fine[:, top // 2 : (top + side) // 2, left // 2 : (left + side) // 2],
            owner=self.owner[top // 4 : (top + side) // 4, left // 4 : (left + side) // 4],
        )

    def mirrored(self) -> StarTargets:
        """Left and right exchanged."""
        order = (RAYS // 2 - np.arange(RAYS)) % RAYS
        return replace(self, fine=self.fine[:, :, ::-1], owner=self.owner[:, ::-1], rays=self.rays[:, order])

    def transposed(self) -> StarTargets:
        """Rows and columns exchanged."""
        order = (RAYS // 4 - np.arange(RAYS)) % RAYS
        return replace(self, fine=self.fine.transpose(0, 2, 1), owner=self.owner.T, rays=self.rays[:, order])

    def encoded(self, shares: Sequence[float], emphasis: float) -> tuple[NDArray[Any], NDArray[Any]]:
        """As the loss of `models.star_loss` takes it.

        Args:
            shares: how much each fine map counts.
            emphasis: a pixel of the first map counts 1 + emphasis times what is asked there.

        Returns:
            What to answer, float32 [CHANNELS, h, w]: probabilities, logarithms of rays over `UNIT`, facts; and how much each
            of it counts, float32 [WEIGHTED, h, w].
        """
        height, width = self.owner.shape
        known = self.fine != IGNORED
        wanted = np.where(known, self.fine, 0).astype(np.float32) / ONE
        target = np.zeros((CHANNELS, height, width), np.float32)
        weights = np.zeros((WEIGHTED, height, width), np.float32)
        target[:FOLDED] = fold(wanted)
        counts = known * np.asarray(shares, np.float32)[:, None, None]
        counts[0] *= 1 + np.float32(emphasis) * wanted[0]
        weights[:FOLDED] = fold(counts)
        owned = self.owner >= 0
        cells = self.owner[owned]
        # A cell weighs what the bump's highest point in it weighs, where the bump is asked.
        near = np.float32(AROUND) + target[:4].max(axis=0)[owned]
        target[RAYS_FROM : RAYS_FROM + RAYS, owned] = np.log(np.maximum(self.rays, 1.0) / UNIT)[cells].T
        weights[FOLDED, owned] = near * self.outlined[cells]
        weights[FOLDED + 1, owned] = near
        facts = self.facts[cells].T
        target[RAYS_FROM + RAYS :, owned] = np.nan_to_num(facts)
        weights[FOLDED + 2 :, owned] = near * ~np.isnan(facts)
        return target, weights


def star_targets(
    size: tuple[int, int],
    centres: Floats,
    diameters: Floats,
    outlines: Sequence[Floats | None],
    *,
    bubbles: Sequence[tuple[float, float, float]] | None = None,
    beyond: Sequence[Floats] = (),
    litter: NDArray[np.bool_] | None = None,
    facts: NDArray[np.float32] | None = None,
    unseen: NDArray[np.bool_] | None = None,
) -> StarTargets:
    """The targets for a picture with these objects.

    Args:
        size: height and width of the picture, multiples of 4.
        centres: [objects, 2], pixels.
        diameters: of the circle of the same area, pixels; the polygon through the rays' ends gets exactly this area.
        outlines: of each object around its centre; None where only its size is known. It then covers a disc.
        bubbles: x, y and radius of each; None where nobody looked for them.
        beyond: outlines that belong to bodies and to no object, since their centres lie outside of the picture.
        litter: where some can be seen, bool [height, width]; None where nobody looked for it.
        facts: [objects, FACTS]; None where none is known.
        unseen: objects of which nothing is asked, and nothing refused: bool [objects].
    """
    height, width = size
    count = len(centres)
    hidden = np.zeros(count, bool) if unseen is None else unseen
    shapes = [
        _disc(centre, diameter) if outline is None else np.asarray(outline, np.float64)
        for centre, diameter, outline in zip(centres, diameters, outlines, strict=True)
    ]
    fine = np.zeros((len(FINE), height // 2, width // 2), dtype=np.uint8)
    for rows, columns, inside in shares([*shapes, *beyond], *fine.shape[1:], scale=0.5):
        part = fine[1, rows, columns]
        np.maximum(part, np.rint(ONE * inside).astype(np.uint8), out=part)
    if bubbles is None:
        fine[2] = IGNORED
    for x, y, radius in bubbles or ():
        _fill(fine[2], x, y, radius)
    if litter is None:
        fine[3] = IGNORED
    else:
        fine[3][litter.reshape(height // 2, 2, width // 2, 2).mean(axis=(1, 3)) >= 0.5] = ONE
    for (x, y), diameter, skipped in zip(centres, diameters, hidden, strict=True):
        _bump(fine[0], x, y, diameter, hole=bool(skipped))
    rays = np.zeros((count, RAYS), dtype=np.float32)
    for number, (centre, diameter, shape) in enumerate(zip(centres, diameters, shapes, strict=True)):
        found = np.minimum(reach(shape - centre, ANGLES), LONGEST).astype(np.float32)
        rays[number] = found * np.sqrt(np.pi * diameter**2 / 4 / star_area(found))
    return StarTargets(
        fine,
        _owners(centres, shapes, height // 4, width // 4),
        rays,
        np.array([outline is not None for outline in outlines], bool),
        np.full((count, FACTS), np.nan, np.float32) if facts is None else facts,
    )


def fold(maps: NDArray[Any]) -> NDArray[Any]:
    """Fine maps as channels of cells, the reverse of `stars.unfold`: [n, 2 h, 2 w] to [4 n, h, w]."""
    count, height, width = maps.shape
    cells = maps.reshape(count, height // 2, 2, width // 2, 2).transpose(0, 2, 4, 1, 3)
    return np.ascontiguousarray(cells.reshape(4 * count, height // 2, width // 2))


def _disc(centre: Floats, diameter: float) -> Floats:
    return np.asarray(centre) + diameter / 2 * np.stack([np.cos(ANGLES), np.sin(ANGLES)], axis=1)


def _owners(centres: Floats, outlines: Sequence[Floats], height: int, width: int) -> NDArray[np.int32]:
    """Cells by the gauge of each outline: 0 at its centre, 1 on it."""
    owner = np.full((height, width), -1, dtype=np.int32)
    nearest = np.ones((height, width), dtype=np.float32)
    for number, ((x, y), outline) in enumerate(zip(centres, outlines, strict=True)):
        low, high = outline.min(axis=0), outline.max(axis=0)
        left, top = int(max(0, (low[0] - 1.5) // 4)), int(max(0, (low[1] - 1.5) // 4))
        right, bottom = (
            int(min(width, (high[0] - 1.5) // 4 + 2)),
            int(min(height, (high[1] - 1.5) // 4 + 2)),
        )
        if right <= left or bottom <= top:
            continue
        u, v = np.meshgrid(4.0 * np.arange(left, right) + 1.5 - x, 4.0 * np.arange(top, bottom) + 1.5 - y)
        out = gauge(outline - (x, y), u, v)
        window = (slice(top, bottom), slice(left, right))
        closer = out < nearest[window]
        nearest[window][closer] = out[closer]
        owner[window][closer] = number
    return owner


def _bump(heat: NDArray[np.uint8], x: float, y: float, diameter: float, *, hole: bool) -> None:
    """A Gaussian at the centre, or a hole in what is asked where the object can hardly be seen."""
    sigma = float(np.clip(BUMP * diameter, NARROWEST, WIDEST)) / 2.0
    x, y, span = (x - 0.5) / 2.0, (y - 0.5) / 2.0, 3.3 * sigma
    top, bottom = max(0, int(y - span)), min(heat.shape[0], int(y + span) + 2)
    left, right = max(0, int(x - span)), min(heat.shape[1], int(x + span) + 2)
    u, v = np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y
    bump = np.exp(-(u * u + v * v) / (2 * sigma * sigma))
    window = heat[top:bottom, left:right]
    if hole:
        window[(bump > 0.05) & (window < ONE // 2)] = IGNORED
        return
    asked = np.rint(ONE * bump).astype(np.uint8)
    window[:] = np.where(window == IGNORED, asked, np.maximum(window, asked))


def _fill(bubbles: NDArray[np.uint8], x: float, y: float, radius: float) -> None:
    x, y, radius = (x - 0.5) / 2.0, (y - 0.5) / 2.0, radius / 2.0
    top, bottom = max(0, int(y - radius)), min(bubbles.shape[0], int(y + radius) + 2)
    left, right = max(0, int(x - radius)), min(bubbles.shape[1], int(x + radius) + 2)
    if top >= bottom or left >= right:
        return
    u, v = np.arange(left, right)[None, :] - x, np.arange(top, bottom)[:, None] - y
    bubbles[top:bottom, left:right][u * u + v * v <= radius * radius] = ONE
