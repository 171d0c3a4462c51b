"""The distance of equally spaced lines in a picture: an object micrometer measured without clicking.

Equally spaced lines are one frequency and its multiples. The picture's Fourier transform has its highest peak there; the peak
is then refined by climbing the spectrum between its grid points, so that the period comes out to a small fraction of
a pixel however the lines are turned. A scale with every fifth or tenth line longer has weaker peaks at fractions of that
frequency, and these are not taken. Each third of the picture along the scale, refined alone, has to agree: how far they
differ is the uncertainty, and it contains the distortion of the optics.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

MAX_SIDE: Final = 20_000
MIN_LINES: Final = 6
"""Fewer lines across the picture are no scale but a few lines."""
MIN_PERIOD: Final = 3.0
"""Pixels."""
_PROMINENCE: Final = 50.0
"""The peak's power against the mean of the spectrum; noise alone reaches about 20, the logarithm of the number of pixels."""
_AGREEMENT: Final = 0.02
_BLOCKS: Final = 64

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class RuledLines:
    """What was found.

    Attributes:
        period: between neighbouring lines, at right angles to them, pixels.
        uncertainty: standard, of the period, pixels.
        angle: of the direction across the lines against x, degrees, -90..90.
    """

    period: float
    uncertainty: float
    angle: float


def find_lines(picture: NDArray[Any]) -> RuledLines:
    """The period of the lines that a picture shows.

    Args:
        picture: [height, width], or [height, width, channels]; at least 64 pixels a side, at most `MAX_SIDE`.

    Raises:
        BadInput: another shape, or no equally spaced lines: fewer than `MIN_LINES`, closer than `MIN_PERIOD`
            pixels, not prominent enough, or different in parts of the picture.
    """
    grey = np.asarray(picture, dtype=np.float64)
    grey = grey.mean(axis=2) if grey.ndim == 3 else grey
    if (
        grey.ndim != 2
        or not 64 <= min(grey.shape) <= max(grey.shape) <= MAX_SIDE
        or not np.isfinite(grey).all()
    ):
        raise _refused(f"A picture of 64 to {MAX_SIDE} pixels a side is needed.")
    frequency = _refine(grey, _peak(grey))
    along_x = abs(frequency[0]) >= abs(frequency[1])
    thirds = np.array_split(grey, 3, axis=1 if along_x else 0)
    lengths = [float(np.hypot(*_refine(third, frequency))) for third in thirds]
    period = 1.0 / float(np.hypot(*frequency))
    parts = 1.0 / np.array(lengths)
    if np.abs(parts / period - 1.0).max() > _AGREEMENT:
        raise _refused("The lines are not equally far apart in all parts of the picture.")
    turn = -1.0 if frequency[0] < 0 else 1.0
    angle = float(np.degrees(np.arctan2(turn * frequency[1], turn * frequency[0])))
    return RuledLines(period, float(parts.std(ddof=1) / np.sqrt(3.0)), angle)


def _peak(grey: Floats) -> Floats:
    """The frequency (x, y; cycles per pixel) of the highest peak that can be lines."""
    windowed = _windowed(grey)
    power = np.abs(np.fft.rfft2(windowed)) ** 2
    down, across = np.fft.fftfreq(grey.shape[0]), np.fft.rfftfreq(grey.shape[1])
    # Cycles over the picture along each axis: so many lines are seen at least.
    cycles = np.hypot(down[:, None] * grey.shape[0], across[None] * grey.shape[1])
    length = np.hypot(down[:, None], across[None])
    usable = (cycles >= MIN_LINES) & (length <= 1.0 / MIN_PERIOD)
    if not usable.any() or not (mean := float(power[usable].mean())) > 0:
        raise _refused("There is nothing in the picture.")
    row, column = np.unravel_index(int(np.argmax(np.where(usable, power, 0.0))), power.shape)
    if power[row, column] < _PROMINENCE * mean:
        raise _refused("No equally spaced lines stand out.")
    best = np.array([across[column], down[row]])
    # Thin lines have multiples nearly as strong as the frequency itself; the lowest strong one is the lines'.
    for part in (4, 3, 2):
        lower = _refine(grey, best / part)
        if np.hypot(lower[0] * grey.shape[1], lower[1] * grey.shape[0]) < MIN_LINES:
            continue
        if _power(windowed, lower) >= 0.25 * power[row, column]:
            return lower
    return best


def _refine(grey: Floats, frequency: Floats) -> Floats:
    """The top of the peak next to a frequency, within one and a half grid steps each way."""
    from scipy.optimize import minimize

    blocks, across, down = _demodulated(_windowed(grey), frequency)
    step = 1.0 / np.array([grey.shape[1], grey.shape[0]])
    scale = float(np.abs(blocks.sum()) ** 2) + 1e-300

    def depth(move: Floats) -> float:
        x, y = np.clip(move, -1.5, 1.5) * step
        turned = np.exp(-2j * np.pi * y * down)[:, None] * blocks * np.exp(-2j * np.pi * x * across)[None]
        # Not as a matrix product: a library with threads spends longer on starting them than on these few numbers.
        return -float(np.abs(turned.sum()) ** 2) / scale

    start = np.array([[0.0, 0.0], [0.4, 0.0], [0.0, 0.4]])
    found = minimize(
        depth,
        start[0],
        method="Nelder-Mead",
        options={"initial_simplex": start, "xatol": 1e-5, "fatol": 1e-12},
    )
    return np.asarray(frequency + np.clip(found.x, -1.5, 1.5) * step)


def _demodulated(windowed: Floats, frequency: Floats) -> tuple[NDArray[np.complex128], Floats, Floats]:
    """The picture turned so that `frequency` stands still, summed over blocks, and the blocks' middles along x and along y.

    Near that frequency it changes so slowly that the blocks tell as much as the pixels.
    """
    sums: NDArray[np.complex128] = windowed.astype(np.complex128)
    middles = []
    for axis, cycles in ((1, frequency[0]), (0, frequency[1])):
        places = np.arange(windowed.shape[axis])
        starts = np.unique(np.linspace(0, len(places), _BLOCKS, endpoint=False).astype(np.intp))
        turned = np.exp(-2j * np.pi * cycles * places)
        sums = np.add.reduceat(sums * (turned[None] if axis else turned[:, None]), starts, axis=axis)
        ends = np.append(starts[1:], len(places))
        middles.append((starts + ends - 1) / 2.0)
    return sums, middles[0], middles[1]


def _power(windowed: Floats, frequency: Floats) -> float:
    return float(np.abs(_demodulated(windowed, frequency)[0].sum()) ** 2)


def _windowed(grey: Floats) -> Floats:
    """Without its mean and faded out at the edges (Hann), so that the picture's ends are no lines."""
    height, width = (np.hanning(length + 2)[1:-1] for length in grey.shape)
    window = height[:, None] * width[None]
    mean = float((grey * window).sum() / window.sum())
    return np.asarray((grey - mean) * window)


def _refused(why: str) -> BadInput:
    return BadInput(
        "No lines of a micrometer were found in this picture.",
        why,
        "Take a sharp picture that the scale fills, or mark two points of a known distance.",
    )
