"""A trend as files: a drawing (SVG) with its control limits, and a table (CSV) that plots anywhere."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Sequence
from xml.sax.saxutils import escape, quoteattr

from cloister.tools.batch.trends import Limits, Point, Trend

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 860, 360, 72, 96, 48, 64
_LINE, _OUT, _LIMIT = "#0072b2", "#d55e00", "#666"
_LABELS = 8


def period_name(point: Point, trend: Trend) -> str:
    """A period as people write it: a day, or a day and the hour at which it began."""
    return point.start.strftime("%Y-%m-%d" if trend.by == "day" else "%Y-%m-%d %H:%M")


def trend_csv(trend: Trend) -> bytes:
    """One line per period, UTF-8; starts as ISO 8601 with the zone's offset, the limits in every line."""
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, lineterminator="\r\n")
    unit = f" ({trend.unit})" if trend.unit else ""
    writer.writerow(
        [
            f"start ({trend.zone})", "samples", "objects", f"{trend.column}{unit}", f"moving_range{unit}",
            f"centre{unit}", f"lower{unit}", f"upper{unit}", "outside",
        ]
    )  # fmt: skip
    held = trend.limits
    bounds: list[float | str] = ["", "", ""] if held is None else [held.centre, held.lower, held.upper]
    for point in trend.points:
        writer.writerow(
            [
                point.start.isoformat(timespec="minutes"),
                point.samples,
                "" if point.objects is None else point.objects,
                point.value,
                "" if point.moving_range is None else point.moving_range,
                *bounds,
                int(point.outside),
            ]
        )
    return stream.getvalue().encode("utf-8")


def trend_svg(trend: Trend) -> bytes:
    """A chart of individuals: the values in their order, their mean, and the natural process limits as dashed lines.

    Periods stand at equal distances in the order of time; those without samples are left out. What lies outside the limits has
    another colour and another shape, and every point tells its figures when pointed at.
    """
    unit = f" ({trend.unit})" if trend.unit else ""
    title = f"{trend.column}{unit} by {trend.by}"
    y = _scale(trend.points, trend.limits)
    slot = (_WIDTH - _LEFT - _RIGHT) / max(1, len(trend.points))
    places = [(_LEFT + slot * (place + 0.5), y(point.value)) for place, point in enumerate(trend.points)]
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img"'
            f' aria-label={quoteattr(spoken(trend))} font-family="sans-serif" font-size="12">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" fill="#222">{escape(title)}</text>',
        f'<text x="{_WIDTH - 8}" y="24" text-anchor="end" fill="#444">{escape(f"{trend.tool}, {trend.zone}")}</text>',
        f'<line x1="{_LEFT}" y1="{_HEIGHT - _BOTTOM}" x2="{_WIDTH - _RIGHT}" y2="{_HEIGHT - _BOTTOM}" stroke="#444"/>',
        f'<line x1="{_LEFT}" y1="{_TOP}" x2="{_LEFT}" y2="{_HEIGHT - _BOTTOM}" stroke="#444"/>',
        *_bounds(trend.limits, y),
        f'<polyline fill="none" stroke="{_LINE}" stroke-width="1.5" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in places)}"/>',
    ]
    step = max(1, -(-len(places) // _LABELS))
    for place, ((left, height), point) in enumerate(zip(places, trend.points, strict=True)):
        told = f"{period_name(point, trend)}: {point.value:.4g}{unit}, {point.samples} samples"
        parts.append(_mark(left, height, told, outside=point.outside))
        if place % step == 0:
            parts.append(
                f'<text x="{left:.1f}" y="{_HEIGHT - _BOTTOM + 20}" text-anchor="middle" fill="#444">'
                f"{escape(period_name(point, trend))}</text>"
            )
    return ("".join(parts) + "</svg>").encode("utf-8")


def _mark(left: float, height: float, told: str, *, outside: bool) -> str:
    if outside:
        return (
            f'<rect x="{left - 4.5:.1f}" y="{height - 4.5:.1f}" width="9" height="9" fill="{_OUT}">'
            f"<title>{escape(told)}, outside the limits</title></rect>"
        )
    return f'<circle cx="{left:.1f}" cy="{height:.1f}" r="3.5" fill="{_LINE}"><title>{escape(told)}</title></circle>'


def _bounds(limits: Limits | None, y: Callable[[float], float]) -> list[str]:
    if limits is None:
        return []
    made = []
    for name, value, dashes in (
        ("upper", limits.upper, "6 4"),
        ("mean", limits.centre, ""),
        ("lower", limits.lower, "6 4"),
    ):
        made.append(
            f'<line x1="{_LEFT}" y1="{y(value):.1f}" x2="{_WIDTH - _RIGHT}" y2="{y(value):.1f}" stroke="{_LIMIT}"'
            f'{f""" stroke-dasharray="{dashes}" """.rstrip() if dashes else ""}/>'
            f'<text x="{_WIDTH - _RIGHT + 6}" y="{y(value) + 4:.1f}" fill="#222">{name} {value:.4g}</text>'
        )
    return made


def _scale(points: Sequence[Point], limits: Limits | None) -> Callable[[float], float]:
    values = [point.value for point in points]
    if limits is not None:
        values += [limits.lower, limits.upper]
    low, high = min(values), max(values)
    room = (high - low) * 0.05 or abs(high) * 0.05 or 1.0
    low, high = low - room, high + room
    return lambda value: _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)


def spoken(trend: Trend) -> str:
    """The chart in a sentence, for those who cannot see it."""
    out = sum(point.outside for point in trend.points)
    first, last = trend.points[0], trend.points[-1]
    held = trend.limits
    between = "" if held is None else f", limits {held.lower:.4g} to {held.upper:.4g}, {out} outside"
    unit = f" {trend.unit}" if trend.unit else ""
    return (
        f"{trend.column} by {trend.by}, {len(trend.points)} periods from {period_name(first, trend)}"
        f" ({first.value:.4g}{unit}) to {period_name(last, trend)} ({last.value:.4g}{unit}){between}"
    )
