"""From a file to values that a model understands: decode, rescale, normalise, pick a channel."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

from pydantic import Field

from cloister.data.images import decode_image
from cloister.data.normalise import NORMALISATION_VERSION, normalise_micrograph
from cloister.data.scaling import resized
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.steps.base import Context, Parameters, Slot, Step


class NoParameters(Parameters):
    """This step has none."""


class Rescale(Parameters):
    """One of the two.

    Args:
        factor: new size over old.
        longest_side: shrink so that the longer side has at most this many pixels; never enlarge.
    """

    factor: Annotated[float, Field(ge=0.05, le=4.0)] | None = None
    longest_side: Annotated[int, Field(ge=64, le=20_000)] | None = None


class Channel(Parameters):
    """Which channel of a field, counting from 0."""

    index: Annotated[int, Field(ge=0, lt=256)]


def decode(context: Context, _parameters: NoParameters, *, file: t.File) -> t.Image:
    """Opens a picture within the limits of `data.images`."""
    return t.Image(decode_image(file.data, context.image_limits, name=file.name))


def rescale(_context: Context, parameters: Rescale, *, image: t.Image) -> t.Image:
    """Changes the size, by averaging when shrinking and cubic interpolation when enlarging."""
    height, width = image.shape
    factor = parameters.factor or min(
        1.0, (parameters.longest_side or max(height, width)) / max(height, width)
    )
    if factor == 1.0:
        return image
    return t.Image(resized(image.pixels, factor), image.scale / factor)


def normalise(context: Context, _parameters: NoParameters, *, image: t.Image) -> t.Field:
    """Evens the light; see `data.normalise`."""
    pixels, values = context.memory.pop("normalised", (None, None))
    if values is None or pixels is not image.pixels:
        values = normalise_micrograph(image.pixels)
    return t.Field(values[:, :, None], image.scale)


def channel(_context: Context, parameters: Channel, *, field: t.Field) -> t.Field:
    """Picks one channel of a field."""
    if parameters.index >= field.values.shape[2]:
        raise BadInput(
            f"There is no channel {parameters.index}.",
            f"There are {field.values.shape[2]}, counted from 0.",
            "Name one of them.",
        )
    return t.Field(field.values[:, :, parameters.index : parameters.index + 1], field.scale)


def _one_channel(
    _inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]
) -> t.ValueType:
    return t.ValueType("field", channels=1)


def _picked(
    inputs: Mapping[str, t.ValueType], parameters: Channel, _models: Mapping[str, Any]
) -> t.ValueType:
    channels = inputs["field"].channels
    if channels is not None and parameters.index >= channels:
        raise BadInput(
            f"There is no channel {parameters.index}.", f"The field has {channels}.", "Count from 0."
        )
    return t.ValueType("field", channels=1)


STEPS = (
    Step(
        "decode",
        1,
        "Opens a PNG, JPEG, TIFF or BMP picture, upright, without its metadata.",
        {"file": Slot("file")},
        "image",
        NoParameters,
        decode,
    ),
    Step(
        "rescale",
        1,
        "Makes a picture smaller or larger.",
        {"image": Slot("image")},
        "image",
        Rescale,
        rescale,
    ),
    Step(
        "normalise",
        NORMALISATION_VERSION,
        "Evens the light of a micrograph: 0 is background, darker is negative, brighter is positive.",
        {"image": Slot("image")},
        "field",
        NoParameters,
        normalise,
        _one_channel,
    ),
    Step(
        "channel",
        1,
        "Picks one channel of a field.",
        {"field": Slot("field")},
        "field",
        Channel,
        channel,
        _picked,
    ),
)
