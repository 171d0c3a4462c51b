"""A tool run over pictures: one after the other, each result on disk before the next begins, no network, no account.

One bad picture does not stop the others: its error is its result. Every result says what it was computed by (digests of
tool, models and picture), so that it can be repeated.
"""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cloister.data.images import LIMITS, ImageLimits
from cloister.foundation.digests import digest
from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.foundation.files import read_limited, write_atomically
from cloister.tools import types as t
from cloister.tools.check import adjusted
from cloister.tools.manifest import Manifest
from cloister.tools.pipeline import run_pipeline, write_outputs
from cloister.tools.sizes import KnownSizes, outside_known_sizes
from cloister.tools.steps.base import Context, Model
from cloister.tools.summary import index_page
from cloister.tools.tool import Tool

Progress = Callable[[str, str, float], None]
"""Called with the picture's name, the step's name, and the share of the picture's steps done, 0..1."""


@dataclass(frozen=True)
class Result:
    """What came of one picture (or table).

    Args:
        name: the file's name; its path as given where several files of the run have that name.
        error: why there is no result, or None.
        count: the number of objects, if the tool's figures have a `count`.
        figures: the tool's figures, or None.
        table: the tool's first table among its outputs, or None.
        outputs: every output by name.
        seconds: spent on it.
        input_digest: of the file; empty if it could not be read.
        tool_digest: of the tool's manifest.
        model_digests: of the models by name.
        files: what was written, if a folder was given.
        warnings: why the result is doubtful, for people.
    """

    name: str
    error: CloisterError | None
    count: int | None
    figures: t.Figures | None
    table: t.Table | None
    outputs: Mapping[str, t.Value] = field(repr=False)
    seconds: float
    input_digest: str
    tool_digest: str
    model_digests: Mapping[str, str]
    files: tuple[Path, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether there is a result."""
        return self.error is None

    def as_json(self) -> dict[str, Any]:
        """For `--json`: what a program wants to know, without the table."""
        return {
            "name": self.name,
            "ok": self.ok,
            "error": None if self.error is None else self.error.problem(),
            "count": self.count,
            "figures": {} if self.figures is None else dict(self.figures.values),
            "units": {} if self.figures is None else dict(self.figures.units),
            "seconds": round(self.seconds, 3),
            "input": self.input_digest,
            "tool": self.tool_digest,
            "models": dict(self.model_digests),
            "files": [str(path) for path in self.files],
            "warnings": list(self.warnings),
        }


def run_tool(
    tool: Tool,
    images: Sequence[Path],
    out: Path | None = None,
    *,
    micrometres_per_pixel: float | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 0,
    limits: ImageLimits = LIMITS,
    progress: Progress | None = None,
) -> list[Result]:
    """Runs a tool on files and, if `out` is given, writes overlay, table, figures and report of each, and an index.

    Args:
        tool: what to run.
        images: pictures (or tables, for a tool that takes tables).
        out: a folder for the results, made if missing; of each picture `NAME.overlay.png`, `NAME.csv`, `NAME.json`, …,
            and `index.html` over all. NAME is the file's name without its ending, or with it where two would be alike.
        micrometres_per_pixel: of these pictures; instead of the tool's own calibration.
        settings: values for what the tool lets users set (`manifest.adjustable`), by name.
        threads: processor threads at most; 0: as many as there are.
        limits: for every picture.
        progress: told of every step.

    Returns:
        One result per file, in order; those that failed carry their error.

    Raises:
        BadInput: there is nothing to run on, or the tool itself cannot run.
    """
    if not images:
        raise BadInput(
            "There are no pictures to look at.", "No file was named.", "Name one or more pictures."
        )
    chosen = choose(tool, micrometres_per_pixel, settings or {}, limits)
    models = tool.load(threads=threads)
    names = _distinct(images)
    results = [
        _one(tool, models, path, shown, label, out, chosen, progress)
        for path, shown, label in zip(images, _shown(images), names, strict=True)
    ]
    if out is not None:
        write_atomically(
            out / "index.html", index_page(tool, list(zip(names, results, strict=True))).encode("utf-8")
        )
    return results


def exit_code(results: Sequence[Result]) -> int:
    """0 if every picture gave a result, else the exit code of the first error."""
    return next((result.error.exit_code for result in results if result.error is not None), 0)


@dataclass(frozen=True)
class Chosen:
    """What the user chose for all pictures of a run; `by_step` is `settings` as the steps take them."""

    micrometres_per_pixel: float | None
    limits: ImageLimits
    settings: Mapping[str, Any]
    by_step: Mapping[str, Mapping[str, Any]]


def choose(
    tool: Tool,
    micrometres_per_pixel: float | None,
    settings: Mapping[str, Any],
    limits: ImageLimits = LIMITS,
) -> Chosen:
    """What the user chose, checked against the tool; see `run_tool`. Raises `BadInput`."""
    if micrometres_per_pixel is not None and not 0 < micrometres_per_pixel < 1e6:
        raise BadInput(
            "The size of a pixel is not usable.",
            "It must be above zero.",
            "Give it in micrometres per pixel.",
        )
    return Chosen(micrometres_per_pixel, limits, dict(settings), adjusted(tool.manifest, settings))


def compute(
    tool: Tool,
    models: Mapping[str, Model],
    value: t.Value,
    seen: str,
    shown: str,
    chosen: Chosen,
    tick: Callable[[str, float], None],
) -> tuple[dict[str, t.Value], Context, str]:
    """The outputs for an input that was read, what they were computed in, and why they are doubtful, if they are.

    Args:
        tool: what to run.
        models: as `tool.load` gave them.
        value: the only input.
        seen: its digest.
        shown: what people call it.
        chosen: by the user.
        tick: told of every step.

    Raises:
        CloisterError: a step could not do its work.
    """
    facts = {
        "tool": f"{tool.name} {tool.manifest.version}",
        "tool digest": tool.digest,
        "input digest": seen,
    }
    facts |= {f"model {name}": model for name, model in tool.manifest.models.items()}
    calibrated = chosen.micrometres_per_pixel or tool.manifest.calibration.micrometres_per_pixel
    facts["micrometres per pixel"] = (
        "unknown: sizes are in pixels" if calibrated is None else f"{calibrated:g}"
    )
    facts |= {f"setting {name}": f"{value}" for name, value in chosen.settings.items()}
    context = Context(
        models,
        tool.manifest.title,
        shown,
        calibrated,
        chosen.limits,
        facts,
        tool.manifest.limits,
        _known_sizes(tool.manifest, chosen.by_step),
    )
    inputs = {next(iter(tool.manifest.inputs)): value}
    outputs = run_pipeline(tool, models, inputs, context, tick, chosen.by_step)
    return outputs, context, outside_known_sizes(first_table(outputs), context.sizes, calibrated)


def first_table(outputs: Mapping[str, t.Value]) -> t.Table | None:
    """The first table among a tool's outputs."""
    return next((value for value in outputs.values() if isinstance(value, t.Table)), None)


def _one(
    tool: Tool,
    models: Mapping[str, Model],
    path: Path,
    shown: str,
    label: str,
    out: Path | None,
    chosen: Chosen,
    progress: Progress | None,
) -> Result:
    started = time.perf_counter()
    seen = ""
    try:
        value, seen = _input(tool, path, chosen.limits)

        def tick(step: str, share: float) -> None:
            if progress is not None:
                progress(shown, step, share)

        outputs, context, doubt = compute(tool, models, value, seen, shown, chosen, tick)
        tick("done", 1.0)
        files = write_outputs(out, label, outputs, context) if out is not None else ()
        table = first_table(outputs)
        error = None
    except CloisterError as problem:
        outputs, files, table, doubt, error = {}, (), None, "", problem
    except OSError as problem:
        outputs, files, table, doubt = {}, (), None, ""
        error = BadInput(
            f"{shown} could not be read, or its result not written.",
            problem.strerror or "",
            "Check the path and the disk.",
        )
    figures = next((value for value in outputs.values() if isinstance(value, t.Figures)), None)
    count = figures.values.get("count") if figures is not None else None
    return Result(
        name=shown,
        error=error,
        count=None if count is None else int(count),
        figures=figures,
        table=table,
        outputs=outputs,
        seconds=time.perf_counter() - started,
        input_digest=seen,
        tool_digest=tool.digest,
        model_digests=dict(tool.manifest.models),
        files=files,
        warnings=(doubt,) if doubt else (),
    )


def _known_sizes(manifest: Manifest, by_step: Mapping[str, Mapping[str, Any]]) -> KnownSizes | None:
    """The sizes that the model knows and the scale it looks at; None where that depends on the picture."""
    if manifest.sizes is None:
        return None
    factor, setting = 1.0, ""
    for use in manifest.pipeline:
        if use.step.startswith(("rescale@", "fit_scale@")):
            given = {**use.parameters, **by_step.get(use.name, {})}.get("factor")
            if not isinstance(given, int | float) or not given:
                return None
            factor *= given
            setting = next(
                (
                    name
                    for name, item in manifest.adjustable.items()
                    if (item.step, item.parameter) == (use.name, "factor")
                ),
                "",
            )
    return KnownSizes(manifest.sizes.smallest, manifest.sizes.largest, factor, setting)


def _input(tool: Tool, path: Path, limits: ImageLimits) -> tuple[t.Value, str]:
    if len(tool.manifest.inputs) != 1:
        raise BadInput(
            "This tool takes several inputs.", "Running over files gives it one.", "Use it from the sdk."
        )
    wanted = next(iter(tool.manifest.inputs.values()))
    if not path.exists():
        raise NotFound(f"There is no file {path}.", "", "Check the path.")
    if path.is_dir():
        raise BadInput(f"{path} is a folder.", "A tool looks at files.", f"Name the pictures: {path}/*.png")
    if not path.is_file():
        raise BadInput(
            f"{path.name} is not a file.",
            "Devices cannot be looked at.",
            "Name the pictures themselves.",
        )
    if wanted.kind == "file":
        data = read_limited(path, limits.max_bytes)
        return t.File(data, path.name), digest(data)
    from cloister.tools.tables import read_tool_table

    return read_tool_table(path, wanted.columns)


def _shown(paths: Sequence[Path]) -> list[str]:
    """What people read as each file's name: its own, or the path as given where files of one name come together."""
    several = {name for name, count in Counter(path.name for path in paths).items() if count > 1}
    return [str(path) if path.name in several else path.name for path in paths]


def _distinct(paths: Sequence[Path]) -> list[str]:
    """A name for each file's results: without its ending if that is unique; those that are still alike get a number."""
    alike = Counter(os.path.normcase(path.stem) for path in paths)
    taken: set[str] = set()
    names = []
    for path in paths:
        stem, ending = path.stem or "picture", "" if alike[os.path.normcase(path.stem)] == 1 else path.suffix
        name, number = stem + ending, 1
        while os.path.normcase(name) in taken:
            number += 1
            name = f"{stem}-{number}{ending}"
        taken.add(os.path.normcase(name))
        names.append(name)
    return names
