"""This node's sandboxed workers, started when first needed.

A worker may read this party's registered datasets and nothing else of the node's; when a dataset is added, the next
call starts a new worker that may read it too.
"""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from cloister.engines.pool import Engine as Worker
from cloister.foundation.canonical import JSON
from cloister.foundation.errors import NotFound
from cloister.journal.program import Engine
from cloister.node.folder import Folder

METHODS = {
    "check": "cloister.training.methods:check",
    "evaluate": "cloister.training.methods:evaluate",
    "export": "cloister.training.methods:export",
    "initial": "cloister.training.methods:initial",
    "train": "cloister.training.methods:train",
}


UNCONFINED = "CLOISTER_UNCONFINED_WORKERS"
_DEMANDED = ("privileges", "system-calls", "files")


def demands() -> tuple[str, ...]:
    """Measures without which a worker does not start: on Linux all that confine it, elsewhere none exist.

    An operator whose kernel lacks them can set `CLOISTER_UNCONFINED_WORKERS=accepted`; `doctor` then says so.
    """
    if not sys.platform.startswith("linux") or os.environ.get(UNCONFINED) == "accepted":
        return ()
    return _DEMANDED


class Engines:
    """The workers by name; today one, `jax`, which parses, trains and evaluates models.

    Args:
        folder: the node's.
        readable: the folders of this party's datasets.
    """

    def __init__(self, folder: Folder, readable: Callable[[], Sequence[Path]]) -> None:
        self._folder = folder
        self._readable = readable
        self._lock = threading.Lock()
        self._running: _Running | None = None

    def get(self, name: str) -> Engine:
        """A worker. Raises `NotFound`."""
        if name != "jax":
            raise NotFound("There is no such engine.", f"{name[:40]} is not known here.", "Update Cloister.")
        folders = tuple(sorted(self._readable()))
        with self._lock:
            if self._running is not None and self._running.folders != folders and not self._running.busy:
                self._running.worker.close()
                self._running = None
            if self._running is None:
                cache = self._folder.private(self._folder.cache)
                self._running = _Running(
                    Worker(METHODS, folders=folders, cache=cache, demands=demands()), folders
                )
            return self._running

    def report(self) -> dict[str, Any]:
        """What the running worker's sandbox really enforces; empty while none runs."""
        with self._lock:
            running = self._running
        return {} if running is None else {"jax": running.sandbox}

    def close(self) -> None:
        """Ends the worker."""
        with self._lock:
            if self._running is not None:
                self._running.worker.close()
                self._running = None


class _Running:
    """A worker with the defaults of the journal's `Engine`."""

    def __init__(self, worker: Worker, folders: tuple[Path, ...]) -> None:
        self.worker = worker
        self.folders = folders
        self.busy = 0
        self.sandbox: dict[str, str] = {}

    def call(
        self,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        deadline: float = 600.0,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Runs a method in the worker."""
        self.busy += 1
        try:
            answer = self.worker.call(method, arguments, arrays or {}, deadline)
            # Asked once: the worker answers nothing else while it trains.
            self.sandbox = self.sandbox or self.worker.sandbox_report()
            return answer
        finally:
            self.busy -= 1
