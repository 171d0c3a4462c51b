"""Pipelines ready to fill in: a manifest for counting and measuring things in pictures, given a model and a few numbers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cloister.data.normalise import NORMALISATION_VERSION
from cloister.data.scaling import LARGEST as ENLARGED
from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.tools.manifest import Manifest, parse_manifest
from cloister.tools.steps.cleaned import CLEANED
from cloister.tools.tool import Tool


@dataclass(frozen=True)
class Counting:
    """What a counting tool needs to know about its model.

    Args:
        tile: side of a square, pixels, a multiple of what the network needs.
        overlap: pixels shared by neighbouring squares; at least twice the network's context.
        multiple: sides of what the network is given are multiples of this; 0 if it takes squares of `tile` only.
        heat: output channel that is high at centres.
        body: output channel that is high inside objects; None if the model has none.
        threshold: the lowest peak that counts, after the activation.
        body_threshold: where an object's body begins, after the activation.
        min_distance: pixels between two centres at least.
        activation: what follows the model's last layer.
        counted: plural noun for reports.
    """

    tile: int
    overlap: int
    multiple: int = 0
    heat: int = 0
    body: int | None = 1
    threshold: float = 0.5
    body_threshold: float = 0.5
    min_distance: int = 6
    activation: str = "sigmoid"
    counted: str = "objects"


def counting_tool(model: bytes, parameters: Counting, about: Mapping[str, Any]) -> Tool:
    """A tool that counts and measures objects with a model that marks their centres and, if it does, their bodies.

    Args:
        model: ONNX bytes.
        parameters: see `Counting`.
        about: the manifest's descriptive fields: name, version, title, licence, and optionally description,
            intended_use, limits, calibration, sizes, certificate.

    Raises:
        BadInput: a field is malformed, or the model does not fit.
    """
    content: dict[str, Any] = {
        "type": "cloister/tool@1",
        **about,
        "inputs": {"photo": {"kind": "file", "columns": []}},
        "models": {"objects": digest(model)},
        "pipeline": _pipeline(parameters),
        "adjustable": {
            "scale": {
                "step": "sized",
                "parameter": "factor",
                "about": "Below 1 looks at a smaller copy, for pictures whose objects are larger than the model knows.",
                "lowest": 0.05,
                "highest": 4.0,
            },
            "threshold": {
                "step": "centres",
                "parameter": "threshold",
                "about": "Between 0 and 1; higher counts fewer objects, surer ones.",
                "lowest": 0.0,
                "highest": 1.0,
            },
        },
        "outputs": {
            "overlay": {"source": "overlay", "kind": "picture"},
            "objects": {"source": "objects", "kind": "table"},
            "figures": {"source": "figures", "kind": "figures"},
            "sizes": {"source": "sizes", "kind": "picture"},
            "report": {"source": "report", "kind": "report"},
        },
    }
    if parameters.body is None:
        content["outputs"].pop("sizes")
    manifest: Manifest = parse_manifest(canonical(content))
    tool = Tool(manifest, {"objects": model})
    tool.load(threads=1)
    return tool


LONGEST_OVERLAY = 2600
"""Pixels of an overlay's longer side at most: outlines at full size are in the JSON and SVG beside it."""

LARGE = 3.0
"""Diameters over the typical one from which the look from farther away decides."""


@dataclass(frozen=True)
class Outlining:
    """What an outlining tool needs to know about its model, which answers as `data.stars` says.

    Args:
        tile: side of a square, pixels, a multiple of 16.
        overlap: pixels shared by neighbouring squares; at least twice the network's context.
        typical: diameter, pixels, of the objects that the model knows best.
        threshold: the lowest probability of a centre that counts.
        bubble: a centre that is more probably than this in a bubble does not count; 1 to ask nothing.
        most_common: highest intersection over union that two different objects may have.
        edge: probability of a body at which it ends; 0 leaves outlines as the model says them.
        farther: factor of the smaller copy at which large objects are looked for.
        times: how often one looks from farther away, each time by that factor; at most 3.
        reach: how near another object has to lie to hide one, and
        recall: the share of objects in plain sight that are found, and
        error: of the count from picture to picture: see `size_figures@1`.
        counted: plural noun for reports.
    """

    tile: int
    overlap: int
    typical: float
    threshold: float = 0.5
    bubble: float = 1.0
    most_common: float = 0.5
    edge: float = 0.5
    farther: float = 1.0 / LARGE
    times: int = 0
    reach: float = 1.0
    recall: float = 1.0
    error: float = 0.0
    counted: str = "objects"


def outlining_tool(model: bytes, parameters: Outlining, about: Mapping[str, Any]) -> Tool:
    """A tool that counts, outlines and measures objects that may overlap, with a model that answers with star-convex polygons.

    Args:
        model: ONNX bytes.
        parameters: see `Outlining`.
        about: the manifest's descriptive fields, as of `counting_tool`.

    Raises:
        BadInput: a field is malformed, or the model does not fit.
    """
    p = parameters
    scale = {
        "step": "sized",
        "parameter": "factor",
        "about": "Size of the copy that is looked at, over the picture's own; 0 chooses it by what is in the picture.",
        "lowest": 0.0,
        "highest": 4.0,
    }
    seen = _seen(p)
    threshold: dict[str, Any] = {
        "step": seen[0],
        "parameter": "threshold",
        "about": "Between 0 and 1; higher counts fewer objects, surer ones.",
        "lowest": 0.0,
        "highest": 1.0,
    }
    if seen[1:]:
        threshold["also"] = [{"step": step, "parameter": "threshold"} for step in seen[1:]]
    sized = _use(
        "sized",
        "fit_scale@1",
        {"image": "picture"},
        model="objects",
        typical=float(p.typical),
        largest=ENLARGED,
    )
    find = [sized, *_looks(p)]
    finder = {"reach": float(p.reach), "recall": float(p.recall), "error": float(p.error)}
    content = _outlined(about, find, p.counted, {"scale": scale, "threshold": threshold}, finder)
    content["pipeline"] += [
        _use("litter", "litter@1", {"tiles": "sized_squares"}, model="objects"),
        _use(
            "cleaned",
            "clean_picture@1",
            {"image": "picture", "outlines": "outlines", "litter": "litter"},
        ),
    ]
    content["outputs"][CLEANED] = {"source": "cleaned", "kind": "picture", "on_request": True}
    tool = Tool(
        parse_manifest(canonical({**content, "models": {"objects": digest(model)}})), {"objects": model}
    )
    tool.load(threads=1)
    return tool


def classical_tool(counted: str, about: Mapping[str, Any]) -> Tool:
    """A tool that counts, outlines and measures objects without a model, by the classical method (`data.classical`).

    Args:
        counted: plural noun for reports.
        about: the manifest's descriptive fields, as of `counting_tool`.

    Raises:
        BadInput: a field is malformed.
    """
    adjustable = {
        "scale": {
            "step": "sized",
            "parameter": "factor",
            "about": "Below 1 looks at a smaller copy, for pictures whose objects are larger than the method knows.",
            "lowest": 0.05,
            "highest": 4.0,
        },
        "sensitivity": {
            "step": "outlines",
            "parameter": "sensitivity",
            "about": "From 0.2 to 5; above 1 counts fainter objects, and more that are none.",
            "lowest": 0.2,
            "highest": 5.0,
        },
        "split": {
            "step": "outlines",
            "parameter": "split",
            "about": "Between 0 and 1; higher parts touching objects more readily.",
            "lowest": 0.0,
            "highest": 1.0,
        },
    }
    find = [
        _use("sized", "rescale@1", {"image": "picture"}, factor=1.0),
        _use("light", f"normalise@{NORMALISATION_VERSION}", {"image": "sized"}),
        _use("outlines", "classical@1", {"field": "light"}),
    ]
    return Tool(parse_manifest(canonical(_outlined(about, find, counted, adjustable, {}))), {})


def _outlined(
    about: Mapping[str, Any],
    find: list[dict[str, Any]],
    counted: str,
    adjustable: Mapping[str, Any],
    finder: Mapping[str, float],
) -> dict[str, Any]:
    """A manifest's content around the steps that make `outlines` of `picture`: measured, drawn, reported."""
    measured = {"outlines": "outlines", "table": "objects"}
    told = {**measured, "figures": "figures", "overlay": "overlay", "chart": "sizes"}
    pipeline = [
        _use("picture", "decode@1", {"file": "photo"}),
        *find,
        _use("objects", "measure_outlines@1", {"outlines": "outlines"}),
        _use("figures", "size_figures@1", measured, **finder),
        _use("overlay", "overlay@1", {"image": "picture", **measured}, longest=LONGEST_OVERLAY),
        _use("sizes", "chart@1", {"figures": "figures"}, column="diameter", title=f"Diameters of {counted}"),
        _use("report", "report@1", told, counted=counted),
    ]
    return {
        "type": "cloister/tool@1",
        **about,
        "inputs": {"photo": {"kind": "file", "columns": []}},
        "pipeline": pipeline,
        "adjustable": dict(adjustable),
        "outputs": {
            "overlay": {"source": "overlay", "kind": "picture"},
            "objects": {"source": "objects", "kind": "table"},
            "figures": {"source": "figures", "kind": "figures"},
            "sizes": {"source": "sizes", "kind": "picture"},
            "report": {"source": "report", "kind": "report"},
        },
    }


def _looks(p: Outlining) -> list[dict[str, Any]]:
    """Looks at copies, each smaller than the one before, and who of two neighbours decides about which sizes, from the farthest on."""
    copies = ("sized", "small", "smaller", "smallest")[: p.times + 1]
    seen = _seen(p)
    steps: list[dict[str, Any]] = []
    for place, (copy, found) in enumerate(zip(copies, seen, strict=True)):
        if place:
            steps.append(_use(copy, "rescale@1", {"image": copies[place - 1]}, factor=float(p.farther)))
        steps += _look(p, copy, found)
    whole = seen[-1]
    for place in range(p.times - 1, -1, -1):
        made = f"from_{seen[place]}" if place else "outlines"
        between = {"close": seen[place], "far": whole}
        steps.append(_use(made, "merge_outlines@1", between, boundary=LARGE * float(p.typical)))
        whole = made
    return steps


def _seen(p: Outlining) -> tuple[str, ...]:
    """The steps that find outlines, from the closest look on."""
    return ("close", "far", "farther", "farthest")[: p.times + 1] if p.times else ("outlines",)


def _look(p: Outlining, image: str, outlines: str) -> list[dict[str, Any]]:
    light, squares = f"{image}_light", f"{image}_squares"
    return [
        _use(light, f"normalise@{NORMALISATION_VERSION}", {"image": image}),
        _use(squares, "tile@1", {"field": light}, size=p.tile, overlap=p.overlap, multiple=16),
        _use(
            outlines,
            "stars@1",
            {"tiles": squares},
            model="objects",
            threshold=float(p.threshold),
            bubble=float(p.bubble),
            overlap=float(p.most_common),
            edge=float(p.edge),
        ),
    ]


def _pipeline(p: Counting) -> list[dict[str, Any]]:
    inner = [{"column": "border", "comparison": "==", "value": 0.0}]
    bodies = p.body if p.body is not None else p.heat
    steps: list[dict[str, Any]] = [
        _use("picture", "decode@1", {"file": "photo"}),
        _use("sized", "rescale@1", {"image": "picture"}, factor=1.0),
        _use("light", f"normalise@{NORMALISATION_VERSION}", {"image": "sized"}),
        _use("squares", "tile@1", {"field": "light"}, size=p.tile, overlap=p.overlap, multiple=p.multiple),
        _use("answers", "model@1", {"tiles": "squares"}, model="objects", activation=p.activation),
        _use("maps", "stitch@1", {"tiles": "answers"}),
        _use("heat", "channel@1", {"field": "maps"}, index=p.heat),
        _use("body", "channel@1", {"field": "maps"}, index=bodies),
        _use(
            "centres", "peaks@1", {"field": "heat"}, threshold=float(p.threshold), min_distance=p.min_distance
        ),
        _use("regions", "watershed@1", {"field": "body", "points": "centres"}, above=float(p.body_threshold)),
        _use("objects", "measure@1", {"regions": "regions", "points": "centres", "image": "sized"}),
        _use("figures", "aggregate@1", {"table": "objects"}, column="diameter", measured_where=inner)
        if p.body is not None
        else _use("figures", "aggregate@1", {"table": "objects"}),
        _use(
            "overlay",
            "overlay@1",
            {"image": "picture", "regions": "regions", "points": "centres", "table": "objects"},
        ),
    ]
    told = {"figures": "figures", "table": "objects", "overlay": "overlay"}
    if p.body is not None:
        steps.append(
            _use(
                "sizes",
                "chart@1",
                {"figures": "figures"},
                column="diameter",
                title=f"Diameters of {p.counted}",
            )
        )
        told["chart"] = "sizes"
    steps.append(_use("report", "report@1", told, counted=p.counted))
    return steps


def _use(name: str, step: str, inputs: dict[str, str], **parameters: Any) -> dict[str, Any]:
    return {"name": name, "step": step, "inputs": inputs, "parameters": parameters}
