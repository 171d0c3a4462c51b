"""The differentially private gradient: each unit's gradient clipped to a norm, then summed. Noise is not added here.

It is *defined* as `vmap` of a function of one unit (`Definition`): gradient of the mean loss of its examples, each run
through the model alone, as a batch of one. So examples never mix, whatever the model's operators do across a batch. Other
ways to compute the same (`layers`) are chosen where they are proved to give it and are faster (`choosing`).

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
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import jax
import jax.numpy as jnp
import numpy as np

from cloister.foundation.errors import BadInput, Refused
from cloister.privacy.sampling import poisson_sample
from cloister.privacy.stream import NoiseStream
from cloister.training.clipping import factors, limit_of, norm_of, rows_where, squares, weighted_sum
from cloister.training.examples import Examples, UnitBatch
from cloister.training.local import Trainer

MAX_CAPACITY = 1 << 20
SAMPLE_LABEL = "cloister/private-sum/sample"
DRAW_LABEL = "cloister/private-sum/draw"

Params = Mapping[str, Any]


@dataclass(frozen=True)
class Block:
    """What a block of units gives.

    Attributes:
        total: parameter → Σ clipped gradients.
        norms: each unit's norm before clipping, (B).
        losses: each unit's mean loss, (B).
    """

    total: dict[str, Any]
    norms: Any
    losses: Any


class Way(Protocol):
    """A way to compute a block."""

    name: str

    def block(
        self, params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any
    ) -> Block:
        """The clipped sum over units.

        Args:
            params: trained parameters.
            frozen: the others.
            batch: arrays (B, K, ...).
            share: (B, K), see `UnitBatch`.
            limit: norms are held to this.
        """
        ...


@dataclass(frozen=True)
class Definition:
    """`vmap` of the gradient of one unit's loss: what every other way must equal."""

    trainer: Trainer
    name: str = "definition"

    def loss_of_unit(self, params: Params, frozen: Params, unit: Mapping[str, Any], share: Any) -> Any:
        """The mean loss of one unit's examples; leaves (K, ...), share (K)."""

        def one(example: Mapping[str, Any]) -> Any:
            alone = {name: value[None] for name, value in example.items()}
            losses = self.trainer.losses({**frozen, **params}, alone)
            if losses.shape != (1,):
                raise BadInput(
                    "The model cannot be trained privately.",
                    "Of one example it makes something that is not one example.",
                    "Use a model that keeps the first dimension of its input.",
                )
            return losses[0]

        if share.shape[0] == 1:
            return one({name: value[0] for name, value in unit.items()}) * share[0]
        return jnp.dot(jax.vmap(one)(dict(unit)), share, precision=jax.lax.Precision.HIGHEST)

    def block(
        self, params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any
    ) -> Block:
        """See `Way`."""
        each = jax.vmap(jax.value_and_grad(self.loss_of_unit), (None, None, 0, 0))
        losses, gradients = each(dict(params), dict(frozen), dict(batch), share)
        norms = norm_of(squares(value) for value in gradients.values())
        factor, counts = factors(norms, limit)
        total = {name: weighted_sum(factor, rows_where(counts, value)) for name, value in gradients.items()}
        return Block(total, norms, losses)


def in_blocks(way: Way, size: int) -> Callable[..., Block]:
    """A function like `Way.block` for any number of units that `size` divides, going through them block by block."""

    def whole(params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any) -> Block:
        cut = {name: value.reshape(-1, size, *value.shape[1:]) for name, value in batch.items()}
        shares = share.reshape(-1, size, share.shape[1])

        def step(total: dict[str, Any], part: Any) -> tuple[dict[str, Any], Any]:
            found = way.block(params, frozen, part[0], part[1], limit)
            return {name: total[name] + found.total[name] for name in total}, (found.norms, found.losses)

        start = {name: jnp.zeros_like(value) for name, value in params.items()}
        total, (norms, losses) = jax.lax.scan(step, start, (cut, shares))
        return Block(total, norms.reshape(-1), losses.reshape(-1))

    return whole


def split_evenly(capacity: int, most: int) -> int:
    """The size of equal blocks of at most `most` that hold `capacity` with the least padding."""
    return -(-capacity // -(-capacity // max(1, min(most, capacity))))


@dataclass
class PrivateGradient:
    """A trainer's private gradient, compiled; keep it between steps.

    Attributes:
        trainer: model and recipe.
    """

    trainer: Trainer
    _compiled: dict[Any, tuple[Callable[..., Any], int, str]] = field(default_factory=dict, repr=False)

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
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Σ over a Poisson sample of units of their clipped gradients.

        Args:
            data: prepared records.
            weights: float32, length `model.size`.
            clip: L2 norm to which each unit's gradient is shortened.
            rate: the chance of each unit.
            capacity: the most units that count.
            secret: 32 secret bytes, for this step and attempt alone.

        Returns:
            float32 (`size`,), the trained parameters in the model's order; and the owner's own figures: `sampled`,
            `left_out`, `clipped` (share of those that count), `zeroed` (how many were not finite), `loss` (mean; None
            if none is finite), `way`.

        Raises:
            BadInput: a number is out of range, or the model gives no loss of one example.
            Refused: the weights are not finite.
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

    def clipped(
        self, params: Params, frozen: Params, batch: UnitBatch, clip: float
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, str]:
        """The clipped sum (`size`,), norms and losses (capacity,) of a batch of units, and which way it was computed."""
        capacity = len(batch.share)
        shapes = {name: (value.shape[1:], value.dtype) for name, value in batch.examples.items()}
        key = (capacity, tuple(sorted((name, *map(str, what)) for name, what in shapes.items())))
        if key not in self._compiled:
            self._compiled[key] = self._compile(batch)
        run, size, way = self._compiled[key]
        padded = -(-capacity // size) * size
        examples = {name: _padded(value, padded) for name, value in batch.examples.items()}
        total, norms, losses = run(
            dict(params), dict(frozen), examples, _padded(batch.share, padded), limit_of(clip)
        )
        return np.asarray(total), np.asarray(norms)[:capacity], np.asarray(losses)[:capacity], way

    def _compile(self, batch: UnitBatch) -> tuple[Callable[..., Any], int, str]:
        way: Way = Definition(self.trainer)
        size = split_evenly(len(batch.share), self._most(batch))
        return jax.jit(self.flat(way, size)), size, way.name

    def flat(self, way: Way, size: int) -> Callable[..., Any]:
        """`in_blocks` with the sum as one vector, the trained parameters in the model's order."""
        blocks = in_blocks(way, size)

        def run(
            params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any
        ) -> tuple[Any, Any, Any]:
            found = blocks(params, frozen, batch, share, limit)
            vector = jnp.concatenate([found.total[name].reshape(-1) for name in self.trainer.trained])
            return vector, found.norms, found.losses

        return run

    def _most(self, batch: UnitBatch) -> int:
        """Units in a block, so that their gradients and intermediate values stay within `_BLOCK_BYTES`."""
        shape: tuple[int, ...] = batch.examples["input"].shape
        values = self.trainer.model.analyse({self.trainer.recipe.input: (1, *shape[2:])}).activation_bytes
        return max(1, _BLOCK_BYTES // (3 * values * shape[1] + 8 * self.size))


_BLOCK_BYTES = 256 << 20


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
