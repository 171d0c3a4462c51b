"""`cloister doctor`: what is wrong and what to do."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

import click
from rich.text import Text

from cloister.cli.common import client, folder_option, short
from cloister.cli.copying import copyable
from cloister.cli.output import Answer, command
from cloister.foundation.errors import CloisterError, Unreachable

_SPACE = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, worth knowing, or wrong."""

    about: str
    state: Literal["ok", "note", "wrong"]
    what: str
    remedy: str = ""


@click.group()
def _holder() -> None:
    """Holds the command until `main` takes it."""


@command(_holder, "doctor")
@folder_option
def doctor_command(folder: Path) -> Answer:
    """Look at this installation and at the node, and say what is wrong and what to do."""
    found = [*_installation(), *_disk(folder), *_node(folder)]
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
    return Answer([asdict(item) for item in findings], lines, exit_code=1 if wrong else 0)


def _installation() -> list[Finding]:
    version = f"{platform.python_version()} on {platform.system()}"
    found = [
        Finding("Python", "ok", version)
        if (3, 11) <= sys.version_info[:2] <= (3, 13)
        else Finding("Python", "wrong", version, "Use Python 3.11, 3.12 or 3.13.")
    ]
    missing = []
    for name in ("cryptography", "eclipse-zenoh", "jax", "onnx", "onnxruntime", "sqlalchemy"):
        try:
            importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    found.append(
        Finding("Libraries", "wrong", f"missing: {', '.join(missing)}", "Install Cloister again.")
        if missing
        else Finding("Libraries", "ok", "all there")
    )
    return found


def _disk(folder: Path) -> list[Finding]:
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < _SPACE:
        return [Finding("Disk", "wrong", f"only {free >> 20} MiB free at {place}", "Free some space.")]
    return [Finding("Disk", "ok", f"{free >> 30} GiB free")]


def _node(folder: Path) -> list[Finding]:
    if not (folder / "node.json").exists():
        return [
            Finding("Node", "note", "there is none yet", "cloister node init NAME (tools work without one)")
        ]
    try:
        with client(folder, timeout=10) as node:
            return _running(
                node.status(),
                node.get("/datasets"),
                node.get("/agreements"),
                node.get("/tasks"),
                _relay_address(folder),
            )
    except Unreachable as error:
        return [Finding("Node", "wrong", "it is not running", error.remedy)]
    except CloisterError as error:
        return [Finding("Node", "wrong", error.what, error.remedy)]


_CONNECT = "Ask a relay's operator for an invitation (a file), then: cloister node connect INVITATION"


def _relay_address(folder: Path) -> str:
    """Where the node looks for its relay, from the invitation that it accepted."""
    from cloister.node.folder import Folder

    place = Folder(folder.absolute())
    try:
        told = place.read_json(place.hub_file)
    except (CloisterError, OSError):
        return "its address"
    return str(told.get("relay") or "its address")[:200] if isinstance(told, dict) else "its address"


def _running(
    status: dict[str, Any],
    datasets: list[dict[str, Any]],
    agreements: list[dict[str, Any]],
    tasks: list[dict[str, Any]],
    relay_address: str,
) -> list[Finding]:
    found = [Finding("Node", "ok", f"{status['name']} is running")]
    if status["locked"]:
        found.append(
            Finding(
                "Log",
                "wrong",
                status["locked"]["why"],
                "Stop a second node with the same keys, or restore the newest backup; else retire this identity.",
            )
        )
    if budgets := status.get("budgets"):
        found.append(
            Finding(
                "Privacy budgets",
                "wrong",
                f"{budgets['title']} Nothing is spent until people have looked.",
                f"{budgets['remedy']} See: cloister budget reconcile --help"
                if budgets.get("clause") == "budget-restored"
                else budgets["remedy"],
            )
        )
    if status.get("relay_contradicts"):
        found.append(
            Finding(
                "Relay",
                "wrong",
                "it showed two logs that contradict each other; both heads, signed by it, are kept here",
                "Tell the other parties and the relay's operator; do not rely on its log.",
            )
        )
    if status.get("twin"):
        found.append(
            Finding(
                "Identity",
                "wrong",
                "another node runs with this party's keys; neither admits anything",
                "Stop one of the two.",
            )
        )
    found += [
        Finding("Card", "note", f"{short(item['card'])} was not learned: {item['reason']}", "Ask that party.")
        for item in status.get("cards_not_learned", ())
    ]
    found += [
        Finding(
            "Agreement",
            "wrong",
            f"{short(item['agreement'])} cannot be read: {item['reason']}",
            "Have a member offer it again, or restore the newest backup; nothing runs under it until then.",
        )
        for item in status.get("agreements_not_readable", ())
    ]
    relay = status["relay"]
    if relay["hub"] is None:
        found.append(Finding("Relay", "note", "not connected to one", _CONNECT))
    elif not relay["reached"]:
        found.append(
            Finding(
                "Relay",
                "wrong",
                f"not reached at {relay_address}",
                f"Is it running, and may this machine connect to {relay_address}?",
            )
        )
    else:
        found.append(Finding("Relay", "ok", f"reached; {len(status['here'])} other node(s) are connected"))
    if abs(status["time"] - time.time()) > 5:
        found.append(
            Finding("Clock", "wrong", "the node's clock differs from this machine's", "Set the clock.")
        )
    for sandbox in status["engines"].values():
        weak = [name for name, state in sandbox.items() if state != "enforced"]
        found.append(
            Finding(
                "Sandbox",
                "note",
                f"not enforced here: {', '.join(weak)}",
                "See docs/explanation/security-model.md",
            )
            if weak
            else Finding("Sandbox", "ok", "workers are confined in every way known here")
        )
    found += [
        Finding(
            "Dataset",
            "wrong",
            f"{item['name']} has changed",
            f"Restore its files or register a new version; what changed: cloister dataset check {item['name']}",
        )
        for item in datasets
        if not item["private"]["looks_unchanged"]
    ]
    for item in agreements:
        own = [party for party in item["parties"] if party["party"] == status["party"]]
        if own and not own[0]["signed"] and item["state"] not in {"terminated", "revoked", "expired"}:
            found.append(
                Finding(
                    "Agreement",
                    "note",
                    f"“{item['title']}” waits for you",
                    f"Read it: cloister agreement show {item['agreement']}\n"
                    f"      If you agree: cloister agreement sign {item['agreement']}",
                )
            )
    found += [
        Finding(
            "Task",
            "note",
            f"{item['task'][7:23]} waits for your approval",
            f"Read it: cloister task show {item['task']}\n"
            f"      If you agree: cloister task approve {item['task']}",
        )
        for item in tasks
        if item["status"] == "pending"
    ]
    return found
