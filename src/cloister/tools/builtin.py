"""Tools that come with Cloister, found by name without this package knowing the applications above it.

An application that ships a tool names itself in `BUILTIN` and offers, in its module `pipeline`: `NAME_outlines()`, a JSON
document of what an outlining pipeline needs to know, and `shipped_outliner()`, its ONNX bytes, from which federations start.
They are imported when asked for, so that listing tools loads nothing.
A tool without a model has no module: its pipeline is a template's.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.foundation.errors import BadInput, NotFound
from cloister.tools.install import InstalledTools
from cloister.tools.package import SUFFIX, Package, load_tool
from cloister.tools.templates import Outlining, classical_tool, outlining_tool
from cloister.tools.tool import Tool


@dataclass(frozen=True)
class Builtin:
    """Where a tool that comes with Cloister is, and what its manifest says for people.

    Attributes:
        module: offers its parameters and its model; None for a tool without a model.
        about: the manifest's descriptive fields.
        counted: plural noun for reports.
    """

    module: str | None
    about: Mapping[str, Any]
    counted: str


BUILTIN: Mapping[str, Builtin] = {
    "crystals": Builtin(
        module="cloister.applications.crystals.shipped",
        counted="crystals",
        about={
            "name": "crystals",
            "version": "0.1.0",
            "title": "Crystals in micrographs",
            "description": "Counts translucent crystals in a micrograph and measures each.",
            "intended_use": "Seed and product crystals in suspension, bright or dark field, a few to a thousand in a picture.",
            "limits": [
                "Dirt: heaps and blots of it give false crystals; dense foam gives some.",
                "Small crystals (below about 15 pixels) in noisy pictures: up to half of them are not found.",
            ],
            "licence": "Apache-2.0",
        },
    ),
    "crystals-classical": Builtin(
        module=None,
        counted="crystals",
        about={
            "name": "crystals-classical",
            "version": "0.1.0",
            "title": "Crystals without a model (a classical baseline)",
            "description": "Counts and measures crystals by thresholds and a watershed: a baseline to compare a model with.",
            "intended_use": "Well separated crystals on an even field, where no model fits, or to see what a model is worth.",
            "limits": [
                "A baseline, not a replacement: on drawn seed-like pictures counts are off by 8 to 41 % and diameters a tenth too large.",
                "Foam and bubbles: it takes half of the bubbles for crystals, where a model is to take one in a hundred.",
                "Agglomerates: it finds less than two thirds of the crystals, and what merely touches counts as grown together.",
                "Crystals below 6 or above about 80 pixels in diameter: scale the picture. Needles over six times as long as wide are left out.",
                "Strengths rank crystals by contrast and are no probabilities; what others hide is not known.",
            ],
            "licence": "Apache-2.0",
        },
    ),
}


def with_models() -> tuple[str, ...]:
    """Names of the tools that come with Cloister and have a model, which a released one can replace."""
    return tuple(name for name, entry in BUILTIN.items() if entry.module is not None)


def builtin_tool(name: str) -> Tool:
    """A tool that comes with Cloister. Raises `NotFound` if there is none of that name, or its model is missing."""
    entry = _entry(name)
    if entry.module is None:
        return classical_tool(entry.counted, entry.about)
    module = importlib.import_module(entry.module)
    told = getattr(module, f"{name}_outlines")()
    parameters = Outlining(
        tile=int(told["tile"]),
        overlap=2 * int(told["overlap"]),
        typical=float(told["diameters"]["typical"]),
        threshold=float(told["threshold"]),
        bubble=float(told["bubble"]),
        most_common=float(told["most_common"]),
        edge=float(told["edge"]),
        farther=float(told.get("farther", 1.0)),
        times=int(told.get("times", 0)),
        reach=float(told.get("reach", 1.0)),
        recall=float(told.get("recall", 1.0)),
        error=float(told.get("error", 0.0)),
        counted=entry.counted,
    )
    return outlining_tool(module.shipped_outliner(), parameters, _about(entry, told))


def _entry(name: str) -> Builtin:
    entry = BUILTIN.get(name)
    if entry is None:
        raise NotFound(
            f"No tool {name!r} comes with Cloister.",
            f"These do: {', '.join(BUILTIN)}.",
            "See: cloister tool list",
        )
    return entry


def _about(entry: Builtin, told: Mapping[str, Any]) -> dict[str, Any]:
    about = {**entry.about, "limits": [*entry.about.get("limits", ()), *_limits(told)]}
    if told.get("diameters"):
        about["sizes"] = {name: float(told["diameters"][name]) for name in ("smallest", "typical", "largest")}
    return about


def open_tool(name: str, installed: InstalledTools | None = None) -> Package:
    """A tool by name or file: a path ending in `.tool`, else the installed one, else the one that comes with Cloister.

    Raises:
        NotFound: there is none.
        BadInput, Tampered: its file cannot be used.
    """
    if name.endswith(SUFFIX):
        return load_tool(Path(name))
    tools = installed if installed is not None else InstalledTools()
    try:
        return tools.get(name)
    except BadInput:
        raise
    except NotFound:
        if name in BUILTIN:
            return Package(builtin_tool(name))
        raise


def _limits(told: Mapping[str, Any]) -> list[str]:
    limits = []
    sizes = told.get("diameters")
    if sizes:
        farthest = float(told.get("farther", 1.0)) ** int(told.get("times", 0))
        limits.append(
            f"Objects of one picture that are more than {sizes['largest'] / sizes['typical'] / farthest:.2g} times as large as the middle one, "
            f"or smaller than {sizes['smallest']} pixels: they are missed, or their sizes are wrong."
        )
    limits.append("Where objects hide each other for more than half, counts are low and sizes approximate.")
    limits.append("Sizes are given for objects that do not touch the picture's edge.")
    return limits
