"""Micrographs made comparable: the light evened, the contrast scaled, the colour dropped.

A model must see the same crystal in the same way under a bright lamp, on the black of crossed
polarisers, in a vignetted old camera. This step is part of a model's contract: the same code runs in
training and in the tool, and `NORMALISATION_VERSION` changes whenever one output value would.

The background is a robust parabola through block means plus a smoothed median of what that leaves (crystals cover less than half of the
neighbourhood, so the median passes under them in bright field and in dark field alike). What remains is
divided by the local background (Weber contrast, so that vignetting cancels) and by one robust scale for
the whole picture, and softly limited. There is no switch for the kind of light: darker than the
background is negative, brighter is positive.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

NORMALISATION_VERSION = 1
"""Raised with every change that moves an output by more than rounding."""

BLOCKS = 32
"""Block means along the shorter side; the background's grain is a few of these blocks."""

MEDIAN_BLOCKS = 11
"""Side of the median's window, in blocks: about a third of the shorter side of the picture."""

DARK_OFFSET = 0.1
"""Added to the background before dividing, so that black backgrounds do not amplify their noise."""

_BAND = 1 << 18
"""Pixels that are worked on at once."""

_LUMINANCE = np.array([0.299, 0.587, 0.114], dtype=np.float32)  # ITU-R BT.601
_FULL_SCALE = {"uint8": 255.0, "uint16": 65535.0}


def luminance(image: NDArray[Any]) -> NDArray[np.float32]:
    """A picture's brightness, 0 (black) to 1 (the type's full scale).

    Args:
        image: uint8 or uint16, shape [height, width] or [height, width, 3] (RGB).

    Returns:
        float32, shape [height, width], in [0, 1]; colour weighted as in ITU-R BT.601.

    Raises:
        BadInput: another type or shape, or a side of zero.
    """
    full = _FULL_SCALE.get(str(image.dtype))
    if (
        full is None
        or image.ndim not in {2, 3}
        or (image.ndim == 3 and image.shape[2] != 3)
        or not image.size
    ):
        raise BadInput(
            "This is not a picture that can be normalised.",
            f"It has type {image.dtype} and shape {image.shape}.",
            "Give uint8 or uint16, grey [height, width] or RGB [height, width, 3].",
        )
    if image.ndim == 2:
        return image.astype(np.float32) / np.float32(full)
    grey = np.empty(image.shape[:2], dtype=np.float32)
    for band in _bands(*image.shape[:2]):
        part = image[band, :, 0].astype(np.float32) * (_LUMINANCE[0] / full)
        part += image[band, :, 1] * np.float32(_LUMINANCE[1] / full)
        part += image[band, :, 2] * np.float32(_LUMINANCE[2] / full)
        np.minimum(part, np.float32(1.0), out=grey[band])
    return grey


def background(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The light without the objects: a smooth surface under (or over) everything small.

    Args:
        grey: float32, shape [height, width].

    Returns:
        float32, the same shape, within the range of `grey`.
    """
    under = Background(grey)
    surface = np.empty_like(grey)
    for band in _bands(*grey.shape):
        surface[band] = under.rows(band)
    return surface


class Background:
    """The smooth surface of a picture, which gives its rows when asked: as a whole it would need as much memory again.

    Args:
        grey: float32, shape [height, width]; any scale.
    """

    def __init__(self, grey: NDArray[np.float32]) -> None:
        from scipy import ndimage

        height, width = grey.shape
        side = max(1, -(-min(height, width) // BLOCKS))
        means = _block_means(grey, side)
        window = (min(MEDIAN_BLOCKS, means.shape[0]), min(MEDIAN_BLOCKS, means.shape[1]))
        # Positions from -1 to 1; the trend is evaluated at each pixel, because smoothing would bend its ends.
        v, u = _positions(means.shape[0], side, height), _positions(means.shape[1], side, width)
        self._trend = _trend(means, v, u)
        coarse = ndimage.median_filter(means - _quadratic(self._trend, v, u), size=window, mode="nearest")
        self._down = _spread(height, means.shape[0], side)
        self._across = coarse @ _spread(width, means.shape[1], side).T
        self._v, self._u = _positions(height, 1, height), _positions(width, 1, width)
        self._lowest, self._highest = grey.min(), grey.max()

    def rows(self, band: slice) -> NDArray[np.float32]:
        """The surface under some rows, float32 [rows, width], within the range of the picture."""
        surface: NDArray[np.float32] = self._down[band] @ self._across
        surface += _quadratic(self._trend, self._v[band], self._u)
        within: NDArray[np.float32] = np.clip(surface, self._lowest, self._highest, out=surface)
        return within


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows in parts that stay in the processor's cache while several operations pass over them."""
    step = max(1, _BAND // width)
    for start in range(0, height, step):
        yield slice(start, start + step)


def normalise_micrograph(image: NDArray[Any]) -> NDArray[np.float32]:
    """A micrograph as the crystal models see it.

    Args:
        image: uint8 or uint16, shape [height, width] or [height, width, 3] (RGB), any light.

    Returns:
        float32, shape [height, width], strictly inside (-1, 1): 0 is the background, negative is darker,
        positive is brighter; the sensor's
        noise stays near 0.2 at most (standard deviation), strong edges reach 0.7 and more. A picture of
        one value gives zeros. Deterministic; invariant to the gain of a bright field up to `DARK_OFFSET`.

    Raises:
        BadInput: another type or shape, or a side of zero.
    """
    contrast = luminance(image)
    under = Background(contrast)
    for band in _bands(*contrast.shape):
        surface = under.rows(band)
        part = contrast[band]
        part -= surface
        surface += np.float32(DARK_OFFSET)
        part /= surface
    unit = np.float32(_scale(contrast))
    for band in _bands(*contrast.shape):
        part = contrast[band]
        part /= unit
        squared = part * part
        squared += np.float32(1.0)
        part /= np.sqrt(squared, out=squared)
        np.clip(part, np.float32(-0.999999), np.float32(0.999999), out=part)
    return contrast


def _scale(contrast: NDArray[np.float32]) -> float:
    """One robust unit of contrast: strong features, but never less than six times the noise."""
    step = max(1, min(contrast.shape) // 256)
    sample = np.abs(contrast[::step, ::step])
    strong = float(np.quantile(sample, 0.985))
    # Neighbouring differences see the noise and hardly the objects; 0.954 = sqrt(2) * 0.6745.
    noise = 0.0
    if contrast.shape[1] > 1:
        noise = float(np.median(np.abs(np.diff(contrast[::step], axis=1)))) / 0.954
    return max(strong, 6.0 * noise, 0.02)


def _block_means(grey: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    if side == 1:
        return grey
    height, width = grey.shape
    across = -(-width // side)
    means = np.empty((-(-height // side), across), dtype=np.float32)
    # Row by row of blocks: the whole, filled up to whole blocks, would be the picture once more.
    for row in range(len(means)):
        part = grey[row * side : (row + 1) * side]
        short = side - part.shape[0]
        filled = np.pad(part, ((0, short), (0, across * side - width)), mode="edge")
        means[row] = filled.reshape(side, across, side).mean(axis=(0, 2), dtype=np.float32)
    return means


def _positions(count: int, side: int, length: int) -> NDArray[np.float32]:
    centres = (np.arange(count, dtype=np.float32) + np.float32(0.5)) * np.float32(2.0 * side / length)
    return centres - np.float32(1.0)


def _quadratic(c: NDArray[np.float32], v: NDArray[np.float32], u: NDArray[np.float32]) -> NDArray[np.float32]:
    """The surface c0 + c1 u + c2 v + c3 u^2 + c4 u v + c5 v^2 on the grid of `v` (rows) and `u` (columns)."""
    surface: NDArray[np.float32] = (c[0] + c[2] * v + c[5] * v * v)[:, None] + (c[4] * v)[:, None] * u[
        None, :
    ]
    surface += (c[1] * u + c[3] * u * u)[None, :]
    return surface


def _trend(means: NDArray[np.float32], v: NDArray[np.float32], u: NDArray[np.float32]) -> NDArray[np.float32]:
    """Coefficients of a quadratic surface that reweights outliers away (P. J. Huber, Robust Statistics).

    It follows vignetting into the corners, where a median sees one side only.
    """
    level = np.zeros(6, dtype=np.float32)
    level[0] = np.median(means)
    if min(means.shape) < 6:
        return level
    across, down = np.meshgrid(u.astype(np.float64), v.astype(np.float64))
    terms = np.stack([np.ones_like(across), across, down, across**2, across * down, down**2], axis=2).reshape(
        -1, 6
    )
    values = means.reshape(-1).astype(np.float64)
    weights = np.ones_like(values)
    found = level.astype(np.float64)
    for _ in range(6):
        root = np.sqrt(weights)
        found = np.linalg.lstsq(terms * root[:, None], values * root, rcond=None)[0]
        off = np.abs(values - terms @ found)
        limit = max(1.5 * float(np.median(off)), 1e-4)
        weights = np.minimum(1.0, limit / np.maximum(off, limit)) ** 2
    return found.astype(np.float32)


def _spread(length: int, blocks: int, side: int) -> NDArray[np.float32]:
    """Weights [length, blocks] that smooth and enlarge block values at once (a Gaussian of 1.5 blocks)."""
    positions = (np.arange(length, dtype=np.float32) + 0.5) / side - 0.5
    distance = positions[:, None] - np.arange(blocks, dtype=np.float32)[None, :]
    weights = np.exp(-0.5 * (distance / 1.5) ** 2)
    spread: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return spread
