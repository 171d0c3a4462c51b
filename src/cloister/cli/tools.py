"""`cloister tool`: run tools on your own premises; no account, no network, no node."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import FOLDER_VARIABLE, Number, decimal_point, fingerprints, table
from cloister.cli.output import Answer, command, progress_console
from cloister.foundation.errors import BadInput
from cloister.foundation.text import one_line

if TYPE_CHECKING:
    from cloister.release.bundle import Checked
    from cloister.tools.install import InstalledTools
    from cloister.tools.manifest import Adjustable
    from cloister.tools.run import Progress, Result
    from cloister.tools.tool import Tool


@click.group("tool")
def tool_group() -> None:
    """Run tools, install them, pass them on as one file."""


def _node_folder(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar=FOLDER_VARIABLE,
        default=None,
        help="Use the tools installed at the server in this folder.",
    )(function)


def _tools(folder: Path | None) -> InstalledTools:
    from cloister.tools.install import InstalledTools

    return InstalledTools(folder / "tools" if folder else None)


@command(tool_group, "run")
@click.argument("tool")
@click.argument("images", nargs=-1, metavar="IMAGES...", type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write overlays, tables and a report here.",
)
@click.option(
    "--um-per-pixel",
    type=Number(min=0, min_open=True),
    default=None,
    help="Micrometres per pixel of these pictures, so that sizes are in micrometres.",
)
@click.option(
    "--set",
    "chosen",
    multiple=True,
    metavar="NAME=VALUE",
    help="What the tool lets you set (see: cloister tool show TOOL); repeat.",
)
@click.option(
    "--threads",
    type=click.IntRange(min=0),
    default=0,
    help="Processor threads at most; 0: as many as there are.",
)
@_node_folder
def run(
    tool: str,
    images: tuple[Path, ...],
    out: Path | None,
    um_per_pixel: float | None,
    chosen: tuple[str, ...],
    threads: int,
    folder: Path | None,
) -> Answer:
    """Run TOOL (for example crystals, or a .tool file) on IMAGES. Nothing leaves this machine."""
    from cloister.tools.builtin import open_tool
    from cloister.tools.manifest import takes_pictures
    from cloister.tools.run import exit_code, run_tool
    from cloister.tools.trust import verify_installed

    if not images:
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
    package = open_tool(tool, _tools(folder))
    verify_installed(package.tool, package.certificate)
    started = time.perf_counter()
    with _progress(len(images)) as told:
        results = run_tool(
            package.tool,
            images,
            out,
            micrometres_per_pixel=um_per_pixel,
            settings=_settings(chosen),
            threads=threads,
            progress=told,
        )
    return Answer(
        {
            "tool": package.tool.name,
            "version": package.tool.manifest.version,
            "digest": package.tool.digest,
            "seconds": round(time.perf_counter() - started, 3),
            "images": [result.as_json() for result in results],
        },
        [
            *(_summary(results) if takes_pictures(package.tool.manifest) else _summary_of_tables(results)),
            _closing(package.tool.name, package.tool.manifest.version, out, results),
        ],
        exit_code=exit_code(results),
    )


_PICTURES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp"})


def _settings(chosen: Sequence[str]) -> dict[str, Any]:
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
def _progress(pictures: int) -> Iterator[Progress | None]:
    """A bar on standard error while a person watches; nothing else."""
    errors = progress_console()
    if errors is None:
        yield None
        return
    from rich.progress import BarColumn, Progress, TextColumn

    bar = Progress(
        TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"), console=errors
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


def _summary_of_tables(results: Sequence[Result]) -> list[Any]:
    """What was counted in each table, and the first rows of what came of it."""
    parts: list[Any] = []
    for result in results:
        if result.error is not None:
            parts.append(f"Not used: {result.name}: {result.error}")
            continue
        parts.append(result.name + ("" if result.count is None else f": {result.count}"))
        found = result.table
        if found is not None:
            shown = [[_cell(value) for value in values[:_ROWS].tolist()] for values in found.columns.values()]
            parts.append(
                table(
                    [found.heading(name) for name in found.columns],
                    [list(row) for row in zip(*shown, strict=True)],
                )
            )
            if found.rows > _ROWS:
                parts.append(f"The first {_ROWS} of {found.rows} rows.")
    return parts


_ROWS = 12


def _cell(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else one_line(str(value))[:60]


def _summary(results: Sequence[Result]) -> list[Any]:
    """One line for each picture; below it what could not be used, and all of it in one line."""
    rows, failed = [], []
    for result in results:
        if result.error is not None:
            rows.append([result.name, "-", "", "", ""])
            failed.append(f"{result.name}: {result.error}")
            continue
        figures = {} if result.figures is None else result.figures.values
        unit = "" if result.figures is None else result.figures.units.get("diameter_d50", "")
        sizes = [
            "" if (value := figures.get(f"diameter_{key}")) is None else f"{value:.3g} {unit}".strip()
            for key in ("d10", "d50", "d90")
        ]
        count = "" if result.count is None else str(result.count)
        rows.append([result.name, count, *sizes])
    parts: list[Any] = [table(["Picture", "Count", "D10", "D50", "D90"], rows)]
    if len(results) > 1:
        total = sum(result.count or 0 for result in results)
        parts.append(f"{len(results) - len(failed)} of {len(results)} pictures, {total} objects in all.")
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


@command(tool_group, "show")
@click.argument("tool")
@_node_folder
def show(tool: str, folder: Path | None) -> Answer:
    """What TOOL does, what it is not good for, what you can set, and where its models come from."""
    from cloister.foundation.errors import CloisterError
    from cloister.tools.builtin import open_tool
    from cloister.tools.trust import check_tool

    package = open_tool(tool, _tools(folder))
    checked, wrong = None, ""
    try:
        checked = check_tool(package.tool, package.certificate)
        vouched = _NO_CERTIFICATE if checked is None else checked.words()
    except CloisterError as error:
        wrong = error.what
        vouched = f"Its certificate does not hold: {wrong}"
    manifest = package.tool.manifest
    lines = [f"{manifest.title} ({manifest.name} {manifest.version})", "", manifest.description]
    if manifest.intended_use:
        lines += ["", f"Good for: {manifest.intended_use}"]
    if manifest.limits:
        lines += ["", "Not good for:", *(f"  - {line}" for line in manifest.limits)]
    if manifest.adjustable:
        lines += ["", "What you can set (--set NAME=VALUE):"]
        lines += [f"  {name}{_range(item)}: {item.about}" for name, item in manifest.adjustable.items()]
    lines += ["", f"Steps: {', '.join(use.step for use in manifest.pipeline)}"]
    lines += [f"Model {name}: {digest}" for name, digest in manifest.models.items()]
    lines += [f"Digest: {package.tool.digest}", "", vouched]
    return Answer(
        {
            "manifest": manifest.model_dump(mode="json"),
            "digest": package.tool.digest,
            "certificate": {"holds": checked is not None, "error": wrong or None, **_signers(checked)},
        },
        "\n".join(lines),
    )


def _range(item: Adjustable) -> str:
    if item.lowest is None or item.highest is None:
        return ""
    return f" ({item.lowest:g} to {item.highest:g})"


@command(tool_group, "list")
@_node_folder
def tools(folder: Path | None) -> Answer:
    """Installed tools, and those that come with Cloister."""
    from cloister.tools.builtin import BUILTIN

    states = _tools(folder).list()
    told = [
        {
            "name": state.name,
            "version": state.current.version,
            "how": state.current.action,
            "at": state.current.time,
            "digest": state.current.tool,
        }
        for state in states
    ]
    names = {state.name for state in states}
    told += [
        {
            "name": name,
            "version": str(item.about["version"]),
            "how": "comes with Cloister",
            "at": "",
            "digest": "",
        }
        for name, item in BUILTIN.items()
        if name not in names
    ]
    rows = [[item["name"], item["version"], item["how"], item["at"]] for item in told]
    return Answer(told, table(["Tool", "Version", "How", "When"], rows))


@command(tool_group, "export")
@click.argument("tool")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_node_folder
def export(tool: str, file: Path, folder: Path | None) -> Answer:
    """Write TOOL to one FILE (ending in .tool) that runs elsewhere."""
    from cloister.tools.builtin import open_tool
    from cloister.tools.package import export_tool

    package = open_tool(tool, _tools(folder))
    export_tool(package, file)
    return Answer({"file": str(file), "digest": package.tool.digest}, f"Wrote {file}.")


@command(tool_group, "make")
@click.argument("description", type=click.Path(path_type=Path, dir_okay=False))
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option(
    "--model", "models", multiple=True, metavar="NAME=FILE", help="A model that a step uses, ONNX; repeat."
)
@click.option(
    "--certificate",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Of the release that a model comes from, as `cloister release save` wrote it.",
)
def make(description: Path, file: Path, models: tuple[str, ...], certificate: Path | None) -> Answer:
    """Make a tool of your own: its DESCRIPTION (JSON: inputs, steps, outputs) and its models become one FILE."""
    from cloister.foundation.canonical import canonical, parse
    from cloister.foundation.files import read_limited
    from cloister.tools.making import make_tool
    from cloister.tools.manifest import MAX_MANIFEST_BYTES
    from cloister.tools.package import MAX_BYTES, MAX_CERTIFICATE_BYTES, export_tool

    told = parse(read_limited(description, MAX_MANIFEST_BYTES), max_bytes=MAX_MANIFEST_BYTES)
    if not isinstance(told, dict):
        raise BadInput("The description is no JSON object.", "", "See docs/reference/tools.md.")
    given: dict[str, bytes] = {}
    for item in models:
        name, sign, path = item.partition("=")
        if not sign:
            raise BadInput("A model needs a name.", f"{item[:80]} has no =.", "Write --model NAME=FILE.")
        given[name] = read_limited(Path(path), MAX_BYTES)
    bundle = None
    if certificate is not None:
        # The one byte form, whatever spaces the file has.
        told_of_it = read_limited(certificate, MAX_CERTIFICATE_BYTES)
        bundle = canonical(parse(told_of_it, max_bytes=MAX_CERTIFICATE_BYTES))
    package = make_tool(told, given, bundle)
    export_tool(package, file)
    vouched = "" if bundle is not None else f"\n{_NO_CERTIFICATE}"
    return Answer({"file": str(file), "digest": package.tool.digest}, f"Wrote {file}.{vouched}")


@command(tool_group, "import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@click.option("--owner", "owners", multiple=True, help="Fingerprint of an owner that you trust; repeat.")
@click.option("--quorum", type=click.IntRange(min=1), default=None, help="How many of them must have signed.")
@_node_folder
def import_(file: Path, owners: tuple[str, ...], quorum: int | None, folder: Path | None) -> Answer:
    """Install the tool in FILE; a certificate that it carries is checked first, and what was checked is printed."""
    from cloister.tools.package import load_tool
    from cloister.tools.trust import check_tool

    package = load_tool(file)
    trusted = fingerprints(owners)
    found: list[Checked | None] = []

    def verify(tool: Tool, certificate: bytes | None) -> None:
        found.append(check_tool(tool, certificate, owners=trusted, quorum=quorum))

    state = _tools(folder).install(package, now=int(time.time()), verify=verify)
    checked = found[-1]
    return Answer(
        {
            **state.model_dump(mode="json"),
            "certificate": {"holds": checked is not None, "error": None, **_signers(checked)},
        },
        f"Installed {state.name} {state.current.version}.\n"
        + (_NO_CERTIFICATE if checked is None else f"\nIts certificate holds:\n{checked.words()}"),
    )


_NO_CERTIFICATE = "This tool carries no certificate: nobody vouches for it."


def _signers(checked: Checked | None) -> dict[str, Any]:
    if checked is None:
        return {"signed_by": [], "owners_named_by_verifier": False}
    return {
        "signed_by": sorted(checked.certificate.signed_by),
        "owners_named_by_verifier": checked.named_by_verifier,
    }


@command(tool_group, "rollback")
@click.argument("tool")
@_node_folder
def rollback(tool: str, folder: Path | None) -> Answer:
    """Go back to the version of TOOL before."""
    state = _tools(folder).rollback(tool, now=int(time.time()))
    return Answer(state.model_dump(mode="json"), f"{state.name} is {state.current.version} again.")
