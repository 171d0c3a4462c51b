"""What lies on the slide and is no crystal: dust, heaps and lumps of it, fibres, curled threads, scratches, the rim of a drop.

Each draws into the scene's two layers in place: `dark` (log transmission, float32 [height, width]) and
`glow` (added light, float32 [height, width, 3], or None in bright field).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw
from scipy import ndimage

Layer = NDArray[np.float32]


def scatter_dust(
    rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int, largest: float
) -> None:
    """Dark specks of 1 to `largest` pixels, without facets; on black they scatter a little light."""
    height, width = dark.shape
    specks = Image.new("F", (width, height), 0.0)
    pen = ImageDraw.Draw(specks)
    for _ in range(count):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        size = float(rng.uniform(0.6, max(0.7, largest / 2.0)))
        corners = int(rng.integers(5, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        radii = size * rng.uniform(0.6, 1.3, corners)
        shape = [
            (x + float(r * np.cos(a)), y + float(r * np.sin(a))) for a, r in zip(angles, radii, strict=True)
        ]
        pen.polygon(shape, fill=float(rng.uniform(0.3, 1.6)))
    layer = ndimage.gaussian_filter(np.asarray(specks, dtype=np.float32), float(rng.uniform(0.5, 1.1)))
    if glow is None:
        dark -= layer
    else:
        glow += (0.12 * layer)[..., None]


def scatter_clumps(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Dark heaps of specks, 4 to 30 pixels across, without facets or a clear outline."""
    height, width = dark.shape
    heaps = Image.new("F", (width, height), 0.0)
    pen = ImageDraw.Draw(heaps)
    for _ in range(count):
        middle, spread = rng.uniform(0, 1, 2) * (width, height), float(rng.uniform(1.2, 7.0))
        strength, stretched = float(rng.uniform(0.3, 2.2)), rng.uniform(0.5, 1.0, 2)
        for _ in range(int(rng.integers(4, 26))):
            x, y = middle + rng.normal(0, spread, 2) * stretched
            size = float(rng.uniform(0.6, 0.3 * spread + 1.4))
            pen.ellipse([x - size, y - size, x + size, y + size], fill=strength * float(rng.uniform(0.4, 1)))
    layer = ndimage.gaussian_filter(np.asarray(heaps, dtype=np.float32), float(rng.uniform(0.5, 2.0)))
    if glow is None:
        dark -= layer
    else:
        glow += (0.15 * layer)[..., None]


def scatter_soot(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Dark lumps, 8 to 70 pixels across: a ragged body or none, and crumbs around it that get fewer with the distance."""
    height, width = dark.shape
    for _ in range(count):
        x, y = rng.uniform(0, 1, 2) * (width, height)
        size = float(np.exp(rng.uniform(np.log(4.0), np.log(22.0))))
        reach = int(2.6 * size) + 6
        drawn = Image.new("F", (2 * reach, 2 * reach), 0.0)
        pen = ImageDraw.Draw(drawn)
        strength = float(rng.uniform(0.25, 2.4))
        if rng.random() < 0.7:
            angles = 2 * np.pi * np.arange(40) / 40
            radii = np.full(40, size * float(rng.uniform(0.5, 0.9)))
            for waves in range(1, 9):
                radii *= 1 + rng.normal(0, 0.22) / waves**0.6 * np.cos(
                    waves * angles + rng.uniform(0, 2 * np.pi)
                )
            corners = [
                (reach + float(r * np.cos(a)), reach + float(r * np.sin(a)))
                for a, r in zip(angles, radii, strict=True)
            ]
            pen.polygon(corners, fill=strength)
        for _crumb in range(int(rng.integers(0, 30))):
            u, v = reach + rng.normal(0, 0.55 * size, 2)
            part = float(rng.uniform(0.5, 0.22 * size + 1.0))
            pen.ellipse([u - part, v - part, u + part, v + part], fill=strength * float(rng.uniform(0.4, 1)))
        layer = ndimage.gaussian_filter(np.asarray(drawn, np.float32), float(rng.uniform(0.5, 2.2)))
        left, top = int(x) - reach, int(y) - reach
        rows, columns = slice(max(0, top), top + 2 * reach), slice(max(0, left), left + 2 * reach)
        here = dark[rows, columns]
        part_of = layer[rows.start - top :, columns.start - left :][: here.shape[0], : here.shape[1]]
        if glow is None:
            here -= part_of
        else:
            glow[rows, columns] += (float(rng.uniform(0.05, 0.25)) * part_of)[..., None]


def lay_curls(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Threads of 1 to 4 pixels that curl, some into loops: what they go round is no crystal."""
    height, width = dark.shape
    for _ in range(count):
        drawn = Image.new("F", (width, height), 0.0)
        radius = float(np.exp(rng.uniform(np.log(10.0), np.log(160.0))))
        step = max(1.5, 0.08 * radius)
        count_of = int(rng.uniform(1.0, 7.0) * radius / step)
        bends = step / radius * (1 + 0.5 * np.cumsum(rng.normal(0, 0.25, count_of)))
        if rng.random() < 0.3:
            bends[count_of // 2 :] *= -1
        headings = float(rng.uniform(0, 2 * np.pi)) + np.cumsum(bends)
        start = rng.uniform(-0.1, 1.1, 2) * (width, height)
        points = start + step * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
        path = [(float(x), float(y)) for x, y in points]
        ImageDraw.Draw(drawn).line(path, fill=1.0, width=int(rng.integers(1, 5)), joint="curve")
        layer = ndimage.gaussian_filter(np.asarray(drawn, np.float32), float(rng.uniform(0.6, 1.6)))
        layer *= np.float32(rng.uniform(0.2, 1.3))
        if glow is None:
            dark -= layer
        else:
            glow += (float(rng.uniform(0.1, 0.5)) * layer)[..., None]


def lay_fibres(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Curved threads of 1.5 to 5 pixels with dark walls and a lighter core; some shine between polarisers."""
    height, width = dark.shape
    walls, core = Image.new("F", (width, height), 0.0), Image.new("F", (width, height), 0.0)
    for _ in range(count):
        start = rng.uniform(0, 1, 2) * (width, height)
        heading, bend = float(rng.uniform(0, 2 * np.pi)), float(rng.normal(0, 0.06))
        points = [(float(start[0]), float(start[1]))]
        for _ in range(int(rng.integers(8, 40))):
            heading += bend + float(rng.normal(0, 0.08))
            points.append(
                (points[-1][0] + 8.0 * float(np.cos(heading)), points[-1][1] + 8.0 * float(np.sin(heading)))
            )
        thick = int(rng.integers(2, 6))
        ImageDraw.Draw(walls).line(points, fill=float(rng.uniform(0.25, 0.9)), width=thick, joint="curve")
        if thick > 3:
            ImageDraw.Draw(core).line(points, fill=0.7, width=thick - 2, joint="curve")
    drawn = np.asarray(walls, dtype=np.float32) * (1.0 - np.asarray(core, dtype=np.float32))
    layer = ndimage.gaussian_filter(drawn, float(rng.uniform(0.7, 2.0)))
    if glow is None:
        dark -= layer
    else:
        glow += (float(rng.uniform(0.1, 0.5)) * layer)[..., None]


def scratch(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Fine straight lines of the slide."""
    height, width = dark.shape
    lines = Image.new("F", (width, height), 0.0)
    for _ in range(count):
        x, y = float(rng.uniform(0, width)), float(rng.uniform(0, height))
        angle, length = float(rng.uniform(0, np.pi)), float(rng.uniform(30, 300))
        end = (x + length * float(np.cos(angle)), y + length * float(np.sin(angle)))
        ImageDraw.Draw(lines).line([(x, y), end], fill=float(rng.uniform(0.1, 0.4)), width=1)
    layer = ndimage.gaussian_filter(np.asarray(lines, dtype=np.float32), 0.7)
    if glow is None:
        dark -= layer
    else:
        glow += (0.5 * layer)[..., None]


def lay_hairs(rng: np.random.Generator, dark: Layer, glow: Layer | None, count: int) -> None:
    """Long smooth threads of 4 to 14 pixels: dark at both walls, with a bright line where they focus the light."""
    height, width = dark.shape
    for _ in range(count):
        thick = float(rng.uniform(2.0, 7.0))
        start = rng.uniform(-0.1, 1.1, 2) * (width, height)
        heading, bend = float(rng.uniform(0, 2 * np.pi)), float(rng.normal(0, 0.012))
        steps = int(rng.integers(20, 200))
        headings = heading + bend * np.arange(steps) + np.cumsum(rng.normal(0, 0.02, steps))
        points = start + 8.0 * np.cumsum(np.stack([np.cos(headings), np.sin(headings)], axis=1), axis=0)
        drawn = Image.new("F", (width, height), 0.0)
        pen = ImageDraw.Draw(drawn)
        path = [(float(x), float(y)) for x, y in points]
        pen.line(path, fill=1.0, width=round(2 * thick), joint="curve")
        pen.line(path, fill=float(rng.uniform(0.1, 0.6)), width=max(1, round(1.2 * thick)), joint="curve")
        pen.line(path, fill=float(rng.uniform(-0.5, 0.3)), width=max(1, round(0.5 * thick)), joint="curve")
        layer = ndimage.gaussian_filter(np.asarray(drawn, np.float32), float(rng.uniform(0.7, 2.5)))
        strength = np.float32(rng.uniform(0.3, 1.2))
        if glow is None:
            dark -= strength * layer
        else:
            glow += (0.3 * strength * np.maximum(layer, 0))[..., None]


def lay_grid(rng: np.random.Generator, dark: Layer, glow: Layer | None) -> None:
    """The ruled lines of a counting chamber or an eyepiece, turned a little; single, or double as Neubauer's."""
    height, width = dark.shape
    spacing, turn = float(rng.uniform(50, 320)), float(rng.normal(0, 0.15))
    apart = float(rng.choice([0.0, rng.uniform(3, 8)]))
    thick, strength = float(rng.uniform(0.6, 1.8)), float(rng.uniform(0.1, 0.7))
    u = np.arange(width, dtype=np.float32)[None, :]
    v = np.arange(height, dtype=np.float32)[:, None]
    layer = np.zeros_like(dark)
    for angle in (turn, turn + np.pi / 2):
        along = (
            u * np.float32(np.cos(angle))
            + v * np.float32(np.sin(angle))
            + np.float32(rng.uniform(0, spacing))
        )
        phase = np.mod(along, spacing)
        for shift in {0.0, apart}:
            off = np.minimum(np.abs(phase - shift), np.abs(phase - shift - spacing))
            np.maximum(layer, np.exp(-0.5 * (off / thick) ** 2), out=layer)
    if glow is None:
        dark -= strength * layer
    else:
        glow += (0.4 * strength * layer)[..., None]


def draw_rim(rng: np.random.Generator, dark: Layer, glow: Layer | None) -> None:
    """The edge of the drop: a wide arc, darker outside, with a dark and a bright line."""
    height, width = dark.shape
    radius = float(rng.uniform(0.7, 1.4)) * max(height, width)
    angle = float(rng.uniform(0, 2 * np.pi))
    offset = radius - float(rng.uniform(0.25, 0.5)) * min(height, width)
    x0, y0 = width / 2 + offset * float(np.cos(angle)), height / 2 + offset * float(np.sin(angle))
    u = (np.arange(width, dtype=np.float32) - x0)[None, :]
    v = (np.arange(height, dtype=np.float32) - y0)[:, None]
    r = (np.sqrt(u * u + v * v) - radius).astype(np.float32)
    thick = float(rng.uniform(2, 7))
    line = np.exp(-((r / thick) ** 2)) * float(rng.uniform(0.3, 1.0))
    second = np.exp(-(((r + 2.2 * thick) / (0.7 * thick)) ** 2)) * float(rng.uniform(0.0, 0.3))
    beyond = float(rng.uniform(-0.15, 0.25)) / (1.0 + np.exp(-np.clip(r / thick, -30, 30)))
    if glow is None:
        dark -= (line - second + beyond).astype(np.float32)
    else:
        glow += (0.25 * line + 0.1 * second + 0.1 * np.abs(beyond)).astype(np.float32)[..., None]
