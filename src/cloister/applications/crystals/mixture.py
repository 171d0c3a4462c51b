"""What the model is trained on: factories that do not exist, each with everything about it drawn at random.

A model that has seen ten factories knows ten factories. Here every picture comes from a factory of its own: light, camera,
habits, sizes, crowding, agglomerates and dirt are drawn from ranges wider than those of any preset, so that a real plant's
microscope is one more draw (domain randomisation; J. Tobin et al., IROS 2017). No preset's ranges are among the draws.

Training begins with crystals as optics draws them. Later ones are also odd: only their outline is right (`odd_crystals`). The last ones
have dirt of every kind besides, edges of the field of view and letters, and some are enlarged, as the tool enlarges what is small.
At the very end come those that a model of all this still did badly on: faint small crystals in noise, and crystals between polarisers.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np

from cloister.applications.crystals.factories import Factory, Range
from cloister.applications.crystals.optics import Light
from cloister.applications.crystals.polyhedra import HABITS, Habit

LIGHTS: Final[dict[Light, float]] = {"bright": 0.56, "polarised": 0.26, "reflected": 0.18}

CALM, CROWDED, FOAMY, FROTHY, GROWN, BARE = "calm", "crowded", "foamy", "frothy", "grown", "bare"
KINDS: Final[dict[str, float]] = {
    CALM: 0.26,
    CROWDED: 0.2,
    GROWN: 0.2,
    FOAMY: 0.18,
    FROTHY: 0.12,
    BARE: 0.04,
}
"""Share of pictures with separate crystals, with many that overlap, with agglomerates, with bubbles, with small bubbles, and empty."""

OVEREXPOSED = 0.3
"""Share of the pictures on black whose camera was set for the faint crystals: the bright ones are white without any facet."""

ODD = 0.9
"""Share of the later pictures whose crystals are drawn at random within their outlines."""

CLUMPS: Final[Range] = (0, 14)

SOILED: Final[dict[str, Any]] = {
    "soot": (0, 10),
    "curls": (0, 4),
    "rafts": (0, 0.8),
    "clumps": CLUMPS,
}
"""What else lies on the slide in the last pictures, each in half of them."""

ENLARGED: Final[Range] = (1.15, 1.5)
"""By how much a quarter of the later pictures is enlarged."""

FAINT_ENLARGED: Final[Range] = (1.0, 1.8)
"""By how much those of faint crystals are."""

MOST = 700.0
"""Crystals per 640 x 512 pixels at most; more cannot be told apart by anybody."""

SMALLEST, LARGEST = 14.0, 52.0
"""Median diameters of a picture's crystals, pixels; single crystals are from under half to over twice as large.

Of smaller ones nothing is left to see but a blot, which may as well be a bubble: a model that is asked for those counts bubbles.
Where a camera shows crystals smaller than that, the picture is enlarged before (`fit_scale@1`).
"""

FAINT_LARGEST = 26.0
"""Largest median of a picture of faint crystals."""


def any_factory(
    rng: np.random.Generator,
    width: int,
    height: int,
    *,
    odd: bool = False,
    soiled: bool = False,
    enlarged: float = 1.0,
    light: Light | None = None,
    faint: bool = False,
) -> Factory:
    """A factory for one picture.

    Args:
        rng: source of all randomness.
        width: of the picture, pixels.
        height: of it.
        odd: whether crystals may look otherwise than optics says, and dirt may lie in heaps.
        soiled: whether there may be dirt of every kind.
        enlarged: by how much the picture will be enlarged; its crystals are so much smaller.
        light: in which it is taken; drawn as well if absent.
        faint: whether its crystals are small, blurred and hardly brighter or darker than the camera's noise.
    """
    kind = str(rng.choice(list(KINDS), p=list(KINDS.values())))
    habits: dict[Habit, float] = dict(zip(HABITS, rng.dirichlet([0.5] * len(HABITS)).tolist(), strict=True))
    light = light or rng.choice(list(LIGHTS), p=list(LIGHTS.values()))
    median = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    if kind == CALM and rng.random() < 0.4:
        median = float(rng.uniform(16, 38))
    if faint:
        median = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(FAINT_LARGEST))))
    median /= enlarged
    ranges: dict[str, Any] = {name: _within(rng, span) for name, span in _ANYTHING.items()}
    ranges |= {name: _within(rng, span) for name, span in _KIND[kind].items()}
    if light != "bright" and rng.random() < OVEREXPOSED:
        ranges["contrast"] = _within(rng, _GLARING)
    if faint:
        ranges |= {name: _within(rng, span) for name, span in _FAINT.items()}
    ranges["jpeg"] = (0, 0) if rng.random() < 0.2 else tuple(int(end) for end in ranges["jpeg"])
    # Ranges tell crystals per 640 x 512 pixels: as many as fill the wanted share of the field.
    cover = ranges.pop("cover")[0]
    number = min(cover * 640 * 512 / (median**2 * np.pi / 4), MOST)
    ranges["crystals"] = (number, number)
    for name in _SELDOM:
        if rng.random() < 0.7:
            ranges[name] = (0.0, 0.0)
    if odd:
        ranges |= {"clumps": _within(rng, CLUMPS), "odd_crystals": ODD}
    if soiled:
        ranges |= {name: _within(rng, span) for name, span in SOILED.items() if rng.random() < 0.5}
        ranges |= {"round_field": 0.12, "lettering": 0.12}
    return Factory(
        f"any, {kind}",
        width=width,
        height=height,
        habits=habits,
        lights={light: 1.0},
        diameter=(median, median),
        grid=0.12,
        rim=0.08,
        grey=float(rng.random() < 0.4),
        **ranges,
    )


_ANYTHING: Final[dict[str, Range]] = {
    "cover": (0.02, 0.22),
    "spread": (1.05, 1.75),
    "crowding": (0.75, 1.15),
    "bubbles": (0, 14),
    "bubble_radius": (2, 30),
    "odd_bubbles": (0, 1),
    "dust": (0, 160),
    "fibres": (0, 4),
    "scratches": (0, 6),
    "hairs": (0, 2),
    "irregular": (0.02, 0.26),
    "lying": (0.3, 1.0),
    "contrast": (0.3, 1.6),
    "edge": (0.3, 1.5),
    "halo": (0, 1.1),
    "oblique": (0, 0.5),
    "sharpness": (0.5, 2.4),
    "depth_blur": (0.2, 4.2),
    "level": (0.35, 0.93),
    "level_dark": (0.02, 0.32),
    "warmth": (-0.5, 0.5),
    "vignette": (0, 0.55),
    "slope": (0, 0.45),
    "mottle": (0, 0.07),
    "noise": (0.001, 0.05),
    "grain": (0, 1.2),
    "gamma": (0.7, 1.35),
    "jpeg": (30, 96),
}
_KIND: Final[dict[str, dict[str, Range]]] = {
    CALM: {},
    CROWDED: {"cover": (0.2, 0.55), "crowding": (0.42, 0.8), "agglomerates": (0, 0.15)},
    GROWN: {"cover": (0.06, 0.35), "agglomerates": (0.15, 0.8)},
    FOAMY: {"cover": (0.0, 0.15), "bubbles": (15, 260), "bubble_radius": (2, 34)},
    FROTHY: {"cover": (0.0, 0.12), "bubbles": (40, 500), "bubble_radius": (2, 10)},
    BARE: {"cover": (0.0, 0.003), "bubbles": (0, 10)},
}
_GLARING: Final[Range] = (1.2, 3.2)
_FAINT: Final[dict[str, Range]] = {
    "spread": (1.1, 1.7),
    "dust": (0, 250),
    "contrast": (0.2, 0.8),
    "edge": (0.2, 1.2),
    "halo": (0, 0.8),
    "sharpness": (1.0, 2.4),
    "depth_blur": (0.2, 3.0),
    "level": (0.3, 0.85),
    "level_dark": (0.02, 0.2),
    "vignette": (0, 0.6),
    "mottle": (0, 0.07),
    "noise": (0.008, 0.05),
    "grain": (0.3, 1.3),
    "jpeg": (30, 90),
}
_SELDOM: Final = ("hairs", "fibres", "scratches")


def _within(rng: np.random.Generator, span: Range) -> Range:
    """A narrower range inside; often its ends lie close together, as within one plant they do."""
    low, high = np.sort(rng.uniform(span[0], span[1], 2))
    return float(low), float(high)
