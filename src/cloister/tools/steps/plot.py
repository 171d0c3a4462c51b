"""Lines over the rows of a table, one for each machine, as a picture: how a score went, and where it stands now."""

from __future__ import annotations

import io
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal
from xml.sax.saxutils import escape, quoteattr

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.schema import ColumnName, Line
from cloister.foundation.text import one_line
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, columns_needed
from cloister.tools.steps.tabular import numbers

_WIDTH, _HEIGHT, _LEFT, _RIGHT, _BOTTOM, _TOP = 760, 360, 56, 150, 48, 40
_COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#222222", "#8c6d1f")
"""Colours that the colour-blind tell apart (Okabe and Ito 2008), yellow left out: it is too pale for a line."""
_OTHERS = "#c8c8c8"


class Plot(Parameters):
    """Lines of one column over the rows.

    Args:
        column: of numbers, upwards.
        by: one line for each value of this column, over its own rows in order.
        title: above the lines.
        named: this many lines have a colour and a name: those that end highest (or lowest); the others are grey.
        lowest_first: name those that end lowest.
        mark: draw a level at this value; none if null.
        form: SVG scales and is read aloud; PNG can be pasted anywhere, and its letters are those of basic Latin only.
    """

    column: ColumnName
    by: ColumnName
    title: Line = ""
    named: Annotated[int, Field(ge=1, le=8)] = 6
    lowest_first: bool = False
    mark: float | None = None
    form: Literal["svg", "png"] = "svg"


@dataclass(frozen=True)
class _Drawn:
    """Lines in pixels, the grey ones first: (name or empty, colour, points)."""

    lines: list[tuple[str, str, list[tuple[float, float]]]]
    low: float
    high: float
    most: int
    level: float | None


def plot(_context: Context, parameters: Plot, *, table: t.Table) -> t.Picture:
    """Lines over the rows of a table, one for each value of a column."""
    values = numbers(table, parameters.column)
    series: dict[Hashable, list[float]] = {}
    for key, value in zip(table.columns[parameters.by].tolist(), values, strict=True):
        if np.isfinite(value):
            series.setdefault(key, []).append(float(value))
    sign = 1 if parameters.lowest_first else -1
    ends = sorted(series, key=lambda key: sign * series[key][-1])
    named = ends[: parameters.named]
    drawn = _laid_out(series, named, parameters.mark)
    title = parameters.title or f"{parameters.column} of each {parameters.by}"
    spoken = _spoken(title, series, named)
    axis = table.heading(parameters.column)
    if parameters.form == "png":
        return t.Picture(_png(drawn, title, axis), "image/png", spoken)
    return t.Picture(_svg(drawn, title, axis, spoken), "image/svg+xml", spoken)


def _laid_out(series: Mapping[Hashable, list[float]], named: list[Hashable], mark: float | None) -> _Drawn:
    every: NDArray[Any] = np.asarray([value for found in series.values() for value in found] or [0.0, 1.0])
    low, high = float(every.min()), float(every.max())
    if mark is not None:
        low, high = min(low, mark), max(high, mark)
    if low == high:
        low, high = low - 0.5, high + 0.5
    most = max((len(found) for found in series.values()), default=1)

    def up(value: float) -> float:
        return _HEIGHT - _BOTTOM - (value - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)

    def points(found: list[float]) -> list[tuple[float, float]]:
        across = (_WIDTH - _RIGHT - _LEFT) / max(1, most - 1)
        return [(_LEFT + across * place, up(value)) for place, value in enumerate(found)]

    grey = [("", _OTHERS, points(found)) for key, found in series.items() if key not in set(named)]
    colour = [
        (one_line(str(key))[:18], _COLOURS[place], points(series[key])) for place, key in enumerate(named)
    ]
    # The first of those that are named is drawn last, over all others.
    colour.reverse()
    return _Drawn([*grey, *colour], low, high, most, None if mark is None else up(mark))


def _svg(drawn: _Drawn, title: str, axis: str, spoken: str) -> bytes:
    base = _HEIGHT - _BOTTOM
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label={quoteattr(spoken)} font-family="sans-serif" font-size="13">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" fill="#222">{escape(title)}</text>',
    ]
    if drawn.level is not None:
        parts.append(
            f'<line x1="{_LEFT}" y1="{drawn.level:.1f}" x2="{_WIDTH - _RIGHT}" y2="{drawn.level:.1f}" '
            'stroke="#444" stroke-dasharray="4 4"/>'
        )
    for _name, colour, points in drawn.lines:
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.6"/>')
    for x, y, text, anchor, colour in _texts(drawn, axis):
        parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{colour}">{escape(text)}</text>'
        )
    parts.append(f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH - _RIGHT}" y2="{base}" stroke="#444"/></svg>')
    return "".join(parts).encode("utf-8")


def _png(drawn: _Drawn, title: str, axis: str) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    zoom = 2
    picture = Image.new("RGB", (_WIDTH * zoom, _HEIGHT * zoom), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13 * zoom)
    title_font = ImageFont.load_default(15 * zoom)
    pen.text((_LEFT * zoom, 10 * zoom), _latin(title), fill="#222222", font=title_font)
    if drawn.level is not None:
        for left in range(_LEFT, _WIDTH - _RIGHT, 8):
            level = drawn.level * zoom
            pen.line((left * zoom, level, (left + 4) * zoom, level), "#444444", zoom)
    for _name, colour, points in drawn.lines:
        if len(points) > 1:
            pen.line([(x * zoom, y * zoom) for x, y in points], fill=colour, width=zoom * 2, joint="curve")
        elif points:
            x, y = points[0]
            pen.ellipse([(x - 2) * zoom, (y - 2) * zoom, (x + 2) * zoom, (y + 2) * zoom], fill=colour)
    anchors = {"middle": "ms", "end": "rs", "start": "ls"}
    for x, y, text, anchor, colour in _texts(drawn, axis):
        pen.text((x * zoom, y * zoom), _latin(text), fill=colour, font=font, anchor=anchors[anchor])
    base = (_HEIGHT - _BOTTOM) * zoom
    pen.line((_LEFT * zoom, base, (_WIDTH - _RIGHT) * zoom, base), fill="#444444", width=zoom)
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def _latin(text: str) -> str:
    """What Pillow's own font can show."""
    return text.replace("µ", "u").encode("latin-1", "replace").decode("latin-1")


def _texts(drawn: _Drawn, axis: str) -> list[tuple[float, float, str, str, str]]:
    """Ticks, what the axis is, and beside the lines the names, the first one above."""
    base, middle = float(_HEIGHT - _BOTTOM), (_LEFT + _WIDTH - _RIGHT) / 2
    if not any(points for _, _, points in drawn.lines):
        return [(middle, base - 100, "nothing to show", "middle", "#444444")]
    made = [
        (_LEFT - 8.0, base + 4, _tick(drawn.low, drawn), "end", "#444444"),
        (_LEFT - 8.0, _TOP + 5.0, _tick(drawn.high, drawn), "end", "#444444"),
        (float(_LEFT), base + 18, "1", "middle", "#444444"),
        (float(_WIDTH - _RIGHT), base + 18, str(drawn.most), "middle", "#444444"),
        (middle, base + 34, f"{axis}, over the rows in order", "middle", "#222222"),
    ]
    names = [(name, colour) for name, colour, _ in reversed(drawn.lines) if name]
    return made + [
        (_WIDTH - _RIGHT + 12.0, _TOP + 5.0 + 18 * place, name, "start", colour)
        for place, (name, colour) in enumerate(names)
    ]


def _tick(value: float, drawn: _Drawn) -> str:
    """A value at the axis; what is nothing beside the axis' length is 0."""
    return "0" if abs(value) < 1e-4 * (drawn.high - drawn.low) else f"{value:.3g}"


def _spoken(title: str, series: Mapping[Hashable, list[float]], named: list[Hashable]) -> str:
    if not series:
        return f"{title}: nothing to show"
    told = ", ".join(f"{one_line(str(key))[:40]} ends at {series[key][-1]:.3g}" for key in named)
    return f"{title}: {len(series)} lines; {told}"


def _checked(
    inputs: Mapping[str, t.ValueType], parameters: Plot, _models: Mapping[str, Model]
) -> t.ValueType:
    columns_needed(inputs["table"], parameters.column, parameters.by)
    return t.ValueType("picture")


STEPS = (
    Step(
        "plot",
        1,
        "Draws a column as lines over the rows, one for each machine, as SVG or PNG.",
        {"table": Slot("table")},
        "picture",
        Plot,
        plot,
        _checked,
    ),
)
