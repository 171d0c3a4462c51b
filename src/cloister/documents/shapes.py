"""Lines, boxes, dots and words on a plane: what every plot consists of, drawn the same in a PDF and on a page.

Units are points (1/72 inch), x to the right, y up, from the lower left corner.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Literal, TypeAlias

from cloister.foundation.text import readable

INK, GREY, PALE = "#222222", "#666666", "#dddddd"
# Okabe and Ito 2008: told apart also by people who see fewer colours.
BLUE, ORANGE, GREEN, PURPLE, RED = "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#d55e00"
SERIES = (BLUE, RED, GREEN, PURPLE, ORANGE)

Mark: TypeAlias = Literal["circle", "square", "triangle", "ring"]
MARKS: tuple[Mark, ...] = ("circle", "square", "triangle", "ring")
Anchor: TypeAlias = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Stroke:
    """A line through points; `dash` are lengths of line and gap."""

    points: Sequence[tuple[float, float]]
    colour: str = INK
    width: float = 1.0
    dash: tuple[float, float] | None = None


@dataclass(frozen=True)
class Box:
    """A filled rectangle from its lower left corner."""

    x: float
    y: float
    width: float
    height: float
    fill: str = BLUE


@dataclass(frozen=True)
class Dot:
    """A mark around a point."""

    x: float
    y: float
    mark: Mark = "circle"
    colour: str = BLUE
    size: float = 2.6


@dataclass(frozen=True)
class Words:
    """One line of text; `up` turns it by a quarter, so that it is read from below."""

    x: float
    y: float
    text: str
    size: float = 8.0
    anchor: Anchor = "start"
    colour: str = INK
    up: bool = False


Shape: TypeAlias = Stroke | Box | Dot | Words


@dataclass(frozen=True)
class Drawing:
    """Shapes on a plane.

    Args:
        width: points.
        height: points.
        shapes: later ones lie over earlier ones.
        alternative: what is to be seen, in words.
    """

    width: float
    height: float
    shapes: Sequence[Shape]
    alternative: str


def as_svg(drawing: Drawing) -> str:
    """The drawing as SVG for a page."""
    height = drawing.height
    told = escape(readable(drawing.alternative))
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {drawing.width:g} {height:g}" role="img" aria-label="{told}" font-family="sans-serif">'
    ]
    for shape in drawing.shapes:
        match shape:
            case Stroke(points, colour, width, dash):
                dashed = f' stroke-dasharray="{dash[0]:g} {dash[1]:g}"' if dash else ""
                track = " ".join(f"{x:.2f},{height - y:.2f}" for x, y in points)
                parts.append(
                    f'<polyline points="{track}" fill="none" stroke="{colour}" stroke-width="{width:g}"{dashed}/>'
                )
            case Box(x, y, width, tall, fill):
                parts.append(
                    f'<rect x="{x:.2f}" y="{height - y - tall:.2f}" width="{width:.2f}" height="{tall:.2f}" fill="{fill}"/>'
                )
            case Dot():
                parts.append(_svg_mark(shape, height))
            case Words(x, y, text, size, anchor, colour, up):
                turned = f' transform="rotate(-90 {x:.2f} {height - y:.2f})"' if up else ""
                parts.append(
                    f'<text x="{x:.2f}" y="{height - y:.2f}" font-size="{size:g}" text-anchor="{anchor}" '
                    f'fill="{colour}"{turned}>{escape(readable(text))}</text>'
                )
    return "".join([*parts, "</svg>"])


def corners(dot: Dot) -> list[tuple[float, float]]:
    """The corners of a square or a triangle around its point."""
    x, y, r = dot.x, dot.y, dot.size
    if dot.mark == "square":
        half = 0.85 * r
        return [(x - half, y - half), (x + half, y - half), (x + half, y + half), (x - half, y + half)]
    return [(x - r, y - 0.7 * r), (x + r, y - 0.7 * r), (x, y + 1.1 * r)]


def _svg_mark(dot: Dot, height: float) -> str:
    if dot.mark in ("circle", "ring"):
        look = (
            f'fill="{dot.colour}"'
            if dot.mark == "circle"
            else f'fill="none" stroke="{dot.colour}" stroke-width="1.2"'
        )
        return f'<circle cx="{dot.x:.2f}" cy="{height - dot.y:.2f}" r="{dot.size:g}" {look}/>'
    track = " ".join(f"{x:.2f},{height - y:.2f}" for x, y in corners(dot))
    return f'<polygon points="{track}" fill="{dot.colour}"/>'
