"""Metrics by name. Light enough for nodes, which decide whether an agreed one can be used; `evaluate` computes them.

| name | better | what |
|---|---|---|
| loss | lower | the recipe's loss |
| accuracy | higher | share of records whose most likely class is right; for one logit, whose side of zero is |
| r2 | higher | 1 - squared error / squared deviation from the mean |
| mean-absolute-error | lower | in the units of the prepared label |
| count-accuracy | higher | mean over pictures of max(0, 1 - abs(predicted - true) / max(true, 1)) |
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from cloister.training.recipe import Pictures, TabularPreparation

METRICS: Final[Mapping[str, bool]] = {
    "loss": False,
    "accuracy": True,
    "r2": True,
    "mean-absolute-error": False,
    "count-accuracy": True,
}
"""Metric → whether more is better."""

PER_UNIT: Final[Mapping[str, tuple[type, ...]]] = {
    "accuracy": (TabularPreparation,),
    "count-accuracy": Pictures,
}
"""Metrics that are means of scores between 0 and 1, each of one unit alone, and the records that have them. Only of these is
it known how much one unit can change: what a floor under a privacy budget rests on."""
