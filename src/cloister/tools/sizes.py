"""Whether what was measured has sizes that the tool's model knows, and what to try if not.

A model that learnt objects of 8 to 90 pixels answers for larger and smaller ones too, only wrongly: the count looks as
sure as any other. What was measured outside those sizes tells that the picture should be looked at in another scale.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cloister.tools import types as t

NOTICEABLE = 0.1
"""Share of measured objects outside the known sizes from which people are told."""

_TRIED = (0.1, 0.125, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 4.0)


@dataclass(frozen=True)
class KnownSizes:
    """The diameters that a tool's model knows, and the copy that it looked at.

    Args:
        smallest: pixels of the copy.
        largest: pixels of the copy.
        factor: size of the copy over that of the given picture, above 0; None where it depends on the picture and the table of objects
            says it (`Table.scale`).
        setting: the tool's setting for `factor`; empty if users cannot set it.
    """

    smallest: float
    largest: float
    factor: float | None = 1.0
    setting: str = ""


def outside_known_sizes(
    table: t.Table | None, known: KnownSizes | None, micrometres_per_pixel: float | None
) -> str:
    """A sentence for people if at least `NOTICEABLE` of the measured objects are outside, or there are none; empty if not.

    Args:
        table: of objects, with `diameter` and, if it has it, `border` (1: cut off by the edge, not measured).
        known: the sizes; None if the tool does not state any.
        micrometres_per_pixel: of the given picture, if the table is in micrometres.
    """
    if table is None or known is None or "diameter" not in table.columns:
        return ""
    if not table.rows:
        said = "nothing was found; if there is something in this picture"
        seen = f"this tool knows objects of {known.smallest:g} to {known.largest:g} pixels"
        return (
            f"{said}, its scale may be wrong ({seen}): try --set {known.setting}=0.5"
            if known.setting
            else f"{said}, do not rely on this result ({seen})"
        )
    diameters = np.asarray(table.columns["diameter"], dtype=np.float64)
    if "border" in table.columns:
        diameters = diameters[np.asarray(table.columns["border"]) == 0]
    if table.units.get("diameter") == "µm":
        if micrometres_per_pixel is None:
            return ""
        diameters = diameters / micrometres_per_pixel
    diameters = diameters[np.isfinite(diameters)]
    factor = known.factor if table.scale is None else 1.0 / table.scale
    if factor is None:
        return ""
    found = _outside(diameters, known, factor)
    if not len(diameters) or found < NOTICEABLE * len(diameters):
        return ""
    said = (
        f"{found} of {len(diameters)} measured lie outside the sizes this tool knows"
        f" ({known.smallest:g} to {known.largest:g} pixels)"
    )
    # Of objects far too large the model marks pieces, which look too small: enlarging would make that worse.
    large = bool((diameters * factor > known.largest).any())
    tried = [one for one in _TRIED if not large or one < factor] or [factor]
    best = min(tried, key=lambda one: (_outside(diameters, known, one), abs(np.log(one / factor))))
    if not known.setting or _outside(diameters, known, best) >= found:
        return f"{said}: do not rely on the count and sizes of this picture."
    return f"{said}: try --set {known.setting}={best:g}"


def _outside(diameters: NDArray[np.float64], known: KnownSizes, factor: float) -> int:
    """How many would be outside in a copy of this size; `diameters` in pixels of the given picture."""
    seen = diameters * factor
    return int(((seen < known.smallest) | (seen > known.largest)).sum())
