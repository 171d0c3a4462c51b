"""One owner's part of a round: some steps of gradient descent on its own records, from the round's weights.

FedAvg (McMahan et al. 2017) with FedProx's proximal term (Li et al. 2020). No noise is added here: the update may contain
input records, and the plan says so.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from cloister.foundation.errors import BadInput, Refused
from cloister.models.execute import Model, Tap
from cloister.models.losses import loss_named
from cloister.training.examples import Batch, Examples
from cloister.training.optimiser import learning_rate, optimiser
from cloister.training.recipe import TrainingRecipe

Params = dict[str, Any]
_BLOCK = 256


@dataclass
class Trainer:
    """A model and a recipe with the compiled step; keep it between rounds, compiling takes seconds.

    Attributes:
        model: the model.
        recipe: the recipe.
        trained: names of the parameters that are trained.
    """

    model: Model
    recipe: TrainingRecipe
    trained: tuple[str, ...] = ()
    _step: Callable[..., Any] = field(init=False, repr=False)
    _start: Callable[..., Any] = field(init=False, repr=False)
    _predict: Callable[..., Any] = field(init=False, repr=False)
    _forward: Callable[..., Any] = field(init=False, repr=False)
    _singly: Callable[..., Any] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        recipe = self.recipe
        if recipe.input not in {item.name for item in self.model.inputs} or len(self.model.inputs) != 1:
            raise BadInput(
                "The recipe does not fit the model.",
                "The model must have exactly the recipe's input.",
                "Correct `input`.",
            )
        if recipe.output not in {item.name for item in self.model.outputs}:
            raise BadInput(
                "The recipe does not fit the model.", "The model has no such output.", "Correct `output`."
            )
        chosen = tuple(
            name
            for name in self.model.parameters
            if not recipe.trainable or name.startswith(recipe.trainable)
        )
        if not chosen:
            raise BadInput(
                "The recipe trains nothing.",
                "No parameter's name begins with one of `trainable`.",
                "Correct `trainable`.",
            )
        self.trained = chosen
        self._start, update = optimiser(recipe.optimiser)

        def objective(params: Params, frozen: Params, batch: Batch) -> Any:
            return self.losses({**frozen, **params}, batch).mean()

        def step(
            params: Params,
            state: Any,
            frozen: Params,
            reference: Params,
            batch: Batch,
            index: Any,
            steps: Any,
        ) -> Any:
            loss, gradient = jax.value_and_grad(objective)(params, frozen, batch)
            if recipe.proximal:
                gradient = {
                    name: g + recipe.proximal * (params[name] - reference[name])
                    for name, g in gradient.items()
                }
            norm = jnp.sqrt(sum(jnp.sum(g * g) for g in gradient.values()))
            if recipe.clip is not None:
                factor = jnp.minimum(1.0, recipe.clip / jnp.maximum(norm, 1e-12))
                gradient = {name: g * factor for name, g in gradient.items()}
            rate = learning_rate(recipe.optimiser, index, steps)
            moved, state = update(gradient, state, params, rate)
            return dict(moved), state, loss, norm

        def predict(params: Params, batch: Batch) -> Any:
            prediction = self._output(params, batch["input"])
            return prediction, self._compare(prediction, batch)

        self._step = jax.jit(step, donate_argnums=(0, 1))
        self._predict = jax.jit(predict)
        self._forward = jax.jit(self._output)
        self._singly = jax.jit(
            lambda params, block: jax.lax.map(lambda value: self._output(params, value[None])[0], block)
        )

    def losses(self, params: Mapping[str, Any], batch: Mapping[str, Any], tap: Tap | None = None) -> Any:
        """The loss of each example of a batch; (B). `tap` as in `Model.function`."""
        return self._compare(self._output(params, batch["input"], tap), batch)

    def _output(self, params: Mapping[str, Any], values: Any, tap: Tap | None = None) -> Any:
        return self.model.function(params, {self.recipe.input: values}, tap)[self.recipe.output]

    def _compare(self, prediction: Any, batch: Mapping[str, Any]) -> Any:
        return loss_named(self.recipe.loss)(prediction, batch["target"], batch.get("weights"))

    @property
    def on_logits(self) -> bool:
        """Whether the model's output is a logit (the loss squashes it) rather than the value itself."""
        return self.recipe.loss.startswith(("binary-cross-entropy", "dice"))

    def forward(self, params: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
        """The model's output for prepared inputs."""
        return np.asarray(self._forward(dict(params), values))

    def singly(self, params: Mapping[str, Any], values: np.ndarray) -> np.ndarray:
        """The model's output for each prepared input (N, ...) as a batch of one: none depends on others, not in its last digit.

        In batches it could: a model may mix them, and the order in which a batch is summed may change with its size.
        """
        blocks = []
        for start in range(0, len(values), _BLOCK):
            block = values[start : start + _BLOCK]
            padding = np.zeros((_BLOCK - len(block), *values.shape[1:]), values.dtype)
            found = self._singly(dict(params), np.concatenate([block, padding]))
            blocks.append(np.asarray(found)[: len(block)])
        return np.concatenate(blocks)

    def predict(self, params: Mapping[str, Any], batch: Batch) -> tuple[np.ndarray, np.ndarray]:
        """The model's output and the loss of each example (B)."""
        prediction, loss = self._predict(dict(params), batch)
        return np.asarray(prediction), np.asarray(loss)

    def round(
        self,
        data: Examples,
        weights: np.ndarray,
        reference: np.ndarray | None = None,
        *,
        steps: int | None = None,
        rng: np.random.Generator,
        watch: Callable[[int, float], None] | None = None,
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Trains on one owner's records for some steps.

        Args:
            data: prepared records.
            weights: float32, length `model.size`: where to start.
            reference: where the proximal term pulls to; `weights` if None.
            steps: instead of the recipe's.
            rng: the source of sampling and augmentation.
            watch: called with the number and the loss of each step.

        Returns:
            New weights, and the owner's own figures (never sent to others unasked): steps, examples, loss_first, loss_last,
            gradient_norm, update_norm.

        Raises:
            BadInput: there are no records.
            Refused: a number became infinite or undefined.
        """
        if not np.isfinite(weights).all():
            raise _not_finite("The weights to start from are not finite.")
        if data.count == 0:
            raise BadInput(
                "There is nothing to train on.", "The dataset has no records for training.", "Add records."
            )
        count = steps or self.recipe.steps
        everything = {
            name: jnp.array(value)
            for name, value in self.model.unflatten(np.asarray(weights, np.float32)).items()
        }
        params = {name: everything.pop(name) for name in self.trained}
        start = self.model.unflatten(np.asarray(weights if reference is None else reference, np.float32))
        reference_params = {name: jnp.array(start[name]) for name in self.trained}
        state = self._start(params)
        losses: list[Any] = []
        norms: list[Any] = []
        for index in range(count):
            batch = data.batch(rng, self.recipe.batch)
            params, state, loss, norm = self._step(
                params, state, everything, reference_params, batch, np.float32(index), np.float32(count)
            )
            losses.append(loss)
            norms.append(norm)
            if watch is not None:
                watch(index, float(loss))
        result = self.model.flatten({**everything, **params})
        seen = np.asarray(losses, np.float64)
        if not np.isfinite(seen).all() or not np.isfinite(result).all():
            raise _not_finite("The training left the finite numbers.")
        tail = max(1, count // 5)
        figures = {
            "steps": count,
            "examples": int(data.count),
            "loss_first": float(seen[:tail].mean()),
            "loss_last": float(seen[-tail:].mean()),
            "gradient_norm": float(np.mean(np.asarray(norms, np.float64))),
            "update_norm": float(np.linalg.norm(result.astype(np.float64) - np.asarray(weights, np.float64))),
        }
        return result, figures


def _not_finite(what: str) -> Refused:
    return Refused(
        what,
        "A number became infinite or undefined.",
        "Lower the learning rate or set `clip`.",
        clause="finite-weights",
    )
