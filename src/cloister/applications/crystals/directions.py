"""In which directions the crystal model's weights move from plant to plant, learnt from drawn pictures of made-up plants.

A plant differs from the checkpoint's pictures in light, camera, habit, size and dirt. Each made-up plant draws all of these
at random and gives one gradient of the checkpoint on a few pictures; their span is where real plants' gradients are likely to lie.
Nothing of any party goes in, so training along these directions costs privacy for as many numbers as there are directions,
and not for all weights (`models.directions`).
"""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from cloister.applications.crystals.factories import Factory, Range
from cloister.applications.crystals.optics import Light
from cloister.applications.crystals.polyhedra import Habit

if TYPE_CHECKING:
    from cloister.training.local import Trainer

DIRECTIONS: Final = 32
RANK: Final = 8
"""Of what is kept of each weight's directions."""
PICTURES, CROPS = 3, 2
"""Of each made-up plant, and patches of each picture."""
SEED: Final = 50_000_000
"""Of the made-up plants' pictures: none is in the checkpoint's training, its card, or a benchmark."""

WIDE: Final[Mapping[str, Range]] = {
    "crystals": (8, 140),
    "diameter": (11, 62),
    "spread": (1.1, 1.8),
    "crowding": (0.5, 1.0),
    "bubbles": (0, 50),
    "bubble_radius": (3, 34),
    "dust": (0, 170),
    "fibres": (0, 3),
    "scratches": (0, 6),
    "irregular": (0.05, 0.25),
    "lying": (0.4, 0.95),
    "contrast": (0.33, 1.8),
    "edge": (0.4, 1.4),
    "halo": (0, 1),
    "oblique": (0, 0.5),
    "sharpness": (0.6, 2.3),
    "depth_blur": (0.3, 4),
    "level": (0.4, 0.92),
    "level_dark": (0.03, 0.3),
    "warmth": (-0.45, 0.5),
    "vignette": (0, 0.5),
    "slope": (0, 0.4),
    "mottle": (0, 0.06),
    "noise": (0.003, 0.045),
    "grain": (0, 1.1),
    "gamma": (0.8, 1.2),
    "jpeg": (35, 95),
}
"""What a plant may be like; wider than the checkpoint's pictures, and as wide as the federation's and coast's."""
HABITS: Final[tuple[Habit, ...]] = ("cube", "sucrose", "prism", "rhomb", "plate")
LIGHTS: Final[tuple[Light, ...]] = ("bright", "polarised", "reflected")
_BY_FACTORS = frozenset({"crystals", "diameter"})


def made_up_plant(number: int) -> Factory:
    """A plant with everything drawn at random from `WIDE`; the same for the same number."""
    rng = np.random.default_rng((SEED, number))
    ranges: dict[str, Any] = {}
    for name, (low, high) in WIDE.items():
        share = np.sort(rng.random(2))
        ends = low * (high / low) ** share if name in _BY_FACTORS else low + (high - low) * share
        ranges[name] = tuple(float(end) for end in ends)
    ranges["jpeg"] = tuple(int(end) for end in ranges["jpeg"])
    habits: dict[Habit, float] = dict(zip(HABITS, rng.dirichlet([0.6] * len(HABITS)).tolist(), strict=True))
    lights: dict[Light, float] = dict(zip(LIGHTS, rng.dirichlet([0.8] * len(LIGHTS)).tolist(), strict=True))
    return Factory(
        f"made-up-{number}",
        habits=habits,
        lights=lights,
        grey=float(rng.integers(2)),
        rim=float(rng.uniform(0, 0.4)),
        **ranges,
    )


def directions(trainer: Trainer, count: int = DIRECTIONS, pictures: int = PICTURES) -> dict[str, np.ndarray]:
    """Directions at right angles of length 1, the most common first: parameter → (count, *shape).

    Args:
        trainer: the checkpoint with a recipe for pictures that trains all parameters.
        count: how many, and how many plants are made up.
        pictures: of each plant.
    """
    import jax

    from cloister.applications.crystals.synthesis import write_dataset
    from cloister.training.preparation import prepare

    recipe = trainer.recipe.model_copy(update={"validation": 0.0})
    slope = jax.jit(jax.grad(lambda weights, batch: trainer.losses(weights, batch).mean()))
    start = {
        name: np.asarray(value) for name, value in trainer.model.unflatten(trainer.model.flatten()).items()
    }
    rows = []
    for number in range(count):
        with tempfile.TemporaryDirectory() as folder:
            write_dataset(Path(folder), made_up_plant(number), pictures, SEED)
            data = prepare(recipe, Path(folder))
        batch = data.batch(np.random.default_rng((SEED, number)), pictures * CROPS)
        found = slope(start, batch)
        row = np.concatenate([np.asarray(found[name], np.float64).ravel() for name in start])
        rows.append(row / np.linalg.norm(row))
    span = np.linalg.svd(np.stack(rows), full_matrices=False)[2]
    parts = np.split(span, np.cumsum([value.size for value in start.values()])[:-1], axis=1)
    return {
        name: part.reshape(count, *value.shape)
        for (name, value), part in zip(start.items(), parts, strict=True)
    }


def steered_outliner(count: int = DIRECTIONS, rank: int = RANK) -> bytes:
    """The shipped model with a coefficient for each direction, as an ONNX file; about a minute of one processor."""
    from cloister.applications.crystals.outlines_recipe import outlines_recipe
    from cloister.applications.crystals.shipped import shipped_outliner
    from cloister.models.directions import steer
    from cloister.models.execute import load_model
    from cloister.training.local import Trainer

    model = shipped_outliner()
    return steer(model, directions(Trainer(load_model(model), outlines_recipe()), count), rank)
