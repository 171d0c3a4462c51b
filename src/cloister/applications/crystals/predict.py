"""The model applied to a whole picture: normalise, pad, run, crop."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.network import BODY, HEAT, INPUT, MULTIPLE, OUTPUT
from cloister.applications.crystals.pipeline import PEAK_DISTANCE, PEAK_THRESHOLD
from cloister.data.normalise import normalise_micrograph
from cloister.data.peaks import find_peaks

Runner = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""From the network's input [1, 1, H, W] to its logits [1, 2, H, W]."""


def runner(model: bytes, *, threads: int = 1) -> Runner:
    """Runs an ONNX model in ONNX Runtime.

    Args:
        model: the file's bytes.
        threads: of one operator.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])

    def run(values: NDArray[np.float32]) -> NDArray[np.float32]:
        answer: NDArray[np.float32] = session.run([OUTPUT], {INPUT: values})[0]
        return answer

    return run


def maps(run: Runner, image: NDArray[Any]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Centre and body probabilities of every pixel.

    Args:
        run: the model.
        image: uint8 or uint16, [height, width] or [height, width, 3].

    Returns:
        heat and body, float32 [height, width], 0 to 1.
    """
    normal = normalise_micrograph(image)
    height, width = normal.shape
    padded = np.pad(normal, ((0, -height % MULTIPLE), (0, -width % MULTIPLE)))
    logits = run(padded[None, None])[0, :, :height, :width]
    probabilities = 1.0 / (1.0 + np.exp(-np.clip(logits, -40.0, 40.0)))
    return probabilities[HEAT], probabilities[BODY]


def centres(
    run: Runner, image: NDArray[Any], *, threshold: float = PEAK_THRESHOLD, min_distance: int = PEAK_DISTANCE
) -> NDArray[np.float32]:
    """Where the model sees crystals: float32 [n, 2], x and y in pixels, most certain first."""
    return find_peaks(maps(run, image)[0], threshold, min_distance, subpixel=True)
