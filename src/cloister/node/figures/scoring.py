"""Scores of one picture, each between 0 and 1: what a tool found in it, held against its labels.

| figure | score of a picture |
|---|---|
| count-accuracy | max(0, 1 - abs(found - true) / max(true, 1)) |
| f1 | 2 · matched / (found + true); 1 where there is nothing to find and nothing was found |
| d50-accuracy | max(0, 1 - abs(D50 found - D50 true) / D50 true), medians by number; 0 where only one of them exists |

Matched are centres within half the true object's diameter, each at most once (`data.matching.pairs`); of a picture
whose labels have no diameters, within `REACH` pixels. Rules:
1. A score is of its picture alone, whatever the tool did with others: that is what noise rests on (`release.figures`).
2. What a tool does not tell (no count, no places, no sizes), and a picture at which it fails, has the score 0: no refusal tells of
   a single picture.
3. Matching takes time and memory in the node's own process: where found times true objects exceed `MAX_PAIRS`, f1 is that of finding
   nothing.
"""

from __future__ import annotations

import csv
import io
import math

import numpy as np

from cloister.data.labels import Labels
from cloister.data.matching import count_accuracy, pairs
from cloister.disclosure.questions import FIGURES, Figure

REACH = 10.0
MAX_TABLE = 32 << 20
MAX_FOUND = 20_000
"""Objects of one picture that are matched; of a tool that says more, f1 is 0."""
MAX_PAIRS = 2_000_000
"""Found times true objects of one picture that are matched: about 1,400 of each."""


def scores(labels: Labels, count: int | None, table: bytes) -> dict[Figure, float]:
    """The scores of one picture.

    Args:
        labels: what is in it.
        count: what the tool counted, if it counts.
        table: the tool's objects as CSV, with columns `x (px)`, `y (px)`, `diameter (px)`; may be empty. Foreign bytes.

    Returns:
        Each of `FIGURES`.
    """
    x, y, diameters = (_column(table, name) for name in ("x (px)", "y (px)", "diameter (px)"))
    true = len(labels.centres)
    counted = 0.0 if count is None or count < 0 else count_accuracy(count, true)
    matched = 0.0
    if x is not None and y is not None and len(x) == len(y) <= MAX_FOUND:
        matched = _f1(np.stack([x, y], axis=1), labels)
    return dict(zip(FIGURES, (counted, matched, _d50(diameters, labels.diameters)), strict=True))


def nothing() -> dict[Figure, float]:
    """The scores of a picture at which the tool failed."""
    return dict.fromkeys(FIGURES, 0.0)


def _f1(found: np.ndarray, labels: Labels) -> float:
    true = labels.centres
    if not len(found) and not true:
        return 1.0
    if len(found) * len(true) > MAX_PAIRS:
        return 0.0
    reach = labels.diameters if labels.diameters is not None else (2 * REACH,) * len(true)
    return 2 * len(pairs(found, true, reach)[0]) / (len(found) + len(true))


def _d50(found: np.ndarray | None, true: tuple[float, ...] | None) -> float:
    if found is None or true is None:
        return 0.0
    if not len(found) or not true:
        return float(not len(found) and not true)
    expected = float(np.median(true))
    return max(0.0, 1 - abs(float(np.median(found)) - expected) / expected) if expected > 0 else 0.0


def _column(table: bytes, name: str) -> np.ndarray | None:
    if not table or len(table) > MAX_TABLE:
        return None
    try:
        rows = csv.reader(io.StringIO(table.decode("utf-8")), strict=True)
        head = next(rows, [])
        if head.count(name) != 1:
            return None
        at = head.index(name)
        values = [float(row[at]) for row in rows]
    except (UnicodeDecodeError, csv.Error, ValueError, IndexError):
        return None
    return np.array(values) if all(map(math.isfinite, values)) else None
