"""Windows over the rows of a table: a fixed number of rows of one machine become one row of features.

Sensors write rows; models of tables take features: how high a reading is, how it spreads, whether it climbs, whether it
swings. A training recipe and a tool name the same `Windows`, so what a model sees in use is what it saw in training. Rules:

1. Nothing is fitted: a feature depends on the rows of its window and, where it is told `against` the beginning, on the
   first windows of the same machine, and on nothing else.
2. Rows of different machines never meet in a window, and rows keep the order of the table, which is that of time.
3. Windows are counted in rows, not in hours: what an hour means differs between plants, and no clock is read.
4. A missing reading is left out. A window in which more than half of a column is missing has no feature of it (NaN).
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Literal, Self, TypeAlias

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray
from pydantic import Field, model_validator

from cloister.data.schema import ColumnName
from cloister.foundation.documents import Document
from cloister.foundation.errors import BadInput

Statistic: TypeAlias = Literal["mean", "deviation", "minimum", "maximum", "slope", "band"]
Reals: TypeAlias = NDArray[np.float64]

_MOST_CELLS = 1 << 22
"""Cells of windows that are computed at a time, so that overlapping windows of a long table do not fill the memory."""
_SMALLEST_RATIO = 1e-9


class Feature(Document):
    """One feature of a window.

    Attributes:
        name: of the column that is made.
        column: of the rows that it is made of.
        statistic: `mean`; `deviation` (standard, of the rows as they are, not an estimate); `minimum`; `maximum`; `slope`
            (of the straight line fitted by least squares, per row); `band` (the root of the part of the variance between
            two frequencies: how much the reading swings at that pace).
        low: of `band`, the lowest frequency, in cycles per row.
        high: of `band`, the highest; 0.5 is the fastest that rows can show.
        against: `beginning` compares with the median of the machine's first windows, by difference; `ratio` by the natural
            logarithm of the ratio, for readings above zero whose scale differs from machine to machine.
    """

    name: ColumnName
    column: ColumnName
    statistic: Statistic
    low: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    high: Annotated[float, Field(ge=0, le=0.5)] = 0.5
    against: Literal["nothing", "beginning", "ratio"] = "nothing"

    @model_validator(mode="after")
    def _band_is_one(self) -> Self:
        if self.low >= self.high:
            raise ValueError("a band begins below its end")
        return self


class Windows(Document):
    """How rows become windows.

    Attributes:
        by: the column whose values name the machines; each has windows of its own.
        length: rows in a window.
        stride: rows from the beginning of a window to that of the next.
        beginning: windows at the start of each machine's rows with whose median features are compared, where they are
            told to be. A machine should be sound then, for instance after an overhaul.
        features: what is computed of each window, in order.
    """

    by: ColumnName
    length: Annotated[int, Field(ge=2, le=10_000)]
    stride: Annotated[int, Field(ge=1, le=10_000)]
    beginning: Annotated[int, Field(ge=1, le=1000)] = 8
    features: Annotated[tuple[Feature, ...], Field(min_length=1, max_length=256)]

    @model_validator(mode="after")
    def _names_differ(self) -> Self:
        names = [feature.name for feature in self.features]
        if len({*names, self.by}) != len(names) + 1:
            raise ValueError("every feature needs a name of its own, other than the machines' column")
        return self

    @property
    def sources(self) -> tuple[str, ...]:
        """The columns of readings that features are made of, each once, in order."""
        return tuple(dict.fromkeys(feature.column for feature in self.features))

    @property
    def names(self) -> tuple[str, ...]:
        """The features' names, in order."""
        return tuple(feature.name for feature in self.features)


@dataclass(frozen=True)
class Made:
    """What came of a table.

    Args:
        keys: the machine of each window.
        last: the place, in the table, of each window's last row: what else is known of a window stands there.
        features: float64 [windows, features]; NaN where there is none.
    """

    keys: tuple[Hashable, ...]
    last: NDArray[np.intp]
    features: Reals


def windows_of(plan: Windows, keys: Iterable[Hashable], columns: Mapping[str, Reals]) -> Made:
    """The windows of a table, machine by machine in order of appearance, each machine's in order of time.

    Args:
        plan: how.
        keys: the machine of each row.
        columns: readings by name, float64, NaN where missing; each as long as `keys`.

    Raises:
        BadInput: a row names no machine, or a column is lacking.
    """
    for name in plan.sources:
        if name not in columns:
            raise BadInput(
                f"There is no column {name!r} to make features of.", "", "Name a column of the table."
            )
    places = _places(keys, plan.by)
    found_keys: list[Hashable] = []
    last: list[NDArray[np.intp]] = []
    parts: list[Reals] = []
    for key, rows in places.items():
        if len(rows) < plan.length:
            continue
        ends = rows[plan.length - 1 :: plan.stride]
        made = np.stack(
            [_feature(plan, feature, columns[feature.column][rows]) for feature in plan.features], axis=1
        )
        found_keys += [key] * len(ends)
        last.append(ends)
        parts.append(made)
    empty = np.zeros((0, len(plan.features)))
    return Made(
        tuple(found_keys),
        np.concatenate(last) if last else np.zeros(0, np.intp),
        np.concatenate(parts) if parts else empty,
    )


def _places(keys: Iterable[Hashable], by: str) -> dict[Hashable, NDArray[np.intp]]:
    """Machine → its rows' places, in the order of the table."""
    found: dict[Hashable, list[int]] = {}
    for place, key in enumerate(keys):
        if key is None or key == "" or key != key:  # noqa: PLR0124 - NaN is the only value that differs from itself
            raise BadInput(
                f"Row {place + 1} does not say in {by!r} what it is of.",
                "Windows are made of the rows of one machine.",
                "Complete the column, or leave the row out.",
            )
        found.setdefault(key, []).append(place)
    return {key: np.asarray(rows, np.intp) for key, rows in found.items()}


def _feature(plan: Windows, feature: Feature, readings: Reals) -> Reals:
    """One feature of all windows of one machine."""
    seen = sliding_window_view(readings, plan.length)[:: plan.stride]
    at_a_time = max(1, _MOST_CELLS // plan.length)
    values = np.concatenate(
        [_statistic(feature, seen[at : at + at_a_time]) for at in range(0, len(seen), at_a_time)]
    )
    if feature.against == "nothing":
        return values
    if feature.against == "ratio":
        with np.errstate(invalid="ignore"):
            values = np.log(np.maximum(values, _SMALLEST_RATIO))
    first = values[: plan.beginning]
    known = first[np.isfinite(first)]
    return values - (np.median(known) if len(known) else np.nan)


def _statistic(feature: Feature, seen: Reals) -> Reals:
    """A statistic of each window: [windows, rows] → [windows]."""
    present = np.isfinite(seen)
    count = present.sum(axis=1)
    enough = 2 * count >= seen.shape[1]
    safe = np.maximum(count, 1)
    filled = np.where(present, seen, 0.0)
    mean = filled.sum(axis=1) / safe
    centred = np.where(present, seen - mean[:, None], 0.0)
    if feature.statistic == "mean":
        made = mean
    elif feature.statistic == "deviation":
        made = np.sqrt((centred**2).sum(axis=1) / safe)
    elif feature.statistic == "minimum":
        made = np.where(present, seen, np.inf).min(axis=1)
    elif feature.statistic == "maximum":
        made = np.where(present, seen, -np.inf).max(axis=1)
    elif feature.statistic == "slope":
        made = _slope(centred, present, safe)
    else:
        made = _band(centred, feature.low, feature.high)
    return np.where(enough, made, np.nan)


def _slope(centred: Reals, present: NDArray[np.bool_], count: NDArray[np.int_]) -> Reals:
    """The least-squares slope over the rows that are present."""
    row = np.where(present, np.arange(centred.shape[1], dtype=np.float64), 0.0)
    away = np.where(present, row - (row.sum(axis=1) / count)[:, None], 0.0)
    spread = (away**2).sum(axis=1)
    slope: Reals = np.zeros_like(spread)
    np.divide((away * centred).sum(axis=1), spread, out=slope, where=spread > 0)
    return slope


def _band(centred: Reals, low: float, high: float) -> Reals:
    """The root of the variance between two frequencies, by the periodogram.

    The squared amplitudes of the discrete Fourier transform add up to the variance (Parseval); those of frequencies that
    stand for a pair count twice. Missing rows count as the mean.
    """
    length = centred.shape[1]
    power = np.abs(np.fft.rfft(centred, axis=1)) ** 2 / length**2
    frequencies = np.fft.rfftfreq(length)
    twice = np.full(len(frequencies), 2.0)
    twice[0] = 1.0
    if length % 2 == 0:
        twice[-1] = 1.0
    chosen = (frequencies >= low) & (frequencies <= high)
    found: Reals = np.sqrt((power * twice)[:, chosen].sum(axis=1))
    return found
