"""The allow-list: every step that any tool can use, by name and version."""

from __future__ import annotations

from collections.abc import Mapping

from cloister.foundation.errors import BadInput
from cloister.tools.steps import (
    chart,
    classical,
    cleaned,
    imaging,
    measure,
    objects,
    outlined,
    overlay,
    plot,
    reporting,
    rows,
    size_figures,
    stars,
    tabular,
    tiling,
)
from cloister.tools.steps.base import Step

STEPS: Mapping[str, Step] = {
    step.key: step
    for step in (
        *imaging.STEPS,
        *tiling.STEPS,
        *objects.STEPS,
        *measure.STEPS,
        *stars.STEPS,
        *classical.STEPS,
        *outlined.STEPS,
        *cleaned.STEPS,
        *size_figures.STEPS,
        *rows.STEPS,
        *tabular.STEPS,
        *overlay.STEPS,
        *chart.STEPS,
        *plot.STEPS,
        *reporting.STEPS,
    )
}


def find_step(key: str) -> Step:
    """The step `name@version`. Raises `BadInput` if this version of Cloister does not have it."""
    step = STEPS.get(key)
    if step is None:
        raise BadInput(
            f"There is no step {key}.",
            "It is not on the list of steps that this version of Cloister ships.",
            "Update Cloister, or use one of the steps in the reference of tools.",
        )
    return step
