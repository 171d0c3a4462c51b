"""The plots of reports: histogram, cumulative curve, Bland-Altman plot, scatter, run chart. Each is a `Drawing`.

Marks differ in shape besides colour, and every plot says in words what it shows (`Drawing.alternative`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from cloister.documents.axes import Axis, Frame, around
from cloister.documents.shapes import (
    BLUE,
    GREY,
    INK,
    MARKS,
    RED,
    SERIES,
    Box,
    Dot,
    Drawing,
    Shape,
    Stroke,
    Words,
)
from cloister.foundation.errors import BadInput

WIDTH, HEIGHT = 470.0, 250.0


@dataclass(frozen=True)
class Rule:
    """A line across a plot, from left to right, with a text at its end.

    Args:
        text: at its right end.
        points: (x, y) along it; of a level line, one point is enough.
        dashed: drawn with gaps.
        colour: of line and text.
    """

    text: str
    points: Sequence[tuple[float, float]]
    dashed: bool = False
    colour: str = INK


def histogram(edges: Sequence[float], counts: Sequence[float], label: str, of: str = "count") -> Drawing:
    """Bars between `edges` (one more than `counts`); bars are as high as `counts`.

    Raises:
        BadInput: the lengths do not fit, or the edges do not rise.
    """
    if len(edges) != len(counts) + 1 or not counts or any(b <= a for a, b in pairwise(edges)):
        raise BadInput("A histogram's edges do not fit its counts.", "One more edge than counts, rising.", "")
    frame = Frame(
        Axis(edges[0], edges[-1], label), Axis(0.0, max(*counts, 1e-9) * 1.08, of), width=WIDTH - 60
    )
    shapes = frame.shapes()
    for low, high, count in zip(edges, edges[1:], counts, strict=False):
        x1, y1 = frame.at(low, 0.0)
        x2, y2 = frame.at(high, count)
        shapes.append(Box(x1 + 0.5, y1, max(0.5, x2 - x1 - 1), y2 - y1, BLUE))
    peak = max(range(len(counts)), key=counts.__getitem__)
    return Drawing(
        WIDTH,
        HEIGHT,
        shapes,
        f"Histogram of {label}: {sum(counts):g} from {edges[0]:.4g} to {edges[-1]:.4g}, "
        f"most between {edges[peak]:.4g} and {edges[peak + 1]:.4g}.",
    )


def cumulative(
    series: Mapping[str, tuple[Sequence[float], Sequence[float]]],
    label: str,
    *,
    rules: Sequence[float] = (0.1, 0.5, 0.9),
    logarithmic: bool = False,
) -> Drawing:
    """Shares below each value: for each name (values rising, shares from 0 to 1), with level lines at `rules`.

    Raises:
        BadInput: nothing to draw, or a logarithmic axis reaches zero.
    """
    everything = [value for values, _ in series.values() for value in values]
    if not everything:
        raise BadInput("There is nothing to draw.", "The curve has no values.", "")
    low, high = min(everything), max(everything)
    if low == high:
        low, high = low * 0.9, (high * 1.1 or 1.0)
    frame = Frame(Axis(low, high, label, logarithmic), Axis(0.0, 1.0, "share below"), width=WIDTH - 60)
    shapes = frame.shapes()
    for share in rules:
        shapes.append(Stroke((frame.at(low, share), frame.at(high, share)), GREY, 0.6, (3, 2)))
    for number, (values, shares) in enumerate(series.values()):
        track = [frame.at(x, y) for x, y in zip(values, shares, strict=True)]
        shapes.append(
            Stroke(track, SERIES[number % len(SERIES)], 1.4, None if number < len(SERIES) else (4, 2))
        )
    shapes += _legend(frame, list(series), lines=True)
    return Drawing(
        WIDTH,
        HEIGHT,
        shapes,
        f"Cumulative curve of {label} for {', '.join(series)}: {low:.4g} to {high:.4g}.",
    )


def scatter(
    series: Mapping[str, Sequence[tuple[float, float]]],
    x_label: str,
    y_label: str,
    *,
    equality: bool = False,
    rules: Sequence[Rule] = (),
    alternative: str = "",
) -> Drawing:
    """Points of several names; `equality` draws both axes alike, with the line on which both values are equal.

    Raises:
        BadInput: no point is finite.
    """
    points = [point for given in series.values() for point in given if all(map(math.isfinite, point))]
    if not points:
        raise BadInput("There is nothing to draw.", "No point is finite.", "")
    if equality:
        both = around([value for point in points for value in point], zero=True)
        frame = Frame(
            Axis(both.low, both.high, x_label), Axis(both.low, both.high, y_label), width=230, height=230
        )
    else:
        x, y = around([point[0] for point in points]), around([value for _, value in points])
        reached = [value for rule in rules for _, value in rule.points]
        y = around([y.low, y.high, *reached], margin=0.02)
        frame = Frame(Axis(x.low, x.high, x_label), Axis(y.low, y.high, y_label), width=WIDTH - 130)
    shapes = frame.shapes()
    if equality:
        shapes.append(
            Stroke((frame.at(both.low, both.low), frame.at(both.high, both.high)), GREY, 0.8, (3, 2))
        )
    shapes += _ruled(frame, rules)
    for number, given in enumerate(series.values()):
        mark, colour = MARKS[number % len(MARKS)], SERIES[number % len(SERIES)]
        shapes += [Dot(*frame.at(*point), mark, colour) for point in given if all(map(math.isfinite, point))]
    shapes += _legend(frame, list(series)) if len(series) > 1 else []
    return Drawing(
        frame.left + frame.width + (150 if equality else 82),
        frame.bottom + frame.height + 16,
        shapes,
        alternative or f"{len(points)} points of {y_label} against {x_label}.",
    )


def bland_altman(
    means: Sequence[float],
    differences: Sequence[float],
    *,
    bias: Rule,
    limits: Sequence[Rule],
    allowed: Sequence[Rule] = (),
    x_label: str,
    y_label: str,
) -> Drawing:
    """Differences between two methods against their mean, with bias, limits of agreement and what is allowed.

    Bland and Altman 1986, Lancet 327, 307-310.

    Args:
        means: of the two methods, one for each picture.
        differences: first method minus second.
        bias: the mean difference, or the line of it.
        limits: the limits of agreement.
        allowed: limits that were set before.
        x_label: of the axis of means.
        y_label: of the axis of differences.
    """
    inside = [Rule(rule.text, rule.points, True, RED) for rule in allowed]
    lines = [bias, *(Rule(rule.text, rule.points, True, rule.colour) for rule in limits), *inside]
    told = "; ".join(f"{rule.text} {rule.points[0][1]:.3g}" for rule in lines)
    return scatter(
        {y_label: list(zip(means, differences, strict=True))},
        x_label,
        y_label,
        rules=lines,
        alternative=f"Bland-Altman plot of {len(differences)} differences, {y_label}, against {x_label}: {told}.",
    )


def run_chart(
    values: Sequence[float],
    labels: Sequence[str],
    y_label: str,
    *,
    rules: Sequence[Rule] = (),
    marked: Sequence[int] = (),
) -> Drawing:
    """Values in the order in which they were taken, joined by a line; those `marked` (by place) stand out.

    Raises:
        BadInput: nothing to draw, or not one label for each value.
    """
    if not values or len(values) != len(labels):
        raise BadInput("A run chart takes one label for each value.", "", "")
    y = around([*values, *(value for rule in rules for _, value in rule.points)])
    step = max(1, math.ceil(len(values) / 8))
    ticks = [(float(place), labels[place][:12]) for place in range(0, len(values), step)]
    x = Axis(-0.5, len(values) - 0.5, "", ticks=ticks)
    frame = Frame(x, Axis(y.low, y.high, y_label), width=WIDTH - 130)
    track = [frame.at(float(place), value) for place, value in enumerate(values)]
    shapes = [*frame.shapes(), *_ruled(frame, rules), Stroke(track, GREY, 0.8)]
    for place, point in enumerate(track):
        out = place in marked
        shapes.append(Dot(*point, "square" if out else "circle", RED if out else BLUE, 3.4 if out else 2.4))
    return Drawing(
        WIDTH,
        HEIGHT,
        shapes,
        f"Run chart of {y_label}: {len(values)} values from {min(values):.4g} to {max(values):.4g}, {len(marked)} marked.",
    )


def _ruled(frame: Frame, rules: Sequence[Rule]) -> list[Shape]:
    made: list[Shape] = []
    taken: list[float] = []
    for rule in rules:
        points = list(rule.points)
        if len(points) == 1:
            points = [(frame.x.low, points[0][1]), (frame.x.high, points[0][1])]
        track = [frame.at(*point) for point in points]
        made.append(Stroke(track, rule.colour, 1.0, (4, 2.5) if rule.dashed else None))
        # Texts of lines that lie close together are moved apart, so that each can be read.
        place = track[-1][1] - 2.6
        while any(abs(place - other) < 9 for other in taken):
            place += 3
        taken.append(place)
        made.append(Words(frame.left + frame.width + 4, place, rule.text, 7.5, "start", rule.colour))
    return made


def _legend(frame: Frame, names: Sequence[str], *, lines: bool = False) -> list[Shape]:
    made: list[Shape] = []
    x = frame.left + 8 if lines else frame.left + frame.width + 10
    for number, name in enumerate(names):
        y = frame.bottom + frame.height - 8 - 12 * number
        colour = SERIES[number % len(SERIES)]
        if lines:
            made.append(Stroke(((x, y), (x + 12, y)), colour, 1.4))
        else:
            made.append(Dot(x + 3, y, MARKS[number % len(MARKS)], colour))
        made.append(Words(x + 16, y - 2.6, name[:40], 7.5))
    return made
