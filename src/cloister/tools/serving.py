"""Tools in a confined worker: one file's bytes in, figures and files that a browser may be shown out.

Rules:
1. Bytes that people send are opened here and nowhere else: the process that serves pages never decodes a picture or a table.
2. None of those bytes comes out again. The original is shown as it was decoded, encoded anew: without metadata (place, time,
   camera), without whatever else the file held besides its pixels.
3. What comes out has one of the names in `FILES`; there is no drawing language (SVG) among them.
4. A worker has one tool, and is told which by its digest: an answer is never another tool's.
"""

from __future__ import annotations

import io
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from cloister.data.column_kinds import TableLimits
from cloister.data.images import ImageLimits, Pixels, decode_image
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import BadInput, Conflict, NotFound
from cloister.tools import types as t
from cloister.tools.check import parameters_of
from cloister.tools.manifest import Manifest, StepUse
from cloister.tools.package import Package, pack, unpack
from cloister.tools.pipeline import run_pipeline
from cloister.tools.run import choose, compute, first_table
from cloister.tools.steps.base import Context, Model
from cloister.tools.steps.cleaned import CLEANS, CleanPicture, cleaned_pixels, encoded
from cloister.tools.steps.reporting import as_csv, as_json
from cloister.tools.tool import Tool

METHODS: Mapping[str, str] = {
    "builtin": "cloister.tools.serving:builtin",
    "clean": "cloister.tools.serving:clean",
    "load": "cloister.tools.serving:load",
    "look": "cloister.tools.serving:look",
}
"""What a worker for tools can do."""

FILES: Mapping[str, str] = {
    "original.jpg": "image/jpeg",
    "original.png": "image/png",
    "outlines.json": "application/json",
    "overlay.jpg": "image/jpeg",
    "overlay.png": "image/png",
    "report.html": "text/html; charset=utf-8",
    "result.json": "application/json",
    "table.csv": "text/csv; charset=utf-8",
}
"""The files that a result may have, and what each is."""

_OF_REPORTS = frozenset({"report.html", "outlines.json"})

_EXACT_PIXELS = 1 << 16
"""Smaller originals are shown as PNG: every pixel as it was."""
_PNG_PIXELS = 4 << 20
"""Larger overlays become JPEG: a browser on the plant's network should not wait for 20 MB."""
_JPEG_SIDE = 65_500
_MAX_THREADS = 4

Answer: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]


@dataclass(frozen=True)
class _Loaded:
    tool: Tool
    models: Mapping[str, Model]


_LOADED: dict[str, _Loaded] = {}


def builtin(arguments: Mapping[str, Any], _arrays: Mapping[str, Any]) -> Answer:
    """A tool that comes with Cloister, as a package. Here, because making one loads its model."""
    from cloister.tools.builtin import builtin_tool

    return {}, {"package": _array(pack(Package(builtin_tool(str(arguments["name"])))))}


def load(arguments: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Makes the tool in `package` this worker's. Raises `BadInput`, `Tampered`."""
    tool = unpack(arrays["package"].tobytes(), "The tool").tool
    threads = min(_MAX_THREADS, int(arguments.get("threads", 0)) or os.cpu_count() or 1)
    _LOADED.clear()
    _LOADED[tool.digest] = _Loaded(tool, tool.load(threads=threads))
    return {"tool": tool.digest}, {}


def look(arguments: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """Runs this worker's tool on the bytes of one picture or table.

    Args:
        arguments: `tool` (digest), `name` (what to call the file), `settings` (by name), `um_per_pixel` (or None), and the
            limits `max_bytes`, `max_pixels`, `max_rows`.
        arrays: `data`, the bytes.

    Returns:
        What is told of the result, and its files by their names in `FILES`.

    Raises:
        Conflict: this worker has another tool.
        BadInput: the file or a setting cannot be used.
    """
    started = time.perf_counter()
    loaded = next(iter(_LOADED.values()), None)
    if loaded is None or not same(loaded.tool.digest, str(arguments["tool"])):
        raise Conflict("This worker has another tool.", "", "Try again.")
    data, name = arrays["data"].tobytes(), str(arguments["name"])
    limits = ImageLimits(int(arguments["max_bytes"]), int(arguments["max_pixels"]))
    tool, seen = loaded.tool, digest(data)
    chosen = choose(tool, arguments["um_per_pixel"], arguments["settings"], limits)
    value, pixels = _input(tool, data, name, limits, int(arguments["max_rows"]))
    outputs, context, doubt = compute(tool, loaded.models, value, seen, name, chosen, lambda *_: None)
    figures = next((item for item in outputs.values() if isinstance(item, t.Figures)), t.Figures({}))
    table = first_table(outputs)
    files = {"result.json": as_json(context, figures, table)}
    if table is not None:
        files["table.csv"] = as_csv(table)
    files |= _finished(outputs)
    if pixels is not None:
        files |= _original(pixels)
    count = figures.values.get("count")
    told = {
        "tool": tool.digest,
        "models": dict(tool.manifest.models),
        "input": seen,
        "size": None if pixels is None else [pixels.shape[1], pixels.shape[0]],
        "count": None if count is None else int(count),
        "figures": _figures(figures),
        "um_per_pixel": context.micrometres_per_pixel,
        "settings": dict(chosen.settings),
        "alternative": _alternative(outputs),
        "warnings": [doubt] if doubt else [],
        "seconds": time.perf_counter() - started,
    }
    return told, {name: _array(content) for name, content in files.items()}


def clean(arguments: Mapping[str, Any], arrays: Mapping[str, Any]) -> Answer:
    """A cleaned copy of a picture that was looked at before, as the tool's step `clean_picture@1` makes it.

    Args:
        arguments: `tool`, `name`, `settings`, `um_per_pixel`, `max_bytes`, `max_pixels` as of `look`; and `corners`, how many each
            object's outline has.
        arrays: `data`, the picture's bytes; `points`, the outlines' corners one after the other, [n, 2], pixels.

    Returns:
        Nothing told, and the picture's bytes: `cleaned`, PNG or JPEG.

    Raises:
        Conflict: this worker has another tool.
        NotFound: the tool makes no cleaned picture.
        BadInput: the picture cannot be used.
    """
    loaded = next(iter(_LOADED.values()), None)
    if loaded is None or not same(loaded.tool.digest, str(arguments["tool"])):
        raise Conflict("This worker has another tool.", "", "Try again.")
    tool, use = loaded.tool, cleaning_of(loaded.tool.manifest)
    limits = ImageLimits(int(arguments["max_bytes"]), int(arguments["max_pixels"]))
    chosen = choose(tool, arguments["um_per_pixel"], arguments["settings"], limits)
    image = t.Image(decode_image(arrays["data"].tobytes(), limits, name=str(arguments["name"])))
    points = np.asarray(arrays["points"], dtype=np.float64).reshape(-1, 2)
    polygons = (
        np.split(points, np.cumsum([int(count) for count in arguments["corners"]])[:-1])
        if len(points)
        else []
    )
    maps = None
    if "litter" in use.inputs:
        source = use.inputs["litter"]
        maps = run_pipeline(
            tool,
            loaded.models,
            {use.inputs["image"]: image},
            Context(image_limits=limits),
            lambda *_: None,
            chosen.by_step,
            upto=source,
        )[source]
    assert maps is None or isinstance(maps, t.Field)
    parameters = parameters_of(use, chosen.by_step.get(use.name))
    assert isinstance(parameters, CleanPicture)
    made = cleaned_pixels(Context(), parameters, image, polygons, maps)
    large = made.shape[0] * made.shape[1] > _EXACT_PIXELS and max(made.shape[:2]) <= _JPEG_SIDE
    return {}, {"cleaned": _array(encoded(made, "image/jpeg" if large else "image/png"))}


def cleaning_of(manifest: Manifest) -> StepUse:
    """The step of a tool that makes a cleaned picture. Raises `NotFound`."""
    for use in manifest.pipeline:
        if use.step == CLEANS:
            return use
    raise NotFound(
        "This tool makes no cleaned picture.",
        f"It has no step {CLEANS}.",
        "Use a tool that makes one.",
    )


def _input(
    tool: Tool, data: bytes, name: str, limits: ImageLimits, max_rows: int
) -> tuple[t.Value, Pixels | None]:
    if len(tool.manifest.inputs) != 1:
        raise BadInput("This tool takes several inputs.", "A page gives it one.", "Use it from the sdk.")
    wanted = next(iter(tool.manifest.inputs.values()))
    if wanted.kind == "file":
        return t.File(data, name), decode_image(data, limits, name=name)
    from cloister.tools.tables import parse_tool_table

    return parse_tool_table(data, wanted.columns, TableLimits(limits.max_bytes, max_rows), name), None


def _finished(outputs: Mapping[str, t.Value]) -> dict[str, bytes]:
    """The overlay, the report's page, and outlines for the page to draw and for people to correct."""
    files: dict[str, bytes] = {}
    for value in outputs.values():
        if isinstance(value, t.Report):
            for name in _OF_REPORTS & value.files.keys():
                files.setdefault(name, value.files[name])
        if isinstance(value, t.Picture) and value.media_type == "image/png" and not _overlay(files):
            files |= _shrunk(value.data)
    return files


def _overlay(files: Mapping[str, bytes]) -> bool:
    return any(name.startswith("overlay.") for name in files)


def _shrunk(data: bytes) -> dict[str, bytes]:
    from PIL import PngImagePlugin

    # The overlay step of this process wrote it: the bomb check of Image.open would refuse very large ones.
    picture = PngImagePlugin.PngImageFile(io.BytesIO(data))
    if picture.width * picture.height <= _PNG_PIXELS or max(picture.size) > _JPEG_SIDE:
        return {"overlay.png": data}
    stream = io.BytesIO()
    picture.convert("RGB").save(stream, format="JPEG", quality=90, subsampling=0)
    return {"overlay.jpg": stream.getvalue()}


def _original(pixels: Pixels) -> dict[str, bytes]:
    from PIL import Image

    picture, stream = Image.fromarray(pixels), io.BytesIO()
    if pixels.shape[0] * pixels.shape[1] <= _EXACT_PIXELS or max(pixels.shape[:2]) > _JPEG_SIDE:
        picture.save(stream, format="PNG", compress_level=1)
        return {"original.png": stream.getvalue()}
    picture.save(stream, format="JPEG", quality=90, subsampling=0)
    return {"original.jpg": stream.getvalue()}


def _figures(figures: t.Figures) -> dict[str, Any]:
    return {
        "values": {name: _number(value) for name, value in figures.values.items()},
        "units": dict(figures.units),
        "histograms": {
            name: {"edges": [float(edge) for edge in edges], "counts": [int(count) for count in counts]}
            for name, (edges, counts) in figures.histograms.items()
        },
    }


def _number(value: Any) -> float | int | None:
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, int):
        return value
    return float(value) if np.isfinite(value) else None


def _alternative(outputs: Mapping[str, t.Value]) -> str:
    pictures = (value for value in outputs.values() if isinstance(value, t.Picture))
    return next((picture.alternative for picture in pictures if picture.media_type == "image/png"), "")


def _array(data: bytes) -> NDArray[np.uint8]:
    return np.frombuffer(data, dtype=np.uint8)
