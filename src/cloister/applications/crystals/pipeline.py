"""The numbers that make a crystal tool of the general steps.

The tool (decode, normalise, tile, model, stitch, peaks, watershed, measure, aggregate, overlay) is built of
Cloister's allow-listed steps; what is particular to crystals is in this one document, so that the tool,
the evaluation and the training count in the same way.
"""

from __future__ import annotations

from importlib import resources

from cloister.applications.crystals import star_network
from cloister.applications.crystals.network import BODY, CONTEXT, HEAT, INPUT, MULTIPLE, OUTPUT
from cloister.data.normalise import NORMALISATION_VERSION
from cloister.foundation.errors import NotFound

PEAK_THRESHOLD = 0.5
"""Lowest heat (a probability) that counts as a crystal; chosen on synthetic pictures kept for this."""

PEAK_DISTANCE = 5
"""Pixels between two centres at least."""

CENTRE_THRESHOLD = 0.45
"""Lowest probability of a centre that the outlining model counts; chosen on drawn pictures kept for this."""

BUBBLE = 0.3
"""A centre that lies more probably than this in a bubble is none; chosen on the same pictures."""

FARTHER = 0.33
"""Factor of the copy at which crystals of over three times the typical size are looked for."""

TIMES = 2
"""How often the tool looks from farther away: on one slide there may be crystals a hundred times as large as others."""

MOST_COMMON = 0.5
"""Two outlines that share more of their union than this are one crystal."""

REACH = 0.14
"""How near another crystal has to lie to hide one, in mean areas; measured on the crowded trial."""

RECALL = 0.997
"""Share of crystals in plain sight that are found; measured on the seed-like trial."""

OUTLINING_TILE = 1536
"""Side of what the outlining model sees at once, pixels: the smaller, the more is seen twice; this one takes about 210 MB."""

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


def crystals_outlines() -> dict[str, object]:
    """What a pipeline needs to know about the model that outlines crystals, as a JSON document.

    Returns:
        `normalisation`: version of `normalise_micrograph`; `tile`: side of a tile; `overlap`: pixels shared by neighbouring tiles
        on each side; `threshold`: lowest probability of a crystal's centre that counts; `bubble`: highest of lying in a bubble; `most_common`: highest intersection over
        union of two crystals; `farther`: factor of the copy at which larger ones are looked for; `times`: how often, each time smaller by that; `reach`
        and `recall`: see `sizing.counting`; `diameters`: smallest, typical and largest crystal, pixels, that the model was trained on;
        `border`: rule for counting.
    """
    return {
        "normalisation": NORMALISATION_VERSION,
        "tile": OUTLINING_TILE,
        "overlap": star_network.CONTEXT,
        "threshold": CENTRE_THRESHOLD,
        "bubble": BUBBLE,
        "most_common": MOST_COMMON,
        "farther": FARTHER,
        "times": TIMES,
        "reach": REACH,
        "recall": RECALL,
        "diameters": {"smallest": 6, "typical": 26, "largest": 100},
        "border": "a crystal counts where its centre lies in the picture",
    }


def shipped_model() -> bytes:
    """The earlier model of centres and bodies, from which the demonstration starts, an ONNX file. Raises `NotFound` if this installation lacks it."""
    return _weights("crystals.onnx", "scripts/train_crystals.py")


def shipped_outliner() -> bytes:
    """The model that outlines crystals, and that federations go on training, an ONNX file. Raises `NotFound` if this installation lacks it."""
    return _weights("outlines.onnx", "scripts/train_crystal_outlines.py")


def _weights(name: str, script: str) -> bytes:
    file = resources.files("cloister.applications.crystals").joinpath("weights", name)
    if not file.is_file():
        raise NotFound(
            "A model that comes with Cloister is missing.",
            f"This installation has no weights/{name}.",
            f"Install Cloister again, or run {script}.",
        )
    return file.read_bytes()
