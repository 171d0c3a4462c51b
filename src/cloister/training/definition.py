"""What the private gradient is: each unit's gradient by `vmap` of a function of one unit, clipped, summed.

One unit's loss is the mean of its examples' losses, each run through the model alone, as a batch of one. So examples never
mix, whatever the model's operators do across a batch. Other ways to compute the same are in `layers`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from cloister.foundation.errors import BadInput
from cloister.training.clipping import factors, norm_of, rows_where, squares, weighted_sum
from cloister.training.local import Trainer

Params = Mapping[str, Any]


class Block(NamedTuple):
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

    @property
    def name(self) -> str:
        """For figures and benchmarks."""
        ...

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


def adding(trainer: Trainer, way: Way) -> Callable[..., Any]:
    """Compiled: a block's clipped sum added to what was summed before.

    The function takes the sum so far (`size`,) and what `Way.block` takes, and gives the new sum, the trained parameters
    in the model's order, with norms and losses.
    """

    def step(
        before: Any, params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any
    ) -> tuple[Any, Any, Any]:
        found = way.block(params, frozen, batch, share, limit)
        vector = jnp.concatenate([found.total[name].reshape(-1) for name in trainer.trained])
        return before + vector, found.norms, found.losses

    compiled: Callable[..., Any] = jax.jit(step)
    return compiled
