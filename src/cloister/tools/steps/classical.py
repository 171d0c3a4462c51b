"""Objects without a model: the classical method of `data.classical` as a step, for tools that ship none."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from cloister.data.classical import TUNED, Classical, classical_stars
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, one_channel_needed

MAX_OUTLINES = 100_000


class FindClassical(Parameters):
    """The numbers of the method that a tool may set; the others are tuned (see `data.classical`).

    Args:
        sensitivity: over 1 finds fainter objects, and more that are none.
        split: from 0 to 1; higher parts touching objects at shallower necks.
        smallest: diameter, pixels, of the smallest object (of the circle of the same area).
        hole: diameter, pixels, of the largest hole that is filled: somewhat above the largest object's.
        bubbles: whether what looks like a bubble is kept.
    """

    sensitivity: Annotated[float, Field(ge=0.2, le=5.0)] = 1.0
    split: Annotated[float, Field(ge=0.0, le=1.0)] = TUNED.neck
    smallest: Annotated[float, Field(ge=4.0, le=1000.0)] = TUNED.smallest
    hole: Annotated[float, Field(ge=4.0, le=4000.0)] = TUNED.hole
    bubbles: bool = False


def classical(_context: Context, parameters: FindClassical, *, field: t.Field) -> t.Outlines:
    """Thresholds at several scales, fills what is enclosed, parts what touches by a watershed, drops bubbles and dirt.

    Takes a normalised micrograph. No model is run: strengths rank objects by their contrast and are no probabilities, and
    objects that touch count as one agglomerate, grown together or not.
    """
    if field.values.shape[2] != 1:
        raise BadInput(
            "This step takes one channel.",
            f"The field has {field.values.shape[2]}.",
            "Put a step channel@1 before it.",
        )
    found = classical_stars(field.values[:, :, 0], settings(parameters))
    if len(found) > MAX_OUTLINES:
        raise BadInput(
            "There are too many objects to tell apart.",
            f"The limit is {MAX_OUTLINES}.",
            "Lower the sensitivity, or check the picture.",
        )
    height, width = field.values.shape[:2]
    scale = field.scale
    return t.Outlines(found.enlarged(scale), round(height * scale), round(width * scale), scale)


def settings(parameters: FindClassical) -> Classical:
    """The method's numbers with those that a tool set."""
    from dataclasses import replace

    return replace(
        TUNED,
        otsu=TUNED.otsu / parameters.sensitivity,
        floor=TUNED.floor / parameters.sensitivity,
        neck=parameters.split,
        smallest=parameters.smallest,
        hole=parameters.hole,
        symmetry=2.0 if parameters.bubbles else TUNED.symmetry,
    )


def _outlines(
    inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Model]
) -> t.ValueType:
    one_channel_needed(inputs["field"])
    return t.ValueType("outlines")


STEPS = (
    Step(
        "classical",
        1,
        "Outlines objects without a model: thresholds, filled outlines, a watershed.",
        {"field": Slot("field")},
        "outlines",
        FindClassical,
        classical,
        _outlines,
    ),
)
