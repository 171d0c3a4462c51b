"""This node's sandboxed workers: one for each agreement, started when first needed, and a fresh one for each foreign model.

Rules:
1. Tasks of different agreements share no worker and no compiled programs: what one agreement's model did to its worker,
   another's never meets. Compiled programs lie in a folder of the agreement's own.
2. A worker may read this party's datasets that its agreement names, and nothing else of the node's. When that changes, the
   next call starts a new worker.
3. A model that nobody has approved yet, and a candidate for a release, is looked at (`EXAMINER`) in a worker that may read
   nothing, keeps nothing, and ends with the call.
4. At most `LIVE` workers of agreements and one of rule 3 live at a time; the one that was used least recently is ended to make
   room. A call waits for room no longer than its deadline.
5. Looks are taken in turns, fairly between those on whose account they are (a plan's requester, a task's agreement, this
   party's own people; see `turns`). A look's deadline begins with its turn; for a turn it waits `PATIENCE` at most.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeAlias

from numpy.typing import NDArray

from cloister.engines.pool import Engine as Worker
from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest
from cloister.foundation.errors import NotFound, TaskFailed, Unreachable
from cloister.journal.ports import LocalFactory, LocalPorts
from cloister.journal.program import Engine
from cloister.node.folder import Folder
from cloister.node.turns import Turns
from cloister.release import inspection
from cloister.storage.tasks import TaskRow

_Answer: TypeAlias = tuple[dict[str, Any], dict[str, NDArray[Any]]]

METHODS = {
    "check": "cloister.training.methods:check",
    "evaluate": "cloister.training.methods:evaluate",
    "export": "cloister.training.methods:export",
    "fit": "cloister.training.fitting:fit",
    "initial": "cloister.training.methods:initial",
    "measure": "cloister.training.measuring:measure",
    "private-sum": "cloister.training.methods:private_sum",
    "train": "cloister.training.methods:train",
}

EXAMINER = inspection.EXAMINER
"""The engine in which a foreign model is looked at; in the agreement's place it takes on whose account."""
EXAMINE = ""
"""In an agreement's place: a look on the account of this party's own people."""
PATIENCE = 600.0
"""Seconds that a look waits for its turn."""
LIVE = 2
CACHES = 32
"""Folders of compiled programs that are kept, of the agreements used last."""

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
    """The workers by name; today one kind, `jax`, which parses, trains and evaluates models.

    Args:
        folder: the node's.
        readable: the folders of this party's datasets that an agreement names.
        live: workers of agreements at a time.
        methods: what workers can do.
    """

    def __init__(
        self,
        folder: Folder,
        readable: Callable[[str], Sequence[Path]],
        live: int = LIVE,
        methods: Mapping[str, str] = METHODS,
    ) -> None:
        self._folder = folder
        self._readable = readable
        self._live = live
        self._methods = dict(methods)
        self._turn = threading.Condition()
        self._running: OrderedDict[str, _Running] = OrderedDict()
        self._looks = Turns()
        self._examiner: Worker | None = None
        self._sandbox: dict[str, str] = {}
        self._closed = False
        _tidy(folder.cache)

    def get(self, name: str, agreement: str = EXAMINE) -> Engine:
        """A worker for the tasks of an agreement, or for a model that is only looked at. Raises `NotFound`.

        Args:
            name: `jax`, or `EXAMINER`.
            agreement: whose worker; of `EXAMINER` on whose account the look is.
        """
        if name == EXAMINER or (name == "jax" and agreement == EXAMINE):
            return _Through(self.look, agreement)
        if name != "jax":
            raise NotFound("There is no such engine.", f"{name[:40]} is not known here.", "Update Cloister.")
        return _Through(self.call, agreement)

    def call(
        self,
        agreement: str,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]],
        deadline: float,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Runs a method in the agreement's worker. Raises what it raises; `TaskFailed` if there was no room in time."""
        if agreement == EXAMINE:
            return self.look(EXAMINE, method, arguments, arrays, deadline)
        end = time.monotonic() + deadline
        folders = tuple(sorted(self._readable(agreement)))
        running = self._enter(agreement, folders, end)
        try:
            answer = running.worker.call(method, arguments, arrays, max(0.001, end - time.monotonic()))
            # Asked once: the worker answers nothing else while it trains.
            running.sandbox = running.sandbox or running.worker.sandbox_report()
            self._sandbox = running.sandbox
            return answer
        finally:
            with self._turn:
                running.busy -= 1
                self._turn.notify_all()

    def look(
        self,
        account: str,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]],
        deadline: float,
    ) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
        """Runs a method in a worker of its own that may read nothing (rules 3 and 5).

        Args:
            account: on whose account.
            method: what is done.
            arguments: JSON values.
            arrays: numeric arrays.
            deadline: seconds, from when its turn has come.

        Raises:
            Unreachable: its turn did not come. Says nothing of the model.
            CloisterError: what the method raised.
        """
        with self._looks.turn(account, PATIENCE) as had:
            if not had:
                raise _no_turn()
            end = time.monotonic() + deadline
            with Worker(self._methods, folders=(), cache=None, demands=demands()) as worker:
                with self._turn:
                    if self._closed:
                        raise _no_turn()
                    self._examiner = worker
                try:
                    answer = worker.call(method, arguments, arrays, max(0.001, end - time.monotonic()))
                    self._sandbox = worker.sandbox_report()
                    return answer
                finally:
                    self._examiner = None

    def report(self) -> dict[str, Any]:
        """What the sandbox of the worker used last really enforces; empty before the first."""
        return {"jax": dict(self._sandbox)} if self._sandbox else {}

    def live(self) -> list[str]:
        """The agreements whose workers live now, the one used least recently first."""
        with self._turn:
            return list(self._running)

    def close(self) -> None:
        """Ends the workers."""
        with self._turn:
            self._closed = True
            self._looks.close()
            for running in self._running.values():
                running.worker.close()
            self._running.clear()
            if self._examiner is not None:
                self._examiner.close()
            self._turn.notify_all()

    # Inside --------------------------------------------------------------------------------------------------------

    def _enter(self, agreement: str, folders: tuple[Path, ...], end: float) -> _Running:
        with self._turn:
            while not self._closed:
                running = self._running.get(agreement)
                if running is not None and running.folders != folders and not running.busy:
                    self._end(agreement)
                    running = None
                if running is None and self._room():
                    running = self._running[agreement] = self._start(agreement, folders)
                if running is not None:
                    running.busy += 1
                    self._running.move_to_end(agreement)
                    return running
                if not self._turn.wait(max(0.0, end - time.monotonic())):
                    break
        raise _no_room()

    def _room(self) -> bool:
        while len(self._running) >= self._live:
            idle = next((name for name, running in self._running.items() if not running.busy), None)
            if idle is None:
                return False
            self._end(idle)
        return True

    def _end(self, agreement: str) -> None:
        self._running.pop(agreement).worker.close()

    def _start(self, agreement: str, folders: tuple[Path, ...]) -> _Running:
        cache = self._folder.private(self._folder.private(self._folder.cache) / _cache_name(agreement))
        os.utime(cache)
        _tidy(self._folder.cache)
        return _Running(Worker(self._methods, folders=folders, cache=cache, demands=demands()), folders)


class _Running:
    """A worker, what it may read, and how many calls are on their way to it."""

    def __init__(self, worker: Worker, folders: tuple[Path, ...]) -> None:
        self.worker = worker
        self.folders = folders
        self.busy = 0
        self.sandbox: dict[str, str] = {}


class _Through:
    """An engine by the way that each call takes (implements the journal's `Engine`).

    `way`: `Engines.call` for an agreement's worker, whichever process that is then; `Engines.look` for a fresh one on
    somebody's account.
    """

    def __init__(self, way: Callable[..., _Answer], of: str) -> None:
        self._way = way
        self._of = of

    def call(
        self,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]] | None = None,
        deadline: float = 600.0,
    ) -> _Answer:
        """Runs a method in the worker."""
        return self._way(self._of, method, arguments, arrays or {}, deadline)


class ByAgreement:
    """Gives the steps of each task the worker of the task's agreement (implements the journal's `LocalFactory`).

    Args:
        make: the factory of ports, given where its workers come from.
        agreement: of a task.
        engine: a worker by name and agreement.
    """

    def __init__(
        self,
        make: Callable[[Callable[[str], Engine]], LocalFactory],
        agreement: Callable[[str], str],
        engine: Callable[[str, str], Engine],
    ) -> None:
        self._make = make
        self._agreement = agreement
        self._engine = engine

    def ports(self, task: TaskRow) -> LocalPorts:
        """The ports of a task at this node."""
        agreement = self._agreement(task.id)
        return self._make(lambda name: self._engine(name, agreement)).ports(task)


def _cache_name(agreement: str) -> str:
    return digest(agreement.encode()).removeprefix("sha256:")[:32]


def _tidy(cache: Path) -> None:
    """Removes what is no agreement's folder (programs of earlier releases lay in one place), and the folders used longest ago."""
    if not cache.is_dir():
        return
    kept = []
    for entry in cache.iterdir():
        if re.fullmatch(r"[0-9a-f]{32}", entry.name) and entry.is_dir() and not entry.is_symlink():
            kept.append(entry)
        elif entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                entry.unlink()
    for entry in sorted(kept, key=lambda item: item.stat().st_mtime, reverse=True)[CACHES:]:
        shutil.rmtree(entry, ignore_errors=True)


def _no_room() -> TaskFailed:
    return TaskFailed(
        "No worker was free in time.",
        "Other agreements' tasks use as many workers as this machine runs at once.",
        "Try again when they are done.",
        phase="engine",
    )


def _no_turn() -> Unreachable:
    return Unreachable(
        "No worker was free to look at the model.",
        "This server looks at one foreign model at a time, and others are before it.",
        "Try again later.",
    )
