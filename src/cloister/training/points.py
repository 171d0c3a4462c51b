"""Pictures with marked centres as training examples: random patches, Gaussian heat maps, and whole pictures for counting."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cloister.training.examples import Batch, UnitBatch
from cloister.training.recipe import PointsPreparation

_DEFAULT_DIAMETER = 12.0
_REACH = 4.0  # a Gaussian is drawn to this many widths; beyond it is below 0.0004


@dataclass(frozen=True)
class Picture:
    """One normalised picture.

    Attributes:
        pixels: float16 (H, W), halves the memory of a dataset; values are near [-3, 3], so three digits are enough.
        centres: float32 (N, 2), x then y, in pixels of `pixels`.
        diameters: float32 (N), in the same pixels; NaN where unknown.
    """

    pixels: np.ndarray
    centres: np.ndarray
    diameters: np.ndarray

    def content(self) -> bytes:
        """All of it, for telling pictures apart."""
        return self.pixels.tobytes() + self.centres.tobytes() + self.diameters.tobytes()

    @classmethod
    def scaled(cls, pixels: np.ndarray, centres: np.ndarray, diameters: np.ndarray, scale: float) -> Picture:
        """The picture and its points, resized by `scale`."""
        if scale == 1.0:
            return cls(pixels.astype(np.float16), centres, diameters)
        from skimage.transform import resize

        height, width = (max(1, round(length * scale)) for length in pixels.shape)
        smaller = resize(pixels, (height, width), order=1, anti_aliasing=scale < 1, preserve_range=True)
        factor = np.asarray([width / pixels.shape[1], height / pixels.shape[0]], np.float32)
        # The centre of pixel 0 is at 0.5 in continuous coordinates.
        moved = (centres + np.float32(0.5)) * factor - np.float32(0.5)
        return cls(
            smaller.astype(np.float16),
            moved.astype(np.float32),
            (diameters * factor.mean()).astype(np.float32),
        )


def draw(
    plan: PointsPreparation, size: tuple[int, int], centres: np.ndarray, diameters: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Target and pixel weights, both float32 (C, H, W), for points in the pixels of a patch of `size` (H, W)."""
    height, width = size
    heat = np.zeros(size, np.float32)
    discs = np.zeros(size, bool)
    for (x, y), diameter in zip(centres, diameters, strict=True):
        sized = bool(np.isfinite(diameter))
        radius = (diameter if sized else _DEFAULT_DIAMETER) / 2
        sigma = plan.sigma
        if plan.sigma_share and sized:
            sigma = float(np.clip(plan.sigma_share * diameter, *plan.sigma_limits))
        reach = max(_REACH * sigma, radius) + 1
        x0, x1 = max(0, int(x - reach)), min(width, int(x + reach) + 2)
        y0, y1 = max(0, int(y - reach)), min(height, int(y + reach) + 2)
        if x0 >= x1 or y0 >= y1:
            continue
        square = (np.arange(x0, x1) - x)[None, :] ** 2 + (np.arange(y0, y1) - y)[:, None] ** 2
        bump = np.exp(-square / (2 * sigma**2)).astype(np.float32)
        # Neighbours keep their own peaks: the larger of two bumps, not their sum.
        np.maximum(heat[y0:y1, x0:x1], bump, out=heat[y0:y1, x0:x1])
        discs[y0:y1, x0:x1] |= square <= radius**2
    channels = {"centres": heat, "foreground": discs.astype(np.float32)}
    weights = {"centres": 1 + np.float32(plan.emphasis - 1) * heat, "foreground": np.ones(size, np.float32)}
    shares = plan.channel_weights or (1.0,) * len(plan.channels)
    target = np.stack([channels[name] for name in plan.channels])
    return target, np.stack(
        [weights[name] * np.float32(share) for name, share in zip(plan.channels, shares, strict=True)]
    )


@dataclass(frozen=True)
class PointExamples:
    """Pictures to draw patches from, and pictures kept apart.

    Attributes:
        plan: the preparation.
        pictures: to train on; each is one unit of privacy.
        kept: kept apart.
        drawn: whether private training may draw from `pictures` (see `splitting`, rule 3).
    """

    plan: PointsPreparation
    pictures: Sequence[Picture]
    kept: Sequence[Picture]
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
        side, channels, crops = self.plan.patch, len(self.plan.channels), self.plan.crops
        examples = {
            "input": np.zeros((capacity, crops, 1, side, side), np.float32),
            "target": np.zeros((capacity, crops, channels, side, side), np.float32),
            "weights": np.zeros((capacity, crops, channels, side, side), np.float32),
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
        patches = [self._patch(rng, self.pictures[int(rng.integers(self.count))]) for _ in range(size)]
        return _stacked(patches)

    def validation(self, size: int) -> Iterator[Batch]:
        """Patches that tile the pictures kept apart, unchanged; at most 16 per picture, spread evenly."""
        patches = []
        for picture in self.kept:
            rows, columns = (_places(length, self.plan.patch) for length in picture.pixels.shape)
            corners = [(top, left) for top in rows for left in columns]
            for top, left in corners[:: -(-len(corners) // 16)]:
                patches.append(self._cut(picture, top, left))
                if len(patches) == size:
                    yield _stacked(patches)
                    patches = []
        if patches:
            yield _stacked(patches)

    def _cut(self, picture: Picture, top: int, left: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        side = self.plan.patch
        pixels = picture.pixels[top : top + side, left : left + side].astype(np.float32)
        if pixels.shape != (side, side):
            pixels = np.pad(
                pixels,
                [(0, side - length) for length in pixels.shape],
                mode="symmetric" if min(pixels.shape) * 2 >= side else "edge",
            )
        centres = picture.centres - np.asarray([left, top], np.float32)
        inside = ((centres > -side / 4) & (centres < 1.25 * side)).all(1)
        target, weights = draw(self.plan, (side, side), centres[inside], picture.diameters[inside])
        if min(picture.pixels.shape) < side:
            # What lies beyond the picture is no evidence of emptiness.
            height, width = picture.pixels.shape
            weights[:, max(0, height - top) :, :] = 0
            weights[:, :, max(0, width - left) :] = 0
        return pixels, target, weights

    def _patch(self, rng: np.random.Generator, picture: Picture) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        side, plan = self.plan.patch, self.plan
        top, left = (int(rng.integers(max(1, length - side + 1))) for length in picture.pixels.shape)
        pixels, target, weights = self._cut(picture, top, left)
        if plan.flips and rng.random() < 0.5:
            pixels, target, weights = pixels[:, ::-1], target[:, :, ::-1], weights[:, :, ::-1]
        if plan.turns:
            turns = int(rng.integers(4))
            pixels = np.rot90(pixels, turns)
            target, weights = np.rot90(target, turns, (1, 2)), np.rot90(weights, turns, (1, 2))
        if plan.brightness:
            factor = np.float32(np.exp(rng.uniform(-plan.brightness, plan.brightness)))
            pixels = pixels * factor + np.float32(rng.uniform(-plan.brightness, plan.brightness))
        return pixels, target, weights


def _places(length: int, side: int) -> list[int]:
    """Starts of patches that cover a length; the last one ends with it."""
    if length <= side:
        return [0]
    return [*range(0, length - side, side), length - side]


def _stacked(patches: list[tuple[np.ndarray, np.ndarray, np.ndarray]]) -> Batch:
    pixels, targets, weights = zip(*patches, strict=True)
    return {
        "input": np.ascontiguousarray(np.stack(pixels)[:, None]),
        "target": np.ascontiguousarray(np.stack(targets)),
        "weights": np.ascontiguousarray(np.stack(weights)),
    }
