"""The differentially private gradient: each unit's gradient clipped to a norm, then summed. Noise is not added here.

It is *defined* as `vmap` of a function of one unit (`definition`). Other ways to compute the same (`layers`) are chosen
where they are proved to give it and are faster (`choosing`).

Rules:
1. The sample is drawn by `privacy.sampling.poisson_sample` from the caller's secret: units, not rows; records kept apart
   for validation are in no unit. Draws beyond the capacity are left out.
2. Work is always on `capacity` places, in blocks of equal size; a place that is not used gives zero. What is computed, and
   in which shapes, does not depend on how many were drawn.
3. Each unit's part is clipped over all trained parameters together (`clipping`). Parts that are not finite become zero.
4. Sample and augmentation come from the secret, under labels of their own; the same inputs give the same bytes.
5. Figures about the sample are for the owner's own people; nobody else may see them unless they are charged.

Abadi et al. 2016, "Deep learning with differential privacy", Algorithm 1, with Poisson samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.foundation.errors import BadInput, Refused
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream
from cloister.training.choosing import Choice, Shapes, batch_shapes, choose
from cloister.training.clipping import limit_of
from cloister.training.definition import Params, adding
from cloister.training.examples import Examples, UnitBatch
from cloister.training.local import Trainer

MAX_CAPACITY = 1 << 20
SAMPLE_LABEL = "cloister/private-sum/sample"
DRAW_LABEL = "cloister/private-sum/draw"


@dataclass
class PrivateGradient:
    """A trainer's private gradient, compiled; keep it between steps.

    Attributes:
        trainer: model and recipe.
    """

    trainer: Trainer
    _zero: Any = field(init=False, repr=False)
    _chosen: dict[Shapes, tuple[Choice, Callable[..., Any]]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        self._zero = jnp.zeros(self.size, jnp.float32)

    @property
    def size(self) -> int:
        """How many numbers are trained."""
        return sum(math.prod(self.trainer.model.parameters[name]) for name in self.trainer.trained)

    def sum(
        self,
        data: Examples,
        weights: np.ndarray,
        *,
        clip: float,
        rate: float,
        capacity: int,
        secret: bytes,
        units: int | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Σ over a Poisson sample of units of their clipped gradients.

        Args:
            data: prepared records.
            weights: float32, length `model.size`.
            clip: L2 norm to which each unit's gradient is shortened.
            rate: the chance of each unit.
            capacity: the most units that count.
            secret: 32 secret bytes, for this step and attempt alone.
            units: the public bound of units that the capacity was planned for; None checks nothing.

        Returns:
            float32 (`size`,), the trained parameters in the model's order; and the owner's own figures: `sampled`,
            `left_out`, `clipped` (share of those that count), `zeroed` (how many were not finite), `loss` (mean; None
            if none is finite), `way`.

        Raises:
            BadInput: a number is out of range, or the model gives no loss of one example.
            Refused: the weights are not finite, or there are more units than the plan's bound, so that batches would
                overflow more often than was accounted for (clause `units-bound`).
        """
        if not (1e-12 <= clip <= 1e12 and 0 < rate <= 1 and 1 <= capacity <= MAX_CAPACITY):
            raise BadInput(
                "There is no such private step.",
                "Clipping norm, rate or capacity is out of range.",
                "Have the task planned again.",
            )
        if not np.isfinite(weights).all():
            raise Refused(
                "The weights to start from are not finite.",
                "A number became infinite or undefined.",
                "Lower the learning rate.",
                clause="finite-weights",
            )
        if units is not None and data.units > units:
            raise Refused(
                "There are more units than the plan provides for.",
                "Its batches would overflow more often than its guarantee says.",
                "Have the task planned again for a larger dataset.",
                clause="units-bound",
            )
        sample = poisson_sample(NoiseStream(secret, SAMPLE_LABEL), data.units, rate)
        drawn = sample[:capacity]
        rng = np.random.default_rng(NoiseStream(secret, DRAW_LABEL).words(4).tolist())
        batch = data.unit_batch(rng, drawn, capacity)
        frozen = self.trainer.model.unflatten(np.asarray(weights, np.float32))
        params = {name: frozen.pop(name) for name in self.trainer.trained}
        total, norms, losses, way = self.clipped(params, frozen, batch, clip)
        norms, losses = norms[: len(drawn)], losses[: len(drawn)]
        finite = np.isfinite(norms)
        figures = {
            "sampled": len(sample),
            "left_out": len(sample) - len(drawn),
            "clipped": float((norms[finite] > limit_of(clip)).mean()) if finite.any() else 0.0,
            "zeroed": int((~finite).sum()),
            "loss": float(losses[finite].mean()) if finite.any() else None,
            "way": way,
        }
        return total, figures

    def use(self, shapes: Shapes, choice: Choice) -> None:
        """Computes batches of these shapes in this way from now on."""
        self._chosen[shapes] = choice, adding(self.trainer, choice.way)

    def clipped(
        self, params: Params, frozen: Params, batch: UnitBatch, clip: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        """The clipped sum (`size`,), norms and losses (capacity,) of a batch of units, and which way it was computed."""
        capacity, limit = len(batch.share), limit_of(clip)
        shapes = batch_shapes(batch)
        if shapes not in self._chosen:
            self.use(shapes, choose(self.trainer, shapes))
        (way, size), run = self._chosen[shapes]
        total = self._zero
        params, frozen = _placed(params), _placed(frozen)
        norms, losses = [], []
        # Not one loop inside the compiler: on processors it runs convolutions in loops several times slower.
        for start in range(0, capacity, size):
            block = {
                name: _padded(value[start : start + size], size) for name, value in batch.examples.items()
            }
            share = _padded(batch.share[start : start + size], size)
            total, norm, loss = run(total, params, frozen, block, share, limit)
            norms.append(np.asarray(norm))
            losses.append(np.asarray(loss))
        return (
            np.asarray(total),
            np.concatenate(norms)[:capacity],
            np.concatenate(losses)[:capacity],
            f"{way.name}, {size} at a time",
        )


def _placed(params: Params) -> dict[str, Any]:
    return {
        name: value if isinstance(value, jax.Array) else jnp.asarray(value) for name, value in params.items()
    }


def _padded(values: np.ndarray, length: int) -> np.ndarray:
    if len(values) == length:
        return values
    return np.concatenate([values, np.zeros((length - len(values), *values.shape[1:]), values.dtype)])


def trained_ranges(trainer: Trainer) -> list[list[int]]:
    """Where the trained parameters lie in the flat vector of all: [start, stop] in order, neighbours merged."""
    ranges: list[list[int]] = []
    start, chosen = 0, set(trainer.trained)
    for name, shape in trainer.model.parameters.items():
        stop = start + math.prod(shape)
        if name in chosen:
            if ranges and ranges[-1][1] == start:
                ranges[-1][1] = stop
            else:
                ranges.append([start, stop])
        start = stop
    return ranges
