"""A micrograph to look at: its light evened, noise and flaws of the preparation taken away, its objects left as they are.

What lies within `kept` (the objects) is only evened: each of its pixels is the given one times a factor plus an offset that vary
as slowly as the lamp's light does. Outside of it, flaws are filled with the ground around them, and what cannot be told from noise
is smoothed. So a cleaned picture shows nothing that was not there, but it no longer tells what was: it is not for measurement.

Light: the background of `data.normalise` is found without objects and flaws, and moved to one level. Where it is bright its
unevenness divides out, where it is black it is taken away; between the two by the same `DARK_OFFSET` as there.
The picture is gone through in parts, so that memory beside its pixels and masks does not grow with it.
Noise: a guided filter that guides itself (K. He et al., "Guided image filtering", ECCV 2010), with the share of each window's
variance that is not noise as its slope (J.-S. Lee, IEEE PAMI 2(2), 1980).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from cloister.data.normalise import DARK_OFFSET, Background, luminance
from cloister.foundation.errors import BadInput

NOT_FOR_MEASUREMENT = "cleaned: not for measurement"
"""What every cleaned picture says of itself."""

RADIUS = 3
"""Of the windows in which noise is told from structure, pixels."""

NOISE = 1.6
"""Variance, over the noise's own, up to which a window is taken to hold noise only."""

BLOCK = 8
"""Side of the blocks whose means fill flaws, pixels; smaller in small pictures, which have `FEWEST` of them along a side."""

FEWEST = 64

CERTAIN = 5.0
"""Contrast of a speck over the noise."""

FAINTEST = 0.04
"""Contrast below which nothing is a speck, however little noise there is."""

LARGEST_SPECK = 64
"""Pixels; parts of a picture are looked at with so many rows of the next."""

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
        speck: diameter in pixels, at most `LARGEST_SPECK`, up to which anything outside of `kept` that stands out is a flaw; 0
            for none.
        tick: told the share done, 0 to 1.

    Returns:
        uint8, the same shape.

    Raises:
        BadInput: another type, or masks of another size.
    """
    height, width = pixels.shape[:2]
    if pixels.dtype != np.uint8 or any(
        mask is not None and mask.shape != (height, width) for mask in (kept, litter)
    ):
        raise BadInput(
            "This picture cannot be cleaned.",
            "It is not of 8 bits a sample, or what is to be kept of it has another size.",
            "Give uint8 pixels and masks of their height and width.",
        )
    flaws = (litter & ~kept) if litter is not None else np.zeros((height, width), dtype=bool)
    if speck > 0:
        _add_specks(flaws, pixels, kept, min(speck, LARGEST_SPECK))
    tick(0.25)
    layers = _layers(pixels)
    made = np.empty(pixels.shape, dtype=np.uint8)
    for place, layer in enumerate(layers):
        parts = _cleaned(layer, kept, flaws)
        for band, part in parts:
            if pixels.ndim == 2:
                made[band] = part
            elif len(layers) == 1:
                made[band] = part[..., None]
            else:
                made[band, :, place] = part
            tick(0.25 + 0.75 * (place + band.stop / height) / len(layers))
    return made


class Ground:
    """A picture without what lies in holes: means of blocks, smoothed, and where a block has none those of the blocks around it.

    Normalised convolution (H. Knutsson, C.-F. Westin, CVPR 1993) with a Gaussian that is made wider until every block has a value.

    Args:
        read: the values of some rows, float32 [rows, width].
        holes: bool, [height, width].
    """

    def __init__(
        self, read: Callable[[slice], Floats], holes: Callable[[slice], Mask], shape: tuple[int, int]
    ) -> None:
        height, self.width = shape
        # A power of two, as `BLOCK` is, so that parts of the picture begin with a block.
        self.block = min(BLOCK, 1 << max(0, (min(shape) // FEWEST).bit_length() - 1))
        grid = -(-height // self.block), -(-self.width // self.block)
        count, total = np.zeros(grid, dtype=np.float32), np.zeros(grid, dtype=np.float32)
        for band in _bands(*shape):
            there, rows = ~holes(band), slice(band.start // self.block, -(-band.stop // self.block))
            count[rows] = _sums(there.astype(np.float32), self.block)
            total[rows] = _sums(np.where(there, read(band), np.float32(0.0)), self.block)
        self.means = _filled(total, count)

    def rows(self, band: slice) -> Floats:
        """The ground under some rows, float32 [rows, width]."""
        return spread(self.means, self.block, band, self.width)


def spread(coarse: Floats, block: int, band: slice, width: int) -> Floats:
    """Values of blocks as values of pixels, bilinear between the blocks' centres, for some rows: float32 [rows, width]."""

    def between(first: int, last: int, count: int) -> tuple[NDArray[np.intp], Floats]:
        place = np.clip((np.arange(first, last) + 0.5) / block - 0.5, 0, count - 1)
        low = np.minimum(place.astype(np.intp), max(0, count - 2))
        return low, (place - low).astype(np.float32)

    low, share = between(band.start, band.stop, coarse.shape[0])
    down = (
        coarse[low] * (1 - share[:, None]) + coarse[np.minimum(low + 1, coarse.shape[0] - 1)] * share[:, None]
    )
    low, share = between(0, width, coarse.shape[1])
    made: Floats = down[:, low]
    made += (down[:, np.minimum(low + 1, coarse.shape[1] - 1)] - made) * share
    return made


def _filled(total: Floats, count: Floats) -> Floats:
    from scipy import ndimage

    found = np.zeros_like(total)
    empty = np.ones(total.shape, dtype=bool)
    wide = 0.8
    while empty.any() and count.any():
        near = ndimage.gaussian_filter(count, wide, mode="constant")
        mean = ndimage.gaussian_filter(total, wide, mode="constant") / np.maximum(near, 1e-12)
        # Far tails of the Gaussian are rounding.
        now = empty & (near > 1e-3 * float(near.max()))
        found[now] = mean[now]
        empty &= ~now
        wide *= 2.0
    return found


def _cleaned(layer: NDArray[np.uint8], kept: Mask, flaws: Mask) -> Iterator[tuple[slice, NDArray[np.uint8]]]:
    """One channel, part by part."""
    height, width = layer.shape

    def apart(band: slice) -> Mask:
        return kept[band] | flaws[band]

    def given(band: slice) -> Floats:
        return layer[band].astype(np.float32) / np.float32(255.0)

    ground = Ground(given, apart, layer.shape)
    block = ground.block
    light = Background(ground.means).rows(slice(None))
    level = np.float32(np.median(light))

    def even(band: slice) -> Floats:
        made = given(band)
        np.copyto(made, ground.rows(band), where=flaws[band])
        under = spread(light, block, band, width)
        made -= under
        under += np.float32(DARK_OFFSET)
        made *= (level + np.float32(DARK_OFFSET)) / under
        made += level
        return made

    noise = _noise(even, apart, layer.shape)
    reach = 2 * RADIUS
    for band in _bands(height, width):
        wide = slice(max(0, band.start - reach), min(height, band.stop + reach))
        values = even(wide)
        smooth = _smoothed(values, spread(noise, BLOCK, wide, width))
        still = 1 - _blurred(~_wider(kept[wide], RADIUS))
        smooth += still * (values - smooth)
        inner = smooth[band.start - wide.start : band.stop - wide.start]
        yield band, np.clip(inner * np.float32(255.0) + np.float32(0.5), 0, 255).astype(np.uint8)


def _smoothed(values: Floats, noise: Floats) -> Floats:
    """A guided filter that guides itself: windows of noise become their mean, windows with structure stay."""
    from scipy import ndimage

    size = 2 * RADIUS + 1
    mean = ndimage.uniform_filter(values, size)
    variance = ndimage.uniform_filter(values * values, size)
    variance -= mean * mean
    slope = np.maximum(variance - np.float32(NOISE) * noise, 0)
    slope /= np.maximum(variance, np.float32(1e-12))
    mean *= 1 - slope
    made = ndimage.uniform_filter(slope, size)
    made *= values
    made += ndimage.uniform_filter(mean, size)
    return np.asarray(made, dtype=np.float32)


def _noise(
    even: Callable[[slice], Floats],
    apart: Callable[[slice], Mask],
    shape: tuple[int, int],
) -> Floats:
    """The variance of the noise for each block: a smooth surface under the variances within blocks of the ground.

    Evening the light has made the noise stronger where there was little.
    """
    side = BLOCK
    grid = -(-shape[0] // side), -(-shape[1] // side)
    variance, seen = np.zeros(grid, dtype=np.float32), np.zeros(grid, dtype=np.float32)
    for band in _bands(*shape):
        there, values = ~apart(band), even(band)
        rows = slice(band.start // side, -(-band.stop // side))
        weight = _sums(there.astype(np.float32), side)
        mean = _sums(np.where(there, values, np.float32(0.0)), side) / np.maximum(weight, 1)
        values -= np.repeat(np.repeat(mean, side, axis=0), side, axis=1)[: values.shape[0], : values.shape[1]]
        square = _sums(np.where(there, values * values, np.float32(0.0)), side)
        variance[rows] = square / np.maximum(weight - 1, 1)
        # Blocks that are mostly objects tell nothing.
        seen[rows] = weight > min(side * side, shape[0] * shape[1]) / 2
    whole = _filled(variance * seen, seen)
    surface: Floats = np.maximum(Background(whole).rows(slice(None)), np.float32(0))
    return surface


def _add_specks(flaws: Mask, pixels: NDArray[np.uint8], kept: Mask, speck: float) -> None:
    """Marks what stands out of the ground and is no larger than a speck."""
    from scipy import ndimage

    shape = pixels.shape[:2]
    height = shape[0]

    def apart(band: slice) -> Mask:
        return kept[band] | flaws[band]

    def grey(band: slice) -> Floats:
        return luminance(pixels[band])

    ground = Ground(grey, apart, shape)
    light = Background(ground.means).rows(slice(None))

    def contrast(band: slice) -> Floats:
        under = spread(light, ground.block, band, shape[1])
        made = grey(band) - under
        made /= under + np.float32(DARK_OFFSET)
        smooth: Floats = np.abs(ndimage.gaussian_filter(made, 0.7))
        return smooth

    every = list(_bands(*shape))
    middle = every[len(every) // 2]
    there = contrast(middle)[~apart(middle)]
    if not len(there):
        return
    lowest = max(CERTAIN * float(np.median(there)) / 0.6745, FAINTEST)
    known = flaws.copy()
    for band in every:
        wide = slice(max(0, band.start - LARGEST_SPECK), min(height, band.stop + LARGEST_SPECK))
        values = contrast(wide)
        out = values > lowest
        parts, count = ndimage.label(out, np.ones((3, 3)))
        number, high = parts[out], values[out]
        highest = np.zeros(count + 1, dtype=np.float32)
        np.maximum.at(highest, number, high)
        # Its size at half its height, as blur makes it no larger there.
        sizes = np.bincount(number[high >= highest[number] / 2], minlength=count + 1)
        small = sizes <= np.pi / 4 * speck**2
        # What touches an object is part of it, or cannot be told from it; what goes on beyond the rows seen here is no speck.
        small[0] = False
        small[np.unique(parts[kept[wide]])] = False
        if wide.start > 0:
            small[np.unique(parts[0])] = False
        if wide.stop < height:
            small[np.unique(parts[-1])] = False
        found = _wider(small[parts], 2)[band.start - wide.start : band.stop - wide.start]
        known[band] |= found & ~kept[band]
    flaws |= known


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
    from scipy import ndimage

    return np.asarray(ndimage.maximum_filter(mask, size=2 * by + 1))


def _blurred(mask: Mask) -> Floats:
    """A mask with edges as wide as a window."""
    from scipy import ndimage

    return np.asarray(ndimage.uniform_filter(mask.astype(np.float32), 2 * RADIUS + 1), dtype=np.float32)


def _sums(values: Floats, side: int) -> Floats:
    """Sums over blocks."""
    padded = np.pad(values, [(0, -length % side) for length in values.shape])
    rows, columns = (length // side for length in padded.shape)
    made: Floats = padded.reshape(rows, side, columns, side).sum(axis=(1, 3), dtype=np.float32)
    return made


def _bands(height: int, width: int) -> Iterator[slice]:
    """Rows in parts of about two million pixels, which begin where blocks do."""
    tall = max(1, (1 << 21) // width // BLOCK) * BLOCK
    for start in range(0, height, tall):
        yield slice(start, min(height, start + tall))
