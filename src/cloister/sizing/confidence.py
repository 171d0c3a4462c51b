"""How far a number would move if other pictures of the same sample had been taken: bootstrap over pictures.

Particles of one picture are alike: one drop, one focus, one light. Ten pictures of 500 particles are not 5 000 independent
looks at the sample. So whole pictures are drawn with replacement, the number is computed again from each draw, and
the spread of the answers is the uncertainty (B. Efron, R. Tibshirani, An Introduction to the Bootstrap, 1993; A. Davison,
D. Hinkley, Bootstrap Methods, 1997, sec. 3.8, for groups).

Interval: percentiles of the answers, taken further out for few pictures: at Φ(±sqrt(n/(n-1))·t), t the Student quantile with
n - 1 degrees of freedom (T. Hesterberg, American Statistician 69, 2015, the *expanded percentile* interval). Decision record
22 tells what was measured against BCa.

With fewer than `FEW_PICTURES` pictures there is nothing to draw from. Then particles are drawn instead, and the interval says
so: it holds for other particles of the same pictures, and is too narrow for the sample.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.errors import BadInput

FEW_PICTURES: Final = 5
RESAMPLES: Final = 2000
MAX_RESAMPLES: Final = 100_000
_MOST_LOST: Final = 0.05
"""Share of the draws on which a statistic may have no value, for example because no particle is in them."""

Floats = NDArray[np.float64]
Statistic = Callable[[Floats], Any]
"""From rows [n, columns] of particles to one number or several; not a number (NaN) where there is none."""

OPTIMISTIC: Final = (
    "The range is for other particles of the same pictures. With fewer than "
    f"{FEW_PICTURES} pictures it cannot be told how much pictures differ, so it is too narrow for the sample."
)


@dataclass(frozen=True, eq=False)
class Interval:
    """Confidence intervals of one statistic or several.

    Attributes:
        estimate: [s], the statistic of all rows.
        low: [s].
        high: [s].
        level: the wanted probability, 0..1.
        over: what was drawn.
        pictures: how many there are.
        notice: what a reader has to know, or "".
    """

    estimate: Floats
    low: Floats
    high: Floats
    level: float
    over: Literal["pictures", "particles"]
    pictures: int
    notice: str = ""


def interval(
    pictures: Sequence[NDArray[Any]],
    statistic: Statistic,
    *,
    seed: int,
    level: float = 0.95,
    resamples: int = RESAMPLES,
) -> Interval:
    """Confidence interval of any statistic of the particles of several pictures.

    Args:
        pictures: of each, rows of particles: [n] or [n, columns]. A picture without particles is one too.
        statistic: from rows [n, columns] to a number or [s]; it is called about `resamples` times. Several
            numbers at once cost little more than one.
        seed: of the draws; the same seed and pictures give the same interval.
        level: 0.5 to 0.999.
        resamples: draws, 200 to `MAX_RESAMPLES`.

    Raises:
        BadInput: a value out of range, rows that do not fit together, or a statistic without a value on all rows or on
            too many draws.
    """
    if not 0.5 <= level <= 0.999 or not 200 <= resamples <= MAX_RESAMPLES:
        raise _refused(f"The level is 0.5 to 0.999, and 200 to {MAX_RESAMPLES} draws are made.")
    groups = _rows(pictures)
    together = np.concatenate(groups)
    estimate = np.atleast_1d(np.asarray(statistic(together), dtype=np.float64))
    if estimate.ndim != 1 or not np.isfinite(estimate).all():
        raise _refused("The number has no value on these particles.")
    over: Literal["pictures", "particles"] = "pictures" if len(groups) >= FEW_PICTURES else "particles"
    rng = np.random.default_rng(seed)
    answers = np.empty((resamples, len(estimate)))
    for draw in range(resamples):
        if over == "pictures":
            rows = np.concatenate([groups[number] for number in rng.integers(len(groups), size=len(groups))])
        else:
            rows = together[rng.integers(len(together), size=len(together))]
        answers[draw] = statistic(rows) if len(rows) else np.nan
    known = np.isfinite(answers).all(axis=1)
    if known.mean() < 1.0 - _MOST_LOST:
        raise _refused("On too many draws of pictures the number has no value.")
    units = len(groups) if over == "pictures" else len(together)
    tail = expanded_tail(level, units)
    low, high = np.quantile(answers[known], [tail, 1.0 - tail], axis=0)
    notice = "" if over == "pictures" else OPTIMISTIC
    return Interval(estimate, low, high, level, over, len(groups), notice)


def expanded_tail(level: float, units: int) -> float:
    """The share of the answers to leave out on each side: Φ(-sqrt(n/(n-1))·t) instead of (1 - level)/2 (Hesterberg 2015)."""
    from scipy.special import ndtr, stdtrit

    if units < 2:
        return 0.0
    return float(ndtr(np.sqrt(units / (units - 1.0)) * stdtrit(units - 1, (1.0 - level) / 2.0)))


def _rows(pictures: Sequence[NDArray[Any]]) -> list[Floats]:
    groups = [np.asarray(rows, dtype=np.float64) for rows in pictures]
    groups = [rows[:, None] if rows.ndim == 1 else rows for rows in groups]
    if not groups or any(rows.ndim != 2 for rows in groups) or len({rows.shape[1] for rows in groups}) != 1:
        raise _refused("Every picture has to give rows of the same columns.")
    if not sum(map(len, groups)):
        raise _refused("There is no particle in these pictures.")
    return groups


def _refused(why: str) -> BadInput:
    return BadInput("No confidence interval can be given.", why, "Give more pictures, or other values.")
