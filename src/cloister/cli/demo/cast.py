"""Who plays in the demonstration, and with what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cloister.training.recipe import TrainingRecipe

ACTORS: Mapping[str, tuple[tuple[str, ...], str]] = {
    "North": (("owner", "witness"), "north"),
    "River": (("owner", "witness"), "river"),
    "Valley": (("owner", "witness"), "valley"),
    "Lab": (("researcher", "witness"), ""),
    "Coast": (("user", "witness"), "coast"),
}
"""Name → roles, and which factory's pictures it has (see `applications.crystals.factories`)."""

FACTORIES = ("North", "River", "Valley")
PURPOSE = "Count seed crystals"
FORGED_PURPOSE = "Sell pictures of crystals"
HELD_OUT_SEED = 770_000
HELD_OUT = 6
"""Pictures of the fourth factory, which no training saw."""

EPSILON, DELTA = 8.0, 1e-5
"""Each factory's privacy budget for its pictures, as it stands in the agreement."""
SPENDS = 4.0
"""Epsilon that the training asks for: half of the budget stays."""
CLIP = 1.0
"""Norm to which each picture's gradient is shortened; typical ones are two to three times as long."""

PICTURES = 24
KEPT_APART = 0.6
LEAST_QUALITY = 0.1
"""Each factory's vote is decided with noise, on the pictures that it keeps apart: with these, 12 to 14 of which reach a count
accuracy of 0.49 and more on average, a vote goes wrong less than once in a million times (`docs/proofs/quality-gate.md`)."""


def recipe() -> TrainingRecipe:
    """The training's recipe."""
    from cloister.applications.crystals.outlines_recipe import private_outlines_recipe

    return private_outlines_recipe().model_copy(update={"validation": KEPT_APART})
