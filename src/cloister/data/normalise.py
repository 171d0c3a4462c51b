"""Micrographs made comparable: the light evened, the contrast scaled, the colour dropped.

A model must see the same crystal in the same way under a bright lamp, on the black of crossed
polarisers, in a vignetted old camera. This step is part of a model's contract: the same code runs in
training and in the tool, and `NORMALISATION_VERSION` changes whenever one output value would.

The background is a heavily smoothed median of block means (crystals cover less than half of the
neighbourhood, so the median passes under them in bright field and in dark field alike). What remains is
divided by the local background (Weber contrast, so that vignetting cancels) and by one robust scale for
the whole picture, and softly limited. There is no switch for the kind of light: darker than the
background is negative, brighter is positive.
"""

from __future__ import annotations

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
    grey = image[..., 0].astype(np.float32) * (_LUMINANCE[0] / full)
    grey += image[..., 1] * np.float32(_LUMINANCE[1] / full)
    grey += image[..., 2] * np.float32(_LUMINANCE[2] / full)
    return np.minimum(grey, np.float32(1.0))


def background(grey: NDArray[np.float32]) -> NDArray[np.float32]:
    """The light without the objects: a smooth surface under (or over) everything small.

    Args:
        grey: float32, shape [height, width].

    Returns:
        float32, the same shape, within the range of `grey`.
    """
    from scipy import ndimage

    height, width = grey.shape
    side = max(1, -(-min(height, width) // BLOCKS))
    means = _block_means(grey, side)
    window = (min(MEDIAN_BLOCKS, means.shape[0]), min(MEDIAN_BLOCKS, means.shape[1]))
    coarse = ndimage.median_filter(means, size=window, mode="nearest")
    rows = _spread(height, means.shape[0], side)
    columns = _spread(width, means.shape[1], side)
    surface: NDArray[np.float32] = rows @ coarse @ columns.T
    return surface


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
    grey = luminance(image)
    surface = background(grey)
    contrast = grey
    contrast -= surface
    surface += np.float32(DARK_OFFSET)
    contrast /= surface
    contrast /= np.float32(_scale(contrast))
    squared = contrast * contrast
    squared += np.float32(1.0)
    contrast /= np.sqrt(squared, out=squared)
    return np.clip(contrast, np.float32(-0.999999), np.float32(0.999999), out=contrast)


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
    pad = ((0, -height % side), (0, -width % side))
    padded = np.pad(grey, pad, mode="edge")
    blocks = padded.reshape(padded.shape[0] // side, side, padded.shape[1] // side, side)
    means: NDArray[np.float32] = blocks.mean(axis=(1, 3), dtype=np.float32)
    return means


def _spread(length: int, blocks: int, side: int) -> NDArray[np.float32]:
    """Weights [length, blocks] that smooth and enlarge block values at once (a Gaussian of 1.5 blocks)."""
    positions = (np.arange(length, dtype=np.float32) + 0.5) / side - 0.5
    distance = positions[:, None] - np.arange(blocks, dtype=np.float32)[None, :]
    weights = np.exp(-0.5 * (distance / 1.5) ** 2)
    spread: NDArray[np.float32] = (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32)
    return spread
