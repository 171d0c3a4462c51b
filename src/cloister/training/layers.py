"""The private gradient layer by layer: one pass forward and back over the whole batch, then each unit's part of each layer.

Where `mixing` proves that examples stay apart, the gradient of the summed losses with respect to a layer's output is, row by
row, each example's own. With the layer's input it gives that example's gradient of the layer's parameters, without running
the model example by example. Both are kept from one backward pass, and the clipped sum follows from them (the
"book-keeping" of Bu et al. 2023), so there is no second pass.

- A dense layer that acts once on one vector per unit: the gradient is the outer product of input and output gradient; its
  norm is the product of their norms, and the clipped sum one product of matrices (Goodfellow 2015, arXiv 1510.01799). The
  gradients themselves are never made.
- Any other layer: the unit's gradient is made by differentiating that one operator, mapped over the batch. This holds for
  every operator and also for parameters that are used several times or computed from others: their parts are added before
  the norm is taken. Norms from inner products of unfolded inputs (Li et al. 2022) are not used: where they save memory they
  cancel, and a norm that is too small by rounding would break the clipping.

Rules:
1. Norm and contribution are computed from the same numbers, so that what is added is as long as its computed norm says.
2. Only for shapes for which the proof was made.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.models.execute import run
from cloister.models.graph import Array, Node, TensorType
from cloister.models.operators.registry import load
from cloister.training.clipping import factors, lengths, norm_of, rows_where, squares, weighted_sum
from cloister.training.definition import Block, Params
from cloister.training.local import Trainer
from cloister.training.mixing import Apart, Mixes, Site, examine

_HIGHEST = jax.lax.Precision.HIGHEST


@dataclass(frozen=True)
class Outer:
    """Gradients of a dense layer's weights as outer products of rows.

    Attributes:
        left: (B, M).
        right: (B, N); the gradient of unit i is left[i] ⊗ right[i].
    """

    left: Any
    right: Any

    @property
    def values(self) -> Any:
        """The gradients, (B, M, N)."""
        return self.left[:, :, None] * self.right[:, None, :]

    def squares(self) -> Any:
        """Each unit's squared norm, (B)."""
        return jnp.square(lengths(self.left) * lengths(self.right))

    def total(self, factor: Any, counts: Any) -> Any:
        """Σ factor · gradient, (M, N)."""
        scaled = factor[:, None] * rows_where(counts, self.right)
        return jnp.matmul(rows_where(counts, self.left).T, scaled, precision=_HIGHEST)


@dataclass(frozen=True)
class Made:
    """Gradients that are there: (B, ...)."""

    values: Any

    def squares(self) -> Any:
        """Each unit's squared norm, (B)."""
        return squares(self.values)

    def total(self, factor: Any, counts: Any) -> Any:
        """Σ factor · gradient, (...)."""
        return weighted_sum(factor, rows_where(counts, self.values))


@dataclass(frozen=True)
class Layers:
    """See the module's text."""

    trainer: Trainer
    name: str = "layers"

    def proof(self, shape: tuple[int, ...]) -> Apart | Mixes:
        """Whether this way may be taken for an input of this shape."""
        recipe = self.trainer.recipe
        return examine(self.trainer.model, self.trainer.trained, recipe.output, shape)

    def block(
        self, params: Params, frozen: Params, batch: Mapping[str, Any], share: Any, limit: Any
    ) -> Block:
        """See `definition.Way`."""
        units, places = share.shape
        flat = {name: value.reshape(-1, *value.shape[2:]) for name, value in batch.items()}
        proof = self.proof(tuple(flat["input"].shape))
        assert isinstance(proof, Apart), "chosen without a proof"
        losses, seen, slopes = self._passes(params, frozen, flat, share.reshape(-1), proof)
        found = self._gradients(params, proof, seen, slopes, (units, places))
        found = self._undo(params, frozen, proof, found)
        norms = norm_of(part.squares() for part in found.values())
        factor, counts = factors(jnp.broadcast_to(norms, (units,)), limit)
        total = {
            name: found[name].total(factor, counts).reshape(value.shape)
            if name in found
            else jnp.zeros_like(value)
            for name, value in params.items()
        }
        return Block(total, norms, losses.reshape(units, places).sum(1))

    def _passes(
        self, params: Params, frozen: Params, flat: Mapping[str, Any], share: Any, proof: Apart
    ) -> tuple[Any, dict[int, list[Array]], dict[int, list[Array]]]:
        """Losses times their share, (B); at each site its inputs, and the gradients of the summed losses at its outputs."""
        sites = {site.index for site in proof.sites}
        shapes: dict[int, list[Any]] = {}
        known: dict[int, list[Array]] = {}

        def measure(index: int, _node: Node, _inputs: list[Array], outputs: list[Array]) -> list[Array]:
            if index in sites:
                shapes[index] = [jax.ShapeDtypeStruct(value.shape, value.dtype) for value in outputs]
            return outputs

        def forward(nudges: Mapping[int, list[Array]], tap: Any = None) -> tuple[Any, Any]:
            seen: dict[int, list[Array]] = {}

            def nudge(index: int, _node: Node, inputs: list[Array], outputs: list[Array]) -> list[Array]:
                if index not in nudges:
                    return outputs
                seen[index] = [value if hasattr(value, "dtype") else None for value in inputs]
                return [
                    value + by if by is not None else value
                    for value, by in zip(outputs, nudges[index], strict=True)
                ]

            losses = self.trainer.losses({**frozen, **params}, flat, tap or nudge) * share
            arrays = {
                index: {slot: value for slot, value in enumerate(values) if isinstance(value, jax.Array)}
                for index, values in seen.items()
            }
            known.update(
                {
                    index: [None if isinstance(value, jax.Array) else value for value in values]
                    for index, values in seen.items()
                }
            )
            return losses.sum(), (losses, arrays)

        jax.eval_shape(lambda: forward({}, measure))
        nudges = {
            index: [
                jnp.zeros(value.shape, value.dtype) if jnp.issubdtype(value.dtype, jnp.floating) else None
                for value in values
            ]
            for index, values in shapes.items()
        }
        _, pull, (losses, arrays) = jax.vjp(forward, nudges, has_aux=True)
        (slopes,) = pull(jnp.ones((), losses.dtype))
        seen = {
            index: [arrays[index].get(slot, value) for slot, value in enumerate(values)]
            for index, values in known.items()
        }
        return losses, seen, slopes

    def _gradients(
        self,
        params: Params,
        proof: Apart,
        seen: Mapping[int, list[Array]],
        slopes: Mapping[int, list[Array]],
        units: tuple[int, int],
    ) -> dict[str, Outer | Made]:
        """Each unit's gradient of each trained parameter that acts."""
        uses = Counter(name for site in proof.sites for name in site.slots.values())
        uses.update({name for node in proof.makers for name in node.inputs})
        found: dict[str, Outer | Made] = {}
        for site in proof.sites:
            inputs, slope = seen[site.index], slopes[site.index]
            rest = dict(site.slots)
            dense = _dense_slot(site, inputs) if units[1] == 1 else None
            if dense in rest and uses[rest[dense]] == 1 and rest[dense] in params:
                found[rest.pop(dense)] = _outer(site.node, inputs, slope[0])
            for slot, values in _by_operator(site, inputs, slope, tuple(rest)).items():
                each = values.reshape(units[0], units[1], *values.shape[1:]).sum(1)
                earlier = found.get(rest[slot])
                found[rest[slot]] = Made(each if earlier is None else earlier.values + each)
        return found

    def _undo(
        self, params: Params, frozen: Params, proof: Apart, found: dict[str, Outer | Made]
    ) -> dict[str, Outer | Made]:
        """Brings gradients of values that are computed from parameters back to the parameters."""
        if not proof.derived:
            return found
        graph = self.trainer.model.graph
        outputs = tuple(TensorType(name, "float32", None) for name in proof.derived)
        part = dataclasses.replace(graph, nodes=proof.makers, outputs=outputs)

        def make(some: Params) -> dict[str, Any]:
            return run(part, {**graph.constants, **frozen, **some})

        _, pull = jax.vjp(make, dict(params))
        (back,) = jax.vmap(pull)({name: found.pop(name).values for name in proof.derived})
        reached = {name for node in proof.makers for name in node.inputs}
        for name, values in back.items():
            if name in reached:
                earlier = found.get(name)
                found[name] = Made(values if earlier is None else earlier.values + values)
        return found


def _dense_slot(site: Site, inputs: list[Array]) -> int | None:
    """The slot of weights that make one vector of one vector, if this is such a layer."""
    if site.node.operator not in ("Gemm", "MatMul") or site.rows != (0,):
        return None
    return 1 if inputs[0].ndim == 2 and inputs[1].ndim == 2 else None


def _outer(node: Node, inputs: list[Array], slope: Array) -> Outer:
    """Of y = alpha · x W (or x Wᵀ): x ⊗ alpha · slope, or turned."""
    alpha = node.attributes.get("alpha", 1.0) if node.operator == "Gemm" else 1.0
    scaled = slope if alpha == 1.0 else slope * np.float32(alpha)
    if node.operator == "Gemm" and node.attributes.get("transB", 0):
        return Outer(scaled, inputs[0])
    return Outer(inputs[0], scaled)


def _by_operator(
    site: Site, inputs: list[Array], slope: list[Array], slots: tuple[int, ...]
) -> dict[int, Any]:
    """Each example's gradient of a node's fixed inputs, by differentiating the node alone: slot → (B, ...)."""
    if not slots:
        return {}
    handler = load()[site.node.operator]
    rows = {slot: inputs[slot] for slot in site.rows}
    start = {slot: inputs[slot] for slot in slots}

    def one(own: dict[int, Array], back: list[Array]) -> dict[int, Array]:
        def apply(values: dict[int, Array]) -> list[Array]:
            filled = list(inputs)
            for slot, value in own.items():
                filled[slot] = value[None]
            for slot, value in values.items():
                filled[slot] = value
            made = handler(site.node, *filled)
            made = list(made) if isinstance(made, tuple) else [made]
            return [value for value, by in zip(made, slope, strict=True) if by is not None]

        _, pull = jax.vjp(apply, start)
        return dict(pull([value[None] for value in back])[0])

    return dict(jax.vmap(one)(rows, [value for value in slope if value is not None]))
