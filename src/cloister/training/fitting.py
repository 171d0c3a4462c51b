"""Whether a training can run at all, found before anybody is asked: on the recipe, the model and public schemas, never on data.

Rules:
1. Every name in the recipe (loss, metric, input, output, trainable) must be known to this installation or the model.
2. The model is traced with its gradient on shapes alone, on a batch such as the preparation makes. What cannot be compared
   there (a loss with such an output, a label of such a shape) is refused with the fields to look at.
3. A recipe reads exactly the columns that it names (`columns_read`); each must be in the dataset's schema, features as numbers.

`fit` runs in a worker, since it touches the model; the rest imports nothing heavy, for nodes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from cloister.claims.offers import Computation
from cloister.data.schema import DatasetDescription
from cloister.foundation.canonical import canonical
from cloister.foundation.documents import invalid
from cloister.foundation.errors import BadInput, CloisterError
from cloister.training.recipe import (
    OutlinesPreparation,
    Pictures,
    PointsPreparation,
    TabularPreparation,
    TrainingRecipe,
)

if TYPE_CHECKING:
    import numpy as np

_NUMBERS = ("boolean", "integer", "real")


def read_recipe(document: Mapping[str, Any]) -> TrainingRecipe:
    """The recipe that a computation's settings are. Raises `BadInput` naming the field."""
    try:
        return TrainingRecipe.model_validate_json(canonical(dict(document)))
    except ValidationError as error:
        raise invalid(error, "The training recipe") from None


def columns_read(recipe: TrainingRecipe) -> tuple[str, ...]:
    """The columns of a table that the training reads: features and label; none of pictures."""
    preparation = recipe.preparation
    if isinstance(preparation, TabularPreparation):
        return preparation.read
    return ()


def columns_of(computation: Computation) -> tuple[str, ...] | None:
    """The columns that a computation reads of each dataset, by this node's own analysis; `None` where it is not known."""
    if computation.kind != "training":
        return None
    try:
        return columns_read(read_recipe(computation.settings))
    except CloisterError:
        return None


def check_schema(recipe: TrainingRecipe, dataset: DatasetDescription) -> None:
    """Whether a dataset has what the recipe reads, by its catalogue entry. Raises `BadInput` naming field and column."""
    preparation = recipe.preparation
    if isinstance(preparation, Pictures):
        if dataset.kind != "image-points":
            raise _misfit("`preparation`", "It is for pictures; the dataset is a table.", "Use `tabular`.")
        labels = "none" if dataset.image is None else dataset.image.labels
        if labels == "none":
            raise _misfit(
                "`preparation`", "The dataset's pictures have no marked centres.", "Use another dataset."
            )
        if isinstance(preparation, OutlinesPreparation):
            if labels == "centres":
                raise _misfit(
                    "`preparation`",
                    "Outlines need diameters at least, which the pictures lack.",
                    "Use `points` with `centres` only.",
                )
        elif "foreground" in preparation.channels and labels == "centres":
            raise _misfit(
                "`preparation.channels`",
                "Foreground needs diameters, which the pictures lack.",
                "Use `centres` only.",
            )
        return
    if dataset.kind != "table":
        raise _misfit(
            "`preparation`", "It is for tables; the dataset is pictures.", "Use `points` or `outlines`."
        )
    kinds = {column.name: column.kind for column in dataset.columns}
    for field, name, number in _fields(preparation):
        if name not in kinds:
            raise _misfit(field, f"The dataset has no column {name[:60]!a}.", "See its catalogue entry.")
        if number and kinds[name] not in _NUMBERS:
            raise _misfit(
                field,
                f"The column {name[:60]!a} is {kinds[name]}; features are numbers.",
                "Leave it out, or register numbers in its place.",
            )
    if preparation.label not in kinds:
        raise _misfit(
            "`preparation.label`",
            f"The dataset has no column {preparation.label[:60]!a}.",
            "See its catalogue entry.",
        )
    if not preparation.classes and kinds[preparation.label] not in _NUMBERS:
        raise _misfit(
            "`preparation.classes`",
            f"The label is {kinds[preparation.label]}, and no classes are named.",
            "Name the label's values as classes, in the order of the model's outputs.",
        )


def _fields(preparation: TabularPreparation) -> Iterator[tuple[str, str, bool]]:
    """Every column of the dataset that features are made of: where the recipe names it, and whether it has to hold numbers."""
    made: tuple[str, ...] = ()
    if preparation.windows is not None:
        made = preparation.windows.names
        yield "`preparation.windows.by`", preparation.windows.by, False
        for place, feature in enumerate(preparation.windows.features):
            yield f"`preparation.windows.features.{place}.column`", feature.column, True
    for place, column in enumerate(preparation.columns):
        if column.name not in made:
            yield f"`preparation.columns.{place}.name`", column.name, True


def _misfit(field: str, why: str, remedy: str) -> BadInput:
    return BadInput(f"The recipe does not fit the dataset at {field}.", why, remedy)


def trained_numbers(recipe: TrainingRecipe, report: Mapping[str, Any]) -> int:
    """How many numbers of a model the recipe trains, by the model's report (as of `check`)."""
    return sum(
        math.prod(int(size) for size in parameter["shape"])
        for parameter in report.get("parameters", ())
        if not recipe.trainable or str(parameter["name"]).startswith(recipe.trainable)
    )


def fit(
    arguments: Mapping[str, Any], arrays: Mapping[str, np.ndarray]
) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    """A worker's method: the model's report (as of `check`) and, if it is accepted, whether the recipe fits it.

    Args:
        arguments: `recipe`.
        arrays: `model`, its bytes.

    Raises:
        BadInput: naming the recipe's fields that don't fit.
    """
    from cloister.models.check import check_model
    from cloister.training.methods import _model_bytes, parse_recipe
    from cloister.training.metrics import METRICS

    recipe = parse_recipe(arguments.get("recipe"))
    model = _model_bytes(arrays)
    report = check_model(model)
    if not report.get("accepted"):
        return {"report": report}, {}
    if recipe.metric not in METRICS:
        raise _unknown("metric", recipe.metric, METRICS)
    if recipe.metric == "count-accuracy" and not isinstance(recipe.preparation, Pictures):
        raise BadInput(
            "The recipe does not fit together at `metric`.",
            "count-accuracy counts points in pictures; the preparation is of a table.",
            f"Choose among {', '.join(sorted(set(METRICS) - {'count-accuracy'}))}.",
        )
    return {"report": report, "prediction": _traced(model, recipe)}, {}


def _unknown(field: str, given: str, known: Mapping[str, Any]) -> BadInput:
    return BadInput(
        f"The recipe's `{field}` is not known.",
        f"There is no {field} {given[:60]!a}; known are {', '.join(sorted(known))}.",
        f"Correct `{field}`.",
    )


def _traced(data: bytes, recipe: TrainingRecipe) -> list[int]:
    """Rule 2: the shape of what the model makes of one batch."""
    import jax

    from cloister.models.execute import load_model
    from cloister.models.losses import LOSSES
    from cloister.training.local import Trainer

    if recipe.loss not in LOSSES:
        raise _unknown("loss", recipe.loss, LOSSES)
    model = load_model(data)
    trainer = Trainer(model, recipe)
    batch = _batch(recipe)
    start = model.unflatten(model.flatten())
    trained = {name: start.pop(name) for name in trainer.trained}
    shape = _run(
        lambda: jax.eval_shape(trainer._output, {**start, **trained}, batch["input"]).shape,  # noqa: SLF001 - one package
        "`input` or `preparation`",
        f"On an input of shape {tuple(batch['input'].shape)} it cannot be run.",
        "Give the model what it takes: `cloister model check` shows its inputs.",
    )
    gradient = jax.grad(lambda some, rest, these: trainer.losses({**rest, **some}, these).mean())
    _run(
        lambda: jax.eval_shape(gradient, trained, start, batch),
        "`loss`, `output` or `preparation`",
        f"Its output of shape {tuple(shape)} cannot be trained with this loss and these labels.",
        _LABEL_REMEDY,
    )
    classes = recipe.preparation.classes if isinstance(recipe.preparation, TabularPreparation) else ()
    if classes and recipe.loss.startswith("cross-entropy") and shape[1] != len(classes):
        raise BadInput(
            "The recipe does not fit the model at `preparation.classes`.",
            f"It names {len(classes)} classes; the model's output has {shape[1]}.",
            "Name every class, in the order of the model's outputs.",
        )
    return list(shape)


def _run(trace: Callable[[], Any], fields: str, why: str, remedy: str) -> Any:
    try:
        return trace()
    except CloisterError as error:
        if not isinstance(error, BadInput):
            raise
        reason = f"{why} {error.what} {error.why}"
    except Exception as error:
        # JAX's own words name places in our code, and may be long; the class says enough.
        reason = f"{why} ({type(error).__name__})"
    raise BadInput(f"The recipe does not fit the model at {fields}.", reason, remedy)


_LABEL_REMEDY = (
    "Choose a loss for such an output; for a table, `preparation.column_label` gives labels of shape (B, 1) or (B), and"
    " `classes` whole numbers of shape (B); for pictures, as many `channels` as the output has."
)


def _batch(recipe: TrainingRecipe) -> dict[str, Any]:
    """A batch's shapes, as the preparation would make it."""
    import jax
    import numpy as np

    size, preparation = recipe.batch, recipe.preparation
    if isinstance(preparation, PointsPreparation):
        patch, channels = preparation.patch, len(preparation.channels)
        target = jax.ShapeDtypeStruct((size, channels, patch, patch), np.float32)
        return {
            "input": jax.ShapeDtypeStruct((size, 1, patch, patch), np.float32),
            "target": target,
            "weights": target,
        }
    if isinstance(preparation, OutlinesPreparation):
        from cloister.data.star_targets import WEIGHTED
        from cloister.data.stars import CHANNELS, STRIDE

        patch, cells = preparation.patch, preparation.patch // STRIDE
        return {
            "input": jax.ShapeDtypeStruct((size, 1, patch, patch), np.float32),
            "target": jax.ShapeDtypeStruct((size, CHANNELS, cells, cells), np.float32),
            "weights": jax.ShapeDtypeStruct((size, WEIGHTED, cells, cells), np.float32),
        }
    label = (size, 1) if preparation.column_label and not preparation.classes else (size,)
    return {
        "input": jax.ShapeDtypeStruct((size, len(preparation.columns)), np.float32),
        "target": jax.ShapeDtypeStruct(label, np.int32 if preparation.classes else np.float32),
    }
