"""A cleaned picture: light evened, noise and flaws of the preparation taken away. To be looked at, never measured.

What the outlining model takes for litter is taken out; what it takes for objects, outlined or not, and for bubbles is kept as it is.
`data.cleaning` says how. Sizes come of the picture as it was given, whatever is made here.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from cloister.data.cleaning import NOT_FOR_MEASUREMENT, clean
from cloister.data.stars import FINE, STRIDE, unfold
from cloister.foundation.errors import BadInput
from cloister.tools import types as t
from cloister.tools.manifest import Word
from cloister.tools.steps.base import Context, Model, Parameters, Slot, Step
from cloister.tools.steps.stars import answers_of, known_outliner
from cloister.tools.steps.tiling import middle

CLEANED = "cleaned_not_for_measurement"
"""How tools call this output: files are named after it."""

CLEANS = "clean_picture@1"
"""The step that makes it."""

MAPS = ("objects", "litter")
"""Channels of what `litter@1` gives."""


class FindLitter(Parameters):
    """Which model.

    Args:
        model: a name of the manifest's models.
    """

    model: Word


class CleanPicture(Parameters):
    """What is kept, and what goes.

    Args:
        margin: pixels around outlines that are kept as they are.
        certain: probability from which litter is taken out, and objects are kept.
        speck: diameter in pixels up to which anything that stands out of the ground goes.
    """

    margin: Annotated[int, Field(ge=0, le=64)] = 3
    certain: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.5
    speck: Annotated[float, Field(ge=0.0, le=64.0)] = 4.0


def litter(context: Context, parameters: FindLitter, *, tiles: t.Tiles) -> t.Field:
    """Two maps of half the tiles' resolution: the probability of an object or bubble, and that of litter.

    `data.stars` says where the model's answer has them.
    """
    model = context.models[parameters.model]
    finer = STRIDE // 2
    maps = np.zeros((-(-tiles.height // finer), -(-tiles.width // finer), len(MAPS)), dtype=np.float32)
    done = 0
    for row, column, square in tiles.produce():
        fine = 1.0 / (1.0 + np.exp(-np.clip(unfold(answers_of(model, square[:, :, 0])[0]), -30, 30)))
        body, bubble, dirt = (fine[FINE.index(name)] for name in ("body", "bubble", "litter"))
        top, bottom = middle(row, tiles.height, tiles)
        left, right = middle(column, tiles.width, tiles)
        rows, columns = slice(top // finer, -(-bottom // finer)), slice(left // finer, -(-right // finer))
        own = (
            slice(rows.start - row // finer, rows.stop - row // finer),
            slice(columns.start - column // finer, columns.stop - column // finer),
        )
        maps[rows, columns, 0] = np.maximum(body, bubble)[own]
        maps[rows, columns, 1] = dirt[own]
        done += (bottom - top) * (right - left)
        context.tick(done / (tiles.height * tiles.width))
    return t.Field(maps, tiles.scale * finer)


def clean_picture(
    context: Context,
    parameters: CleanPicture,
    *,
    image: t.Image,
    outlines: t.Outlines,
    litter: t.Field | None = None,
) -> t.Picture:
    """The picture as PNG, of its own size; within outlines only its light is evened.

    Without `litter` nothing is taken out but specks.
    """
    made = cleaned_pixels(context, parameters, image, list(outlines.stars.polygons()), litter)
    return t.Picture(encoded(made), "image/png", f"{NOT_FOR_MEASUREMENT}: {context.subject or 'the picture'}")


def cleaned_pixels(
    context: Context,
    parameters: CleanPicture,
    image: t.Image,
    polygons: Sequence[NDArray[np.float64]],
    litter: t.Field | None,
) -> NDArray[np.uint8]:
    """The pixels of a cleaned picture.

    Args:
        context: told of what is done.
        parameters: of `clean_picture@1`.
        image: the picture.
        polygons: objects' corners [n, 2], pixels of the given picture.
        litter: of `litter@1`, or None.

    Raises:
        BadInput: `litter` is another step's.
    """
    shape = image.shape
    kept = _drawn(polygons, shape, parameters.margin, image.scale)
    flaws = None
    if litter is not None:
        if litter.values.shape[2] != len(MAPS):
            raise BadInput(
                "This step takes the maps of litter@1.",
                f"It was given {litter.values.shape[2]} channels; these are {len(MAPS)}.",
                "Put a step litter@1 before it.",
            )
        # Half a cell of the maps is not known: objects take it, and so does litter.
        around = max(1, round(litter.scale / image.scale / 2))
        kept |= _enlarged(litter.values[:, :, 0], shape, parameters.certain, around)
        flaws = _enlarged(litter.values[:, :, 1], shape, parameters.certain, around)
    return clean(
        image.pixels, kept, flaws, speck=parameters.speck, tick=lambda share: context.tick(0.9 * share)
    )


def encoded(pixels: NDArray[np.uint8], media_type: Literal["image/png", "image/jpeg"] = "image/png") -> bytes:
    """Pixels as a file that says of itself, in its metadata, what it is not for."""
    from PIL import Image, PngImagePlugin

    told = PngImagePlugin.PngInfo()
    told.add_text("Description", NOT_FOR_MEASUREMENT)
    told.add_text("Comment", NOT_FOR_MEASUREMENT)
    stream = io.BytesIO()
    if media_type == "image/jpeg":
        Image.fromarray(pixels).save(
            stream, format="JPEG", quality=92, subsampling=0, comment=NOT_FOR_MEASUREMENT.encode()
        )
        return stream.getvalue()
    Image.fromarray(pixels).save(stream, format="PNG", compress_level=1, pnginfo=told)
    return stream.getvalue()


def _drawn(
    polygons: Sequence[NDArray[np.float64]], shape: tuple[int, int], margin: int, scale: float
) -> NDArray[np.bool_]:
    """What lies within outlines or no farther from one than `margin` pixels, bool [height, width]."""
    from PIL import Image, ImageDraw

    height, width = shape
    drawn = Image.new("L", (width, height), 0)
    pen = ImageDraw.Draw(drawn)
    for corners in polygons:
        path = [((float(x) + 0.5) / scale - 0.5, (float(y) + 0.5) / scale - 0.5) for x, y in corners]
        pen.polygon(path, fill=1)
        pen.line([*path, path[0]], fill=1, width=2 * margin + 1, joint="curve")
    return np.array(drawn, dtype=bool)


def _enlarged(
    values: NDArray[np.float32], shape: tuple[int, int], above: float, around: int
) -> NDArray[np.bool_]:
    """Where a coarse map is above a probability, over a picture's pixels, and `around` pixels farther."""
    from PIL import Image
    from scipy import ndimage

    coarse = Image.fromarray(np.rint(255 * values).astype(np.uint8))
    fine = np.asarray(coarse.resize(shape[::-1], Image.Resampling.BILINEAR)) > round(255 * above)
    return np.asarray(ndimage.maximum_filter(fine, size=2 * around + 1))


def _maps(
    inputs: Mapping[str, t.ValueType], parameters: FindLitter, models: Mapping[str, Model]
) -> t.ValueType:
    known_outliner(models, parameters.model)
    if inputs["tiles"].channels not in (None, 1):
        raise BadInput(
            "This step takes one channel.",
            f"The tiles have {inputs['tiles'].channels}.",
            "Cut them from a normalised picture.",
        )
    return t.ValueType("field", channels=len(MAPS))


def _picture(inputs: Mapping[str, t.ValueType], _parameters: Any, _models: Mapping[str, Any]) -> t.ValueType:
    maps = inputs.get("litter")
    if maps is not None and maps.channels not in (None, len(MAPS)):
        raise BadInput(
            "This step takes the maps of litter@1.",
            f"It is given {maps.channels} channels.",
            "Put a step litter@1 before it.",
        )
    return t.ValueType("picture")


STEPS = (
    Step(
        "litter",
        1,
        "Runs a model that outlines objects, and gives where it sees objects and where litter.",
        {"tiles": Slot("tiles")},
        "field",
        FindLitter,
        litter,
        _maps,
        model="model",
    ),
    Step(
        "clean_picture",
        1,
        "Evens the light and takes noise, litter and specks out of a picture; for looking at, not for measurement.",
        {"image": Slot("image"), "outlines": Slot("outlines"), "litter": Slot("field", optional=True)},
        "picture",
        CleanPicture,
        clean_picture,
        _picture,
    ),
)
