"""How a crew stands, and a task at each of its nodes: what to read when a test has waited in vain."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cloister.foundation.errors import CloisterError

if TYPE_CHECKING:
    from cloister.sdk.client import Client
    from node.crew import Crew

_TABLES = {
    "task": "SELECT status, phase, position, attempt, program, closed, deadline, updated FROM tasks WHERE id = ?",
    "outbox": "SELECT recipient, sequence, phase, kind, created FROM outbox WHERE task = ?",
}


def plight(crew: Crew, task: str = "") -> str:
    """Each node's status and whom it knows; its view of the task, its events of the task and what waits in its outbox, where
    one is asked about; where each thread of each process is, and the end of each log.
    """
    parts = []
    for name, client in crew.clients.items():
        parts.append(f"== {name} {crew.party[name][:8]}, running: {crew.processes[name].poll() is None}")
        asked: dict[str, Any] = {"status": client.status, "parties": lambda client=client: _known(client)}
        if task:
            asked["task"] = lambda client=client: client.task(task)
            asked["events"] = lambda client=client: [
                item for item in client.events(0) if item["task"] == task
            ][-14:]
        parts += [f"{what}: {_told(ask)}" for what, ask in asked.items()]
        if task:
            parts += [f"{what}: {rows}" for what, rows in _rows(crew.root / name, task).items()]
    for name in crew.processes:
        log = crew.log(name)[-2500:]
        parts.append(f"== the log of {name}\n{log}\n== the threads of {name}\n{crew.threads(name)}")
    return "\n".join(parts)


def _known(client: Client) -> list[str]:
    return [f"{item['name']} {item['sequence']} {item['trust']}" for item in client.get("/parties")]


def _told(ask: Any) -> str:
    try:
        return json.dumps(ask(), default=str)[:4000]
    except CloisterError as error:
        return f"{error.what} {error.why}"


def _rows(folder: Path, task: str) -> dict[str, str]:
    """Straight from the database's file, which the running node keeps open: a reader disturbs nobody."""
    found: dict[str, str] = {}
    for what, query in _TABLES.items():
        try:
            with contextlib.closing(
                sqlite3.connect(f"file:{folder / 'cloister.db'}?mode=ro", uri=True, timeout=5)
            ) as database:
                found[what] = str(database.execute(query, (task,)).fetchall())
        except sqlite3.Error as error:
            found[what] = str(error)
    return found
