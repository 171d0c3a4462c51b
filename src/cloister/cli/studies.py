"""`cloister study`: whether a tool counts as well as people do, on a plant's own pictures, against limits set before."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from cloister.cli.batches import progress_bar, settings_given
from cloister.cli.calibrations import calibration_option, given_calibration
from cloister.cli.common import Number
from cloister.cli.output import Answer, command
from cloister.cli.study_words import compared, expect_new, given_limits, told_verdict
from cloister.cli.tools import installed_tools, node_folder
from cloister.foundation.errors import BadInput, Conflict
from cloister.foundation.files import write_atomically
from cloister.foundation.text import several

if TYPE_CHECKING:
    from cloister.acceptance.study import Study
    from cloister.tools.tool import Tool


@click.group("study")
def study_group() -> None:
    """Accept a tool: the same pictures counted by people and by the tool, against limits that were set before."""


def _file(function: click.decorators.FC) -> click.decorators.FC:
    return click.argument("file", type=click.Path(path_type=Path, dir_okay=False))(function)


def _fonts(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--font",
        "fonts",
        multiple=True,
        type=click.Path(path_type=Path, dir_okay=False),
        help="A TrueType file for letters that the PDF's own font lacks; repeat.",
    )(function)


def _pictures(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--pictures",
        type=click.Path(path_type=Path, file_okay=False),
        default=None,
        help="The folder in which the pictures lie now, if they were moved.",
    )(function)


def _threads(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--threads",
        type=click.IntRange(min=0),
        default=0,
        help="Processor threads at most; 0: as many as there are.",
    )(function)


@command(study_group, "plan")
@click.argument("tool")
@click.argument("pictures", nargs=-1, metavar="PICTURES...", type=click.Path(path_type=Path))
@click.option(
    "--out", "file", required=True, type=click.Path(path_type=Path, dir_okay=False), help="The study's file."
)
@click.option(
    "--limit-bias",
    required=True,
    metavar="N|N%",
    help="How far the tool may be off on average: in objects, or in per cent as a ratio.",
)
@click.option(
    "--limit-agreement",
    required=True,
    metavar="N|N%",
    help="How far it may be off in 95 % of single pictures, in the same form.",
)
@click.option(
    "--limit-rr",
    type=Number(min=0, max=100, min_open=True),
    default=None,
    help="The largest GRR of people and tool, per cent of total variation; it decides nothing unless given.",
)
@click.option(
    "--least-categories",
    type=click.IntRange(min=1, max=1000),
    default=None,
    help="The fewest distinct categories of people and tool; it decides nothing unless given.",
)
@click.option("--people", type=click.IntRange(min=2, max=20), default=2, help="How many people count.")
@click.option(
    "--person", "labels", multiple=True, help="What a person is called on the sheets; repeat for each."
)
@click.option(
    "--repeats", type=click.IntRange(min=1, max=10), default=2, help="How often each counts each picture."
)
@click.option("--title", default="", help="Of the study; the file's name if not given.")
@click.option("--organisation", default="", help="Whose study it is.")
@click.option("--counted", default="", help="What is counted, in the plural, for example crystals.")
@click.option(
    "--um-per-pixel",
    type=Number(min=0, min_open=True),
    default=None,
    help="Micrometres per pixel of these pictures.",
)
@calibration_option("Instead of --um-per-pixel: a calibration, by its name or its .json file.")
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="A setting of the tool that is studied; repeat.",
)
@click.option(
    "--sheets",
    type=click.Path(path_type=Path, file_okay=False),
    default=None,
    help="The folder for the count sheets; beside the study's file if not given.",
)
@_fonts
@node_folder
def plan(
    tool: str,
    pictures: tuple[Path, ...],
    file: Path,
    limit_bias: str,
    limit_agreement: str,
    limit_rr: float | None,
    least_categories: int | None,
    people: int,
    labels: tuple[str, ...],
    repeats: int,
    title: str,
    organisation: str,
    counted: str,
    um_per_pixel: float | None,
    calibration: str | None,
    chosen: tuple[str, ...],
    sheets: Path | None,
    fonts: tuple[Path, ...],
    folder: Path | None,
) -> Answer:
    """Fix how TOOL will be judged on PICTURES, and write blank count sheets, before anybody counts.

    30 pictures or more are advised. The sheets are CSV files and PDFs to print, one for each person and repeat, each in a
    random order of its own.
    """
    from cloister.acceptance.method import present_method
    from cloister.acceptance.sheets import sheets as made_sheets
    from cloister.acceptance.study import RECOMMENDED, Study, make_plan

    expect_new(file)
    limits = given_limits(limit_bias, limit_agreement, limit_rr, least_categories)
    opened = _opened(tool, folder)
    names = labels or tuple(f"person {number}" for number in range(1, people + 1))
    scale = given_calibration(calibration, folder)
    made = make_plan(
        present_method(opened, settings_given(chosen), um_per_pixel, scale),
        pictures,
        beside=file,
        people=names,
        repeats=repeats,
        limits=limits,
        title=title or file.stem,
        organisation=organisation,
        counted=counted or _counted(opened),
        now=int(time.time()),
        seed=secrets.randbelow(2**53),
        calibration=scale,
    )
    blank = made_sheets(made, fonts)
    home = sheets if sheets is not None else file.with_name(f"{file.stem}-sheets")
    write_atomically(file, Study(plan=made).canonical())
    for name, data in blank.items():
        write_atomically(home / name, data)
    lines = [
        f"Planned: {several(len(made.pictures), 'picture')}, {len(made.people)} people, {several(repeats, 'count')} each.",
        f"Plan {made.digest()}",
        f"Count sheets: {home}",
    ]
    if len(made.pictures) < RECOMMENDED:
        lines.append(f"With fewer than {RECOMMENDED} pictures the study may well decide nothing.")
    lines.append(f"When people have counted: cloister study run {file}")
    return Answer(
        {
            "file": str(file),
            "plan": made.digest(),
            "method": made.method.digest(),
            "sheets": [str(home / name) for name in blank],
        },
        "\n".join(lines),
    )


@command(study_group, "run")
@_file
@click.option(
    "--tool", default=None, help="The tool, if it is not found by the name that it was planned with."
)
@_pictures
@_threads
@node_folder
def run(file: Path, tool: str | None, pictures: Path | None, threads: int, folder: Path | None) -> Answer:
    """Let the tool count the pictures of the study in FILE, by the method that was planned and no other."""
    from cloister.acceptance.counting import run_study
    from cloister.acceptance.study import read_study

    study = read_study(file)
    opened = _opened(tool or study.plan.method.tool, folder)
    with progress_bar(len(study.plan.pictures) * max(2, study.plan.repeats)) as told:
        made = run_study(
            study, opened, file, now=int(time.time()), folder=pictures, threads=threads, progress=told
        )
    write_atomically(file, made.canonical())
    assert made.run is not None
    first = made.run.counts[0]
    lines = [f"Counted: {sum(count is not None for count in first)} of {several(len(first), 'picture')}."]
    lines += [f"Remark: {line}" for line in made.run.remarks]
    lines.append(f"Next: cloister study report {file} SHEETS.csv --out report.pdf")
    return Answer(
        {
            "file": str(file),
            "counts": {
                picture.name: [counts[place] for counts in made.run.counts]
                for place, picture in enumerate(made.plan.pictures)
            },
            "remarks": list(made.run.remarks),
        },
        "\n".join(lines),
    )


@command(study_group, "report")
@_file
@click.argument("counts", nargs=-1, required=True, metavar="COUNTS.csv...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    required=True,
    type=click.Path(path_type=Path, dir_okay=False),
    help="The PDF; a page (.html) and the data (.json) are written beside it.",
)
@_fonts
def report(file: Path, counts: tuple[Path, ...], out: Path, fonts: tuple[Path, ...]) -> Answer:
    """Judge the study in FILE with the people's COUNTS, and write the report to file.

    Exits with 0 if the tool is accepted, with 3 if it is not, or if the study does not decide.
    """
    from cloister.acceptance.counts import read_counts
    from cloister.acceptance.paper import paper
    from cloister.acceptance.report import make_report
    from cloister.acceptance.study import read_study
    from cloister.documents import html, pdf

    if out.suffix.lower() != ".pdf":
        raise BadInput("The report is a PDF.", "Its name ends differently.", "Write: --out report.pdf")
    page, data = out.with_suffix(".html"), out.with_suffix(".json")
    for path in (out, page, data):
        expect_new(path)
    study = read_study(file)
    made, found = make_report(study, read_counts(counts, study.plan), now=int(time.time()))
    written = paper(made, found)
    for path, content in (
        (data, made.canonical()),
        (page, html.render(written)),
        (out, pdf.render(written, fonts)),
    ):
        write_atomically(path, content)
    return Answer(
        {
            "outcome": made.verdict.outcome,
            "verdict": made.verdict.model_dump(mode="json"),
            "report": made.digest(),
            "method": study.plan.method.digest(),
            "files": [str(path) for path in (out, page, data)],
        },
        [*told_verdict(made.verdict), f"Report: {out}"],
        exit_code=0 if made.verdict.outcome == "accepted" else 3,
    )


@command(study_group, "check")
@_file
@click.option("--tool", default=None, help="The tool as you use it now; by the studied name if not given.")
@click.option(
    "--um-per-pixel", type=Number(min=0, min_open=True), default=None, help="As you give it to `tool run`."
)
@calibration_option("As you give it to `tool run`.")
@click.option(
    "--set", "chosen", multiple=True, metavar="NAME=VALUE", help="As you give it to `tool run`; repeat."
)
@click.option(
    "--recount",
    is_flag=True,
    help="If only programs changed: count the studied pictures again, and compare each count.",
)
@_pictures
@_threads
@node_folder
def check(
    file: Path,
    tool: str | None,
    um_per_pixel: float | None,
    calibration: str | None,
    chosen: tuple[str, ...],
    recount: bool,
    pictures: Path | None,
    threads: int,
    folder: Path | None,
) -> Answer:
    """Whether the method as you use it now is the one studied in FILE (a report's .json, or a study), and was accepted.

    Exits with 0 if it is, with 3 if anything of it changed or the report did not accept it.
    """
    from cloister.acceptance.method import present_method
    from cloister.acceptance.report import StudyReport, read_either, verified

    read = read_either(file)
    verdict = verified(read).verdict if isinstance(read, StudyReport) else None
    study = read.study if isinstance(read, StudyReport) else read
    opened = _opened(tool or study.plan.method.tool, folder)
    present = present_method(
        opened, settings_given(chosen), um_per_pixel, given_calibration(calibration, folder)
    )
    validity = study.is_valid_for(present)
    same_counts = None
    if recount and validity.only_programs:
        same_counts = _counts_again(study, opened, file, pictures, threads)
    holds = validity.valid or bool(same_counts)
    good = holds and (verdict is None or verdict.outcome == "accepted")
    return Answer(
        {
            "same_method": validity.valid,
            "changes": [str(change) for change in validity.changes],
            "same_counts": same_counts,
            "outcome": verdict.outcome if verdict else None,
            "report": read.digest() if verdict else None,
        },
        compared(validity, same_counts, verdict),
        exit_code=0 if good else 3,
    )


def _counts_again(study: Study, tool: Tool, file: Path, pictures: Path | None, threads: int) -> bool:
    from cloister.acceptance.counting import count_pictures
    from cloister.acceptance.study import find_pictures

    if study.run is None:
        raise Conflict("The tool has not counted in this study.", "", "There is nothing to compare with.")
    paths = find_pictures(study.plan, file, pictures)
    with progress_bar(len(paths)) as told:
        counts, _ = count_pictures(study, tool, paths, repeats=1, threads=threads, progress=told)
    return all(counts[0] == before for before in study.run.counts)


def _opened(name: str, folder: Path | None) -> Tool:
    from cloister.tools.builtin import open_tool
    from cloister.tools.trust import verify_installed

    package = open_tool(name, installed_tools(folder))
    verify_installed(package.tool, package.certificate)
    return package.tool


def _counted(tool: Tool) -> str:
    from cloister.tools.builtin import BUILTIN

    return BUILTIN[tool.name].counted if tool.name in BUILTIN else "objects"
