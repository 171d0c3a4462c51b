"""The outlining model applied to a whole picture, by the tool's own pipeline, so that what is judged is what people use."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.data.stars import Stars
from cloister.tools import types as t
from cloister.tools.builtin import builtin_tool
from cloister.tools.pipeline import run_pipeline
from cloister.tools.steps.base import Context
from cloister.tools.tool import with_model


def outliner(
    model: bytes, *, threads: int = 1, threshold: float | None = None, bubble: float | None = None
) -> Callable[[NDArray[Any]], Stars]:
    """A function from a picture to its crystals.

    Args:
        model: the ONNX file.
        threads: of one operator.
        threshold: lowest probability of a centre that counts; the shipped tool's if absent.
        bubble: highest probability that it lies in a bubble; likewise.

    Returns:
        Takes uint8 [height, width] or [height, width, 3].
    """
    tool = with_model(builtin_tool("crystals"), "objects", model, version="0.0.0")
    loaded = tool.load(threads=threads)
    looks = [use.name for use in tool.manifest.pipeline if use.step == "stars@1"]
    asked = {"threshold": threshold, "bubble": bubble}
    chosen = {name: value for name, value in asked.items() if value is not None}
    settings = dict.fromkeys(looks, chosen)

    def look(image: NDArray[Any]) -> Stars:
        picture = t.Image(np.ascontiguousarray(image))
        made = run_pipeline(
            tool, loaded, {"picture": picture}, Context(), lambda *_: None, settings, upto="outlines"
        )
        outlines = made["outlines"]
        assert isinstance(outlines, t.Outlines)
        return outlines.stars

    return look
