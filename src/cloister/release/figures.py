"""From scores of single pictures to figures that may leave: rounded means, with noise where a budget pays for it.

Each picture has, for each figure, a score between 0 and 1, of that picture alone. Rules:
1. Without a budget a figure is the scores' mean, rounded to a step that is no smaller than what one picture can change in it, from
   `LEAST_RECORDS` pictures on. That blurs single pictures; it does not hide them.
2. With a budget, what is told is made from one noisy vector: for each figure the sum of (score - 1/2), and half the number of
   pictures. One picture changes each coordinate by at most 1/2, so the vector by at most √(figures + 1) / 2 in L2 norm. Number,
   means, rounding and whether there are enough pictures all follow from that vector: post-processing, free of charge.
3. The noise is made from a secret that is on disk before the charge, and serves one question (`privacy.mechanisms`, rule 4).

Privacy of rule 2: add-or-remove one picture, (epsilon, delta) as the Gaussian mechanism (Balle and Wang, ICML 2018,
arXiv 1805.06530), on a lattice (`privacy.mechanisms`).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput, Refused
from cloister.privacy import accounting, filters
from cloister.privacy.filters import Loss
from cloister.privacy.mechanisms import Mechanism, mechanism_for

LEAST_RECORDS = 10
"""Pictures from which on figures are told."""
STEPS = (0.01, 0.02, 0.05, 0.1)
MOST = 1 << 20
"""More pictures than this count as so many."""


@dataclass(frozen=True)
class Told:
    """What may leave.

    Attributes:
        figures: name → mean, rounded.
        records: number of pictures, in tens, rounded down.
        step: what the figures are rounded to.
    """

    figures: dict[str, float]
    records: int
    step: float


def exact(scores: Mapping[str, NDArray[np.float64]]) -> Told:
    """Figures without a budget (rule 1).

    Args:
        scores: name → (pictures,), each in [0, 1]; of all the same length.

    Raises:
        Refused: too few pictures (clause `too-few-records`).
    """
    count = _count(scores)
    if count < LEAST_RECORDS:
        raise _too_few()
    step = _step(1 / count)
    return Told(
        {name: _rounded(float(found.mean()), step) for name, found in scores.items()}, _tens(count), step
    )


def plan(figures: int, epsilon: float, delta: float) -> tuple[Mechanism, Loss]:
    """The noise for so many figures, and what it costs; from public numbers alone.

    Raises:
        BadInput, Refused: no noise reaches this epsilon.
    """
    multiplier = accounting.noise_multiplier(epsilon, delta, rate=1.0, steps=1)
    mechanism = mechanism_for(
        dimension=figures + 1,
        clip=math.sqrt(figures + 1) / 2,
        noise_multiplier=multiplier,
        largest=MOST / 2,
    )
    return mechanism, filters.of_run(accounting.run_of(mechanism, 1.0, 1), delta)


def noisy(scores: Mapping[str, NDArray[np.float64]], mechanism: Mechanism, secret: bytes) -> Told:
    """Figures with noise (rule 2), to be asked for after the charge.

    Args:
        scores: as for `exact`; of any number of pictures.
        mechanism: from `plan`, for as many figures.
        secret: 32 bytes, for this question and nothing else.

    Raises:
        Refused: too few pictures, as far as the noisy number tells (clause `too-few-records`).
    """
    count = min(_count(scores), MOST)
    sums = [float((np.clip(found, 0, 1)[:count] - 0.5).sum()) for found in scores.values()]
    vector = mechanism.read(mechanism.noisy(np.array([*sums, count / 2]), secret, "figures"))
    number = 2 * float(vector[-1])
    if number < LEAST_RECORDS:
        raise _too_few()
    step = _step(max(1.0, 2 * mechanism.deviation) / number)
    means = {name: 0.5 + float(total) / number for name, total in zip(scores, vector[:-1], strict=True)}
    return Told({name: _rounded(mean, step) for name, mean in means.items()}, _tens(number), step)


def _count(scores: Mapping[str, NDArray[np.float64]]) -> int:
    lengths = {len(found) for found in scores.values()}
    if len(lengths) != 1:
        raise BadInput(
            "Scores do not belong together.", "Figures have different numbers of them.", "Report this."
        )
    return lengths.pop()


def _step(influence: float) -> float:
    return next((step for step in STEPS if step >= influence), STEPS[-1])


def _rounded(value: float, step: float) -> float:
    return round(min(1.0, max(0.0, round(value / step) * step)), 2)


def _tens(number: float) -> int:
    return int(number // 10) * 10


def _too_few() -> Refused:
    return Refused(
        "There are too few labelled pictures.",
        f"Figures are told from {LEAST_RECORDS} pictures on.",
        "Ask an owner that has more.",
        clause="too-few-records",
    )
