"""`cloister tool`: run tools on your own premises; no account, no network, no node."""

from __future__ import annotations

import time
from pathlib import Path

import click

from cloister.cli.common import FOLDER_VARIABLE, table
from cloister.cli.output import Answer, command


@click.group("tool")
def tool_group() -> None:
    """Run tools, install them, pass them on as one file."""


def _node_folder(function: click.decorators.FC) -> click.decorators.FC:
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar=FOLDER_VARIABLE,
        default=None,
        help="Use the tools installed at the node in this folder.",
    )(function)


def _tools(folder: Path | None):  # type: ignore[no-untyped-def] # noqa: ANN202 - imported lazily
    from cloister.tools.install import InstalledTools

    return InstalledTools(folder / "tools" if folder else None)


@command(tool_group, "run")
@click.argument("tool")
@click.argument("images", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--out",
    type=click.Path(path_type=Path, file_okay=False),
    help="Write overlays, tables and a report here.",
)
@click.option(
    "--scale", type=float, default=None, metavar="UM", help="Micrometres per pixel of these pictures."
)
@click.option("--threads", type=int, default=0, help="Processor threads at most; 0: as many as there are.")
@_node_folder
def run(
    tool: str,
    images: tuple[Path, ...],
    out: Path | None,
    scale: float | None,
    threads: int,
    folder: Path | None,
) -> Answer:
    """Run TOOL (for example crystals, or a .tool file) on IMAGES. Nothing leaves this machine."""
    from cloister.tools.builtin import open_tool
    from cloister.tools.run import exit_code, run_tool

    package = open_tool(tool, _tools(folder))
    started = time.perf_counter()
    results = run_tool(
        package.tool,
        images,
        out,
        micrometres_per_pixel=scale,
        threads=threads,
        progress=None,
    )
    rows = []
    for result in results:
        if result.error is not None:
            rows.append([result.name, "-", "", f"{result.error.what} {result.error.remedy}"])
            continue
        figures = result.figures.values if result.figures is not None else {}
        size = figures.get("d50") or figures.get("D50")
        rows.append(
            [result.name, str(result.count), f"{size:.4g}" if size else "", f"{result.seconds:.2f} s"]
        )
    version = package.tool.manifest.version
    written = (
        f"\nOverlays, tables and a report: {out / 'index.html'}"
        if out
        else "\nWith --out FOLDER: overlays and a report."
    )
    return Answer(
        {
            "tool": package.tool.name,
            "version": version,
            "digest": package.tool.digest,
            "seconds": round(time.perf_counter() - started, 3),
            "images": [result.as_json() for result in results],
        },
        [
            table(["Picture", "Count", "D50", ""], rows),
            f"{package.tool.name} {version}. Nothing left this machine.{written}",
        ],
        exit_code=exit_code(results),
    )


@command(tool_group, "list")
@_node_folder
def tools(folder: Path | None) -> Answer:
    """Installed tools, and those that come with Cloister."""
    from cloister.tools.builtin import BUILTIN

    states = _tools(folder).list()
    rows = [[state.name, state.current.version, state.current.action, state.current.time] for state in states]
    names = {state.name for state in states}
    rows += [
        [name, str(item.about["version"]), "comes with Cloister", ""]
        for name, item in BUILTIN.items()
        if name not in names
    ]
    return Answer(
        [state.model_dump(mode="json") for state in states], table(["Tool", "Version", "How", "When"], rows)
    )


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


@command(tool_group, "import")
@click.argument("file", type=click.Path(path_type=Path, dir_okay=False))
@_node_folder
def import_(file: Path, folder: Path | None) -> Answer:
    """Install the tool in FILE, its certificate verified first."""
    from cloister.cli.installing import verify_installed
    from cloister.tools.package import load_tool

    package = load_tool(file)
    state = _tools(folder).install(package, now=int(time.time()), verify=verify_installed)
    return Answer(state.model_dump(mode="json"), f"Installed {state.name} {state.current.version}.")


@command(tool_group, "rollback")
@click.argument("tool")
@_node_folder
def rollback(tool: str, folder: Path | None) -> Answer:
    """Go back to the version of TOOL before."""
    state = _tools(folder).rollback(tool, now=int(time.time()))
    return Answer(state.model_dump(mode="json"), f"{state.name} is {state.current.version} again.")
