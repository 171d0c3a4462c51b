"""`cloister tool`: see what tools there are, install them, pass them on; running them is in `batches`."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cloister.cli.common import FOLDER_VARIABLE, fingerprints, table
from cloister.cli.output import Answer, command
from cloister.foundation.errors import BadInput

if TYPE_CHECKING:
    from cloister.release.bundle import Checked
    from cloister.tools.install import InstalledTools
    from cloister.tools.manifest import Adjustable
    from cloister.tools.tool import Tool


@click.group("tool")
def tool_group() -> None:
    """Run tools, install them, pass them on as one file."""


def optional_folder(about: str) -> Callable[[click.decorators.FC], click.decorators.FC]:
    """`--folder`: a server's; without it, what is this user's is meant."""
    return click.option(
        "--folder",
        type=click.Path(path_type=Path, file_okay=False),
        envvar=FOLDER_VARIABLE,
        default=None,
        help=about,
    )


def node_folder(function: click.decorators.FC) -> click.decorators.FC:
    """`--folder`: whose installed tools are used."""
    return optional_folder("Use the tools installed at the server in this folder.")(function)


def installed_tools(folder: Path | None) -> InstalledTools:
    """The tools installed at the server in a folder; those of this user, without one."""
    from cloister.tools.install import InstalledTools

    return InstalledTools(folder / "tools" if folder else None)


@command(tool_group, "show")
@click.argument("tool")
@node_folder
def show(tool: str, folder: Path | None) -> Answer:
    """What TOOL does, what it is not good for, what you can set, and where its models come from."""
    from cloister.foundation.errors import CloisterError
    from cloister.tools.builtin import open_tool
    from cloister.tools.trust import check_tool

    package = open_tool(tool, installed_tools(folder))
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
@node_folder
def tools(folder: Path | None) -> Answer:
    """Installed tools, and those that come with Cloister."""
    from cloister.tools.builtin import BUILTIN

    states = installed_tools(folder).list()
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
@node_folder
def export(tool: str, file: Path, folder: Path | None) -> Answer:
    """Write TOOL to one FILE (ending in .tool) that runs elsewhere."""
    from cloister.tools.builtin import open_tool
    from cloister.tools.package import export_tool

    package = open_tool(tool, installed_tools(folder))
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
@node_folder
def import_(file: Path, owners: tuple[str, ...], quorum: int | None, folder: Path | None) -> Answer:
    """Install the tool in FILE; a certificate that it carries is checked first, and what was checked is printed."""
    from cloister.tools.package import load_tool
    from cloister.tools.trust import check_tool

    package = load_tool(file)
    trusted = fingerprints(owners)
    found: list[Checked | None] = []

    def verify(tool: Tool, certificate: bytes | None) -> None:
        found.append(check_tool(tool, certificate, owners=trusted, quorum=quorum))

    state = installed_tools(folder).install(package, now=int(time.time()), verify=verify)
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
@node_folder
def rollback(tool: str, folder: Path | None) -> Answer:
    """Go back to the version of TOOL before."""
    state = installed_tools(folder).rollback(tool, now=int(time.time()))
    return Answer(state.model_dump(mode="json"), f"{state.name} is {state.current.version} again.")
