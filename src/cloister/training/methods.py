"""What a training worker does, by name. Called through `cloister.engines`.

A worker keeps compiled steps and prepared data between calls, by the digests of what they were made from, so that the second
round of a task costs only its steps. Every method takes `arguments` and `arrays`; models are bytes in a uint8 array `model`,
weights float32 vectors. `unit_column` names the column of a table whose values are units of privacy; it goes with every method
that takes a dataset, so that the same records are kept apart; so does `reading`: the kinds of a table's columns and its decimal
sign, as it was registered.

| method | arguments (? optional) | arrays | gives |
|---|---|---|---|
| initial | recipe? | model | weights; `parameters`; with a recipe also `trained`: where its parameters lie, [start, stop] in order |
| train | recipe, dataset (path), dataset_digest?, reading?, round?, steps?, proximal_mu?, seed? (hex) | model, weights, reference? | weights; figures |
| private-sum | recipe, dataset, dataset_digest?, unit_column?, clip, rate, capacity, units?, seed (64 hex) | model, weights | sum; figures |
| evaluate | recipe, dataset, dataset_digest?, unit_column?, by_unit? | model, weights | figures; with `by_unit` the scores of units kept apart alone |
| export | document? | model, weights | model |
| check | | model | report |
"""

from __future__ import annotations

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard, TypeVar

import numpy as np
from pydantic import ValidationError

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, NotFound
from cloister.models.execute import load_model
from cloister.training.evaluate import evaluate as evaluate_model
from cloister.training.evaluate import scores
from cloister.training.examples import Examples
from cloister.training.local import Trainer
from cloister.training.preparation import Reading, prepare
from cloister.training.private import PrivateGradient, trained_ranges
from cloister.training.recipe import TrainingRecipe

Arguments = Mapping[str, Any]
Arrays = Mapping[str, np.ndarray]
Value = TypeVar("Value")

_TRAINERS: OrderedDict[str, Trainer] = OrderedDict()
_DATA: OrderedDict[str, Examples] = OrderedDict()
_PRIVATE: OrderedDict[str, PrivateGradient] = OrderedDict()
_KEEP = 2
_MAX_STEPS = 100_000


def _kept(store: OrderedDict[str, Value], key: str, make: Callable[[], Value]) -> Value:
    """What was made for this key before, or is made now; the oldest is forgotten."""
    if key in store:
        store.move_to_end(key)
    else:
        store[key] = make()
        while len(store) > _KEEP:
            store.popitem(last=False)
    return store[key]


def parse_recipe(document: Any) -> TrainingRecipe:
    """A recipe from its JSON value. Raises `BadInput` naming the field, not its content."""
    try:
        return TrainingRecipe.model_validate_json(canonical(document))
    except ValidationError as error:
        raise invalid(error, "The training recipe") from None


def _model_bytes(arrays: Arrays) -> bytes:
    model = arrays.get("model")
    if model is None or model.dtype != np.uint8 or model.ndim != 1:
        raise BadInput("The call has no model.", "It is passed as bytes in the array `model`.", "Pass it.")
    return model.tobytes()


def _weights(arrays: Arrays, name: str) -> np.ndarray:
    weights = arrays.get(name)
    if weights is None or weights.dtype != np.float32 or weights.ndim != 1:
        raise BadInput(f"The call has no {name}.", "They are passed as a float32 vector.", "Pass them.")
    return weights


def _fingerprint(path: Path) -> str:
    """What tells, cheaply, that files have changed since they were prepared. Whether they are the agreed ones is the node's check."""
    found = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
    try:
        states = [(str(item), item.stat()) for item in found]
    except OSError:
        raise NotFound("The dataset is not where it was.", "", "Register it again.") from None
    return digest("\n".join(f"{name} {state.st_size} {state.st_mtime_ns}" for name, state in states).encode())


def _ready(arguments: Arguments, arrays: Arrays, *, alone: bool = False) -> tuple[Trainer, Examples]:
    recipe = parse_recipe(arguments.get("recipe"))
    if "proximal_mu" in arguments:
        recipe = parse_recipe({**recipe.model_dump(mode="json"), "proximal": arguments["proximal_mu"]})
    data = _model_bytes(arrays)
    path, told = arguments.get("dataset"), arguments.get("dataset_digest")
    if not isinstance(path, str) or not (told is None or isinstance(told, str)):
        raise BadInput("The call has no dataset.", "It is passed as a path.", "Pass it.")
    trainer = _kept(_TRAINERS, f"{digest(data)} {recipe.digest()}", lambda: Trainer(load_model(data), recipe))
    unit = arguments.get("unit_column")
    if not (unit is None or isinstance(unit, str)):
        raise BadInput("The unit of privacy is malformed.", "It is a column's name.", "Correct it.")
    reading = _reading(arguments.get("reading"))
    state = told or _fingerprint(Path(path))
    key = digest(
        canonical(
            [
                path,
                state,
                recipe.preparation.model_dump(mode="json"),
                recipe.validation,
                unit,
                vars(reading),
                alone,
            ]
        )
    )
    return trainer, _kept(_DATA, key, lambda: prepare(recipe, Path(path), unit, reading, alone=alone))


def _reading(given: Any) -> Reading:
    """How a table is read. Raises `BadInput`."""
    told = {} if given is None else given
    kinds = told.get("kinds", {}) if isinstance(told, Mapping) else None
    decimal = told.get("decimal", ".") if isinstance(told, Mapping) else None
    if (
        not isinstance(kinds, Mapping)
        or decimal not in (".", ",")
        or not all(isinstance(name, str) and isinstance(kind, str) for name, kind in kinds.items())
    ):
        raise BadInput(
            "How the dataset is read is malformed.",
            "It is kinds by column, and a decimal sign.",
            "Pass it so.",
        )
    return Reading(dict(kinds), decimal)


def _source(arguments: Arguments, recipe: TrainingRecipe) -> np.random.Generator:
    """A generator from the caller's secret seed, or the recipe's public one with the round's number, or the system's."""
    given = arguments.get("seed")
    if given is not None:
        if not isinstance(given, str) or not re.fullmatch(r"[0-9a-f]{2,256}", given):
            raise BadInput("The seed is malformed.", "It is written as hexadecimal digits.", "Correct it.")
        return np.random.default_rng(int(given, 16))
    number = arguments.get("round", 0)
    if recipe.seed != "system" and isinstance(number, int) and number >= 0:
        return np.random.default_rng([int(recipe.seed), number])
    return np.random.default_rng(secrets.randbits(256))


def initial(arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The trainable weights in a model file, and which of them a recipe trains."""
    model = load_model(_model_bytes(arrays))
    told: dict[str, Any] = {"parameters": model.size}
    if arguments.get("recipe") is not None:
        told["trained"] = trained_ranges(Trainer(model, parse_recipe(arguments["recipe"])))
    return told, {"weights": model.flatten()}


def export(arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The model file with other weights."""
    from cloister.models.export import export as export_model

    made = export_model(
        load_model(_model_bytes(arrays)),
        _weights(arrays, "weights"),
        document=str(arguments.get("document", "")),
    )
    return {"digest": digest(made)}, {"model": np.frombuffer(made, np.uint8)}


def train(arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """One owner's part of a round."""
    trainer, data = _ready(arguments, arrays)
    steps = arguments.get("steps")
    if steps is not None and (not isinstance(steps, int) or not 1 <= steps <= _MAX_STEPS):
        raise BadInput("The number of steps is not possible.", f"It is 1 to {_MAX_STEPS}.", "Correct it.")
    reference = _weights(arrays, "reference") if "reference" in arrays else None
    weights, figures = trainer.round(
        data, _weights(arrays, "weights"), reference, steps=steps, rng=_source(arguments, trainer.recipe)
    )
    return figures, {"weights": weights}


def private_sum(arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The clipped gradients of a random sample of units, summed: one step of private training but for its noise."""
    trainer, data = _ready(arguments, arrays, alone=True)
    seed = arguments.get("seed")
    if not isinstance(seed, str) or not re.fullmatch(r"[0-9a-f]{64}", seed):
        raise BadInput("The seed is malformed.", "It is written as 64 hexadecimal digits.", "Correct it.")
    clip, rate, capacity = (arguments.get(name) for name in ("clip", "rate", "capacity"))
    if not (_is_number(clip) and _is_number(rate) and _is_number(capacity) and isinstance(capacity, int)):
        raise BadInput("The private step is malformed.", "It has clip, rate and capacity.", "Pass them.")
    units = arguments.get("units")
    if units is not None and (not isinstance(units, int) or isinstance(units, bool) or units < 1):
        raise BadInput("The private step is malformed.", "The bound of units is no number.", "Correct it.")
    key = f"{digest(trainer.model.data)} {trainer.recipe.digest()}"
    private = _kept(_PRIVATE, key, lambda: PrivateGradient(trainer))
    vector, figures = private.sum(
        data,
        _weights(arrays, "weights"),
        clip=float(clip),
        rate=float(rate),
        capacity=capacity,
        secret=bytes.fromhex(seed),
        units=units,
    )
    return figures, {"sum": vector}


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def evaluate(arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """The recipe's metric on the records that the owner keeps apart; with `by_unit` the scores of its units, of which there may be none."""
    by_unit = arguments.get("by_unit", False) is True
    trainer, data = _ready(arguments, arrays, alone=by_unit)
    if by_unit:
        return {}, {"scores": scores(trainer, data, _weights(arrays, "weights"))}
    return evaluate_model(trainer, data, _weights(arrays, "weights")), {}


def check(_arguments: Arguments, arrays: Arrays) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """What `cloister model check` says about a model."""
    from cloister.models.check import check_model

    return check_model(_model_bytes(arrays)), {}
