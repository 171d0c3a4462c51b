"""What the shipped crystal tool is made of: the numbers for the general steps, and the model.

The tool is built of Cloister's allow-listed steps (`tools.templates.outlining_tool`); what is particular to crystals is in this
one document, so that the tool, the judging and the training count in the same way.
"""

from __future__ import annotations

from importlib import resources

from cloister.applications.crystals import star_network
from cloister.data.normalise import NORMALISATION_VERSION
from cloister.foundation.errors import NotFound

CENTRE_THRESHOLD = 0.45
"""Lowest probability of a centre that counts; chosen on drawn pictures kept for this."""

BUBBLE = 0.5
"""A centre that lies more probably than this in a bubble is none; chosen on the same pictures."""

FARTHER = 0.33
"""Factor of the copy at which crystals of over three times the typical size are looked for."""

TIMES = 2
"""How often the tool looks from farther away: on one slide there may be crystals a hundred times as large as others."""

MOST_COMMON = 0.5
"""Two outlines that share more of their union than this are one crystal."""

EDGE = 0.4
"""Probability of a body at which outlines lie: at a half, most sizes come out right but those with dim rims too small, on the same pictures."""

REACH = 0.06
"""How near another crystal has to lie to hide one, in mean areas; measured on the crowded trial."""

RECALL = 0.992
"""Share of crystals in plain sight that are found; measured on the seed-like trial."""

ERROR = 0.023
"""Of counts from picture to picture, relative (root mean square), over the trials drawn like what the model learnt; on pictures kept for this."""

OUTLINING_TILE = 1536
"""Side of what the outlining model sees at once, pixels: the smaller, the more is seen twice; this one takes about 210 MB."""


def crystals_outlines() -> dict[str, object]:
    """What a pipeline needs to know about the model that outlines crystals, as a JSON document.

    Returns:
        `normalisation`: version of `normalise_micrograph`; `tile`: side of a tile; `overlap`: pixels shared by neighbouring tiles
        on each side; `threshold`: lowest probability of a crystal's centre that counts; `bubble`: highest of lying in a bubble; `most_common`: highest intersection over
        union of two crystals; `edge`: probability of a body at which it ends; `farther`: factor of the copy at which larger ones are looked for; `times`: how often, each time smaller by that; `reach`
        and `recall`: see `sizing.counting`; `error`: of counts from picture to picture; `diameters`: smallest, typical and largest crystal, pixels, that the model was trained on;
        `border`: rule for counting.
    """
    return {
        "normalisation": NORMALISATION_VERSION,
        "tile": OUTLINING_TILE,
        "overlap": star_network.CONTEXT,
        "threshold": CENTRE_THRESHOLD,
        "bubble": BUBBLE,
        "most_common": MOST_COMMON,
        "edge": EDGE,
        "farther": FARTHER,
        "times": TIMES,
        "reach": REACH,
        "recall": RECALL,
        "error": ERROR,
        "diameters": {"smallest": 6, "typical": 26, "largest": 100},
        "border": "a crystal counts where its centre lies in the picture",
    }


def shipped_outliner() -> bytes:
    """The model that outlines crystals, and that federations go on training, an ONNX file. Raises `NotFound` if this installation lacks it."""
    file = resources.files("cloister.applications.crystals").joinpath("weights", "outlines.onnx")
    if not file.is_file():
        raise NotFound(
            "A model that comes with Cloister is missing.",
            "This installation has no weights/outlines.onnx.",
            "Install Cloister again, or run scripts/train_crystal_outlines.py.",
        )
    return file.read_bytes()
