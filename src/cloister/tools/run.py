"""A tool run over pictures: one after the other, each result on disk before the next begins, no network, no account.

One bad picture does not stop the others: its error is its result. Every result says what it was computed by (digests of
tool, models and picture), so that it can be repeated.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from cloister import __version__
from cloister.data.images import LIMITS, ImageLimits, image_size
from cloister.foundation.errors import BadInput, CloisterError
from cloister.foundation.files import write_atomically
from cloister.foundation.memory import share_one_heap
from cloister.foundation.text import one_line
from cloister.sizing.calibration import Calibration, concerns, described, expect_size
from cloister.tools import types as t
from cloister.tools.check import adjusted
from cloister.tools.inputs import called, read_input
from cloister.tools.manifest import Manifest, takes_pictures
from cloister.tools.pipeline import run_pipeline, write_outputs
from cloister.tools.sizes import KnownSizes, outside_known_sizes
from cloister.tools.steps.base import Context, Model
from cloister.tools.steps.reporting import as_told
from cloister.tools.summary import Index
from cloister.tools.tool import Tool

NO_CERTIFICATE = "none: no owners vouch for this tool or its models"

AT_ONCE = 2
"""Pictures of a batch at a time: while one is drawn and written, the model looks at the next."""

Progress = Callable[[str, str, float], None]
"""Called with the picture's name, the step's name, and the share of the picture's steps done, 0..1."""


@dataclass(frozen=True)
class Result:
    """What came of one picture (or table).

    Args:
        name: the file's name; its path as given where several files of the run have that name (as `inputs.called`).
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
        path: of the file, as given.
        width: of the picture as it is shown upright, pixels; None if it is no picture.
        height: as `width`.
        micrometres_per_pixel: that sizes were computed with; None if they are in pixels.
        calibration: where that number comes from; None if it was only stated.
        certificate: digest of the certificate that the tool names; None if it names none.
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
    path: Path | None = None
    width: int | None = None
    height: int | None = None
    micrometres_per_pixel: float | None = None
    calibration: Calibration | None = None
    certificate: str | None = None

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
            "certificate": self.certificate,
            "calibration": None if self.calibration is None else as_told(self.calibration),
            "files": [str(path) for path in self.files],
            "warnings": list(self.warnings),
        }


def run_tool(
    tool: Tool,
    images: Sequence[Path],
    out: Path | None = None,
    *,
    micrometres_per_pixel: float | None = None,
    calibration: Calibration | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 0,
    limits: ImageLimits = LIMITS,
    progress: Progress | None = None,
    asked: Collection[str] = (),
) -> list[Result]:
    """Runs a tool on files and, if `out` is given, writes overlay, table, figures and report of each, and an index.

    Args:
        tool: what to run.
        images: pictures (or tables, for a tool that takes tables).
        out: a folder for the results, made if missing; of each picture `NAME.overlay.png`, `NAME.csv`, `NAME.json`, …,
            and `index.html` over all of this run. NAME is the file's name without its ending, or with it where two would be alike.
        micrometres_per_pixel: of these pictures; instead of the tool's own calibration.
        calibration: instead of `micrometres_per_pixel`; pictures of another size than its own are refused one by one.
        settings: values for what the tool lets users set (`manifest.adjustable`), by name.
        threads: processor threads at most; 0: as many as there are.
        limits: for every picture.
        progress: told of every step.
        asked: names of outputs that the tool makes on request only (`manifest.outputs`).

    Returns:
        One result per file, in order; those that failed carry their error.

    Raises:
        BadInput: there is nothing to run on, or the tool itself cannot run.
    """
    if not images:
        raise BadInput(
            "There are no pictures to look at.", "No file was named.", "Name one or more pictures."
        )
    prepared = prepare(
        tool,
        micrometres_per_pixel=micrometres_per_pixel,
        calibration=calibration,
        settings=settings,
        threads=threads,
        limits=limits,
        asked=asked,
    )
    index = Index(tool, pictures=len(images))
    results = []
    for path, shown, label in zip(images, shown_names(images), labels(images), strict=True):
        results.append(prepared.run(prepared.read(path, shown), label, out, progress))
        index.add(results[-1])
        results[-1] = _lighter(results[-1])
    if out is not None:
        write_atomically(out / "index.html", index.page())
    return results


def exit_code(results: Sequence[Result]) -> int:
    """0 if every picture gave a result, else the exit code of the first error."""
    return next((result.error.exit_code for result in results if result.error is not None), 0)


@dataclass(frozen=True)
class Chosen:
    """What the user chose for all pictures of a run; `by_step` is `settings` as the steps take them.

    `asked` names the outputs wanted of those that are made on request only.
    """

    micrometres_per_pixel: float | None
    limits: ImageLimits
    settings: Mapping[str, Any]
    by_step: Mapping[str, Mapping[str, Any]]
    calibration: Calibration | None = None
    asked: tuple[str, ...] = ()


def choose(
    tool: Tool,
    micrometres_per_pixel: float | None,
    settings: Mapping[str, Any],
    limits: ImageLimits = LIMITS,
    calibration: Calibration | None = None,
    asked: Collection[str] = (),
) -> Chosen:
    """What the user chose, checked against the tool; see `run_tool`. Raises `BadInput`."""
    if calibration is not None:
        if micrometres_per_pixel is not None:
            raise BadInput(
                "The size of a pixel is given twice.", "A calibration says it too.", "Leave one of them out."
            )
        if not takes_pictures(tool.manifest):
            raise BadInput("This tool takes tables.", "A calibration is for pictures.", "Leave it out.")
        micrometres_per_pixel = calibration.micrometres_per_pixel
    outputs = tool.manifest.outputs
    for name in asked:
        if name not in outputs or not outputs[name].on_request:
            offered = ", ".join(name for name, output in outputs.items() if output.on_request)
            raise BadInput(
                f"The tool {tool.name} makes no {name!r} on request.",
                f"It makes {offered or 'nothing on request'}.",
                "Leave it out, or use a tool that makes it.",
            )
    if micrometres_per_pixel is not None and not 0 < micrometres_per_pixel < 1e6:
        raise BadInput(
            "The size of a pixel is not usable.",
            "It must be above zero.",
            "Give it in micrometres per pixel.",
        )
    by_step, wanted = adjusted(tool.manifest, settings), tuple(dict.fromkeys(asked))
    return Chosen(micrometres_per_pixel, limits, dict(settings), by_step, calibration, wanted)


def compute(
    tool: Tool,
    models: Mapping[str, Model],
    value: t.Value,
    seen: str,
    shown: str,
    chosen: Chosen,
    tick: Callable[[str, float], None],
    *,
    drawn: bool = True,
) -> tuple[dict[str, t.Value], Context, tuple[str, ...]]:
    """The outputs for an input that was read, what they were computed in, and why they are doubtful, if they are.

    Args:
        tool: what to run.
        models: as `tool.load` gave them.
        value: the only input.
        seen: its digest.
        shown: what people call it.
        chosen: by the user.
        tick: told of every step.
        drawn: with pictures and reports; otherwise only tables and figures.

    Raises:
        CloisterError: a step could not do its work, or the picture is not one that the calibration is for.
    """
    calibrated = chosen.micrometres_per_pixel or tool.manifest.calibration.micrometres_per_pixel
    doubts: tuple[str, ...] = ()
    if chosen.calibration is not None:
        width, height = _size(value, chosen.limits)
        if width is not None and height is not None:
            expect_size(chosen.calibration, (width, height), shown)
        doubts = concerns(chosen.calibration, today=dt.datetime.now().astimezone().date())
    context = Context(
        models,
        tool.manifest.title,
        shown,
        calibrated,
        chosen.limits,
        provenance(tool, seen, chosen),
        tool.manifest.limits,
        _known_sizes(tool.manifest, chosen.by_step),
        chosen.calibration,
        doubts,
    )
    inputs = {next(iter(tool.manifest.inputs)): value}
    outputs = run_pipeline(
        tool, models, inputs, context, tick, chosen.by_step, asked=chosen.asked, drawn=drawn
    )
    unknown = outside_known_sizes(first_table(outputs), context.sizes, calibrated)
    return outputs, context, (*((unknown,) if unknown else ()), *doubts)


def provenance(tool: Tool, seen: str, chosen: Chosen) -> dict[str, str]:
    """What a result states of where it comes from: tool, models, certificate, software, input, calibration, settings."""
    facts = {
        "tool": f"{tool.name} {tool.manifest.version}",
        "tool digest": tool.digest,
        "input digest": seen,
    }
    facts |= {f"model {name}": model for name, model in tool.manifest.models.items()}
    facts["certificate digest"] = tool.manifest.certificate or NO_CERTIFICATE
    facts["software"] = f"Cloister {__version__}"
    calibrated = chosen.micrometres_per_pixel or tool.manifest.calibration.micrometres_per_pixel
    facts["micrometres per pixel"] = (
        "unknown: sizes are in pixels" if calibrated is None else f"{calibrated:g}"
    )
    if chosen.calibration is not None:
        facts["calibration"] = described(chosen.calibration)
        facts["calibration digest"] = chosen.calibration.digest()
    return facts | {f"setting {name}": f"{value}" for name, value in chosen.settings.items()}


def first_table(outputs: Mapping[str, t.Value]) -> t.Table | None:
    """The first table among a tool's outputs."""
    return next((value for value in outputs.values() if isinstance(value, t.Table)), None)


@dataclass(frozen=True)
class Source:
    """A file that was read, or why it could not be.

    Args:
        path: as given.
        shown: what people call it.
        value: the tool's input, or None.
        digest: of the file's bytes; empty if it could not be read.
        error: why there is no value, or None.
    """

    path: Path
    shown: str
    value: t.Value | None = field(repr=False)
    digest: str
    error: CloisterError | None


@dataclass(frozen=True)
class Prepared:
    """A tool whose models are loaded, with what the user chose: ready for one file after the other, or `at_once` at a time."""

    tool: Tool
    models: Mapping[str, Model] = field(repr=False)
    chosen: Chosen
    at_once: int = 1

    @property
    def micrometres_per_pixel(self) -> float | None:
        """What the user said, or else the tool's own calibration."""
        return self.chosen.micrometres_per_pixel or self.tool.manifest.calibration.micrometres_per_pixel

    def read(self, path: Path, shown: str) -> Source:
        """Reads a file; never raises for what the file is."""
        try:
            value, seen = read_input(self.tool.manifest, path, self.chosen.limits)
        except CloisterError as problem:
            return Source(path, shown, None, "", problem)
        return Source(path, shown, value, seen, None)

    def run(
        self,
        source: Source,
        label: str,
        out: Path | None = None,
        progress: Progress | None = None,
        *,
        drawn: bool = True,
    ) -> Result:
        """What comes of a file; its outputs are written into `out` as `LABEL.…`. Never raises for what the file is.

        Not `drawn`, there are no pictures and no report among the outputs, which saves a third of the work.
        """
        started = time.perf_counter()
        outputs: dict[str, t.Value] = {}
        files: tuple[Path, ...] = ()
        doubts: tuple[str, ...] = ()
        error = source.error

        def tick(step: str, share: float) -> None:
            if progress is not None:
                progress(source.shown, step, share)

        if source.value is not None:
            try:
                outputs, context, doubts = compute(
                    self.tool,
                    self.models,
                    source.value,
                    source.digest,
                    source.shown,
                    self.chosen,
                    tick,
                    drawn=drawn,
                )
                tick("done", 1.0)
                files = write_outputs(out, label, outputs, context) if out is not None else ()
            except CloisterError as problem:
                outputs, doubts, error = {}, (), problem
            except OSError as problem:
                outputs, doubts = {}, ()
                error = BadInput(
                    f"The result of {source.shown} could not be written, so it is not written at all.",
                    problem.strerror or "",
                    "Check the folder for results, and its disk.",
                )
        if error is not None:
            tick("done", 1.0)
        figures = next((value for value in outputs.values() if isinstance(value, t.Figures)), None)
        count = figures.values.get("count") if figures is not None else None
        width, height = _size(source.value, self.chosen.limits)
        return Result(
            name=source.shown,
            error=error,
            count=None if count is None else int(count),
            figures=figures,
            table=first_table(outputs),
            outputs=outputs,
            seconds=time.perf_counter() - started,
            input_digest=source.digest,
            tool_digest=self.tool.digest,
            model_digests=dict(self.tool.manifest.models),
            files=files,
            warnings=doubts,
            path=source.path,
            width=width,
            height=height,
            micrometres_per_pixel=self.micrometres_per_pixel,
            calibration=self.chosen.calibration,
            certificate=self.tool.manifest.certificate,
        )


def prepare(
    tool: Tool,
    *,
    micrometres_per_pixel: float | None = None,
    calibration: Calibration | None = None,
    settings: Mapping[str, Any] | None = None,
    threads: int = 0,
    limits: ImageLimits = LIMITS,
    asked: Collection[str] = (),
) -> Prepared:
    """Checks what the user chose and loads the tool's models; arguments and errors as of `run_tool`."""
    chosen = choose(tool, micrometres_per_pixel, settings or {}, limits, calibration, asked)
    share_one_heap()  # before the runtime has threads
    return Prepared(tool, tool.load(threads=threads), chosen, min(AT_ONCE, threads or os.cpu_count() or 1))


def _lighter(result: Result) -> Result:
    """Without pixels whose file is there: a caller who keeps the results of many pictures needs them once at most."""
    outputs = {
        name: replace(value, pixels=None) if isinstance(value, t.Picture) else value
        for name, value in result.outputs.items()
    }
    return replace(result, outputs=outputs)


def _size(value: t.Value | None, limits: ImageLimits) -> tuple[int | None, int | None]:
    """Width and height of a picture; nothing for what is none."""
    if not isinstance(value, t.File):
        return None, None
    try:
        return image_size(value.data, limits)
    except CloisterError:
        return None, None


def _known_sizes(manifest: Manifest, by_step: Mapping[str, Mapping[str, Any]]) -> KnownSizes | None:
    """The sizes that the model knows and the scale it looks at; None if the tool does not state sizes.

    Copies of a fixed size beside the one that users can set are looks from farther away, at objects that are larger by as much.
    """
    if manifest.sizes is None:
        return None
    settings = {
        part.step: name
        for name, item in manifest.adjustable.items()
        for part in item.targets
        if part.parameter == "factor"
    }
    looks_twice = any(use.step.startswith("merge_outlines@") for use in manifest.pipeline)
    factor: float | None = 1.0
    farther, setting = 1.0, ""
    for use in manifest.pipeline:
        if not use.step.startswith(("rescale@", "fit_scale@")):
            continue
        given = {**use.parameters, **by_step.get(use.name, {})}.get("factor")
        setting = setting or settings.get(use.name, "")
        if looks_twice and use.name not in settings and given:
            farther *= given
        elif not given:
            factor = None
        elif factor is not None:
            factor *= given
    return KnownSizes(manifest.sizes.smallest, manifest.sizes.largest / farther, factor, setting)


def shown_names(paths: Sequence[Path]) -> list[str]:
    """What people read as each file's name: its own, or the path as given where files of one name come together."""
    several = {name for name, count in Counter(path.name for path in paths).items() if count > 1}
    return [called(path) if path.name in several else called(path.name or path) for path in paths]


def labels(paths: Sequence[Path]) -> list[str]:
    """A name for each file's results: without its ending if that is unique; those that are still alike get a number."""
    alike = Counter(os.path.normcase(path.stem) for path in paths)
    taken: set[str] = set()
    names = []
    for path in paths:
        with_ending = alike[os.path.normcase(path.stem)] > 1
        names.append(free_label(path, lambda name: os.path.normcase(name) in taken, with_ending=with_ending))
        taken.add(os.path.normcase(names[-1]))
    return names


def free_label(path: Path, taken: Callable[[str], bool], *, with_ending: bool = False) -> str:
    """A name for a file's results that nothing else has: short enough for every file system, of letters that do not act.

    Args:
        path: of the file.
        taken: whether a name is another file's.
        with_ending: keep the file's ending.
    """
    # No other separator of folders, and no escape: U+FFFD stands for what cannot be shown, `_` for that in a file's name.
    stem = one_line(os.fsencode(path.stem).decode("utf-8", "replace"))
    stem = "".join("_" if letter in "\ufffd\\/:" else letter for letter in stem)
    stem = stem.encode("utf-8")[:_LONGEST].decode("utf-8", "ignore") or "picture"
    ending = called(path.suffix)[:16] if with_ending else ""
    name, number = stem + ending, 1
    while taken(name):
        number += 1
        name = f"{stem}-{number}{ending}"
    return name


_LONGEST = 160  # bytes: with endings and the temporary file's own, below the 255 of usual file systems
