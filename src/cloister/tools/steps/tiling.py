"""A model run over a picture of any size, one square at a time, so that memory does not grow with the picture.

`tile` cuts overlapping squares, `model` computes on each, `stitch` keeps each square's middle. The three are lazy: a
square is cut, computed and stitched before the next one is cut. If the overlap is at least twice the pixels around a
point that the model looks at, and `multiple` that of the network, the result is that of the whole picture at once.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.manifest import Word
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, rank_needed
from cloister.tools.steps.imaging import NoParameters


class Tile(Parameters):
    """How to cut.

    Args:
        size: side of a square, pixels.
        overlap: pixels that neighbours share, at most half of `size`, even.
        multiple: squares at the right and lower border end at the next multiple of this beyond the picture, instead of
            being as large as the others; 0 for models that take one size only.
        beyond: what lies there: 0 (of a normalised picture, the background), or the picture mirrored.
    """

    size: Annotated[int, Field(ge=16, le=4096)]
    overlap: Annotated[int, Field(ge=0, le=2048, multiple_of=2)]
    multiple: Annotated[int, Field(ge=0, le=256)] = 0
    beyond: Literal["zero", "mirror"] = "zero"


class RunModel(Parameters):
    """Which model, and what follows its last layer.

    Args:
        model: a name of the manifest's models.
        activation: applied to the output: nothing, the logistic function, or softmax over channels.
    """

    model: Word
    activation: Literal["none", "sigmoid", "softmax"] = "none"


def tile(_context: Context, parameters: Tile, *, field: t.Field) -> t.Tiles:
    """Cuts a field into equal squares, lazily."""
    size, overlap = parameters.size, parameters.overlap
    if overlap * 2 > size:
        raise BadInput(
            "The tiles overlap too much.",
            "The overlap is more than half a tile.",
            "Use larger tiles or less overlap.",
        )
    height, width, channels = field.values.shape

    def produce() -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        for row, tall in _spans(height, parameters):
            for column, wide in _spans(width, parameters):
                yield row, column, _cut(field.values, row, tall, column, wide, parameters.beyond)

    return t.Tiles(height, width, size, overlap, channels, produce, field.scale)


def run_model(context: Context, parameters: RunModel, *, tiles: t.Tiles) -> t.Tiles:
    """Computes a model on each square, lazily."""
    model = context.models[parameters.model]
    if model.channels_in not in (None, tiles.channels):
        raise BadInput(
            "The model does not fit the picture.",
            f"It takes {model.channels_in} channels; there are {tiles.channels}.",
            "Use another model.",
        )
    # The number of output channels may be known only once the model has run.
    channels = model.channels_out
    if channels is None:
        channels = int(model(np.zeros((1, tiles.channels, tiles.tile, tiles.tile), np.float32)).shape[1])

    def produce() -> Iterator[tuple[int, int, NDArray[np.float32]]]:
        for row, column, square in tiles.produce():
            made = model(np.ascontiguousarray(square.transpose(2, 0, 1)[None]))
            if made.shape != (1, channels, *square.shape[:2]):
                raise BadInput(
                    "The model does not answer for every pixel.",
                    f"For {square.shape[0]} x {square.shape[1]} pixels it gave an output of shape {list(made.shape)}.",
                    "Use a model whose output has the size of its input.",
                )
            yield row, column, activate(made[0], parameters.activation).transpose(1, 2, 0)

    return t.Tiles(tiles.height, tiles.width, tiles.tile, tiles.overlap, channels, produce, tiles.scale)


def stitch(context: Context, _parameters: NoParameters, *, tiles: t.Tiles) -> t.Field:
    """Puts the middles of the squares together."""
    whole = np.empty((tiles.height, tiles.width, tiles.channels), dtype=np.float32)
    done = 0
    for row, column, square in tiles.produce():
        top, bottom = middle(row, tiles.height, tiles)
        left, right = middle(column, tiles.width, tiles)
        whole[top:bottom, left:right] = square[top - row : bottom - row, left - column : right - column]
        done += (bottom - top) * (right - left)
        context.tick(done / (tiles.height * tiles.width))
    return t.Field(whole, tiles.scale)


def _spans(length: int, parameters: Tile) -> Iterator[tuple[int, int]]:
    """(first pixel, pixels) of each square along one side; the last reaches the picture's end."""
    size, step = parameters.size, parameters.size - parameters.overlap
    start = 0
    while True:
        if start + size < length:
            yield start, size
            start += step
            continue
        rest = length - start
        yield (
            start,
            min(size, -(-rest // parameters.multiple) * parameters.multiple) if parameters.multiple else size,
        )
        return


def middle(start: int, length: int, tiles: t.Tiles) -> tuple[int, int]:
    """Which pixels a square that begins at `start` decides: all but half the overlap where it has a neighbour."""
    margin = tiles.overlap // 2
    last = start + tiles.tile >= length
    return start + (margin if start else 0), length if last else start + tiles.tile - margin


def _cut(
    values: NDArray[np.float32], row: int, tall: int, column: int, wide: int, beyond: str
) -> NDArray[np.float32]:
    part = values[row : row + tall, column : column + wide]
    below, right = tall - part.shape[0], wide - part.shape[1]
    if not (below or right):
        return np.ascontiguousarray(part)
    if beyond == "zero":
        return np.pad(part, ((0, below), (0, right), (0, 0)))
    return np.pad(part, ((0, below), (0, right), (0, 0)), mode="symmetric")


def activate(values: NDArray[np.float32], how: str) -> NDArray[np.float32]:
    """What follows a model's last layer; softmax is over the first axis."""
    made: NDArray[np.float32] = values.astype(np.float32, copy=False)
    if how == "sigmoid":
        # Written with tanh so that large negative logits do not overflow.
        made = np.float32(0.5) * (np.tanh(np.float32(0.5) * made) + np.float32(1.0))
    elif how == "softmax":
        raised = np.exp(made - made.max(axis=0, keepdims=True))
        made = raised / raised.sum(axis=0, keepdims=True)
    return made


def _same_tiles(
    inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Model]
) -> t.ValueType:
    return t.ValueType("tiles", channels=inputs["field"].channels)


def _model_tiles(
    inputs: Mapping[str, t.ValueType], parameters: RunModel, models: Mapping[str, Model]
) -> t.ValueType:
    model = models.get(parameters.model)
    if model is None:
        return t.ValueType("tiles")
    rank_needed(model, 4)
    given = inputs["tiles"].channels
    if None not in (given, model.channels_in) and given != model.channels_in:
        raise BadInput(
            "The model does not fit the picture.",
            f"It takes {model.channels_in} channels; there are {given}.",
            "Use another model.",
        )
    return t.ValueType("tiles", channels=model.channels_out)


def _stitched(
    inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Model]
) -> t.ValueType:
    return t.ValueType("field", channels=inputs["tiles"].channels)


STEPS = (
    Step(
        "tile",
        1,
        "Cuts a field into overlapping squares.",
        {"field": Slot("field")},
        "tiles",
        Tile,
        tile,
        _same_tiles,
    ),
    Step(
        "model",
        1,
        "Runs an ONNX model on every square.",
        {"tiles": Slot("tiles")},
        "tiles",
        RunModel,
        run_model,
        _model_tiles,
        model="model",
    ),
    Step(
        "stitch",
        1,
        "Puts squares together again, each by its middle.",
        {"tiles": Slot("tiles")},
        "field",
        NoParameters,
        stitch,
        _stitched,
    ),
)
