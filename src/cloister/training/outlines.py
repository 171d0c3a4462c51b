"""Pictures with outlined objects as training examples: random patches with what should be answered, and whole pictures to count in.

Like `points`, of which the networks answer with heat maps; here they answer as `data.stars` says, and targets are those of
`data.star_targets`. They are made once for each picture; a patch is a window of them on the grid of cells.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cloister.data.labels import Labels
from cloister.data.normalise import normalise_micrograph
from cloister.data.scaling import known_size, resized
from cloister.data.star_targets import IGNORED, WEIGHTED, StarTargets, star_targets
from cloister.data.stars import CHANNELS, MULTIPLE, STRIDE
from cloister.training.examples import Batch, UnitBatch
from cloister.training.recipe import OutlinesPreparation

_PER_PICTURE = 16
"""Patches for validation at most."""

Patch = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True)
class OutlinedPicture:
    """One normalised picture.

    Attributes:
        pixels: float16 (H, W), filled up with background so that sides are multiples of `MULTIPLE` and hold a patch.
        asked: for all of it; nothing is asked of what was filled up.
        size: height and width before that.
        count: objects in it.
        content: all of it, for telling pictures apart.
    """

    pixels: np.ndarray
    asked: StarTargets
    size: tuple[int, int]
    count: int
    content: bytes

    @classmethod
    def of(cls, pixels: np.ndarray, labels: Labels, plan: OutlinesPreparation) -> OutlinedPicture:
        """A picture as the recipe wants it, with the targets that its labels give.

        Args:
            pixels: as decoded.
            labels: with diameters.
            plan: the recipe's.
        """
        assert labels.diameters is not None or not labels.centres
        sizes = np.asarray(labels.diameters or (), np.float64)
        factor = plan.scale * (known_size(sizes * plan.scale, plan.typical) if plan.typical else 1.0)
        values = np.asarray(normalise_micrograph(resized(pixels, factor)), np.float16)
        factors = np.array([values.shape[1] / pixels.shape[1], values.shape[0] / pixels.shape[0]])

        def moved(places: object) -> np.ndarray:
            # The centre of pixel 0 is at 0.5 in continuous coordinates.
            found: np.ndarray = (np.asarray(places, np.float64).reshape(-1, 2) + 0.5) * factors - 0.5
            return found

        outlines = labels.outlines or (None,) * len(labels.centres)
        height, width = values.shape
        more = [max(plan.patch, -(-length // MULTIPLE) * MULTIPLE) - length for length in values.shape]
        asked = star_targets(
            (height + more[0], width + more[1]),
            moved(labels.centres),
            sizes * factors.mean(),
            [None if outline is None else moved(outline) for outline in outlines],
            bubbles=None
            if labels.bubbles is None
            else [(*moved((x, y))[0], radius * factors.mean()) for x, y, radius in labels.bubbles],
        )
        # What lies beyond the picture is no evidence of emptiness.
        asked.fine[:, -(-height // 2) :, :] = IGNORED
        asked.fine[:, :, -(-width // 2) :] = IGNORED
        asked.owner[-(-height // STRIDE) :, :] = -1
        asked.owner[:, -(-width // STRIDE) :] = -1
        filled = np.pad(values, [(0, more[0]), (0, more[1])])
        content = values.tobytes() + repr(labels).encode()
        return cls(filled, asked, (height, width), len(labels.centres), content)


@dataclass(frozen=True)
class OutlineExamples:
    """Pictures to draw patches from, and pictures kept apart.

    Attributes:
        plan: the preparation.
        pictures: to train on; each is one unit of privacy.
        kept: kept apart.
        drawn: whether private training may draw from `pictures` (see `splitting`, rule 3).
    """

    plan: OutlinesPreparation
    pictures: Sequence[OutlinedPicture]
    kept: Sequence[OutlinedPicture]
    drawn: bool = True

    @property
    def count(self) -> int:
        """Pictures to train on."""
        return len(self.pictures)

    @property
    def held_out(self) -> int:
        """Pictures kept apart."""
        return len(self.kept)

    @property
    def units(self) -> int:
        """Pictures that private training may draw."""
        return self.count if self.drawn else 0

    def unit_batch(self, rng: np.random.Generator, drawn: np.ndarray, capacity: int) -> UnitBatch:
        """Random patches of each drawn picture, `plan.crops` of them."""
        side, crops = self.plan.patch, self.plan.crops
        cells = side // STRIDE
        examples = {
            "input": np.zeros((capacity, crops, 1, side, side), np.float32),
            "target": np.zeros((capacity, crops, CHANNELS, cells, cells), np.float32),
            "weights": np.zeros((capacity, crops, WEIGHTED, cells, cells), np.float32),
        }
        share = np.zeros((capacity, crops), np.float32)
        for place, number in enumerate(drawn):
            for crop in range(crops):
                pixels, target, weights = self._patch(rng, self.pictures[int(number)])
                examples["input"][place, crop, 0] = pixels
                examples["target"][place, crop], examples["weights"][place, crop] = target, weights
            share[place] = 1 / crops
        # The same work however many were drawn.
        for _ in range(crops * (capacity - len(drawn)) if self.pictures else 0):
            self._patch(rng, self.pictures[0])
        return UnitBatch(examples, share)

    def batch(self, rng: np.random.Generator, size: int) -> Batch:
        """Random patches: a picture, then a place in it, then mirroring, turning and brightness."""
        return _stacked([self._patch(rng, self.pictures[int(rng.integers(self.count))]) for _ in range(size)])

    def validation(self, size: int) -> Iterator[Batch]:
        """Patches that tile the pictures kept apart, unchanged; at most 16 per picture, spread evenly."""
        patches: list[Patch] = []
        for picture in self.kept:
            rows, columns = (_places(length, self.plan.patch) for length in picture.pixels.shape)
            corners = [(top, left) for top in rows for left in columns]
            for top, left in corners[:: -(-len(corners) // _PER_PICTURE)]:
                patches.append(self._encoded(*self._cut(picture, top, left)))
                if len(patches) == size:
                    yield _stacked(patches)
                    patches = []
        if patches:
            yield _stacked(patches)

    def _cut(self, picture: OutlinedPicture, top: int, left: int) -> tuple[np.ndarray, StarTargets]:
        side = self.plan.patch
        pixels = picture.pixels[top : top + side, left : left + side].astype(np.float32)
        return pixels, picture.asked.window(top, left, side)

    def _encoded(self, pixels: np.ndarray, asked: StarTargets) -> Patch:
        target, weights = asked.encoded(self.plan.map_weights, self.plan.emphasis)
        return pixels, target, weights

    def _patch(self, rng: np.random.Generator, picture: OutlinedPicture) -> Patch:
        side, plan = self.plan.patch, self.plan
        top, left = (
            STRIDE * int(rng.integers(max(0, length - side) // STRIDE + 1)) for length in picture.size
        )
        pixels, asked = self._cut(picture, top, left)
        if plan.flips and rng.random() < 0.5:
            pixels, asked = pixels[:, ::-1], asked.mirrored()
        for _ in range(int(rng.integers(4)) if plan.turns else 0):
            # A quarter turn is an exchange of rows and columns, then of left and right.
            pixels, asked = pixels.T[:, ::-1], asked.transposed().mirrored()
        if plan.brightness:
            factor = np.float32(np.exp(rng.uniform(-plan.brightness, plan.brightness)))
            pixels = pixels * factor + np.float32(rng.uniform(-plan.brightness, plan.brightness))
        return self._encoded(pixels, asked)


def _places(length: int, side: int) -> list[int]:
    """Starts of patches that cover a length; the last one ends with it."""
    return [*range(0, length - side, side), length - side]


def _stacked(patches: list[Patch]) -> Batch:
    pixels, targets, weights = zip(*patches, strict=True)
    return {
        "input": np.ascontiguousarray(np.stack(pixels)[:, None]),
        "target": np.stack(targets),
        "weights": np.stack(weights),
    }
