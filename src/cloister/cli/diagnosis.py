"""`cloister doctor`: what is wrong and what to do."""

from __future__ import annotations

from dataclasses import asdict, replace
from pathlib import Path

import click
from rich.text import Text

from cloister.cli.common import client, folder_option
from cloister.cli.copying import copyable
from cloister.cli.output import Answer, command
from cloister.foundation.errors import CloisterError, Unreachable
from cloister.node.diagnosis import Finding, disk, installation, relay_address, running


@click.group()
def _holder() -> None:
    """Holds the command until `main` takes it."""


@command(_holder, "doctor")
@folder_option
def doctor_command(folder: Path) -> Answer:
    """Look at this installation and at the server, and say what is wrong and what to do."""
    found = [*installation(), *disk(folder), *_node(folder)]
    findings = [replace(item, remedy=copyable(item.remedy, folder)) for item in found]
    marks = {"ok": ("ok    ", "green"), "note": ("note  ", "yellow"), "wrong": ("WRONG ", "bold red")}
    lines = []
    for item in findings:
        text, style = marks[item.state]
        line = Text(text, style=style)
        line.append(f"{item.about}: {item.what}", style="default")
        if item.remedy:
            line.append(f"\n      What to do: {item.remedy}", style="default")
        lines.append(line)
    wrong = any(item.state == "wrong" for item in findings)
    return Answer([_plain(item) for item in findings], lines, exit_code=1 if wrong else 0)


def _node(folder: Path) -> list[Finding]:
    if not (folder / "node.json").exists():
        return [
            Finding("Server", "note", "there is none yet", "cloister node init NAME (tools work without one)")
        ]
    try:
        with client(folder, timeout=10) as node:
            return running(
                node.status(),
                node.get("/datasets"),
                node.get("/agreements"),
                node.get("/tasks"),
                relay_address(folder),
            )
    except Unreachable as error:
        return [Finding("Server", "wrong", "it is not running", error.remedy)]
    except CloisterError as error:
        return [Finding("Server", "wrong", error.what, error.remedy)]


def _plain(item: Finding) -> dict[str, str]:
    return {name: value for name, value in asdict(item).items() if name != "page"}
