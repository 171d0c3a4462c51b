"""Objects as outlines that may overlap: a model that answers with star-convex polygons, and the scale at which it knows them.

`data.stars` says how the model's answer is laid out and read. Each tile decides about the objects whose centres lie in its
middle; what two tiles say of the same object is one object in the end. Memory holds one tile's answer at a time.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.edges import moved_to_edges
from cloister.data.normalise import normalise_micrograph
from cloister.data.scaling import FEW, known_size
from cloister.data.stars import (
    CHANNELS,
    MULTIPLE,
    STRIDE,
    Stars,
    find_stars,
    joined,
    merged,
    suppress,
    unfold,
)
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.manifest import Word
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step, rank_needed
from cloister.tools.steps.imaging import Rescale, rescale
from cloister.tools.steps.tiling import middle

MAX_OUTLINES = 100_000
GLANCE = 200_000
"""Pixels of the copy on which `fit_scale` looks first, and of the middle of larger ones."""

WHOLE = 2_000_000
"""Pixels of a picture that is looked at as a whole and as it is, unless the first look says that its size is wrong: that is the close look already."""

PLAIN = 0.75
"""Median size over the wanted one from which smaller objects would have been seen as well, so that the median is believed."""

Share = Annotated[float, Field(ge=0.0, le=1.0)]


class FindStars(Parameters):
    """Which model, and what counts.

    Args:
        model: a name of the manifest's models.
        threshold: the lowest probability of a centre that counts.
        bubble: a centre that is more probably than this in a bubble does not count; 1 to ask nothing.
        overlap: highest intersection over union that two different objects may have.
        edge: probability of a body at which it ends and to where outlines are moved; 0 leaves them as the model says them.
    """

    model: Word
    threshold: Share = 0.5
    bubble: Share = 1.0
    overlap: Share = 0.5
    edge: Annotated[float, Field(ge=0.0, le=0.95)] = 0.0


class FitScale(Parameters):
    """At which size the model is to see the picture.

    Args:
        model: a name of the manifest's models.
        typical: diameter, pixels, of the objects that the model knows best.
        threshold: the lowest probability of a centre that counts at the first look.
        smallest: least factor by which the picture is made smaller.
        largest: greatest factor by which it is enlarged.
        factor: the factor itself; 0 to choose it.
    """

    model: Word
    typical: Annotated[float, Field(ge=4, le=200)]
    threshold: Share = 0.5
    smallest: Annotated[float, Field(gt=0, le=1)] = 0.05
    largest: Annotated[float, Field(ge=1, le=4)] = 2.0
    factor: Annotated[float, Field(ge=0, le=4)] = 0.0


class MergeOutlines(Parameters):
    """Who decides.

    Args:
        boundary: diameter in pixels of the closer look's copy: below it the closer look decides, above it the other.
    """

    boundary: Annotated[float, Field(gt=0, le=10_000)]


def stars(context: Context, parameters: FindStars, *, tiles: t.Tiles) -> t.Outlines:
    """Runs the model on every tile and gathers the objects it outlines.

    The model takes normalised tiles of one channel, filled up to multiples of 16, and answers on a grid of a quarter of their size.
    """
    parts: list[Stars] = []
    done, found = 0, 0
    for row, column, square in tiles.produce():
        answers = _answers(context, parameters.model, square[:, :, 0])[0]
        seen = _seen(answers, parameters.threshold, parameters.bubble)
        if parameters.edge > 0:
            kept = suppress(joined([seen]), parameters.overlap)
            seen = moved_to_edges(kept, unfold(answers, maps=2)[1], parameters.edge)
        seen = seen.moved(column, row)
        top, bottom = middle(row, tiles.height, tiles)
        left, right = middle(column, tiles.width, tiles)
        # Centres lie between pixels: the middle of a tile begins half a pixel before its first one.
        own = (
            (seen.x >= left - 0.5) & (seen.x < right - 0.5) & (seen.y >= top - 0.5) & (seen.y < bottom - 0.5)
        )
        parts.append(seen.pick(own))
        found += int(own.sum())
        _limit(found)
        done += (bottom - top) * (right - left)
        context.tick(0.95 * done / (tiles.height * tiles.width))
    kept = suppress(joined(parts), parameters.overlap)
    scale = tiles.scale
    return t.Outlines(kept.enlarged(scale), round(tiles.height * scale), round(tiles.width * scale), scale)


def fit_scale(context: Context, parameters: FitScale, *, image: t.Image) -> t.Image:
    """A copy of the picture in which its objects are about as large as the model knows them.

    A first look at a small copy tells how large they are. Where it finds too few, or so small ones that yet smaller ones may not be seen
    at all, it looks again: at all of a picture that is not large, unless the size seems wrong, and otherwise at copies twice as large, of
    large ones at the middle only. The picture is taken as it is where that is nearly right, so that the same camera is looked at in the
    same way each time.
    """
    if parameters.factor > 0.0:
        return rescale(context, Rescale(factor=parameters.factor), image=image)
    factor = _factor(context, parameters, image)
    return image if factor == 1.0 else rescale(context, Rescale(factor=factor), image=image)


def _factor(context: Context, parameters: FitScale, image: t.Image) -> float:
    height, width = image.shape
    look = min(1.0, float(np.sqrt(GLANCE / (height * width))))
    factor = 1.0
    while True:
        sizes = _glances(context, parameters, image, look)
        if len(sizes) >= FEW:
            factor = known_size(sizes / look, parameters.typical, parameters.smallest, parameters.largest)
            if float(np.median(sizes)) >= PLAIN * parameters.typical:
                break
        if look >= 1.0:
            break
        look = 1.0 if factor == 1.0 and height * width <= WHOLE else min(1.0, 2.0 * look)
    return factor


def _glances(context: Context, parameters: FitScale, image: t.Image, look: float) -> NDArray[np.float64]:
    """Diameters on a copy `look` times as large, its pixels: in its middle, or in all of it where that is not too large and the middle has too few."""
    height, width = image.shape
    pixels = height * width * look * look
    if pixels > GLANCE * 1.1 and not (look == 1.0 and pixels <= WHOLE):
        share = np.sqrt(GLANCE / pixels)
        rows, columns = (
            slice(round(n * (1 - share) / 2), round(n * (1 + share) / 2)) for n in (height, width)
        )
        middle = t.Image(np.ascontiguousarray(image.pixels[rows, columns]))
        sizes = _glance(context, parameters, rescale(context, Rescale(factor=look), image=middle))
        if len(sizes) >= FEW or pixels > 4.5 * GLANCE:
            return sizes
    return _glance(context, parameters, rescale(context, Rescale(factor=look), image=image))


def merge_outlines(
    _context: Context, parameters: MergeOutlines, *, close: t.Outlines, far: t.Outlines
) -> t.Outlines:
    """Puts together what a close look and one at a smaller copy say, each about the sizes that it sees best.

    Small objects that lie within a large one are taken for pieces of it.
    """
    kept = merged(close.stars, far.stars, parameters.boundary * close.scale)
    return t.Outlines(kept, close.height, close.width, close.scale)


def _glance(context: Context, parameters: FitScale, image: t.Image) -> NDArray[np.float64]:
    """Diameters of what the model sees on a copy, pixels of that copy, the sure ones only."""
    values = normalise_micrograph(image.pixels)
    answers = answers_of(context.models[parameters.model], values)
    # The copy may turn out to be what is looked at closely.
    context.memory["normalised"] = (image.pixels, values)
    context.memory["answers"] = (parameters.model, values, answers)
    found = suppress(_seen(answers[0], parameters.threshold))
    sizes: NDArray[np.float64] = 2.0 * np.sqrt((found.rays**2).mean(axis=1))
    return sizes


def _answers(context: Context, model: str, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A model's answer: the one remembered, which is forgotten then, if it is that model's to just these values."""
    name, known, answers = context.memory.pop("answers", ("", None, None))
    if name == model and np.array_equal(_filled(known), _filled(values)):
        kept: NDArray[np.float32] = answers
        return kept
    del known, answers
    return answers_of(context.models[model], values)


def answers_of(model: Model, values: NDArray[np.float32]) -> NDArray[np.float32]:
    """A model's answer to a normalised picture, filled up with background to the sizes that networks take. Raises `BadInput`."""
    padded = _filled(values)
    answers = model(padded[None, None])
    if answers.shape != (1, CHANNELS, padded.shape[0] // STRIDE, padded.shape[1] // STRIDE):
        raise BadInput(
            "The model's answer is not one of outlines.",
            f"For {padded.shape[0]} x {padded.shape[1]} pixels it gave an output of shape {list(answers.shape)}.",
            f"Use a model with {CHANNELS} output channels on a grid of a quarter of its input.",
        )
    return answers


def _filled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Filled up with background to multiples of what networks halve."""
    height, width = values.shape
    below, right = -height % MULTIPLE, -width % MULTIPLE
    return np.pad(values, ((0, below), (0, right))) if below or right else np.ascontiguousarray(values)


def _seen(answers: NDArray[np.float32], threshold: float, bubble: float = 1.0) -> Stars:
    """What a model has said of a normalised picture."""
    found = find_stars(answers, threshold, bubble)
    _limit(len(found))
    return found


def _limit(count: int) -> None:
    if count > MAX_OUTLINES:
        raise BadInput(
            "There are too many objects to tell apart.",
            f"The limit is {MAX_OUTLINES}.",
            "Raise the threshold, or check the picture.",
        )


def known_outliner(models: Mapping[str, Model], name: str) -> None:
    """Raises `BadInput` if a model is known not to answer with outlines."""
    model = models.get(name)
    rank_needed(model, 4)
    if model is not None and model.channels_out not in (None, CHANNELS):
        raise BadInput(
            "The model is of another kind.",
            f"It has {model.channels_out} output channels; outlines need {CHANNELS}.",
            "Use a model that was made for outlines, or model@1.",
        )


def _outlines(
    inputs: Mapping[str, t.ValueType], parameters: FindStars, models: Mapping[str, Model]
) -> t.ValueType:
    known_outliner(models, parameters.model)
    if inputs["tiles"].channels not in (None, 1):
        raise BadInput(
            "This step takes one channel.",
            f"The tiles have {inputs['tiles'].channels}.",
            "Cut them from a normalised picture.",
        )
    return t.ValueType("outlines")


def _image(
    _inputs: Mapping[str, t.ValueType], parameters: FitScale, models: Mapping[str, Model]
) -> t.ValueType:
    known_outliner(models, parameters.model)
    return t.ValueType("image")


STEPS = (
    Step(
        "fit_scale",
        1,
        "Resizes a picture so that its objects are as large as the model knows them.",
        {"image": Slot("image")},
        "image",
        FitScale,
        fit_scale,
        _image,
        model="model",
    ),
    Step(
        "stars",
        1,
        "Runs a model that outlines objects, on every square.",
        {"tiles": Slot("tiles")},
        "outlines",
        FindStars,
        stars,
        _outlines,
        model="model",
    ),
    Step(
        "merge_outlines",
        1,
        "Takes small objects from a close look, large ones from a look at a smaller copy.",
        {"close": Slot("outlines"), "far": Slot("outlines")},
        "outlines",
        MergeOutlines,
        merge_outlines,
    ),
)
