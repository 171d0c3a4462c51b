"""How well crystals are found, outlined and sized, against drawn truth: the figures of the model card.

Per picture, because errors of different pictures must not cancel: count accuracy is 1 - |found - true| / true, at least 0. A found
crystal matches a true one when their centres lie within half the true one's diameter, each at most once, so that the total
distance is smallest. Sizes are compared as a plant would: the median diameter over all pictures of a set, of crystals that the
border does not cut, by number and by volume (ISO 9276-1).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.synthesis import Crystal, Micrograph
from cloister.data.matching import count_accuracy, pairs
from cloister.data.polygons import reach
from cloister.data.stars import ANGLES, LONGEST, SHORTEST, Stars, overlaps, star_area
from cloister.foundation.errors import BadInput
from cloister.sizing.distribution import Distribution, Weighting
from cloister.sizing.frame import cut_by_edge
from cloister.tools.steps.size_figures import SizeFigures, count_range
from cloister.tools.types import Outlines

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Judgement:
    """Results over a set of pictures; shares of 1.

    Attributes:
        pictures: how many.
        true: crystals in truth, all pictures.
        found: crystals found.
        count_accuracy: mean over pictures.
        worst_count_accuracy: of the worst picture.
        precision: share of found crystals that are true.
        recall: share of true crystals that were found.
        f1: harmonic mean of both.
        number_d50: relative error of the median diameter by number; None without crystals.
        volume_d50: the same by volume.
        agglomerated: recall of crystals that are part of agglomerates; None if there are none.
        mimics: all false crystals over the number of bubbles, so an upper bound of bubbles taken for crystals; it tells of bubbles
            where there is little else. None without bubbles.
        bias: median relative error of matched crystals' diameters.
        outlines: mean intersection over union of matched crystals' outlines with the true ones.
        within: share of pictures whose true number lies in the range that is told of the count; None if no finder is given.
    """

    pictures: int
    true: int
    found: int
    count_accuracy: float
    worst_count_accuracy: float
    precision: float
    recall: float
    f1: float
    number_d50: float | None
    volume_d50: float | None
    agglomerated: float | None
    mimics: float | None
    bias: float | None
    outlines: float | None = None
    within: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The figures as a JSON object, rounded to four digits."""
        return {
            key: round(value, 4) if isinstance(value, float) else value for key, value in asdict(self).items()
        }


def judge(answers: Iterable[tuple[Micrograph, Stars]], finder: SizeFigures | None = None) -> Judgement:
    """Compares what was found in each picture with its truth.

    Args:
        answers: pictures with what was found in them.
        finder: what is known of the finder, for the ranges of counts.

    Raises:
        BadInput: there is no picture.
    """
    accuracies: list[float] = []
    within: list[bool] = []
    true = found = matched = grown = grown_found = bubbles = 0
    sizes: list[Floats] = []
    wanted: list[Floats] = []
    ratios: list[Floats] = []
    shared: list[Floats] = []
    for picture, stars in answers:
        height, width = picture.image.shape[:2]
        crystals = picture.crystals
        accuracies.append(count_accuracy(len(stars), len(crystals)))
        of_found, of_true = match(stars, picture)
        matched, true, found = matched + len(of_true), true + len(crystals), found + len(stars)
        member = np.array([c.agglomerate > 0 for c in crystals], dtype=bool)
        grown, grown_found = grown + int(member.sum()), grown_found + int(member[of_true].sum())
        bubbles += len(picture.bubbles)
        diameters = 2.0 * np.sqrt(star_area(stars.rays) / np.pi)
        truth = np.array([c.diameter for c in crystals], dtype=np.float64)
        if finder is not None:
            within.append(
                _within(count_range(Outlines(stars, height, width, 1.0), diameters, finder), len(crystals))
            )
        ratios.append(diameters[of_found] / truth[of_true] if len(of_true) else np.zeros(0))
        shared.append(_shared(stars.pick(of_found), [crystals[place] for place in of_true]))
        sizes.append(diameters[~cut_by_edge(stars.polygons(), (width, height))])
        wanted.append(truth[[not c.cut for c in crystals]] if len(crystals) else truth)
    if not accuracies:
        raise BadInput("There is nothing to judge.", "No picture was given.", "Give at least one picture.")
    precision, recall = matched / found if found else 0.0, matched / true if true else 0.0
    seen, real, ratio = np.concatenate(sizes), np.concatenate(wanted), np.concatenate(ratios)
    comparable = bool(len(seen) and len(real))
    return Judgement(
        pictures=len(accuracies),
        true=true,
        found=found,
        count_accuracy=float(np.mean(accuracies)),
        worst_count_accuracy=min(accuracies),
        precision=precision,
        recall=recall,
        f1=2 * precision * recall / (precision + recall) if matched else 0.0,
        number_d50=_median(seen, "number") / _median(real, "number") - 1.0 if comparable else None,
        volume_d50=_median(seen, "volume") / _median(real, "volume") - 1.0 if comparable else None,
        agglomerated=grown_found / grown if grown else None,
        mimics=(found - matched) / bubbles if bubbles else None,
        bias=float(np.median(ratio)) - 1.0 if len(ratio) else None,
        outlines=float(np.concatenate(shared).mean()) if len(ratio) else None,
        within=float(np.mean(within)) if within else None,
    )


def _within(told: Mapping[str, int | None], true: int) -> bool:
    low, high = told["count_low"], told["count_high"]
    return low is not None and high is not None and low <= true <= high


def match(stars: Stars, picture: Micrograph) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Which found crystal is which true one: positions in the found and in the true, in pairs."""
    truth = np.array([(c.x, c.y, c.diameter) for c in picture.crystals]).reshape(-1, 3)
    return pairs(np.stack([stars.x, stars.y], axis=1), truth[:, :2], truth[:, 2])


def _shared(found: Stars, true: Sequence[Crystal]) -> Floats:
    """Intersection over union of each found outline with the true one of the same place in the lists."""
    if not true:
        return np.zeros(0)
    x, y = np.array([(c.x, c.y) for c in true]).T
    rays = np.stack([reach(np.array(c.outline) - (c.x, c.y), ANGLES) for c in true])
    same = np.zeros(len(true))
    real = Stars(x, y, same, np.clip(rays, SHORTEST, LONGEST), same, same, same)
    every = Stars(*(np.concatenate([getattr(found, f.name), getattr(real, f.name)]) for f in fields(Stars)))
    first = np.arange(len(true))
    return overlaps(every, first, first + len(true))


def _median(diameters: Floats, weighting: Weighting) -> float:
    return float(Distribution.of(diameters, weighting=weighting).percentile(50.0))
