"""The outlining model applied to a whole picture, by the same steps as the tool, so that what is judged is what people use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.pipeline import crystals_outlines
from cloister.data.stars import MULTIPLE, Stars
from cloister.tools import types as t
from cloister.tools.inference import OnnxModel
from cloister.tools.steps.base import Context
from cloister.tools.steps.imaging import NoParameters, Rescale, normalise, rescale
from cloister.tools.steps.stars import FindStars, FitScale, MergeOutlines, fit_scale, merge_outlines, stars
from cloister.tools.steps.tiling import Tile, tile
from cloister.tools.templates import LARGE


def outliner(
    model: bytes, *, threads: int = 1, threshold: float | None = None
) -> Callable[[NDArray[Any]], Stars]:
    """A function from a picture to its crystals.

    Args:
        model: the ONNX file.
        threads: of one operator.
        threshold: lowest probability of a centre that counts; the shipped tool's if absent.

    Returns:
        Takes uint8 [height, width] or [height, width, 3].
    """
    told: Any = crystals_outlines()
    context = Context(models={"objects": OnnxModel(model, "objects", threads=threads)})
    scaling = FitScale(model="objects", typical=float(told["diameters"]["typical"]))
    tiling = Tile(size=told["tile"], overlap=2 * told["overlap"], multiple=MULTIPLE)
    finding = FindStars(
        model="objects",
        threshold=told["threshold"] if threshold is None else threshold,
        overlap=told["most_common"],
    )

    def look(image: NDArray[Any]) -> Stars:
        sized = fit_scale(context, scaling, image=t.Image(np.ascontiguousarray(image)))
        small = rescale(context, Rescale(factor=told["farther"]), image=sized)
        close, far = (
            stars(
                context,
                finding,
                tiles=tile(context, tiling, field=normalise(context, NoParameters(), image=copy)),
            )
            for copy in (sized, small)
        )
        boundary = MergeOutlines(boundary=LARGE * scaling.typical)
        return merge_outlines(context, boundary, close=close, far=far).stars

    return look
