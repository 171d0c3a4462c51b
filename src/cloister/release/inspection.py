"""What an owner's node asks its sandboxed worker about a candidate model; nothing here parses a foreign model itself.

That a candidate is the admitted model but for its weights is shown by doing it again: its weights are read out and put
into the admitted model, and the bytes must be the candidate's. Export is deterministic, so nothing else can differ.

Rules:
1. A candidate's own bytes are parsed by `EXAMINER` alone, a fresh worker that may read no dataset and ends with the call;
   the worker that reads records gets nothing of a candidate but its weights, numbers for the admitted model.
2. A candidate that is over the agreed size, or fails another check that needs no look into it, is not parsed at all
   (`gate.Gate.unopened`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest
from cloister.foundation.errors import CloisterError, OutOfSpace, Unreachable
from cloister.journal.program import DataPort, Local
from cloister.training.arguments import of_dataset

ENGINE = "jax"
EXAMINER = "examiner"
"""The name of the engine that looks at models which nobody has approved."""
MODEL_SECONDS = 300.0
EVALUATE_SECONDS = 1800.0


@dataclass(frozen=True)
class Inspected:
    """What the worker found; all `None` where the candidate is no model that fits the admitted one.

    Attributes:
        weights: the candidate's, shape (n,), float32.
        initial: the admitted model's, shape (n,), float32.
        rebuilt: digest of the admitted model with the candidate's weights.
    """

    weights: NDArray[np.float32] | None = field(default=None, repr=False)
    initial: NDArray[np.float32] | None = field(default=None, repr=False)
    rebuilt: str | None = None


def inspect(local: Local, model: str | None, content: bytes) -> Inspected:
    """Looks into a candidate. Raises `Unreachable` or `OutOfSpace` if the worker cannot; a bad candidate is no error."""
    if model is None:
        return Inspected()
    engine = local.engine(ENGINE)
    admitted = np.frombuffer(local.content(model), dtype=np.uint8)
    _, arrays = engine.call("initial", {}, {"model": admitted}, MODEL_SECONDS)
    initial = _vector(arrays)
    try:
        _, arrays = local.engine(EXAMINER).call(
            "initial", {}, {"model": np.frombuffer(content, dtype=np.uint8)}, MODEL_SECONDS
        )
        weights = _vector(arrays)
        if weights.shape != initial.shape:
            return Inspected(weights, initial)
        if not bool(np.all(np.isfinite(weights))):
            # Export refuses such weights; the gate names them as its check `finite`, which comes after `model`.
            return Inspected(weights, initial, digest(content))
        _, arrays = engine.call("export", {}, {"model": admitted, "weights": weights}, MODEL_SECONDS)
    except (Unreachable, OutOfSpace):
        raise
    except CloisterError:
        return Inspected(initial=initial)
    return Inspected(weights, initial, digest(np.asarray(arrays["model"], dtype=np.uint8).tobytes()))


def figure(
    local: Local,
    recipe: Mapping[str, JSON],
    data: DataPort,
    model: str,
    weights: NDArray[np.float32],
    metric: str,
) -> float:
    """A metric of a candidate on the validation records of a dataset of one's own: the more, the better.

    Of metrics where less is better (see `training.metrics.METRICS`) it is the negative, so that a floor is a floor.

    Args:
        local: the owner's.
        recipe: the computation's settings; they say which records are kept apart.
        data: the owner's dataset.
        model: digest of the admitted model. Under its bytes the worker finds what it compiled for training, and its
            prepared records, instead of making them anew.
        weights: the candidate's, shape (n,), float32.
        metric: by name.

    Raises:
        BadInput: recipe, model, metric and data do not fit.
    """
    answer, _ = _evaluated(local, {**recipe, "metric": metric}, data, model, weights)
    value = float(answer["value"])
    return value if answer.get("higher_is_better", True) else -value


def scores(
    local: Local,
    recipe: Mapping[str, JSON],
    data: DataPort,
    model: str,
    weights: NDArray[np.float32],
    metric: str,
) -> NDArray[np.float64]:
    """Units' scores on the records kept apart, (units,), as `training.evaluate.scores` has them; arguments as of `figure`."""
    _, arrays = _evaluated(local, {**recipe, "metric": metric}, data, model, weights, by_unit=True)
    return np.asarray(arrays["scores"], dtype=np.float64).ravel()


def _evaluated(
    local: Local,
    recipe: Mapping[str, JSON],
    data: DataPort,
    model: str,
    weights: NDArray[np.float32],
    *,
    by_unit: bool = False,
) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    return local.engine(ENGINE).call(
        "evaluate",
        {"recipe": dict(recipe), "by_unit": by_unit, **of_dataset(data)},
        {"model": np.frombuffer(local.content(model), dtype=np.uint8), "weights": weights},
        EVALUATE_SECONDS,
    )


def _vector(arrays: dict[str, Any]) -> NDArray[np.float32]:
    return np.asarray(arrays["weights"], dtype=np.float32).ravel()
