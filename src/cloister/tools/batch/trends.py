"""How a figure goes over shifts, days or hours, and which periods are out of the ordinary.

The samples of each period are put together by their mean (each picture counts once, however many objects it shows). On this
series stands an individuals chart: with x_i the value of period i and MR_i = |x_i - x_(i-1)| its moving range, the natural process
limits are mean(x) ± 2.66 mean(MR), and the upper limit of the moving range is 3.267 mean(MR). 2.66 is 3/d2 and 3.267 is D4 for
subgroups of two, d2 = 1.128. Sources: ISO 7870-2:2013, clause on charts for individuals (E2 = 2.660); NIST/SEMATECH e-Handbook of
Statistical Methods, section 6.3.2.2; W. A. Shewhart, Economic Control of Quality of Manufactured Product, 1931.

The limits assume that successive periods vary by chance alone and are roughly independent; pictures of one batch that lasts over
several periods are not. Limits from fewer than some 20 periods are rough themselves.
"""

from __future__ import annotations

import itertools
import json
import math
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta, timezone, tzinfo
from pathlib import Path
from typing import Final, Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cloister.foundation.errors import BadInput, NotFound
from cloister.tools.batch.samples import Sample

By: TypeAlias = Literal["shift", "day", "hour"]

INDIVIDUALS: Final = 2.66
MOVING_RANGE: Final = 3.267
FEW: Final = 20
"""Below so many periods the limits are called rough."""

COLUMNS: Final = ("count", "agglomerates", "d10", "d50", "d90", "mean", "deviation")
_SIZES: Final = frozenset({"d10", "d50", "d90", "mean", "deviation"})
DEFAULT_SHIFTS: Final = (time(6), time(14), time(22))


@dataclass(frozen=True)
class Point:
    """One period.

    Args:
        start: when it began, in the zone asked for.
        samples: pictures in it.
        objects: their counts together; None if the tool does not count.
        value: mean of the figure over its pictures.
        moving_range: distance to the value of the period before it that has one; None for the first.
        outside: its value lies outside the limits, or its moving range above its limit.
    """

    start: datetime
    samples: int
    objects: int | None
    value: float
    moving_range: float | None = None
    outside: bool = False


@dataclass(frozen=True)
class Limits:
    """Of an individuals chart.

    Args:
        centre: mean of the values.
        lower: natural process limit.
        upper: natural process limit.
        mean_range: mean moving range.
        range_upper: limit of the moving range.
        periods: that they are computed from.
    """

    centre: float
    lower: float
    upper: float
    mean_range: float
    range_upper: float
    periods: int


@dataclass(frozen=True)
class Trend:
    """A figure over time.

    Args:
        column: which figure.
        unit: of its values, if it has one.
        by: the kind of period.
        zone: the time zone's name.
        shifts: when shifts start.
        points: the periods that have samples, in order.
        limits: None with fewer than two periods.
        tool: name and version of what computed the samples.
        left_out: samples that were computed by another tool, with other settings, or with another size of a pixel, than the newest one.
        um_per_px: size of a pixel of all of them; None: lengths are in pixels.
        uncalibrated: of how many of them that size was only stated.
    """

    column: str
    unit: str
    by: By
    zone: str
    shifts: tuple[time, ...]
    points: tuple[Point, ...]
    limits: Limits | None
    tool: str
    left_out: int = 0
    um_per_px: float | None = None
    uncalibrated: int = 0


def individuals(values: Sequence[float]) -> Limits | None:
    """The limits of an individuals chart; None for fewer than two values."""
    if len(values) < 2:
        return None
    centre = math.fsum(values) / len(values)
    ranges = [abs(after - before) for before, after in itertools.pairwise(values)]
    mean_range = math.fsum(ranges) / len(ranges)
    reach = INDIVIDUALS * mean_range
    return Limits(centre, centre - reach, centre + reach, mean_range, MOVING_RANGE * mean_range, len(values))


def trend(
    samples: Iterable[Sample],
    column: str = "d50",
    by: By = "shift",
    *,
    zone: tzinfo,
    zone_name: str,
    shifts: Sequence[time] = DEFAULT_SHIFTS,
    baseline: int | None = None,
    since: int | None = None,
) -> Trend:
    """A figure over time, from the samples that have a result.

    Samples of several tools, settings or sizes of a pixel are not put into one series: those of the newest sample's are taken.

    Args:
        samples: of the table, in any order.
        column: one of `COLUMNS`, or the name of any figure of the tool.
        by: the kind of period.
        zone: in which days, hours and shifts are counted.
        zone_name: what it is called.
        shifts: when shifts start, at least one.
        baseline: compute the limits from so many periods from the first on (at least 2); None: from all.
        since: leave out what was taken before, seconds since the epoch.

    Raises:
        NotFound: there is no sample that has the figure.
        BadInput: the baseline is too short.
    """
    if baseline is not None and baseline < 2:
        raise BadInput(
            "The baseline is too short.", "Limits need two periods at least.", "Give more of them."
        )
    starts = tuple(sorted(set(shifts))) or DEFAULT_SHIFTS
    kept = [sample for sample in samples if sample.ok and (since is None or sample.taken >= since)]
    if not kept:
        raise NotFound(
            "There are no samples with a result.", "", "Run a tool with --out, or name another database."
        )
    newest = max(kept, key=lambda sample: (sample.computed, sample.taken, sample.key))
    series = _series(newest)
    alike = sorted((sample for sample in kept if _series(sample) == series), key=lambda one: one.computed)
    # A picture that was looked at again, since another calibration says the same size of a pixel, counts once: as it was looked at last.
    same = {(sample.file, sample.digest, sample.taken): sample for sample in alike}.values()
    periods: dict[datetime, list[tuple[float, int | None]]] = {}
    for sample in same:
        value = figure(sample, column)
        if value is not None:
            start = period_start(sample.taken, by, zone, starts)
            periods.setdefault(start, []).append((value, sample.count))
    if not periods:
        raise NotFound(
            f"No sample has the figure {column[:80]!r}.",
            f"There are: {', '.join(figures_of(newest))}."[:400],
            "Name one of them with --column.",
        )
    plain = [_point(start, periods[start]) for start in sorted(periods)]
    values = [point.value for point in plain]
    limits = individuals(values if baseline is None else values[:baseline])
    return Trend(
        column,
        unit_of(newest, column),
        by,
        zone_name,
        starts if by == "shift" else (),
        tuple(_judged(plain, limits)),
        limits,
        f"{newest.tool} {newest.version}",
        len(kept) - len(alike),
        newest.um_per_px,
        sum(sample.um_per_px is not None and sample.calibration is None for sample in same),
    )


def _series(sample: Sample) -> tuple[str, str, float | None]:
    """What samples of one series have in common: a renewed calibration that says the same size begins no other."""
    return sample.tool_digest, sample.settings, sample.um_per_px


def _point(start: datetime, found: Sequence[tuple[float, int | None]]) -> Point:
    counts = [count for _, count in found]
    objects = None if None in counts else sum(count or 0 for count in counts)
    return Point(start, len(found), objects, math.fsum(value for value, _ in found) / len(found))


def _judged(points: Sequence[Point], limits: Limits | None) -> Iterable[Point]:
    before: Point | None = None
    for point in points:
        moved = None if before is None else abs(point.value - before.value)
        outside = limits is not None and (
            not limits.lower <= point.value <= limits.upper
            or (moved is not None and moved > limits.range_upper)
        )
        yield Point(point.start, point.samples, point.objects, point.value, moved, outside)
        before = point


def figure(sample: Sample, column: str) -> float | None:
    """A sample's figure by its name in the table, or by the tool's own; None if it has none."""
    if column in COLUMNS:
        value = getattr(sample, column)
    else:
        value = json.loads(sample.figures).get("values", {}).get(column)
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def figures_of(sample: Sample) -> list[str]:
    """The figures that a sample has."""
    there = [name for name in COLUMNS if getattr(sample, name) is not None]
    return there + [name for name in json.loads(sample.figures).get("values", {}) if name not in there]


def unit_of(sample: Sample, column: str) -> str:
    """The unit of a sample's figure; empty if it has none."""
    if column in COLUMNS:
        return sample.unit if column in _SIZES else ""
    return str(json.loads(sample.figures).get("units", {}).get(column, ""))


def period_start(taken: int, by: By, zone: tzinfo, shifts: Sequence[time]) -> datetime:
    """When the period of a moment began, in `zone`.

    Args:
        taken: seconds since the epoch.
        by: the kind of period; hours are those of the clock on the wall, the one that a change of clocks repeats is two.
        zone: where.
        shifts: when shifts start, sorted; before a day's first start runs the last shift of the day before.
    """
    moment = datetime.fromtimestamp(taken, UTC).astimezone(zone)
    if by == "hour":
        return _fixed(moment.replace(minute=0, second=0, microsecond=0))
    if by == "day":
        return _fixed(datetime.combine(moment.date(), time(), tzinfo=zone))
    begun = [start for start in shifts if start <= moment.time()]
    day = moment.date() if begun else moment.date() - timedelta(days=1)
    return _fixed(datetime.combine(day, (begun or shifts)[-1], tzinfo=zone))


def _fixed(moment: datetime) -> datetime:
    """The moment with the offset that holds then: times of one zone compare by the wall clock, which has an hour twice."""
    return moment.replace(tzinfo=timezone(moment.utcoffset() or timedelta()), fold=0)


def local_zone() -> tuple[tzinfo, str]:
    """This machine's time zone, with its rules where they can be found, and its name."""
    names = [os.environ.get("TZ", "").removeprefix(":")]
    link = Path("/etc/localtime")
    if link.is_symlink():
        names.append(str(link.resolve()).partition("zoneinfo/")[2])
    for name in names:
        if name:
            try:
                return ZoneInfo(name), name
            except (ZoneInfoNotFoundError, ValueError, OSError):
                continue
    here = datetime.now().astimezone()
    return here.tzinfo or UTC, here.tzname() or "UTC"


def named_zone(name: str) -> tuple[tzinfo, str]:
    """The time zone of this name (for example Europe/Vienna), and the name. Raises `BadInput` if there is none."""
    try:
        return ZoneInfo(name), name
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadInput(
            f"There is no time zone {name[:80]!r} here.",
            "Zones have the names of the IANA time zone database.",
            "Write for example Europe/Vienna, or UTC.",
        ) from None


def shift_times(text: str) -> tuple[time, ...]:
    """Start times such as `06:00,14:00,22:00`, sorted. Raises `BadInput`."""
    try:
        made = [datetime.strptime(item.strip(), "%H:%M").time() for item in text.split(",")]  # noqa: DTZ007 - a time of the day, of no day
    except ValueError:
        made = []
    if not made or len(made) > 24 or len(set(made)) != len(made):
        raise BadInput(
            "The starts of the shifts cannot be read.",
            "They are times of the day, hours and minutes, with commas between.",
            "Write for example --shifts 06:00,14:00,22:00",
        )
    return tuple(sorted(made))
