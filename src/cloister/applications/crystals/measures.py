"""From centres and bodies to sizes: one region per crystal, its diameter, and the size distribution.

Names follow ISO 9276-6 (descriptors of shape and size: area, equivalent circle diameter) and ISO 9276-1
(cumulative distributions: x10, x50, x90, here D10, D50, D90 as the trade writes them; index 0 for number,
3 for volume, where a crystal's volume is taken as proportional to its diameter cubed).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cloister.applications.crystals.pipeline import BODY_THRESHOLD, PEAK_DISTANCE, PEAK_THRESHOLD
from cloister.data.peaks import find_peaks
from cloister.foundation.errors import BadInput


@dataclass(frozen=True)
class CrystalMeasure:
    """One crystal; lengths in `unit`.

    Attributes:
        x: of the centre, pixels.
        y: of the centre, pixels.
        area: of its region, unit squared.
        diameter: equivalent circle diameter, of the circle of that area.
        border: whether the region touches the picture's edge, where not all of it is seen.
        unit: "px" or "µm".
    """

    x: float
    y: float
    area: float
    diameter: float
    border: bool
    unit: str


def regions(
    body: NDArray[Any], centres: NDArray[Any], *, threshold: float = BODY_THRESHOLD
) -> NDArray[np.int32]:
    """The pixels of each crystal.

    Bodies are flooded from the centres over the distance to the background (S. Beucher, F. Meyer 1993), so that
    touching crystals part at their neck. A centre outside every body keeps its own pixel.

    Args:
        body: probabilities [height, width].
        centres: [n, 2], x and y in pixels, inside the picture.
        threshold: from which a pixel belongs to a crystal.

    Returns:
        int32 [height, width]: 0 background, i the crystal of `centres[i - 1]`. Bodies without a centre are 0.
    """
    from scipy import ndimage
    from skimage.segmentation import watershed

    mask = np.asarray(body >= threshold)
    height, width = mask.shape
    columns = np.clip(np.rint(centres[:, 0]), 0, width - 1).astype(np.intp)
    rows = np.clip(np.rint(centres[:, 1]), 0, height - 1).astype(np.intp)
    mask[rows, columns] = True
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[rows[::-1], columns[::-1]] = np.arange(len(centres), 0, -1, dtype=np.int32)
    if not len(centres):
        return markers
    depth = ndimage.distance_transform_edt(mask)
    flooded: NDArray[np.int32] = watershed(-depth, markers, mask=mask).astype(np.int32)
    return flooded


def measure(
    heat: NDArray[Any],
    body: NDArray[Any],
    *,
    um_per_px: float | None = None,
    threshold: float = PEAK_THRESHOLD,
    min_distance: int = PEAK_DISTANCE,
) -> list[CrystalMeasure]:
    """Every crystal of a picture, most certain first.

    Args:
        heat: centre probabilities [height, width].
        body: body probabilities [height, width].
        um_per_px: micrometres per pixel; lengths stay in pixels without it.
        threshold: lowest heat of a crystal.
        min_distance: of two centres, pixels.

    Raises:
        BadInput: the maps differ in shape, or the calibration is not positive.
    """
    if heat.shape != body.shape or heat.ndim != 2 or (um_per_px is not None and not um_per_px > 0):
        raise BadInput(
            "These maps cannot be measured.",
            f"Their shapes are {heat.shape} and {body.shape}, the calibration is {um_per_px}.",
            "Give two maps of one picture and a positive number of micrometres per pixel.",
        )
    centres = find_peaks(heat, threshold, min_distance, subpixel=True)
    numbers = regions(body, centres)
    areas = np.bincount(numbers.ravel(), minlength=len(centres) + 1)
    edge = (
        np.concatenate([numbers[0], numbers[-1], numbers[:, 0], numbers[:, -1]]) if numbers.size else numbers
    )
    touching = set(np.unique(edge).tolist())
    scale, unit = (1.0, "px") if um_per_px is None else (um_per_px, "µm")
    return [
        CrystalMeasure(
            x=float(x),
            y=float(y),
            area=float(areas[number]) * scale**2,
            diameter=2.0 * float(np.sqrt(areas[number] / np.pi)) * scale,
            border=number in touching,
            unit=unit,
        )
        for number, (x, y) in enumerate(centres, 1)
    ]


def distribution(crystals: list[CrystalMeasure]) -> Mapping[str, Any]:
    """Count and size distribution of the crystals that do not touch the border.

    Returns:
        `count`: all crystals; `measured`: those not cut by the border; `unit`; and for number ("number") and
        volume ("volume") weighting `d10`, `d50`, `d90`: the diameter below which 10, 50 and 90 per cent lie,
        None where nothing is measured.
    """
    whole = np.array([c.diameter for c in crystals if not c.border], dtype=np.float64)
    unit = crystals[0].unit if crystals else "px"
    return {
        "count": len(crystals),
        "measured": len(whole),
        "unit": unit,
        "number": _percentiles(whole, np.ones_like(whole)),
        "volume": _percentiles(whole, whole**3),
    }


def _percentiles(diameters: NDArray[np.float64], weights: NDArray[np.float64]) -> dict[str, float | None]:
    names = {"d10": 0.1, "d50": 0.5, "d90": 0.9}
    if not len(diameters) or weights.sum() <= 0:
        return dict.fromkeys(names)
    order = np.argsort(diameters, kind="stable")
    sizes, shares = diameters[order], weights[order] / weights.sum()
    # Each crystal stands at the middle of its own step of the cumulative curve.
    middle = np.cumsum(shares) - shares / 2.0
    return {name: float(np.interp(level, middle, sizes)) for name, level in names.items()}
