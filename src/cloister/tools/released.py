"""From a release to an installed tool: the released model takes the place of the tool's own, certificate beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cloister.foundation.canonical import canonical
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, Conflict, NotFound
from cloister.tools.builtin import BUILTIN, builtin_tool, with_models
from cloister.tools.install import InstalledTools
from cloister.tools.package import Package
from cloister.tools.templates import Counting, counting_tool
from cloister.tools.tool import with_model
from cloister.tools.trust import verify_installed


def install_release(
    name: str, content: bytes, told: Mapping[str, Any], folder: Path | None
) -> dict[str, Any]:
    """Installs a built-in tool with the released model in place of its own: the pipeline is the one that the model answers for.

    Args:
        name: the tool.
        content: the released ONNX model.
        told: the release as the node shows it: `certificate`, `cards`.
        folder: the folder of installed tools; this user's if absent.

    Raises:
        NotFound: no such tool comes with Cloister.
        BadInput: the tool has no model, or the released one does not fit.
    """
    tools = InstalledTools(folder)
    if name in BUILTIN and name not in with_models():
        raise BadInput(
            f"The tool {name} has no model that a release could replace.",
            f"These have one: {', '.join(with_models())}.",
            "Choose one of them.",
        )
    base = builtin_tool(name)
    try:
        version = _next(tools.state(name).current.version)
    except NotFound:
        version = _next(base.manifest.version)
    certificate = canonical({"certificate": told["certificate"], "cards": told["cards"]})
    (model,) = base.models
    try:
        made = with_model(base, model, content, version=version, certificate=digest(certificate))
    except BadInput as error:
        raise BadInput(
            f"The released model cannot take the place of the tool {name}'s own.",
            f"{error.what} {error.why} A model that was trained from another than the tool's answers otherwise.",
            f"Train the tool's present model (cloister ask train --tool {name}), or make a new tool of this release.",
        ) from None
    state = tools.install(Package(made, certificate), now=int(time.time()), verify=verify_installed)
    return {
        "tool": name,
        "version": state.current.version,
        "digest": state.current.tool,
        "folder": str(tools.folder),
        "history": [entry.model_dump(mode="json") for entry in state.history],
    }


def install_counting(
    name: str,
    content: bytes,
    told: Mapping[str, Any],
    folder: Path | None,
    *,
    title: str,
    counted: str,
    tile: int,
    overlap: int,
    threshold: float,
) -> dict[str, Any]:
    """Installs a new tool that counts what a released model marks in pictures.

    Args:
        name: by which the tool is called; not that of one that comes with Cloister.
        content: the released ONNX model.
        told: the release as the node shows it: `certificate`, `cards`.
        folder: the folder of installed tools; this user's if absent.
        title: for people.
        counted: plural noun for reports.
        tile: side of the squares that the model takes, pixels.
        overlap: pixels shared by neighbouring squares.
        threshold: the lowest peak that counts, between 0 and 1.

    Raises:
        BadInput: the model does not fit, or a field cannot be used.
        Conflict: the name is a built-in tool's.
    """
    if name in BUILTIN:
        raise Conflict(
            "A tool that comes with Cloister has that name.", "", "Choose another name, or replace its model."
        )
    tools = InstalledTools(folder)
    try:
        version = _next(tools.state(name).current.version)
    except NotFound:
        version = "1.0.0"
    certificate = canonical({"certificate": told["certificate"], "cards": told["cards"]})
    about = {
        "name": name,
        "version": version,
        "title": title,
        "licence": "as the agreement says",
        "description": f"Counts {counted} in pictures.",
        "certificate": digest(certificate),
    }
    made = counting_tool(
        content, Counting(tile=tile, overlap=overlap, threshold=threshold, counted=counted), about
    )
    state = tools.install(Package(made, certificate), now=int(time.time()), verify=verify_installed)
    return {"tool": name, "version": state.current.version, "folder": str(tools.folder)}


def _next(version: str) -> str:
    parts = version.split(".")
    try:
        return ".".join([*parts[:-1], str(int(parts[-1]) + 1)])
    except ValueError:
        raise Conflict(
            "The installed version has no number to count on.", version[:40], "Remove it first."
        ) from None
