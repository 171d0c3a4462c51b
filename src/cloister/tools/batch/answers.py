"""What programs are told of each file: one JSON object that says everything, whether it could be used or not."""

from __future__ import annotations

from typing import Any

from cloister.tools.batch import objects
from cloister.tools.batch.running import Done, told
from cloister.tools.inputs import called


def image_answer(done: Done) -> dict[str, Any]:
    """A file's outcome for programs.

    file, width and height (pixels, upright), count with its interval (count_low, count_high) and agglomerates where the tool
    tells them, um_per_px (None: lengths are in pixels), crystals (see `objects.CRYSTAL`) and their units; error with what, why
    and remedy, None if there is a result. Beside these stands what `Result.as_json` says.
    """
    result = done.result
    plain = result.as_json()
    values = {} if result.figures is None else result.figures.values
    agglomerates = values.get("agglomerates")
    if result.error is not None:
        plain["error"] |= told(result.error)
    return {
        "file": called(result.path) if result.path is not None else result.name,
        "width": result.width,
        "height": result.height,
        "count": result.count,
        "count_low": values.get("count_low"),
        "count_high": values.get("count_high"),
        "agglomerates": objects.agglomerates(result.table) if agglomerates is None else agglomerates,
        "um_per_px": result.micrometres_per_pixel,
        "crystals": objects.crystals(result.table),
        "crystal_units": objects.units_of(result.table),
        "done_before": done.before,
        **{name: value for name, value in plain.items() if name != "count"},
    }
