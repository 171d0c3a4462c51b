"""How well crystals are counted and found, against truth.

Count accuracy is the mean over pictures of max(0, 1 - |found - true| / true): errors of different pictures do
not cancel. F1 also asks that each found crystal is a true one: a centre matches a crystal when it lies
within half its diameter, each at most once, matched so that the total distance is smallest (H. W. Kuhn's
assignment).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.pipeline import PEAK_DISTANCE, PEAK_THRESHOLD
from cloister.applications.crystals.predict import Runner, centres
from cloister.data.matching import count_accuracy, pairs
from cloister.foundation.errors import BadInput


@dataclass(frozen=True)
class Scores:
    """Results over a set of pictures.

    Attributes:
        pictures: how many.
        true: crystals in truth, all pictures.
        found: crystals found.
        count_accuracy: mean per-picture count accuracy, 0 to 1.
        worst_count_accuracy: of the worst picture.
        precision: share of found crystals that are true.
        recall: share of true crystals that were found.
        f1: harmonic mean of both.
    """

    pictures: int
    true: int
    found: int
    count_accuracy: float
    worst_count_accuracy: float
    precision: float
    recall: float
    f1: float

    def as_json(self) -> dict[str, Any]:
        """The scores as a JSON object, rounded to four digits."""
        return {
            key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def matches(
    found: NDArray[Any],
    true: Sequence[Sequence[float]] | NDArray[Any],
    diameters: Sequence[float] | NDArray[Any],
) -> int:
    """How many found centres match a true crystal.

    Args:
        found: [n, 2], pixels.
        true: [m, 2], pixels.
        diameters: [m], pixels.
    """
    return len(pairs(found, true, diameters)[0])


def evaluate(
    run: Runner,
    pictures: Iterable[tuple[NDArray[Any], Sequence[Sequence[float]], Sequence[float]]],
    *,
    threshold: float = PEAK_THRESHOLD,
    min_distance: int = PEAK_DISTANCE,
) -> Scores:
    """Counts every picture and compares with its truth.

    Args:
        run: the model (see `predict.runner`).
        pictures: image, centres, diameters of each.
        threshold: lowest heat of a peak.
        min_distance: of two peaks, pixels.

    Raises:
        BadInput: there is no picture.
    """
    accuracies: list[float] = []
    true = found = matched = 0
    for image, truth, diameters in pictures:
        seen = centres(run, image, threshold=threshold, min_distance=min_distance)
        accuracies.append(count_accuracy(len(seen), len(truth)))
        matched += matches(seen, truth, diameters)
        true, found = true + len(truth), found + len(seen)
    if not accuracies:
        raise BadInput(
            "There is nothing to evaluate.", "No picture was given.", "Give at least one labelled picture."
        )
    precision, recall = matched / found if found else 0.0, matched / true if true else 0.0
    return Scores(
        pictures=len(accuracies),
        true=true,
        found=found,
        count_accuracy=float(np.mean(accuracies)),
        worst_count_accuracy=min(accuracies),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if matched else 0.0,
    )
