"""What is wrong with a server, and what to do: for `cloister doctor` and for the page. Nothing is changed by looking."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from urllib.parse import quote

from cloister.agreements.lifecycle import ENDED
from cloister.foundation.errors import CloisterError
from cloister.foundation.text import several
from cloister.node.folder import Folder

if TYPE_CHECKING:
    from cloister.node.node import Node

_SPACE = 1 << 30


@dataclass(frozen=True)
class Finding:
    """One thing looked at: fine, worth knowing, or wrong.

    Attributes:
        about: what was looked at.
        state: how it is.
        what: what was found.
        remedy: what to do, with commands where there are some.
        page: where the page does the same.
    """

    about: str
    state: Literal["ok", "note", "wrong"]
    what: str
    remedy: str = ""
    page: str = ""


def of_node(node: Node) -> list[Finding]:
    """What is found at a node that runs in this process."""
    from cloister.node.reports import tasks_view  # `doctor` also runs where libraries are missing

    agreements = [node.agreements.summary(name) for name in node.agreements.digests()]
    return running(
        node.status(), node.datasets.own(), agreements, tasks_view(node), relay_address(node.folder.root)
    )


def installation() -> list[Finding]:
    """Python, and the libraries that have to be there."""
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


def disk(folder: Path) -> list[Finding]:
    """Whether there is room."""
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    free = shutil.disk_usage(place).free
    if free < _SPACE:
        return [Finding("Disk", "wrong", f"only {free >> 20} MiB free at {place}", "Free some space.")]
    return [Finding("Disk", "ok", f"{free >> 30} GiB free")]


_CONNECT = "Ask a relay's operator for an invitation (a file), then: cloister node connect INVITATION"


_SOMEWHERE = "its address"


def relay_address(folder: Path) -> str:
    """Where the node looks for its relay, from the invitation that it accepted."""
    from cloister.transport.invitation import Invitation  # `doctor` also runs where libraries are missing

    place = Folder(folder.absolute())
    try:
        told = place.read_json(place.hub_file)
        return Invitation.decode(str(told.get("invitation"))).relay if isinstance(told, dict) else _SOMEWHERE
    except (CloisterError, OSError):
        return _SOMEWHERE


def running(
    status: dict[str, Any],
    datasets: Sequence[dict[str, Any]],
    agreements: Sequence[dict[str, Any]],
    tasks: Sequence[dict[str, Any]],
    relay: str,
) -> list[Finding]:
    """What a running node tells of itself.

    Args:
        status: `Node.status`.
        datasets: its own, as `datasets.own` lists them.
        agreements: their summaries.
        tasks: as `reports.tasks_view` lists them.
        relay: where it looks for its relay.
    """
    found = [Finding("Server", "ok", f"{status['name']} is running")]
    if status["locked"]:
        found.append(
            Finding(
                "Log",
                "wrong",
                status["locked"]["why"],
                "Stop a second server with the same keys, or restore the newest backup; else retire this identity.",
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
                "/settings/backup",
            )
        )
    if status.get("relay_contradicts"):
        found.append(
            Finding(
                "Relay",
                "wrong",
                "it showed two logs that contradict each other; both heads, signed by it, are kept here",
                "Tell the other organisations and the relay's operator; do not rely on its log.",
            )
        )
    if status.get("twin"):
        found.append(
            Finding(
                "Identity",
                "wrong",
                "another server runs with this organisation's keys; neither admits anything",
                "Stop one of the two.",
            )
        )
    found += [
        Finding(
            "Card",
            "note",
            f"{_short(item['card'])} was not learned: {item['reason']}",
            "Ask that organisation.",
            "/parties",
        )
        for item in status.get("cards_not_learned", ())
    ]
    found += [
        Finding(
            "Agreement",
            "wrong",
            f"{_short(item['agreement'])} cannot be read: {item['reason']}",
            "Have a member offer it again, or restore the newest backup; nothing runs under it until then.",
        )
        for item in status.get("agreements_not_readable", ())
    ]
    link = status["relay"]
    if link["hub"] is None:
        found.append(Finding("Relay", "note", "not connected to one", _CONNECT, "/settings/relay"))
    elif not link["reached"]:
        found.append(
            Finding(
                "Relay",
                "wrong",
                f"not reached at {relay}",
                f"Is it running, and may this machine connect to {relay}?",
                "/settings/relay",
            )
        )
    else:
        found.append(
            Finding("Relay", "ok", f"reached; {several(len(status['here']), 'other server')} connected")
        )
    if abs(status["time"] - time.time()) > 5:
        found.append(
            Finding("Clock", "wrong", "the server's clock differs from this machine's", "Set the clock.")
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
            f"/datasets/own/{quote(item['name'])}",
        )
        for item in datasets
        if not item["private"]["looks_unchanged"]
    ]
    for item in agreements:
        own = [party for party in item["parties"] if party["party"] == status["party"]]
        if own and not own[0]["signed"] and item["state"] not in ENDED:
            found.append(
                Finding(
                    "Agreement",
                    "note",
                    f"“{item['title']}” waits for you",
                    f"Read it: cloister agreement show {item['agreement']}\n"
                    f"      If you agree: cloister agreement sign {item['agreement']}",
                    f"/agreements/{item['agreement']}",
                )
            )
    found += [
        Finding(
            "Task",
            "note",
            f"{item['task'][7:23]} waits for your approval",
            f"Read it: cloister task show {item['task']}\n"
            f"      If you agree: cloister task approve {item['task']}",
            f"/tasks/{item['task']}",
        )
        for item in tasks
        if item["status"] == "pending"
    ]
    return found


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:16]
