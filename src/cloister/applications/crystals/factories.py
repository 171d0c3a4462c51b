"""Which crystals and which camera: the settings of synthetic factories.

Every number of a picture is drawn anew from a range of its factory. The three factories of the
federation differ in what a real plant differs in: the crystal's habit and size, how many there are, the
light, the camera's age, the bubbles. What one uses seldom (polarisers, say) is another's daily work: that is
where a few own pictures teach least. `PUBLIC` is a broad mixture; it covers ordinary cameras well
and the factories' extremes badly, and equals none of them.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from cloister.applications.crystals.optics import Light
from cloister.applications.crystals.polyhedra import Habit
from cloister.foundation.errors import NotFound

Range = tuple[float, float]


@dataclass(frozen=True)
class Factory:
    """Ranges from which a factory's pictures are drawn; sizes in pixels, shares sum to about 1.

    Attributes:
        name: the preset's name.
        width: of the pictures.
        height: of the pictures.
        lights: share of each kind of light.
        habits: share of each crystal habit.
        crystals: crystals per picture (of 640 x 512; scaled by area otherwise), drawn log-uniformly.
        diameter: median equivalent circle diameter of a picture's crystals.
        spread: geometric standard deviation of the diameters within a picture, 1.1 to 1.8.
        crowding: closest distance of two centres over the mean of their diameters; below 1 they overlap.
        agglomerates: share of places that hold an agglomerate of two or more primaries instead of one crystal.
        bubbles: air bubbles per picture.
        bubble_radius: of the bubbles.
        odd_crystals: share of pictures whose crystals look otherwise than light through ideal bodies.
        odd_bubbles: share of bubbles that look otherwise than a usual condenser shows them.
        rafts: share of bubbles that touch another one.
        dust: specks per picture.
        clumps: dark heaps of dust per picture.
        soot: large dark lumps with ragged edges per picture.
        fibres: threads per picture.
        curls: thin curled threads per picture.
        scratches: per picture.
        hairs: long thick threads per picture.
        grid: share of pictures with the ruled lines of a counting chamber.
        rim: share of pictures that show the drop's edge.
        round_field: share of pictures that show the edge of the microscope's field of view.
        lettering: share of pictures into which the camera has written a scale bar or a line of text.
        irregular: of the crystals' faces (see `make_crystal`).
        lying: share of crystals that lie flat.
        contrast: see `Optics`; so for edge, halo, oblique, sharpness, depth_blur.
        level: brightness of the empty bright field; see `Camera`, so for the others.
        level_dark: brightness of the empty field between polarisers and in reflected light.
        warmth: colour of the lamp, -0.5 (blue) to 0.5 (orange).
        grey: share of pictures without colour.
        jpeg: qualities; 0 to 0 for none.
    """

    name: str
    width: int = 640
    height: int = 512
    lights: dict[Light, float] = field(default_factory=lambda: {"bright": 1.0})
    habits: dict[Habit, float] = field(default_factory=lambda: {"cube": 0.5, "sucrose": 0.5})
    crystals: Range = (20, 80)
    diameter: Range = (20, 34)
    spread: Range = (1.15, 1.4)
    crowding: Range = (0.6, 0.9)
    agglomerates: Range = (0.0, 0.0)
    odd_crystals: float = 0.0
    bubbles: Range = (0, 8)
    bubble_radius: Range = (5, 22)
    odd_bubbles: Range = (0.0, 0.0)
    rafts: Range = (0.0, 0.0)
    dust: Range = (0, 40)
    clumps: Range = (0.0, 0.0)
    soot: Range = (0.0, 0.0)
    fibres: Range = (0, 1.5)
    curls: Range = (0.0, 0.0)
    scratches: Range = (0, 3)
    hairs: Range = (0.0, 0.0)
    grid: float = 0.0
    rim: float = 0.05
    round_field: float = 0.0
    lettering: float = 0.0
    irregular: Range = (0.05, 0.18)
    lying: Range = (0.5, 0.95)
    contrast: Range = (0.6, 1.1)
    edge: Range = (0.7, 1.3)
    halo: Range = (0.2, 0.8)
    oblique: Range = (0.0, 0.2)
    sharpness: Range = (0.7, 1.3)
    depth_blur: Range = (0.5, 2.5)
    level: Range = (0.55, 0.85)
    level_dark: Range = (0.03, 0.2)
    warmth: Range = (-0.1, 0.12)
    vignette: Range = (0.05, 0.35)
    slope: Range = (0.0, 0.2)
    mottle: Range = (0.0, 0.03)
    noise: Range = (0.005, 0.03)
    grain: Range = (0.0, 0.8)
    gamma: Range = (0.8, 1.2)
    grey: float = 0.5
    jpeg: Range = (60, 95)


SEED_LIKE = Factory("seed-like")
"""Fresh seeds as a plant counts them: separate cubes and blocks in bright field; the acceptance pictures."""

PUBLIC = Factory(
    "public",
    lights={"bright": 0.8, "polarised": 0.12, "reflected": 0.08},
    habits={"cube": 0.35, "sucrose": 0.35, "prism": 0.15, "rhomb": 0.1, "plate": 0.05},
    crystals=(8, 90),
    diameter=(15, 42),
    spread=(1.1, 1.5),
    crowding=(0.55, 1.0),
    bubbles=(0, 14),
    bubble_radius=(4, 28),
    dust=(0, 70),
    fibres=(0, 2.5),
    rim=0.1,
    contrast=(0.45, 1.15),
    edge=(0.5, 1.4),
    oblique=(0.0, 0.3),
    sharpness=(0.6, 1.7),
    depth_blur=(0.3, 3.0),
    level=(0.45, 0.88),
    vignette=(0.0, 0.45),
    noise=(0.003, 0.04),
    jpeg=(45, 95),
)

FOAM = replace(
    PUBLIC,
    name="foam",
    lights={"bright": 0.55, "reflected": 0.35, "polarised": 0.1},
    crystals=(1, 8),
    bubbles=(15, 90),
    bubble_radius=(3, 26),
)
"""Many bubbles, hardly a crystal: what teaches the model, and shows, that a bubble is none."""

NORTH = Factory(
    "north",
    lights={"bright": 0.75, "polarised": 0.25},
    habits={"cube": 0.8, "sucrose": 0.2},
    crystals=(50, 130),
    diameter=(12, 18),
    spread=(1.15, 1.45),
    crowding=(0.6, 0.9),
    bubbles=(0, 6),
    bubble_radius=(3, 9),
    dust=(60, 160),
    fibres=(0, 2),
    contrast=(0.35, 0.65),
    edge=(0.4, 0.9),
    halo=(0.0, 0.3),
    sharpness=(1.5, 2.2),
    depth_blur=(0.5, 2.0),
    level=(0.42, 0.65),
    vignette=(0.3, 0.5),
    slope=(0.1, 0.25),
    mottle=(0.02, 0.06),
    noise=(0.014, 0.032),
    grain=(0.6, 1.1),
    gamma=(0.9, 1.2),
    grey=1.0,
    jpeg=(50, 80),
)
"""Small salt cubes, an old grey 1.3 megapixel camera: blurred, vignetted, noisy, dusty; polarisers at times."""

RIVER = Factory(
    "river",
    lights={"polarised": 0.65, "bright": 0.35},
    habits={"rhomb": 0.5, "sucrose": 0.3, "plate": 0.2},
    crystals=(15, 60),
    diameter=(20, 38),
    spread=(1.3, 1.8),
    crowding=(0.55, 0.9),
    bubbles=(0, 10),
    bubble_radius=(6, 30),
    dust=(10, 80),
    fibres=(0, 3),
    rim=0.4,
    lying=(0.4, 0.8),
    contrast=(0.5, 1.8),
    halo=(0.3, 1.0),
    sharpness=(0.6, 1.2),
    depth_blur=(1.0, 3.5),
    level_dark=(0.03, 0.3),
    warmth=(-0.4, 0.0),
    vignette=(0.0, 0.3),
    slope=(0.0, 0.4),
    grey=0.0,
    jpeg=(80, 95),
)
"""Sucrose between crossed polarisers: interference colours on black, drops' rims, a new colour camera;
a third of the pictures in bright field."""

VALLEY = Factory(
    "valley",
    lights={"bright": 0.75, "polarised": 0.25},
    habits={"sucrose": 0.5, "prism": 0.3, "plate": 0.2},
    crystals=(10, 45),
    diameter=(32, 60),
    spread=(1.2, 1.5),
    crowding=(0.5, 0.75),
    bubbles=(15, 45),
    bubble_radius=(6, 34),
    dust=(0, 30),
    scratches=(0, 6),
    irregular=(0.1, 0.25),
    contrast=(0.35, 0.8),
    edge=(0.5, 1.0),
    halo=(0.5, 1.0),
    oblique=(0.2, 0.5),
    sharpness=(0.6, 1.2),
    depth_blur=(1.5, 4.0),
    level=(0.6, 0.9),
    warmth=(0.1, 0.45),
    vignette=(0.1, 0.4),
    slope=(0.05, 0.25),
    noise=(0.01, 0.04),
    grey=0.0,
    jpeg=(35, 70),
)
"""Large blocks in a foamy syrup under slanting warm light: overlapping, many bubbles, strong
compression; polarisers at times."""

COAST = Factory(
    "coast",
    lights={"bright": 0.6, "reflected": 0.25, "polarised": 0.15},
    habits={"prism": 0.4, "cube": 0.3, "rhomb": 0.3},
    crystals=(15, 70),
    diameter=(16, 40),
    spread=(1.2, 1.6),
    crowding=(0.55, 0.85),
    bubbles=(5, 20),
    bubble_radius=(4, 20),
    dust=(20, 100),
    fibres=(0, 3),
    rim=0.15,
    contrast=(0.4, 0.9),
    oblique=(0.1, 0.35),
    sharpness=(0.9, 1.8),
    depth_blur=(1.0, 3.0),
    warmth=(-0.3, 0.1),
    vignette=(0.2, 0.5),
    noise=(0.015, 0.045),
    grey=0.3,
    jpeg=(50, 90),
)
"""The factory that shares nothing: its pictures train no model and only test."""

FEDERATION: tuple[Factory, ...] = (NORTH, RIVER, VALLEY)

PRESETS: dict[str, Factory] = {f.name: f for f in (SEED_LIKE, PUBLIC, FOAM, *FEDERATION, COAST)}


def preset(name: str) -> Factory:
    """The preset of that name.

    Raises:
        NotFound: there is none.
    """
    if name not in PRESETS:
        raise NotFound(
            "There is no synthetic factory of that name.",
            f"Known: {', '.join(PRESETS)}.",
            "Choose one of these.",
        )
    return PRESETS[name]
