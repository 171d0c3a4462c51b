"""What the star network should answer for a drawn picture: `data.star_targets` with all that drawing knows.

A drawn picture tells more than labels do: litter, crystals that only reach into the picture, and of each crystal its blur, whether it
is part of an agglomerate, and how much of it is hidden.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.synthesis import Micrograph
from cloister.data.normalise import normalise_micrograph
from cloister.data.scaling import resized
from cloister.data.star_targets import IGNORED, ONE, star_targets

__all__ = ["IGNORED", "ONE", "UNSEEN", "Sample", "enlarged", "sample"]

UNSEEN: Final = 0.8
"""Of a crystal hidden for more than this share nothing is asked, and nothing refused."""


@dataclass(frozen=True)
class Sample:
    """A picture with what should be answered.

    Attributes:
        picture: int8 [height, width]: the normalised picture times 127.
        fine: uint8 [4, height / 2, width / 2]: 0 to `ONE`, or `IGNORED`.
        owner: int16 [height / 4, width / 4]: which crystal's a cell is, -1 for none.
        rays: float32 [crystals, RAYS], pixels; the polygon through their ends has exactly the outline's area.
        facts: float32 [crystals, 3]: blur in pixels, 1 if part of an agglomerate, share hidden.
    """

    picture: NDArray[np.int8]
    fine: NDArray[np.uint8]
    owner: NDArray[np.int16]
    rays: NDArray[np.float32]
    facts: NDArray[np.float32]


def sample(micrograph: Micrograph) -> Sample:
    """The answers for a drawn picture whose sides are multiples of 4."""
    height, width = micrograph.image.shape[:2]
    crystals = micrograph.crystals
    asked = star_targets(
        (height, width),
        np.array([(c.x, c.y) for c in crystals], np.float64).reshape(-1, 2),
        np.array([c.diameter for c in crystals], np.float64),
        [np.array(c.outline) for c in crystals],
        bubbles=micrograph.bubbles,
        beyond=micrograph.beyond,
        litter=micrograph.litter,
        facts=np.array([(c.blur, c.agglomerate > 0, c.hidden) for c in crystals], np.float32).reshape(-1, 3),
        unseen=np.array([c.hidden > UNSEEN for c in crystals], bool),
    )
    normal = normalise_micrograph(micrograph.image)
    return Sample(
        np.rint(np.clip(normal, -1, 1) * 127).astype(np.int8),
        asked.fine,
        asked.owner.astype(np.int16),
        asked.rays,
        asked.facts,
    )


def enlarged(micrograph: Micrograph, factor: float, side: int) -> Micrograph:
    """A picture and its truth as the tool sees them that enlarges small crystals; cut to a square from the upper left corner.

    Args:
        micrograph: whose sides, enlarged, are at least `side`.
        factor: of enlarging.
        side: of the square, pixels.
    """
    image = np.ascontiguousarray(resized(micrograph.image, factor)[:side, :side])
    rows = np.minimum(((np.arange(side) + 0.5) / factor).astype(int), micrograph.litter.shape[0] - 1)

    def place(value: float) -> float:
        # Centres lie between pixels' borders: pixel 0's is half a pixel behind the picture's edge.
        return (value + 0.5) * factor - 0.5

    crystals = tuple(
        replace(
            c,
            x=place(c.x),
            y=place(c.y),
            diameter=c.diameter * factor,
            outline=tuple((place(x), place(y)) for x, y in c.outline),
            blur=c.blur * factor,
        )
        for c in micrograph.crystals
    )
    within = [max(c.x, c.y) < side - 0.5 for c in crystals]
    out = [np.array(c.outline) for c, inside in zip(crystals, within, strict=True) if not inside]
    return replace(
        micrograph,
        image=image,
        crystals=tuple(c for c, inside in zip(crystals, within, strict=True) if inside),
        bubbles=tuple((place(x), place(y), radius * factor) for x, y, radius in micrograph.bubbles),
        beyond=(*((o + 0.5) * factor - 0.5 for o in micrograph.beyond), *out),
        litter=micrograph.litter[np.ix_(rows, rows)],
    )
