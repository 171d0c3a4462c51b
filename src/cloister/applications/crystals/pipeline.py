"""The numbers that make a crystal tool of the general steps.

The tool (decode, normalise, tile, model, stitch, peaks, watershed, measure, aggregate, overlay) is built of
Cloister's allow-listed steps; what is particular to crystals is in this one document, so that the tool,
the evaluation and the training count in the same way.
"""

from __future__ import annotations

from importlib import resources

from cloister.applications.crystals.network import BODY, CONTEXT, HEAT, INPUT, MULTIPLE, OUTPUT
from cloister.data.normalise import NORMALISATION_VERSION
from cloister.foundation.errors import NotFound

PEAK_THRESHOLD = 0.5
"""Lowest heat (a probability) that counts as a crystal; chosen on synthetic pictures kept for this."""

PEAK_DISTANCE = 5
"""Pixels between two centres at least."""

BODY_THRESHOLD = 0.5
"""Probability from which a pixel belongs to a crystal."""


def crystals_parameters() -> dict[str, object]:
    """What a pipeline needs to know about the crystal model, as a JSON document.

    Returns:
        `normalisation`: version of `normalise_micrograph`; `input`, `output`: names in the ONNX graph;
        `channels`: index of each output channel (logits: apply the logistic function); `multiple`: sides of
        tiles are multiples of it, pixels; `tile`: side of a tile; `overlap`: pixels shared by neighbouring
        tiles on each side; `peaks`: threshold (probability) and min_distance (pixels); `body`: threshold
        (probability); `diameters`: smallest, typical and largest crystal that the model was trained on,
        pixels - a picture is scaled so that its crystals fall between; `border`: rule for counting.
    """
    return {
        "normalisation": NORMALISATION_VERSION,
        "input": INPUT,
        "output": OUTPUT,
        "channels": {"heat": HEAT, "body": BODY},
        "multiple": MULTIPLE,
        "tile": 1024,
        "overlap": CONTEXT,
        "peaks": {"threshold": PEAK_THRESHOLD, "min_distance": PEAK_DISTANCE},
        "body": {"threshold": BODY_THRESHOLD},
        "diameters": {"smallest": 8, "typical": 26, "largest": 90},
        "border": "a crystal counts where its centre lies in the picture",
    }


def shipped_model() -> bytes:
    """The starting checkpoint that comes with Cloister, an ONNX file.

    Raises:
        NotFound: this installation lacks it.
    """
    file = resources.files("cloister.applications.crystals").joinpath("weights", "crystals.onnx")
    if not file.is_file():
        raise NotFound(
            "The starting checkpoint is missing.",
            "This installation has no weights/crystals.onnx.",
            "Install Cloister again, or run scripts/train_crystals.py.",
        )
    return file.read_bytes()
