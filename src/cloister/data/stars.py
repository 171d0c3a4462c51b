"""Star-convex polygons in a network's answer: how they are laid out, how they are read, which of them are one object.

A network may answer for each cell of a grid which object owns the cell, as the distances from the object's centre to its outline
in equally spaced directions (U. Schmidt et al., "Cell detection with star-convex polygons", MICCAI 2018), here as seen from
the centre wherever in the object the cell lies. Objects are where the centre map peaks; their polygon is what the cells around the
peak say. Two peaks whose polygons cover nearly the same ground are one object.

Layout of the channels: first `len(FINE)` maps at twice the grid's resolution, folded (map f of the cell's pixel at row r, column
c is channel 4 f + 2 r + c), as logits; then `RAYS` logarithms of distances over `UNIT` pixels; then log2 of the outline's blur
in pixels; then two logits: whether the object has grown together with others, and the share of it that others hide.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.data.nearness import close_pairs
from cloister.data.peaks import find_peaks
from cloister.foundation.errors import BadInput

FINE: Final = ("heat", "body", "bubble", "litter")
RAYS: Final = 32
ANGLES: Final = 2 * np.pi * np.arange(RAYS) / RAYS
"""Directions of the rays, radians, from the x axis (right) towards y (down)."""

MULTIPLE: Final = 16
"""Height and width of what a network is given are multiples of this."""

STRIDE: Final = 4
"""Pixels of the picture per cell, in each direction."""

UNIT: Final = 8.0
FOLDED: Final = len(FINE) * 4
RAYS_FROM, BLUR, GROWN, HIDDEN = FOLDED, FOLDED + RAYS, FOLDED + RAYS + 1, FOLDED + RAYS + 2
CHANNELS: Final = FOLDED + RAYS + 3

SHORTEST, LONGEST = 0.5, 1000.0
"""Limits of a ray, pixels: what lies outside was not learnt."""

NEAR: Final = 1.0
"""Pixels by which outlines are made wider to see whether they meet."""

_PAIRS: Final = 4096
"""Worked on at once."""

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Stars:
    """Objects, strongest first; all arrays have one entry for each.

    Attributes:
        x: column of the centre, pixels; 0 is the centre of the first column.
        y: row of it.
        strength: height of the peak, a probability.
        rays: [n, RAYS], pixels.
        blur: of the outline, pixels (Gaussian sigma).
        grown: probability that it is part of an agglomerate.
        hidden: expected share that other objects hide.
    """

    x: Floats
    y: Floats
    strength: Floats
    rays: Floats
    blur: Floats
    grown: Floats
    hidden: Floats

    def __len__(self) -> int:
        return len(self.x)

    def pick(self, which: NDArray[Any]) -> Stars:
        """Some of them, by a mask or by positions."""
        return Stars(*(getattr(self, field.name)[which] for field in fields(self)))

    def moved(self, x: float, y: float) -> Stars:
        """The same with their centres moved."""
        return replace(self, x=self.x + x, y=self.y + y)

    def enlarged(self, factor: float) -> Stars:
        """The same in a picture whose pixels are `factor` times smaller."""
        # The centre of pixel 0 of the coarser picture lies at (factor - 1) / 2 of the finer one.
        x, y = (self.x + 0.5) * factor - 0.5, (self.y + 0.5) * factor - 0.5
        return replace(self, x=x, y=y, rays=self.rays * factor, blur=self.blur * factor)

    def polygons(self) -> Floats:
        """Corners, [n, RAYS, 2]: x and y, pixels."""
        along, down = np.cos(ANGLES), np.sin(ANGLES)
        return np.stack([self.x[:, None] + self.rays * along, self.y[:, None] + self.rays * down], axis=2)


def unfold(answers: NDArray[np.float32], maps: int = len(FINE)) -> NDArray[np.float32]:
    """The first of the fine maps of an answer: [CHANNELS, h, w] to [maps, 2 h, 2 w], logits."""
    height, width = answers.shape[1:]
    folded = answers[: 4 * maps].reshape(maps, 2, 2, height, width).transpose(0, 3, 1, 4, 2)
    return np.ascontiguousarray(folded.reshape(maps, 2 * height, 2 * width))


def star_area(rays: NDArray[Any]) -> NDArray[Any]:
    """Area of the polygon through the rays' ends, pixels squared; the last axis is the rays."""
    half: NDArray[Any] = 0.5 * np.sin(2 * np.pi / RAYS) * (rays * np.roll(rays, -1, axis=-1)).sum(axis=-1)
    return half


def find_stars(answers: NDArray[np.float32], threshold: float, bubble: float = 1.0) -> Stars:
    """The objects in a network's answer for one picture or tile, duplicates included.

    Args:
        answers: [CHANNELS, h, w].
        threshold: the lowest probability of a centre that counts.
        bubble: a centre that is more probably than this in a bubble does not count; 1 to ask nothing.

    Raises:
        BadInput: another number of channels.
    """
    if answers.ndim != 3 or answers.shape[0] != CHANNELS:
        raise BadInput(
            "The model's answer is not one of outlines.",
            f"It has shape {list(answers.shape)}; outlines need {CHANNELS} channels on a grid.",
            "Use a model that was made for outlines, or the steps peaks@1 and watershed@1.",
        )
    heat = _probability(unfold(answers, maps=1)[0])
    peaks = find_peaks(heat, threshold, 2, subpixel=True, border=True)
    column, row = (np.rint(peaks[:, place]).astype(np.intp) for place in (0, 1))
    if bubble < 1.0:
        logits = answers[4 * FINE.index("bubble") + 2 * (row % 2) + column % 2, row // 2, column // 2]
        clear = _probability(logits) <= bubble
        peaks, column, row = peaks[clear], column[clear], row[clear]
    columns, rows = peaks[:, 0].astype(np.float64), peaks[:, 1].astype(np.float64)
    strength = heat[row, column].astype(np.float64)
    # Pixel p of the fine maps has its centre at 2 p + 1/2 of the picture, cell c at 4 c + 3/2.
    x, y = 2.0 * columns + 0.5, 2.0 * rows + 0.5
    read = _between(answers[RAYS_FROM:], (x - 1.5) / STRIDE, (y - 1.5) / STRIDE)
    return Stars(
        x,
        y,
        strength,
        np.clip(UNIT * np.exp(np.clip(read[:RAYS], -20, 20)), SHORTEST, LONGEST).T,
        np.clip(2.0 ** np.clip(read[RAYS], -20, 20), 0.0, LONGEST),
        _probability(read[RAYS + 1]),
        _probability(read[RAYS + 2]),
    )


def joined(parts: list[Stars]) -> Stars:
    """Several pictures' or tiles' objects as one list, strongest first."""
    if not parts:
        none = np.zeros(0)
        return Stars(none, none, none, np.zeros((0, RAYS)), none, none, none)
    every = Stars(*(np.concatenate([getattr(p, field.name) for p in parts]) for field in fields(Stars)))
    # Equal strengths in reading order, so that the result does not depend on how tiles were cut.
    return every.pick(np.lexsort((every.x, every.y, -every.strength)))


def suppress(stars: Stars, most_common: float = 0.5) -> Stars:
    """Leaves of objects that cover nearly the same ground the strongest.

    Args:
        stars: strongest first.
        most_common: highest intersection over union that two different objects may have.
    """
    first, second = neighbours(stars)
    if not len(first):
        return stars
    same = overlaps(stars, first, second, above=most_common) > most_common
    alive = np.ones(len(stars), dtype=bool)
    for a, b in zip(first[same].tolist(), second[same].tolist(), strict=True):
        if alive[a]:
            alive[b] = False
    return stars.pick(alive)


def merged(small: Stars, large: Stars, boundary: float, contained: float = 0.7) -> Stars:
    """What a close look and one from farther away say of the same picture, as one list, strongest first.

    The close look decides about objects below `boundary` in diameter, the other about those above. A network that has never seen
    objects as large as some here sees pieces of them: what lies within a large object is taken for a piece of it.

    Args:
        small: of the close look.
        large: of the other, in the same picture's pixels.
        boundary: diameter of the circle of the same area, pixels.
        contained: share of a small object's area from which it counts as lying within.
    """
    limit = np.pi * boundary**2 / 4
    small, large = small.pick(star_area(small.rays) < limit), large.pick(star_area(large.rays) >= limit)
    if not len(large) or not len(small):
        return joined([small, large])
    every = Stars(*(np.concatenate([getattr(small, f.name), getattr(large, f.name)]) for f in fields(Stars)))
    first, second = neighbours(every)
    across = (first < len(small)) & (second >= len(small))
    first, second = first[across], second[across]
    shared = overlaps(every, first, second)
    area = star_area(every.rays)
    common = shared / (1.0 + shared) * (area[first] + area[second])
    alive = np.ones(len(every), dtype=bool)
    alive[first[common > contained * area[first]]] = False
    return joined([every.pick(alive)])


def together(stars: Stars, threshold: float = 0.5) -> NDArray[np.int64]:
    """Which objects make an agglomerate: its number from 1 for each object, 0 for those that are alone.

    Objects belong together whose polygons, made wider by `NEAR`, meet, and which both say that they have grown together with others:
    those that merely lie over each other differ in depth, and the network sees that in their sharpness.
    """
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    count = len(stars)
    grown = stars.grown >= threshold
    first, second = neighbours(stars)
    both = grown[first] & grown[second]
    first, second = first[both], second[both]
    if not len(first):
        return np.zeros(count, dtype=np.int64)
    meet = _meet(stars, first, second) | _meet(stars, second, first)
    first, second = first[meet], second[meet]
    graph = coo_array((np.ones(len(first)), (first, second)), shape=(count, count))
    _, group = connected_components(graph, directed=False)
    sizes = np.bincount(group, minlength=count)
    numbers = np.zeros(count, dtype=np.int64)
    for number, one in enumerate(dict.fromkeys(group[sizes[group] > 1].tolist()), 1):
        numbers[group == one] = number
    return numbers


def overlaps(
    stars: Stars, first: NDArray[np.intp], second: NDArray[np.intp], *, grid: int = 20, above: float = 0.0
) -> Floats:
    """Intersection over union of pairs of polygons, measured at grid x grid points of the smaller one's surroundings.

    Args:
        stars: the objects.
        first: positions of one of each pair.
        second: positions of the other.
        grid: points along each side.
        above: pairs that cannot share more than this, whatever lies where, are not measured: they get 0.
    """
    rays = stars.rays
    area = star_area(rays)
    small = np.where(area[first] <= area[second], first, second)
    large = np.where(small == first, second, first)
    made = np.zeros(len(first))
    # An object is the smaller one of several pairs, but has the same points within it in each.
    ones, of = np.unique(small, return_inverse=True)
    reach = rays[ones].max(axis=1)
    steps = (np.arange(grid) + 0.5) / grid * 2.0 - 1.0
    within = np.zeros((len(ones), grid * grid), dtype=bool)
    for start in range(0, len(ones), _PAIRS):
        part = slice(start, start + _PAIRS)
        u = (reach[part, None] * steps)[:, None, :] + np.zeros((1, grid, 1))
        v = (reach[part, None] * steps)[:, :, None] + np.zeros((1, 1, grid))
        within[part] = _inside(rays[ones[part]], u, v).reshape(-1, grid * grid)
    cell = (2.0 * reach / grid) ** 2
    both = area[small] + area[large]
    most = within.sum(axis=1)[of] * cell[of]
    possible = np.nonzero(most / np.maximum(both - most, 1e-9) > above)[0]
    for start in range(0, len(possible), _PAIRS):
        pairs = possible[start : start + _PAIRS]
        a, b, one = small[pairs], large[pairs], of[pairs]
        pair, point = np.nonzero(within[one])
        u = reach[one[pair]] * steps[point % grid] + (stars.x[a] - stars.x[b])[pair]
        v = reach[one[pair]] * steps[point // grid] + (stars.y[a] - stars.y[b])[pair]
        shared = np.bincount(pair[reached(rays, b[pair], u, v)], minlength=len(pairs)) * cell[one]
        made[pairs] = shared / np.maximum(both[pairs] - shared, 1e-9)
    return np.minimum(made, 1.0)


def _meet(stars: Stars, first: NDArray[np.intp], second: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Whether a corner of the first lies within the second, both made wider by `NEAR`."""
    corners = replace(stars, rays=stars.rays + NEAR).polygons()[first]
    u, v = corners[:, :, 0] - stars.x[second, None], corners[:, :, 1] - stars.y[second, None]
    within = _inside(stars.rays[second] + NEAR, u[:, None], v[:, None])
    return np.asarray(within.any(axis=(1, 2)))


def _inside(rays: Floats, u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Whether points (relative to the centre) lie within polygons: rays [p, RAYS], points [p, g, g]."""
    return reached(rays, np.arange(len(rays))[:, None, None], u, v)


def reached(rays: Floats, which: NDArray[np.intp], u: Floats, v: Floats) -> NDArray[np.bool_]:
    """Whether points lie within the polygon named for each, relative to its centre.

    Between two rays the polygon's side is straight, not an arc: r(t) = r1 r2 sin d / (r1 sin t + r2 sin(d - t)).
    """
    turn = np.mod(np.arctan2(v, u), 2 * np.pi) / (2 * np.pi / RAYS)
    low = np.minimum(turn.astype(np.intp), RAYS - 1)
    step = 2 * np.pi / RAYS
    past = (turn - low) * step
    here, there = rays[which, low], rays[which, (low + 1) % RAYS]
    side = here * there * np.sin(step) / (here * np.sin(past) + there * np.sin(step - past))
    within: NDArray[np.bool_] = u * u + v * v <= side * side
    return within


def neighbours(stars: Stars, longer: float = 1.0) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Pairs (a before b) whose longest rays, made longer, reach each other, in the order of a, then b."""
    longest = longer * stars.rays.max(axis=1, initial=0.0)
    first, second = close_pairs(stars.x, stars.y, longest + 1.0)
    order = np.lexsort((second, first))
    return first[order], second[order]


def _between(maps: NDArray[np.float32], columns: Floats, rows: Floats) -> Floats:
    """Values of [channels, h, w] at places between cells, linearly; beyond the outermost cells, theirs."""
    height, width = maps.shape[1:]
    u, v = np.clip(columns, 0, width - 1), np.clip(rows, 0, height - 1)
    left, top = np.floor(u).astype(np.intp), np.floor(v).astype(np.intp)
    right, bottom = np.minimum(left + 1, width - 1), np.minimum(top + 1, height - 1)
    s, t = u - left, v - top
    upper = maps[:, top, left] * (1 - s) + maps[:, top, right] * s
    lower = maps[:, bottom, left] * (1 - s) + maps[:, bottom, right] * s
    blended: Floats = (upper * (1 - t) + lower * t).astype(np.float64)
    return blended


def _probability(logits: NDArray[Any]) -> NDArray[Any]:
    # Written with tanh so that large negative logits do not overflow.
    made: NDArray[Any] = 0.5 * (np.tanh(0.5 * logits) + 1.0)
    return made
