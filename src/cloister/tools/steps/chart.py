"""A histogram as a picture, SVG or PNG, with its content in words for those who cannot see it."""

from __future__ import annotations

import io
from typing import Literal
from xml.sax.saxutils import escape, quoteattr

from cloister.data.schema import ColumnName, Line
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Parameters, Slot, Step

_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 320, 56, 56, 40


class Chart(Parameters):
    """Which histogram to draw.

    Args:
        column: as in the figures' histograms.
        title: above the chart.
        form: SVG scales and is read aloud; PNG can be pasted anywhere, and its letters are those of basic Latin only.
    """

    column: ColumnName
    title: Line = ""
    form: Literal["svg", "png"] = "svg"


def chart(_context: Context, parameters: Chart, *, figures: t.Figures) -> t.Picture:
    """A histogram as a picture. Its numbers are in the figures, for those who cannot see it."""
    edges, counts = figures.histograms.get(parameters.column, ((), ()))
    unit = figures.units.get(parameters.column, "")
    axis = f"{parameters.column} ({unit})" if unit else parameters.column
    title = parameters.title or f"Distribution of {parameters.column}"
    if parameters.form == "png":
        return t.Picture(
            _histogram_png(title, axis, edges, counts), "image/png", _spoken(title, axis, edges, counts)
        )
    return t.Picture(
        _histogram_svg(title, axis, edges, counts), "image/svg+xml", _spoken(title, axis, edges, counts)
    )


def _histogram_svg(title: str, axis: str, edges: tuple[float, ...], counts: tuple[int, ...]) -> bytes:
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" '
            f'aria-label={quoteattr(_spoken(title, axis, edges, counts))} font-family="sans-serif" font-size="13">'
        ),
        f"<title>{escape(title)}</title>",
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="#fff"/>',
        f'<text x="{_LEFT}" y="24" font-size="15" fill="#222">{escape(title)}</text>',
    ]
    for x, y, w, h, low, high, count in _bars(edges, counts):
        parts.append(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{w:.1f}" height="{h:.1f}" fill="#0072b2">'
            f"<title>{low:.4g} to {high:.4g}: {count}</title></rect>"
        )
    for x, y, text, anchor in _ticks(edges, counts):
        parts.append(
            f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="#444">{escape(text)}</text>'
        )
    base = _HEIGHT - _BOTTOM
    parts.append(f'<line x1="{_LEFT}" y1="{base}" x2="{_WIDTH - 16}" y2="{base}" stroke="#444"/>')
    parts.append(
        f'<text x="{(_LEFT + _WIDTH) // 2}" y="{_HEIGHT - 12}" text-anchor="middle" fill="#222">{escape(axis)}</text>'
    )
    parts.append("</svg>")
    return "".join(parts).encode("utf-8")


def _histogram_png(title: str, axis: str, edges: tuple[float, ...], counts: tuple[int, ...]) -> bytes:
    from PIL import Image, ImageDraw, ImageFont

    zoom = 2
    # Pillow's own font has no micro sign.
    title, axis = title.replace("µ", "u"), axis.replace("µ", "u")
    picture = Image.new("RGB", (_WIDTH * zoom, _HEIGHT * zoom), "white")
    pen, font = ImageDraw.Draw(picture), ImageFont.load_default(13 * zoom)
    pen.text((_LEFT * zoom, 10 * zoom), title, fill="#222222", font=ImageFont.load_default(15 * zoom))
    for x, y, w, h, _low, _high, _count in _bars(edges, counts):
        pen.rectangle((x * zoom, y * zoom, (x + w) * zoom, (y + h) * zoom), fill="#0072b2")
    anchors = {"middle": "ms", "end": "rs", "start": "ls"}
    for x, y, text, anchor in _ticks(edges, counts):
        pen.text((x * zoom, y * zoom), text, fill="#444444", font=font, anchor=anchors[anchor])
    base = (_HEIGHT - _BOTTOM) * zoom
    pen.line((_LEFT * zoom, base, (_WIDTH - 16) * zoom, base), fill="#444444", width=zoom)
    pen.text(
        ((_LEFT + _WIDTH) // 2 * zoom, (_HEIGHT - 12) * zoom), axis, fill="#222222", font=font, anchor="ms"
    )
    stream = io.BytesIO()
    picture.save(stream, format="PNG")
    return stream.getvalue()


def _bars(
    edges: tuple[float, ...], counts: tuple[int, ...]
) -> list[tuple[float, float, float, float, float, float, int]]:
    top = max(counts, default=0)
    if not top:
        return []
    slot = (_WIDTH - 16 - _LEFT) / len(counts)
    span = _HEIGHT - _BOTTOM - _TOP
    return [
        (
            _LEFT + slot * place + 1,
            _HEIGHT - _BOTTOM - span * count / top,
            max(1.0, slot - 2),
            span * count / top,
            edges[place],
            edges[place + 1],
            count,
        )
        for place, count in enumerate(counts)
    ]


def _ticks(edges: tuple[float, ...], counts: tuple[int, ...]) -> list[tuple[float, float, str, str]]:
    base = _HEIGHT - _BOTTOM
    if not counts:
        return [((_LEFT + _WIDTH) / 2, base - 100, "nothing to show", "middle")]
    span = _WIDTH - 16 - _LEFT
    every = [
        (_LEFT + span * share, base + 18.0, f"{edges[0] + (edges[-1] - edges[0]) * share:.3g}", "middle")
        for share in (0, 0.25, 0.5, 0.75, 1)
    ]
    return [*every, (_LEFT - 8.0, base + 4.0, "0", "end"), (_LEFT - 8.0, _TOP + 5.0, str(max(counts)), "end")]


def _spoken(title: str, axis: str, edges: tuple[float, ...], counts: tuple[int, ...]) -> str:
    if not counts:
        return f"{title}: nothing to show"
    place = max(range(len(counts)), key=counts.__getitem__)
    return (
        f"{title}: {sum(counts)} values of {axis} from {edges[0]:.3g} to {edges[-1]:.3g}, "
        f"most ({counts[place]}) between {edges[place]:.3g} and {edges[place + 1]:.3g}"
    )


STEPS = (
    Step(
        "chart",
        1,
        "Draws a histogram of the figures, as SVG or PNG.",
        {"figures": Slot("figures")},
        "picture",
        Chart,
        chart,
    ),
)
