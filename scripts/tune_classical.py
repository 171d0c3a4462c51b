"""Tunes the numbers of the classical method on drawn pictures and says what each was worth.

    python scripts/tune_classical.py [--pictures 24] [--rounds 1] [--only NAME ...] [--json FILE]

The pictures are drawn from `mixture.any_factory`, each from a factory of its own, with seeds that neither the model's training nor the
trials use. One number after the other is tried at the values of `GRID`, all others kept (coordinate search), and the best is taken;
the numbers of the last stage first, since they cost nothing to try. The aim is the mean over pictures of F1 plus count accuracy.
It begins with
`START`. What comes out is written into `cloister.data.classical.Classical` by hand, with the command.
"""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np

from cloister.applications.crystals.judging import match
from cloister.applications.crystals.mixture import any_factory
from cloister.applications.crystals.synthesis import Micrograph, synthesise
from cloister.data.classical import Classical, crystal_mask, crystals_of, split
from cloister.data.classical_shapes import shapes_of
from cloister.data.matching import count_accuracy
from cloister.data.normalise import normalise_micrograph
from cloister.data.stars import joined

SEED = 880_000
"""Between the seeds of training (below 100 000) and those of the trials (900 000)."""

WIDTH, HEIGHT = 640, 512

MASK: dict[str, tuple[float, ...]] = {
    "edge": (1.5, 2.5, 4.0),
    "local": (0.2, 0.35, 0.5),
    "otsu": (0.5, 0.7, 0.9),
    "noise": (2.5, 4.0, 5.0),
    "dead": (0.05, 0.1, 0.2),
    "closing": (1, 2, 3),
    "opening": (2, 3, 4),
    "coarse": (1.5, 2.0, 3.0),
    "floor": (0.12, 0.2, 0.3),
    "hole": (60.0, 80.0, 110.0),
    "hysteresis": (0.45, 0.6, 0.75),
    "convex": (0.8, 0.85, 0.9),
    "scales": (1, 2, 3),
    "fine": (0.7, 1.0, 1.4),
}
SPLIT: dict[str, tuple[float, ...]] = {
    "neck": (0.75, 0.8, 0.88, 0.93),
    "smooth": (1.0, 1.5),
    "snap": (3.0, 4.0, 5.5),
}
LAST: dict[str, tuple[float, ...]] = {
    "contrast": (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8),
    "round": (0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.1, 0.12),
    "symmetry": (0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9),
    "solidity": (0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.94),
    "smallest": (5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 12.0),
    "elongation": (3.0, 4.0, 5.0, 6.0, 8.0, 12.0),
    "border": (0.0, 0.3, 0.4, 0.5, 0.6, 0.7),
}
GRID = LAST | SPLIT | MASK


START = replace(
    Classical(),
    contrast=0.2,
    round=0.06,
    symmetry=0.6,
    solidity=0.75,
    elongation=8.0,
    smallest=6.0,
    neck=0.88,
)
"""Before any search: set by eye."""


class Bench:
    """Drawn pictures on which settings are tried; what a setting does not change is computed once."""

    def __init__(self, pictures: list[Micrograph]) -> None:
        self.pictures = pictures
        self.normal = [normalise_micrograph(picture.image) for picture in pictures]
        self._kept: dict[tuple[Any, ...], Any] = {}
        self._latest: tuple[Any, ...] = ()

    def score(self, how: Classical) -> tuple[float, float, float]:
        """Mean F1, mean count accuracy, mean absolute relative error of matched diameters."""
        shapes = self._shapes(how)
        f1, count, size = [], [], []
        for picture, found in zip(self.pictures, shapes, strict=True):
            stars = joined([]) if found is None else crystals_of(*found, how)
            of_found, of_true = match(stars, picture)
            both = len(stars) + len(picture.crystals)
            f1.append(2 * len(of_found) / both if both else 1.0)
            count.append(count_accuracy(len(stars), len(picture.crystals)))
            if len(of_found):
                true = np.array([picture.crystals[place].diameter for place in of_true])
                seen = 2 * np.sqrt((stars.rays[of_found] ** 2).mean(axis=1))
                size.append(float(np.median(np.abs(seen / true - 1))))
        return float(np.mean(f1)), float(np.mean(count)), float(np.mean(size))

    def _shapes(self, how: Classical) -> list[Any]:
        told = asdict(how)
        of_mask = tuple(told[name] for name in MASK)
        key = of_mask + tuple(told[name] for name in SPLIT)
        if key not in self._kept:
            masks = self._kept.get(of_mask)
            if masks is None:
                masks = self._kept[of_mask] = [crystal_mask(one, how) for one in self.normal]
            made: list[Any] = []
            for normal, (mask, energy) in zip(self.normal, masks, strict=True):
                if not mask.any() or mask.all():
                    made.append(None)
                    continue
                labels, touching = split(mask, how)
                made.append((shapes_of(labels, normal, energy, snap=how.snap), touching))
            self._kept[key] = made
            # Masks are large: those of the best setting and the latest one are kept.
            for old in [k for k in self._kept if len(k) == len(MASK) and k not in (of_mask, self._latest)]:
                del self._kept[old]
        return self._kept[key]

    def settled(self, how: Classical) -> None:
        """Keeps what belongs to this setting at hand."""
        self._latest = tuple(asdict(how)[name] for name in MASK)


def aim(score: tuple[float, float, float]) -> float:
    """What is made large: F1 and count accuracy, and a tenth of how well diameters are met, which decides about `snap`."""
    return score[0] + score[1] - 0.1 * score[2]


def draw(count: int) -> list[Micrograph]:
    """The pictures."""
    made = []
    for number in range(count):
        rng = np.random.default_rng((SEED, number))
        made.append(synthesise(any_factory(rng, WIDTH, HEIGHT), (SEED, number)))
    return made


def search(
    bench: Bench, how: Classical, names: list[str], rounds: int
) -> tuple[Classical, list[dict[str, Any]]]:
    """Goes through the numbers and takes what is better; says every step."""
    best = bench.score(how)
    steps: list[dict[str, Any]] = []

    def told(change: str) -> None:
        steps.append({"change": change, "f1": best[0], "count": best[1], "diameters": best[2]})
        print(f"{change}: F1 {best[0]:.3f}, count {best[1]:.3f}, diameters off by {best[2]:.3f}", flush=True)

    told("start")
    for _ in range(rounds):
        before = how
        for name in names:
            bench.settled(how)
            others = [value for value in GRID[name] if value != getattr(how, name)]
            tried = {value: bench.score(replace(how, **{name: value})) for value in others}
            value, score = max(tried.items(), key=lambda item: aim(item[1]))
            if aim(score) > aim(best) + 1e-9:
                change = f"{name} {getattr(how, name):g} -> {value:g}"
                how, best = replace(how, **{name: value}), score
                told(change)
        if how == before:
            break
    return how, steps


def main() -> int:
    """Runs the search and prints every step taken."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=list(GRID), default=[*LAST, *SPLIT, *MASK, *LAST])
    parser.add_argument("--json", type=Path, default=None)
    given = parser.parse_args()
    how, steps = search(Bench(draw(given.pictures)), START, given.only, given.rounds)
    print(how)
    if given.json is not None:
        given.json.write_text(json.dumps({"settings": asdict(how), "steps": steps}, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
