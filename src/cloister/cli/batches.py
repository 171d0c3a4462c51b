"""`cloister tool run`, `watch` and `trend`: tools over files and folders on your own premises; no account, no network, no node."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.calibrations import calibration_option, given_calibration
from cloister.cli.common import Number, decimal_point, table
from cloister.cli.output import Answer, command, progress_console, say
from cloister.cli.table_words import shortened, summary_of_tables
from cloister.cli.tools import installed_tools, node_folder, tool_group
from cloister.foundation.errors import BadInput
from cloister.foundation.files import write_atomically
from cloister.foundation.text import several

if TYPE_CHECKING:
    from cloister.tools.batch.trends import Trend
    from cloister.tools.batch.watching import Event
    from cloister.tools.run import Prepared, Progress, Result

__all__ = ["tool_group"]


def _chosen_options(function: click.decorators.FC) -> click.decorators.FC:
    """What a run and a watch have in common: how the tool computes, and where samples go."""
    for option in reversed(
        (
            click.option(
                "--um-per-pixel",
                type=Number(min=0, min_open=True),
                default=None,
                help="Micrometres per pixel of these pictures, so that sizes are in micrometres.",
            ),
            calibration_option("Instead of --um-per-pixel: a calibration, by its name or its .json file."),
            click.option(
                "--set",
                "chosen",
                multiple=True,
                metavar="NAME=VALUE",
                help="What the tool lets you set (see: cloister tool show TOOL); repeat.",
            ),
            click.option(
                "--threads",
                type=click.IntRange(min=0),
                default=0,
                help="Processor threads at most; 0: as many as there are.",
            ),
            click.option(
                "--database",
                metavar="FILE|URL",
                default=None,
                help="Also give each picture's row to this database of your own: a SQLite file, or a PostgreSQL URL without a password.",
            ),
            _url_file,
            node_folder,
        )
    ):
        function = option(function)
    return function


_url_file = click.option(
    "--database-url-file",
    "url_file",
    type=click.Path(path_type=Path, dir_okay=False),
    default=None,
    help="A file whose first line is the database's URL, with its password.",
)


@command(tool_group, "run")
@click.argument("tool")
@click.argument("paths", nargs=-1, metavar="PATHS...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write overlays, tables and a report here, and what is done, so that a later run goes on from there.",
)
@click.option("--again", is_flag=True, help="With --out: compute also what was done before.")
@click.option("--flat", is_flag=True, help="Of a folder, take what lies in it, not what lies in its folders.")
@click.option(
    "--cleaned",
    is_flag=True,
    help="With --out: also write a cleaned picture, light evened, noise and litter removed: to look at, not to measure.",
)
@_chosen_options
def run(
    tool: str,
    paths: tuple[Path, ...],
    out: Path | None,
    again: bool,
    flat: bool,
    cleaned: bool,
    um_per_pixel: float | None,
    calibration: str | None,
    chosen: tuple[str, ...],
    threads: int,
    database: str | None,
    url_file: Path | None,
    folder: Path | None,
) -> Answer:
    """Run TOOL (for example crystals, or a .tool file) on pictures and folders of pictures. Nothing leaves this machine."""
    from cloister.tools.batch.answers import image_answer
    from cloister.tools.batch.discovery import discover, endings
    from cloister.tools.batch.running import check_places, hold, run_batch, write_tables
    from cloister.tools.inputs import wanted_kind
    from cloister.tools.manifest import takes_pictures
    from cloister.tools.run import exit_code
    from cloister.tools.steps.cleaned import CLEANED

    _something_to_do(tool, paths)
    if out is None and (again or cleaned or database or url_file):
        raise BadInput(
            "This needs a folder for results.",
            "What is done is kept there.",
            "Add --out FOLDER.",
        )
    prepared = _prepared(
        tool, folder, um_per_pixel, calibration, chosen, threads, (CLEANED,) if cleaned else ()
    )
    found = discover(paths, endings(wanted_kind(prepared.tool.manifest)), recursive=not flat, out=out)
    started = time.perf_counter()
    wanted = click.get_current_context().params.get("json_to") is not None
    answers: list[dict[str, Any]] = []
    results: list[Result] = []
    before, trouble = 0, ""
    pictures = takes_pictures(prepared.tool.manifest)

    def go(held: Any, progress: Progress | None) -> None:
        nonlocal before
        for done in run_batch(prepared, found, held, again=again, objects_wanted=wanted, progress=progress):
            before += done.before
            if wanted:
                answers.append(image_answer(done))
            results.append(_slim(done.result) if pictures else shortened(done.result))

    with progress_bar(len(found)) as told:
        if out is None:
            go(None, told)
        else:
            check_places(paths, out)
            with _plant(database, url_file) as plant, hold(out, prepared, plant) as held:
                try:
                    go(held, told)
                except KeyboardInterrupt:
                    say("Stopped. What is done stays done: the same command goes on from there.")
                    raise
                finally:
                    failed = held.send()
                if failed is not None:
                    trouble = f"The database did not take the rows, they are kept for the next run. {failed}"
                if any(result.ok for result in results):
                    write_tables(held)
    name, version = prepared.tool.name, prepared.tool.manifest.version
    return Answer(
        {
            "tool": name,
            "version": version,
            "digest": prepared.tool.digest,
            "seconds": round(time.perf_counter() - started, 3),
            "done_before": before,
            "images": answers,
        },
        [
            *(_summary(results, before) if pictures else summary_of_tables(results)),
            *([trouble] if trouble else []),
            _closing(name, version, out, results),
        ],
        exit_code=exit_code(results),
    )


@command(tool_group, "watch")
@click.argument("tool")
@click.argument("camera", metavar="CAMERA_FOLDER", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="Write overlays, tables and reports here, and what is done, so that a restart goes on from there.",
)
@click.option(
    "--every",
    type=Number(min=0.05, max=3600),
    default=1.0,
    show_default=True,
    help="Look every so many seconds.",
)
@click.option(
    "--settle",
    type=Number(min=0, max=3600),
    default=2.0,
    show_default=True,
    help="A picture is complete when it has not changed for so many seconds.",
)
@click.option(
    "--patience",
    type=Number(min=0, max=86400),
    default=30.0,
    show_default=True,
    help="After so many seconds without change, what is no whole picture is noted as such.",
)
@_chosen_options
def watch(
    tool: str,
    camera: Path,
    out: Path,
    every: float,
    settle: float,
    patience: float,
    um_per_pixel: float | None,
    calibration: str | None,
    chosen: tuple[str, ...],
    threads: int,
    database: str | None,
    url_file: Path | None,
    folder: Path | None,
) -> Answer:
    """Run TOOL on each picture that a camera puts into CAMERA_FOLDER, until it is stopped (Ctrl-C, or SIGTERM)."""
    from cloister.tools.batch.running import check_places, hold
    from cloister.tools.batch.watching import Pace, Watch

    if not camera.is_dir():
        raise BadInput(
            f"{camera} is no folder.", "A camera's pictures come into a folder.", "Name the folder."
        )
    check_places([camera], out)
    prepared = _prepared(tool, folder, um_per_pixel, calibration, chosen, threads)
    counted = {"results": 0, "failed": 0, "done_before": 0}
    stop = threading.Event()
    with _plant(database, url_file) as plant, hold(out, prepared, plant) as held, _stopping(stop):
        check_places([camera], out)
        say(f"Watching {camera}; stop with Ctrl-C.")
        Watch(camera, held, Pace(every, settle, patience)).run(stop, lambda event: _tell(event, counted))
    text = (
        f"Stopped. {several(counted['results'], 'picture')} done, {counted['failed']} not usable,"
        f" {counted['done_before']} done before."
    )
    return Answer({"tool": prepared.tool.name, "digest": prepared.tool.digest, **counted}, text)


@command(tool_group, "trend")
@click.argument("database", metavar="[FOLDER|FILE|URL]", required=False)
@_url_file
@click.option(
    "--by", type=click.Choice(["shift", "day", "hour"]), default="shift", show_default=True, help="Per what."
)
@click.option(
    "--column",
    default="d50",
    show_default=True,
    help="Which figure: count, agglomerates, d10, d50, d90, mean, deviation, or any other of the tool's.",
)
@click.option(
    "--shifts",
    default="06:00,14:00,22:00",
    show_default=True,
    metavar="TIMES",
    help="When shifts start, hours and minutes on the clock of the time zone.",
)
@click.option(
    "--zone",
    default=None,
    metavar="NAME",
    help="Time zone, for example Europe/Vienna; this machine's if absent.",
)
@click.option(
    "--baseline",
    type=click.IntRange(min=2),
    default=None,
    metavar="N",
    help="Limits from the first N periods only.",
)
@click.option(
    "--since",
    type=click.DateTime(["%Y-%m-%d"]),
    default=None,
    metavar="DATE",
    help="From this day on, for example 2026-03-01.",
)
@click.option(
    "--csv", "csv_to", type=click.Path(path_type=Path, dir_okay=False), help="Write the series here."
)
@click.option("--svg", "svg_to", type=click.Path(path_type=Path, dir_okay=False), help="Draw the chart here.")
def trend(
    database: str | None,
    url_file: Path | None,
    by: Any,
    column: str,
    shifts: str,
    zone: str | None,
    baseline: int | None,
    since: datetime | None,
    csv_to: Path | None,
    svg_to: Path | None,
) -> Answer:
    """How a figure goes over shifts, with control limits, from a folder with results or a database of samples."""
    from cloister.tools.batch import trends
    from cloister.tools.batch.drawing import trend_csv, trend_svg
    from cloister.tools.batch.places import read_database

    here, zone_name = trends.local_zone() if zone is None else trends.named_zone(zone)
    starts = trends.shift_times(shifts)
    opened = read_database(database, url_file, os.environ)
    try:
        made = trends.trend(
            opened.all(),
            column,
            by,
            zone=here,
            zone_name=zone_name,
            shifts=starts,
            baseline=baseline,
            since=None if since is None else int(since.replace(tzinfo=here).timestamp()),
        )
    finally:
        opened.close()
    for path, content in ((csv_to, trend_csv), (svg_to, trend_svg)):
        if path is not None:
            write_atomically(path, content(made))
    return Answer(_trend_answer(made), _trend_text(made))


def _something_to_do(tool: str, paths: Sequence[Path]) -> None:
    if paths:
        return
    if Path(tool).suffix.lower() in _PICTURES:
        raise BadInput(
            f"Name the tool first: cloister tool run crystals {tool}",
            "The first word after `run` is the tool's name.",
            "See: cloister tool list",
        )
    raise BadInput(
        "There are no pictures to look at.",
        "No file was named.",
        f"Write: cloister tool run {tool} PICTURE.png",
    )


_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


def _prepared(
    tool: str,
    folder: Path | None,
    um_per_pixel: float | None,
    calibration: str | None,
    chosen: Sequence[str],
    threads: int,
    asked: Sequence[str] = (),
) -> Prepared:
    from cloister.tools.builtin import open_tool
    from cloister.tools.run import prepare
    from cloister.tools.trust import verify_installed

    package = open_tool(tool, installed_tools(folder))
    verify_installed(package.tool, package.certificate)
    return prepare(
        package.tool,
        micrometres_per_pixel=um_per_pixel,
        calibration=given_calibration(calibration, folder),
        settings=settings_given(chosen),
        threads=threads,
        asked=asked,
    )


def settings_given(chosen: Sequence[str]) -> dict[str, Any]:
    made: dict[str, Any] = {}
    for item in chosen:
        name, sign, text = item.partition("=")
        if not sign:
            raise BadInput("A setting needs a value.", f"{item[:80]} has no =.", "Write --set NAME=VALUE.")
        try:
            made[name] = json.loads(text)
        except ValueError:
            made[name] = decimal_point(text)
    return made


@contextmanager
def _plant(database: str | None, url_file: Path | None) -> Iterator[Any]:
    from cloister.tools.batch.places import plant_database

    opened = plant_database(database, url_file, os.environ)
    try:
        yield opened
    finally:
        if opened is not None:
            opened.close()


@contextmanager
def _stopping(stop: threading.Event) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop`; a second one acts as usual."""
    kept: dict[int, Any] = {}

    def asked(number: int, _frame: object) -> None:
        stop.set()
        signal.signal(number, kept[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        kept[number] = signal.signal(number, asked)
    try:
        yield
    finally:
        for signalled, before in kept.items():
            signal.signal(signalled, before)


def _tell(event: Event, counted: dict[str, int]) -> None:
    """A line on standard error for everything that a person who reads the log wants to know."""
    result = event.result
    if event.kind == "before":
        counted["done_before"] += 1
    elif event.kind == "result" and result is not None:
        counted["results"] += 1
        count = "" if result.count is None else f"{result.count} objects"
        say(f"{event.name}: {'; '.join([count, *_sizes(result), *result.warnings])}")
    elif event.kind == "failed" and result is not None:
        counted["failed"] += 1
        say(f"Not used: {event.name}: {result.error}")
    elif event.kind == "trouble":
        say(f"{event.error}")
    elif event.kind == "again":
        say("It works again.")


def _sizes(result: Result) -> list[str]:
    shown = _three_sizes(result)
    return [f"D10, D50, D90: {', '.join(shown)}"] if any(shown) else []


def _three_sizes(result: Result) -> list[str]:
    figures = {} if result.figures is None else result.figures.values
    unit = "" if result.figures is None else result.figures.units.get("diameter_d50", "")
    return [
        "" if (value := figures.get(f"diameter_{key}")) is None else f"{value:.3g} {unit}".strip()
        for key in ("d10", "d50", "d90")
    ]


def _slim(result: Result) -> Result:
    """What the summary needs of a result, so that thousands of them fit into memory."""
    from dataclasses import replace

    return replace(result, outputs={}, table=None)


@contextmanager
def progress_bar(pictures: int) -> Iterator[Progress | None]:
    """A bar on standard error while a person watches; nothing else."""
    errors = progress_console()
    if errors is None:
        yield None
        return
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} %"),
        *((MofNCompleteColumn(), TimeRemainingColumn()) if pictures > 1 else ()),
        console=errors,
    )
    with bar:
        task = bar.add_task("starting", total=float(pictures))
        done = 0

        def tell(picture: str, step: str, share: float) -> None:
            nonlocal done
            bar.update(task, completed=done + share, description=f"{picture[:40]}: {step}")
            if step == "done":
                done += 1

        yield tell


def _summary(results: Sequence[Result], before: int) -> list[Any]:
    """One line for each picture; below it what could not be used, and all of it in one line."""
    rows, failed = [], []
    for result in results:
        if result.error is not None:
            rows.append([result.name, "-", "", "", ""])
            failed.append(f"{result.name}: {result.error}")
            continue
        count = "" if result.count is None else str(result.count)
        rows.append([result.name, count, *_three_sizes(result)])
    parts: list[Any] = [table(["Picture", "Count", "D10", "D50", "D90"], rows)]
    if len(results) > 1:
        total = sum(result.count or 0 for result in results)
        parts.append(f"{len(results) - len(failed)} of {len(results)} pictures, {total} objects in all.")
    if before:
        parts.append(
            f"{several(before, 'picture')} of these {'was' if before == 1 else 'were'} done before, with the same tool,"
            " settings and content, and not computed again (--again does)."
        )
    parts += [f"Doubtful: {result.name}: {line}" for result in results for line in result.warnings]
    return parts + [f"Not used: {line}" for line in failed]


def _closing(name: str, version: str, out: Path | None, results: Sequence[Result]) -> str:
    if not any(result.ok for result in results):
        return f"{name} {version}. Nothing left this machine."
    written = (
        f"Overlays, tables and a report: {out / 'index.html'}"
        if out
        else "With --out FOLDER: overlays, tables and a report."
    )
    return f"{name} {version}. Nothing left this machine.\n{written}"


def _trend_answer(made: Trend) -> dict[str, Any]:
    from dataclasses import asdict

    plain = asdict(made)
    plain["shifts"] = [start.strftime("%H:%M") for start in made.shifts]
    for point in plain["points"]:
        point["start"] = point["start"].isoformat(timespec="minutes")
    return plain


def _trend_text(made: Trend) -> list[Any]:
    from cloister.tools.batch.drawing import period_name
    from cloister.tools.batch.trends import FEW

    unit = f" ({made.unit})" if made.unit else ""
    rows = [
        [
            period_name(point, made),
            str(point.samples),
            "" if point.objects is None else str(point.objects),
            f"{point.value:.4g}",
            "" if point.moving_range is None else f"{point.moving_range:.3g}",
            "outside the limits" if point.outside else "",
        ]
        for point in made.points
    ]
    shifts = (
        f"; shifts start at {', '.join(start.strftime('%H:%M') for start in made.shifts)}"
        if made.shifts
        else ""
    )
    parts: list[Any] = [
        table(
            [
                f"{made.by.capitalize()} from",
                "Pictures",
                "Objects",
                f"{made.column}{unit}",
                "Moving range",
                "",
            ],
            rows,
        ),
        f"Times are those of the zone {made.zone}{shifts}. Computed by {made.tool}. {_scale_text(made)}",
    ]
    held = made.limits
    if held is None:
        parts.append("There are no control limits: one period has no moving range.")
    else:
        rough = f" From fewer than {FEW} periods, they are rough." if held.periods < FEW else ""
        parts.append(
            f"Mean {held.centre:.4g}, control limits {held.lower:.4g} to {held.upper:.4g} (mean ± 2.66 times the mean moving"
            f" range {held.mean_range:.3g}), from {several(held.periods, 'period')}.{rough}"
        )
    if made.left_out:
        parts.append(
            f"{several(made.left_out, 'sample')} by another tool, with other settings, or with another size of a pixel, than the newest one"
            f" {'is' if made.left_out == 1 else 'are'} left out: figures of different conditions are not one series."
        )
    return parts


def _scale_text(made: Trend) -> str:
    if made.um_per_px is None:
        return "Lengths are in pixels."
    stated = (
        f", which was only stated, without a calibration, for {several(made.uncalibrated, 'picture')}"
        if made.uncalibrated
        else ""
    )
    return f"A pixel is {made.um_per_px:.4g} µm{stated}."
