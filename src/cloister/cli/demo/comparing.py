"""What the factories would have got otherwise: alone, and together without noise. To compare; no node takes part.

Under the agreement that they sign, no node would give an exact answer about pictures that have a privacy budget. The
demonstration may compare, because it made all the pictures itself: in a process of its own, from the same checkpoint, with
the same steps.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cloister.data.matching import count_accuracy

if TYPE_CHECKING:
    from cloister.data.stars import Stars
    from cloister.privacy.runs import PrivateRun
    from cloister.training.examples import Examples
    from cloister.training.private import PrivateGradient


def compare(factories: Mapping[str, str], coast: str, rounds: int, clip: float) -> dict[str, float]:
    """Count accuracy on the fourth factory's pictures of the shipped model, of each factory alone, of all together.

    Args:
        factories: name → folder of its labelled pictures.
        coast: folder of the pictures that are counted.
        rounds: steps of the training.
        clip: norm to which a picture's gradient is shortened.
    """
    from cloister.applications.crystals.outlining import outliner
    from cloister.applications.crystals.shipped import shipped_outliner
    from cloister.cli.demo.cast import recipe
    from cloister.models.execute import load_model
    from cloister.models.export import export
    from cloister.training.local import Trainer
    from cloister.training.preparation import prepare
    from cloister.training.private import PrivateGradient

    trainer = Trainer(load_model(shipped_outliner()), recipe())
    gradient = PrivateGradient(trainer)
    owned = {name: prepare(trainer.recipe, Path(folder), alone=True) for name, folder in factories.items()}
    ways: dict[str, Sequence[Examples]] = {name: [data] for name, data in owned.items()}
    ways["together"] = list(owned.values())
    weights = {"checkpoint": trainer.model.flatten()} | {
        way: steps_of(gradient, data, rounds=rounds, clip=clip) for way, data in ways.items()
    }
    pictures = pictures_of(Path(coast))
    return {
        way: _accuracy(outliner(export(trainer.model, found)), pictures) for way, found in weights.items()
    }


def _accuracy(look: Callable[[np.ndarray], Stars], pictures: Sequence[tuple[np.ndarray, int]]) -> float:
    return float(np.mean([count_accuracy(len(look(image)), true) for image, true in pictures]))


def steps_of(
    gradient: PrivateGradient,
    owned: Sequence[Examples],
    *,
    rounds: int,
    clip: float,
    seed: int = 0,
    run: PrivateRun | None = None,
) -> np.ndarray:
    """The weights after steps of clipped gradients over all units of these owners; with the noise of `run`, if there is one.

    The same sums, noise and optimiser as in a task with secure sums, without masks and messages.
    """
    from cloister.protections.federated import server
    from cloister.protections.federated.contribution import placed
    from cloister.training.private import trained_ranges

    trainer = gradient.trainer
    weights = trainer.model.flatten()
    ranges = tuple((start, stop) for start, stop in trained_ranges(trainer))
    recipe = trainer.recipe.server
    moments = server.start(recipe, gradient.size)
    units = sum(data.units for data in owned)
    for number in range(1, rounds + 1):
        total = np.zeros(gradient.size)
        for place, data in enumerate(owned):
            secret = np.random.default_rng((seed, number, place)).bytes(32)
            found, _ = gradient.sum(data, weights, clip=clip, rate=1.0, capacity=data.units, secret=secret)
            total += found if run is None else run.mechanism.read(run.mechanism.noisy(found, secret, "noise"))
        picked = np.concatenate([weights[start:stop] for start, stop in ranges])
        moved, moments = server.advance(recipe, number, rounds, picked, -total / units, moments)
        weights = placed(weights, moved, ranges)
    return weights


def pictures_of(folder: Path) -> list[tuple[np.ndarray, int]]:
    """Pictures, each with how many crystals there are in it."""
    import json

    from PIL import Image

    found = []
    for path in sorted((folder / "images").iterdir()):
        truth = json.loads((folder / "labels" / f"{path.stem}.json").read_text())
        with Image.open(path) as picture:
            found.append((np.asarray(picture), len(truth["centres"])))
    return found
