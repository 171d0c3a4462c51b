"""The pictures that the model is judged on: named sets that no training has seen, drawn the same each time.

Each set asks for one thing that a plant asks for. Their factories are none of the training's, their seeds lie beyond all others,
and the picture has the size of an old microscope camera. What the goals are, and how far they are reached, is in the model card.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Final

from cloister.applications.crystals.factories import COAST, FOAM, NORTH, RIVER, SEED_LIKE, VALLEY, Factory
from cloister.applications.crystals.synthesis import Micrograph, synthesise

SEED: Final = 900_000
WIDTH, HEIGHT = 1280, 1024


@dataclass(frozen=True)
class Trial:
    """One set and what is to be reached on it; shares of 1, None where nothing is asked.

    Attributes:
        factory: draws the pictures.
        count: mean count accuracy per picture.
        f1: of found crystals.
        number_d50: largest relative error of the median diameter by number, over all pictures.
        volume_d50: the same by volume.
        recall: of primaries that are part of agglomerates.
        mimics: all false crystals over the number of bubbles, at most; asked only where there is little else.
    """

    factory: Factory
    count: float | None = None
    f1: float | None = None
    number_d50: float | None = None
    volume_d50: float | None = None
    recall: float | None = None
    mimics: float | None = None


def _large(factory: Factory) -> Factory:
    return replace(factory, width=WIDTH, height=HEIGHT)


CROWDED: Final = replace(
    SEED_LIKE, name="crowded", crystals=(110, 200), diameter=(20, 32), crowding=(0.5, 0.75), bubbles=(0, 10)
)
POLARISED: Final = replace(
    SEED_LIKE,
    name="polarised",
    lights={"polarised": 1.0},
    habits={"sucrose": 0.5, "cube": 0.2, "rhomb": 0.2, "plate": 0.1},
    contrast=(0.6, 1.6),
    level_dark=(0.02, 0.2),
    grey=0.3,
)
AGGLOMERATED: Final = replace(
    SEED_LIKE, name="agglomerated", crystals=(30, 90), agglomerates=(0.3, 0.7), diameter=(18, 34)
)
REFLECTED: Final = replace(SEED_LIKE, name="reflected", lights={"reflected": 1.0}, contrast=(0.5, 1.2))
NEEDLES: Final = replace(
    SEED_LIKE, name="needles and fragments", habits={"needle": 0.5, "fragment": 0.3, "prism": 0.2}
)

TRIALS: Final[Mapping[str, Trial]] = {
    "seed-like": Trial(_large(SEED_LIKE), 0.982, 0.97, 0.02, 0.04),
    "crowded": Trial(_large(CROWDED), 0.96, 0.93),
    "polarised": Trial(_large(POLARISED), 0.95, 0.93),
    "agglomerated": Trial(_large(AGGLOMERATED), recall=0.85),
    "foam": Trial(_large(FOAM), mimics=0.01),
    "reflected": Trial(_large(REFLECTED)),
    "needles and fragments": Trial(_large(NEEDLES)),
    "north": Trial(_large(NORTH)),
    "river": Trial(_large(RIVER)),
    "valley": Trial(_large(VALLEY)),
    "coast": Trial(_large(COAST)),
}


def pictures(trial: Trial, count: int, first: int = 0) -> Iterator[Micrograph]:
    """The set's pictures from `first` on; the same each time."""
    for number in range(first, first + count):
        yield synthesise(trial.factory, (SEED, number))
