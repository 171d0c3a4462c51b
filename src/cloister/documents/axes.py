"""Axes: from values to places on paper, with ticks at round numbers.

Ticks are the multiples of 1, 2 or 5 times a power of ten nearest to the number wanted (Heckbert 1990, "Nice numbers for graph
labels", Graphics Gems I); on a logarithmic axis they are 1, 2 and 5 in each decade.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cloister.documents.shapes import GREY, INK, PALE, Shape, Stroke, Words
from cloister.foundation.errors import BadInput


def round_ticks(low: float, high: float, wanted: int = 6) -> list[float]:
    """About `wanted` round numbers from at or above `low` to at or below `high`."""
    span = high - low
    if not math.isfinite(span) or span <= 0:
        return [low]
    rough = span / max(1, wanted)
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1.0, 2.0, 5.0, 10.0) if factor * power >= rough * (1 - 1e-9))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [number * step for number in range(first, last + 1)]


def decade_ticks(low: float, high: float) -> list[float]:
    """1, 2 and 5 times each power of ten from `low` to `high`; only powers of ten where that is more than four decades."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    factors = (1.0,) if math.log10(high / low) > 4 else (1.0, 2.0, 5.0)
    made = [factor * 10.0**power for power in decades for factor in factors]
    return [value for value in made if low * (1 - 1e-9) <= value <= high * (1 + 1e-9)]


@dataclass(frozen=True)
class Axis:
    """One axis.

    Args:
        low: the value at its start.
        high: the value at its end, above `low`.
        label: what it shows, with the unit.
        logarithmic: equal ratios take equal room; `low` is above zero then.
        ticks: where, instead of at round numbers; with their texts.

    Raises:
        BadInput: the range is empty or not finite, or a logarithmic one reaches zero.
    """

    low: float
    high: float
    label: str = ""
    logarithmic: bool = False
    ticks: Sequence[tuple[float, str]] = ()

    def __post_init__(self) -> None:
        """Checks the range."""
        if not (math.isfinite(self.low) and math.isfinite(self.high) and self.low < self.high) or (
            self.logarithmic and self.low <= 0
        ):
            raise BadInput(
                "A plot's axis has no usable range.",
                "It must be finite, from low to high, and above zero where it is logarithmic.",
                "Leave out values that are not finite numbers.",
            )

    def share(self, value: float) -> float:
        """How far along the axis a value lies: 0 at its start, 1 at its end."""
        if self.logarithmic:
            return math.log(value / self.low) / math.log(self.high / self.low)
        return (value - self.low) / (self.high - self.low)

    def marked(self) -> list[tuple[float, str]]:
        """The ticks and their texts."""
        if self.ticks:
            return list(self.ticks)
        values = decade_ticks(self.low, self.high) if self.logarithmic else round_ticks(self.low, self.high)
        return [(value, f"{_unsigned_zero(value):.6g}") for value in values]


def around(values: Iterable[float], label: str = "", *, margin: float = 0.06, zero: bool = False) -> Axis:
    """An axis that holds all finite values with some room, and zero if wished."""
    finite = [value for value in values if math.isfinite(value)] + ([0.0] if zero else [])
    low, high = (min(finite), max(finite)) if finite else (0.0, 1.0)
    room = (high - low) * margin or max(abs(high), 1.0) * 0.1
    start = 0.0 if zero and low >= 0 else low - room
    return Axis(start, high + room, label)


@dataclass(frozen=True)
class Frame:
    """The area that two axes span on paper, points."""

    x: Axis
    y: Axis
    left: float = 48.0
    bottom: float = 34.0
    width: float = 400.0
    height: float = 200.0

    def at(self, x: float, y: float) -> tuple[float, float]:
        """Where a pair of values lies, held within a hand's breadth of the frame."""
        across = min(1.5, max(-0.5, self.x.share(x)))
        along = min(1.5, max(-0.5, self.y.share(y)))
        return self.left + across * self.width, self.bottom + along * self.height

    def shapes(self, *, grid: bool = True) -> list[Shape]:
        """Axes, ticks, labels."""
        left, bottom = self.left, self.bottom
        right, top = left + self.width, bottom + self.height
        made: list[Shape] = []
        for value, text in self.x.marked():
            place = left + self.x.share(value) * self.width
            made += [
                Stroke(((place, bottom), (place, bottom - 3)), GREY, 0.6),
                Words(place, bottom - 11, text, 7.5, "middle", GREY),
            ]
        for value, text in self.y.marked():
            place = bottom + self.y.share(value) * self.height
            if grid:
                made.append(Stroke(((left, place), (right, place)), PALE, 0.4))
            made.append(Words(left - 4, place - 2.6, text, 7.5, "end", GREY))
        made += [
            Stroke(((left, top), (left, bottom), (right, bottom)), GREY, 0.8),
            Words(left + self.width / 2, bottom - 26, self.x.label, 8.5, "middle", INK),
            Words(left - 38, bottom + self.height / 2, self.y.label, 8.5, "middle", INK, up=True),
        ]
        return made


def _unsigned_zero(value: float) -> float:
    return 0.0 if abs(value) < 1e-12 else value
