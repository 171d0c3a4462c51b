"""A micrograph to look at: its light evened, noise and flaws of the preparation taken away, its objects left as they are.

What lies within `kept` (the objects) is only evened: each of its pixels is the given one times a factor plus an offset that vary
as slowly as the lamp's light does. Outside of it, flaws are filled with the ground around them, and what cannot be told from noise
is smoothed. So a cleaned picture shows nothing that was not there, but it no longer tells what was: it is not for measurement.

Light: the background of `data.normalise` is found without objects and flaws, and moved to one level. Where it is bright its
unevenness divides out, where it is black it is taken away; between the two by the same `DARK_OFFSET` as there.
Noise: a guided filter that guides itself (K. He et al., "Guided image filtering", ECCV 2010), with the share of each window's
variance that is not noise as its slope (J.-S. Lee, IEEE PAMI 2(2), 1980).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from cloister.data.normalise import DARK_OFFSET, Background, luminance
from cloister.foundation.errors import BadInput

NOT_FOR_MEASUREMENT = "cleaned: not for measurement"
"""What every cleaned picture says of itself."""

RADIUS = 3
"""Of the windows in which noise is told from structure, pixels."""

NOISE = 1.6
"""Variance, over the noise's own, up to which a window is taken to hold noise only."""

BLOCK = 8
"""Side of the blocks whose means fill flaws, pixels."""

CERTAIN = 5.0
"""Contrast of a speck over the noise."""

FAINTEST = 0.04
"""Contrast below which nothing is a speck, however little noise there is."""

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]


def clean(
    pixels: NDArray[np.uint8],
    kept: Mask,
    litter: Mask | None = None,
    *,
    speck: float = 4.0,
    tick: Callable[[float], None] = lambda _share: None,
) -> NDArray[np.uint8]:
    """A picture without the lamp's unevenness, noise and flaws.

    Args:
        pixels: uint8, [height, width] or [height, width, 3].
        kept: bool, [height, width]: objects with a margin, which are only evened.
        litter: bool, [height, width]: what is known to be a flaw; None if nothing is known.
        speck: diameter in pixels up to which anything outside of `kept` that stands out is a flaw; 0 for none.
        tick: told the share done, 0 to 1.

    Returns:
        uint8, the same shape.

    Raises:
        BadInput: another type, or masks of another size.
    """
    height, width = pixels.shape[:2]
    if pixels.dtype != np.uint8 or any(mask is not None and mask.shape != (height, width) for mask in (kept, litter)):
        raise BadInput(
            "This picture cannot be cleaned.",
            "It is not of 8 bits a sample, or what is to be kept of it has another size.",
            "Give uint8 pixels and masks of their height and width.",
        )
    flaws = (litter & ~kept) if litter is not None else np.zeros((height, width), dtype=bool)
    if speck > 0:
        _add_specks(flaws, pixels, kept, speck)
    tick(0.3)
    layers = _layers(pixels)
    made = np.empty(pixels.shape, dtype=np.uint8)
    still = 1.0 - _blurred(~_wider(kept, RADIUS))
    for place, layer in enumerate(layers):
        done = _clean_layer(layer, kept, flaws, still)
        if pixels.ndim == 2:
            made[:] = done
        elif len(layers) == 1:
            made[:] = done[..., None]
        else:
            made[..., place] = done
        tick(0.3 + 0.7 * (place + 1) / len(layers))
    return made


def fill(values: Floats, holes: Mask) -> Floats:
    """The values with what lies in holes replaced by a smooth surface through what lies around them.

    Means of blocks, weighted by their pixels that are no holes, smoothed by a Gaussian that is made wider until every block has
    a value (normalised convolution: H. Knutsson, C.-F. Westin, CVPR 1993).

    Args:
        values: float32, [height, width].
        holes: bool, the same shape; if all is a hole, the values are returned as they are.

    Returns:
        A copy; float32, the same shape.
    """
    from PIL import Image

    made = values.copy()
    if not holes.any() or holes.all():
        return made
    there = ~holes
    weight, total = _sums(there.astype(np.float32)), _sums(np.where(there, values, np.float32(0.0)))
    found = np.zeros_like(total)
    empty = np.ones(total.shape, dtype=bool)
    wide = 0.8
    while empty.any():
        near = ndimage.gaussian_filter(weight, wide, mode="constant")
        mean = ndimage.gaussian_filter(total, wide, mode="constant") / np.maximum(near, 1e-12)
        # A block's own share of pixels must be worth something: far tails of the Gaussian are rounding.
        now = empty & (near > 1e-2)
        found[now] = mean[now]
        empty &= ~now
        wide *= 2.0
    rows, columns = found.shape
    spread = np.asarray(
        Image.fromarray(found).resize((columns * BLOCK, rows * BLOCK), Image.Resampling.BILINEAR)
    )
    np.copyto(made, spread[: values.shape[0], : values.shape[1]], where=holes)
    return made


def _clean_layer(layer: NDArray[np.uint8], kept: Mask, flaws: Mask, still: Floats) -> NDArray[np.uint8]:
    values = layer.astype(np.float32) / np.float32(255.0)
    ground = fill(values, kept | flaws)
    np.copyto(values, ground, where=flaws)
    under = Background(ground)
    level = np.float32(np.median(under.rows(slice(None, None, max(1, values.shape[0] // 64)))))
    del ground
    for band in _bands(*values.shape):
        surface = under.rows(band)
        part = values[band]
        part -= surface
        surface += np.float32(DARK_OFFSET)
        part *= (level + np.float32(DARK_OFFSET)) / surface
        part += level
    noise = _noise(values, kept | flaws)
    made = np.empty(values.shape, dtype=np.uint8)
    reach = 2 * RADIUS
    for band in _bands(*values.shape):
        top, bottom = max(0, band.start - reach), min(values.shape[0], band.stop + reach)
        part = values[top:bottom]
        smooth = _smoothed(part, noise)
        smooth += still[top:bottom] * (part - smooth)
        inner = smooth[band.start - top : band.stop - top]
        made[band] = np.clip(inner * np.float32(255.0) + np.float32(0.5), 0, 255).astype(np.uint8)
    return made


def _smoothed(values: Floats, noise: float) -> Floats:
    """A guided filter that guides itself: flat windows become their mean, windows with structure stay."""
    size = 2 * RADIUS + 1
    mean = ndimage.uniform_filter(values, size)
    variance = ndimage.uniform_filter(values * values, size)
    variance -= mean * mean
    slope = np.maximum(variance - np.float32(NOISE * noise), 0)
    slope /= np.maximum(variance, np.float32(1e-12))
    offset = mean * (1 - slope)
    made = ndimage.uniform_filter(slope, size)
    made *= values
    made += ndimage.uniform_filter(offset, size)
    return np.asarray(made, dtype=np.float32)


def _noise(values: Floats, apart: Mask) -> float:
    """The variance of the noise: that of the middle one of all windows on the ground."""
    height, width = values.shape
    size, tall = 2 * RADIUS + 1, 64
    strips = max(1, min(height // tall, (1 << 20) // (tall * width) or 1))
    variances = []
    for start in np.linspace(0, max(0, height - tall), strips).astype(int):
        part, out = values[start : start + tall], ~apart[start : start + tall]
        mean = ndimage.uniform_filter(part, size)
        variance = ndimage.uniform_filter(part * part, size) - mean * mean
        variances.append(variance[out])
    seen = np.concatenate(variances)
    return max(0.0, float(np.median(seen))) if len(seen) else 0.0


def _add_specks(flaws: Mask, pixels: NDArray[np.uint8], kept: Mask, speck: float) -> None:
    """Marks what stands out of the ground and is no larger than a speck."""
    contrast = luminance(pixels)
    under = Background(fill(contrast, kept | flaws))
    for band in _bands(*contrast.shape):
        surface = under.rows(band)
        part = contrast[band]
        part -= surface
        part /= surface + np.float32(DARK_OFFSET)
    contrast = ndimage.gaussian_filter(contrast, 0.7)
    np.abs(contrast, out=contrast)
    step = max(1, min(contrast.shape) // 512)
    ground = contrast[::step, ::step][~(kept | flaws)[::step, ::step]]
    if not len(ground):
        return
    noise = float(np.median(ground)) / 0.6745
    out = contrast > max(CERTAIN * noise, FAINTEST)
    del contrast, under
    parts, count = ndimage.label(out, np.ones((3, 3)))
    sizes = np.bincount(parts.ravel(), minlength=count + 1)
    small = sizes <= np.pi / 4 * speck**2
    small[0] = False
    # What touches an object is part of it, or cannot be told from it.
    small[np.unique(parts[kept])] = False
    found = small[parts]
    del parts
    flaws |= _wider(found, 2) & ~kept


def _layers(pixels: NDArray[np.uint8]) -> list[NDArray[np.uint8]]:
    """The picture's channels; one of them where all are alike."""
    if pixels.ndim == 2:
        return [pixels]
    red = pixels[..., 0]
    if all(np.array_equal(red, pixels[..., other]) for other in (1, 2)):
        return [red]
    return [pixels[..., channel] for channel in range(3)]


def _wider(mask: Mask, by: int) -> Mask:
    """A mask made wider by so many pixels."""
    return np.asarray(ndimage.maximum_filter(mask, size=2 * by + 1)) if by > 0 else mask


def _blurred(mask: Mask) -> Floats:
    """A mask with edges as wide as a window."""
    return np.asarray(ndimage.uniform_filter(mask.astype(np.float32), 2 * RADIUS + 1), dtype=np.float32)


def _sums(values: Floats) -> Floats:
    """Sums over blocks."""
    padded = np.pad(values, [(0, -side % BLOCK) for side in values.shape])
    rows, columns = (side // BLOCK for side in padded.shape)
    return padded.reshape(rows, BLOCK, columns, BLOCK).sum(axis=(1, 3), dtype=np.float32)


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows in parts of about two million pixels."""
    tall = max(1, (1 << 21) // width)
    for start in range(0, height, tall):
        yield slice(start, min(height, start + tall))


