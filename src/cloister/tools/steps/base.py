"""What a step is: declared inputs, a declared output, checked parameters, and one function.

Steps are the only code that a tool can make run. Rules:
1. A step touches nothing but its inputs, its parameters and the context: no files, no network, no clock.
2. Its parameters are a closed pydantic model with limits; there is no expression language anywhere.
3. The same inputs, parameters and models give the same output. A change in behaviour is a new version.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from cloister.data.images import LIMITS, ImageLimits
from cloister.foundation.errors import BadInput
from cloister.sizing.calibration import Calibration
from cloister.tools.sizes import KnownSizes
from cloister.tools.types import Kind, Value, ValueType


class Parameters(BaseModel):
    """The base of all steps' parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Model(Protocol):
    """A loaded model: one input of `rank` dimensions, one output, computed over batches."""

    rank: int
    channels_in: int | None
    channels_out: int | None
    columns_in: int | None

    def __call__(self, batch: NDArray[np.float32]) -> NDArray[np.float32]:
        """The output for a batch."""
        ...


@dataclass(frozen=True)
class Context:
    """What a step may use besides its inputs.

    Args:
        models: by the manifest's names.
        title: of the tool, for reports.
        subject: what is being looked at, for reports (a file's name).
        micrometres_per_pixel: of the given picture, or None if unknown.
        image_limits: for decoding.
        limits: what the tool is not good for, one sentence each.
        sizes: that the tool's model knows, or None.
        facts: what a report states about tool, models and input (digests, version).
        calibration: where the size of a pixel comes from, or None if it was only stated.
        doubts: what speaks against this calibration, one sentence each.
        tick: called now and then with the share done of the present step, 0..1.
        memory: what one step worked out on the way and a later one of the same run would work out again, by a name that both know, with
            what it was worked out from. It spares time only: nothing that is told may depend on it.
    """

    models: Mapping[str, Model] = field(default_factory=dict)
    title: str = ""
    subject: str = ""
    micrometres_per_pixel: float | None = None
    image_limits: ImageLimits = LIMITS
    facts: Mapping[str, str] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    sizes: KnownSizes | None = None
    calibration: Calibration | None = None
    doubts: tuple[str, ...] = ()
    tick: Callable[[float], None] = lambda _share: None
    memory: dict[str, tuple[Any, ...]] = field(default_factory=dict)


@dataclass(frozen=True)
class Slot:
    """One input of a step."""

    kind: Kind
    optional: bool = False


Run = Callable[..., Value]
Infer = Callable[[Mapping[str, ValueType], Any, Mapping[str, Model]], ValueType]


@dataclass(frozen=True)
class Step:
    """One entry of the allow-list.

    Args:
        name: without version.
        version: raised with every change of behaviour.
        about: one sentence for the reference page.
        inputs: by name.
        output: the kind of its value.
        parameters: their model.
        run: (context, parameters, **inputs) → value.
        infer: a closer type of the output (columns, channels) from the inputs' types, or an error.
        model: the name of the parameter that names a model, if the step runs one.
    """

    name: str
    version: int
    about: str
    inputs: Mapping[str, Slot]
    output: Kind
    parameters: type[Parameters]
    run: Run
    infer: Infer | None = None
    model: str | None = None

    @property
    def key(self) -> str:
        """`name@version`, as manifests write it."""
        return f"{self.name}@{self.version}"


def rank_needed(model: Model | None, rank: int) -> None:
    """Raises `BadInput` if a model is known to take another number of dimensions."""
    if model is not None and model.rank != rank:
        raise BadInput(
            "The model is of another kind.",
            f"It takes {model.rank} dimensions; pictures have 4 with the batch, tables 2.",
            "Use a model for pictures with model@1, one for tables with score@1.",
        )


def one_channel_needed(field: ValueType) -> None:
    """Raises `BadInput` if a field is known not to have exactly one channel."""
    if field.channels not in (None, 1):
        raise BadInput(
            "This step takes one channel.",
            f"The field has {field.channels}.",
            "Put a step channel@1 before it.",
        )


def columns_needed(table: ValueType, *names: str) -> None:
    """Raises `BadInput` if a table is known not to have one of the columns."""
    if table.columns is None:
        return
    for name in names:
        if name not in table.columns:
            raise BadInput(
                f"There is no column {name!r}.",
                f"The table has {', '.join(table.columns)}.",
                "Name one of them.",
            )
