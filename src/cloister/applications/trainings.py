"""What may be asked to be trained, and how: a built-in tool's model with its recipe, or a model with a recipe of one's own.

The command line and the page ask the same here, so the same wish gives the same computation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from cloister.foundation.canonical import canonical
from cloister.foundation.errors import BadInput
from cloister.training.recipe import TrainingRecipe

TOOLS = ("crystals",)
"""The built-in tools whose model can be trained on as it is."""
TABLE_LOSSES = ("mean-squared-error", "cross-entropy", "binary-cross-entropy")
"""Those of `models.losses` that suit a table's label."""
TABLE_METRICS = ("r2", "loss", "accuracy")
"""Those of `training.metrics` that do."""
_SHOWN = 12


def tool_training(
    tool: str, *, private: bool = False, steps: int | None = None, rounds: int | None = None
) -> tuple[bytes, dict[str, Any]]:
    """A built-in tool's model, and the recipe to go on training it.

    Args:
        tool: its name.
        private: the training will have noise. The model is then trained as that needs: its last block only.
        steps: local steps in each round, where there is no noise; as the recipe says if absent.
        rounds: how many the task will have; some recipes differ for many.

    Raises:
        BadInput: no such tool can be trained on.
    """
    from cloister.applications.crystals.outlines_recipe import outlines_recipe, private_outlines_recipe
    from cloister.applications.crystals.shipped import shipped_outliner

    if tool not in TOOLS:
        raise BadInput(
            f"Only {', '.join(TOOLS)} can be trained on as it is.", "", "Give a model and a recipe instead."
        )
    if private:
        return shipped_outliner(), private_outlines_recipe().model_dump(mode="json")
    told = {key: value for key, value in (("steps", steps), ("rounds", rounds)) if value is not None}
    return shipped_outliner(), outlines_recipe(**told).model_dump(mode="json")


def tabular_recipe(
    *,
    columns: Sequence[str],
    label: str,
    input: str,  # noqa: A002 - the recipe's name for it
    output: str,
    loss: str = "mean-squared-error",
    metric: str = "r2",
    learning_rate: float = 0.05,
    batch: int = 16,
    classes: Sequence[str] = (),
) -> dict[str, Any]:
    """A recipe for a table: numbers in, one label out, plain steps of descent.

    Args:
        columns: the features, in the order in which the model takes them.
        label: what is predicted.
        input: the model's input.
        output: the model's output.
        loss: what is made small.
        metric: what is measured on records that are kept apart.
        learning_rate: step size at the owners.
        batch: records in a step.
        classes: the label's values, where it is one of several; none for a number.
    """
    document = {
        "loss": loss,
        "input": input,
        "output": output,
        "optimiser": {"name": "sgd", "learning_rate": learning_rate, "momentum": 0.0},
        "batch": batch,
        "metric": metric,
        "preparation": {
            "name": "tabular",
            "columns": [{"name": name} for name in columns],
            "label": label,
            "classes": list(classes),
        },
    }
    return checked_recipe(document)


def checked_recipe(
    settings: Mapping[str, Any], *, steps: int | None = None, trainable: Sequence[str] = ()
) -> dict[str, Any]:
    """A recipe in its full written form, with local steps and trained weights as wished. Raises `BadInput` naming the field."""
    wished: dict[str, Any] = dict(settings)
    if steps is not None:
        wished["steps"] = steps
    if trainable:
        wished["trainable"] = list(trainable)
    try:
        made = TrainingRecipe.model_validate_json(canonical(wished))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(str(part) for part in first["loc"])[:200] or "the recipe"
        raise BadInput(
            "The recipe cannot be used.", f"At {place}: {first['msg']}.", "See docs/reference/recipes.md."
        ) from None
    return made.model_dump(mode="json")


def require_named(trainable: Sequence[str], parameters: Sequence[Mapping[str, Any]]) -> None:
    """Every name must stand for something: a misspelt one beside others would silently train less. Raises `BadInput`."""
    names = [str(item["name"]) for item in parameters]
    for prefix in trainable:
        if not any(name.startswith(prefix) for name in names):
            first = ", ".join(names[:_SHOWN]) + (", …" if len(names) > _SHOWN else "")
            raise BadInput(
                f"No weight's name begins with {prefix[:60]!a}.",
                f"The model's weights are: {first}",
                "See them all with: cloister model check FILE",
            )
