"""A folder that a camera writes into: each new picture is looked at once, as soon as it is wholly there.

No operating system tells on every file system, network shares included, when a file is complete. So the folder is looked at
again and again. Rules:
1. A file counts as complete when its size and its time of change have stayed the same for `settle` seconds by this machine's
   clock, over at least two looks. Hidden names, and names without a picture's ending, are not looked at: a program that writes
   `x.png.part` and renames it to `x.png` is seen when it renames.
2. A complete file that is no whole picture may still be one that is written with pauses. It is tried once more when it changes,
   or after `patience` seconds; only then is its error recorded.
3. What changed while it was read is not recorded; it is read again when it has settled.
4. What the record has under the same tool and settings is not computed again, so that a restart doubles nothing. A file that is
   written anew under an old name is a new sample.
5. What is remembered is one line per file that lies in the folder now, not per file that ever did.
6. A stop takes effect when the present picture is done.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, TypeAlias

from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.tools.batch.discovery import endings, files_in
from cloister.tools.batch.line import stat_of
from cloister.tools.batch.running import Folder, absolute
from cloister.tools.inputs import called, wanted_kind
from cloister.tools.run import Result

Signature: TypeAlias = tuple[int, int, int]
"""Size, time of change in nanoseconds, and the file's own number: another file under the same name is another file."""

Kind: TypeAlias = Literal["result", "failed", "before", "trouble", "again"]


@dataclass(frozen=True)
class Pace:
    """How often, and how long.

    Args:
        every: seconds between two looks at the folder.
        settle: seconds for which a file must not have changed.
        patience: seconds until a file that is no whole picture, and does not change, is given up.
    """

    every: float = 1.0
    settle: float = 2.0
    patience: float = 30.0


@dataclass(frozen=True)
class Event:
    """What happened.

    Args:
        kind: `result` or `failed`, of a file that now has a row; `before`: it had one; `trouble`: the folder, or a place for
            results, cannot be used at the moment, and it is tried again; `again`: it can be used again.
        name: the file's name below the folder; empty for what is of no one file.
        result: of a file that now has a row.
        error: of `trouble`.
    """

    kind: Kind
    name: str = ""
    result: Result | None = None
    error: CloisterError | None = None


@dataclass
class _Pending:
    signature: Signature
    since: float
    tried: bool = False


class Settling:
    """Tells which files of a folder are complete, from looks at it; knows no clock and no file system of its own."""

    def __init__(self, pace: Pace) -> None:
        self._pace = pace
        self._pending: dict[str, _Pending] = {}
        self._known: dict[str, Signature] = {}

    @property
    def remembered(self) -> int:
        """How many files are remembered."""
        return len(self._pending.keys() | self._known.keys())

    def look(self, listed: dict[str, Signature], now: float) -> list[str]:
        """The files to try now, in the order of the listing.

        Args:
            listed: what lies in the folder.
            now: seconds by a clock that never goes back.
        """
        for gone in self._known.keys() - listed.keys():
            del self._known[gone]
        for gone in self._pending.keys() - listed.keys():
            del self._pending[gone]
        due = []
        for path, signature in listed.items():
            if self._known.get(path) == signature:
                self._pending.pop(path, None)
                continue
            pending = self._pending.get(path)
            if pending is None or pending.signature != signature:
                self._pending[path] = _Pending(signature, now)
                continue
            waited = now - pending.since
            if waited >= (self._pace.patience if pending.tried else self._pace.settle):
                due.append(path)
        return due

    def new(self, listed: dict[str, Signature]) -> list[str]:
        """Files that were never looked at."""
        return [path for path in listed if path not in self._known and path not in self._pending]

    def done(self, path: str, signature: Signature) -> None:
        """This file, as it was then, needs nothing more."""
        self._pending.pop(path, None)
        self._known[path] = signature

    def tried(self, path: str, now: float) -> None:
        """This file was complete but no whole picture: it is tried again when it changes, or after `patience`."""
        if path in self._pending:
            self._pending[path] = replace(self._pending[path], since=now, tried=True)

    def last_try(self, path: str) -> bool:
        """Whether this file had its first try already."""
        return path in self._pending and self._pending[path].tried


class Watch:
    """Follows a folder and runs a tool on each file in it that becomes complete.

    Args:
        folder: the camera's; its folders too.
        results: where results go, held by this process.
        pace: how often, and how long.
        clock: seconds, never going back.
    """

    def __init__(
        self,
        folder: Path,
        results: Folder,
        pace: Pace | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._folder = folder
        self._results = results
        self._pace = pace or Pace()
        self._clock = clock
        self._suffixes = endings(wanted_kind(results.prepared.tool.manifest))
        self._settling = Settling(self._pace)
        self._troubled: dict[str, str] = {}

    @property
    def remembered(self) -> int:
        """How many files are remembered (rule 5)."""
        return self._settling.remembered

    def run(self, stop: threading.Event, told: Callable[[Event], None]) -> None:
        """Looks at the folder until `stop` is set.

        Args:
            stop: set from a signal's handler, or another thread.
            told: called with everything that happens.
        """
        while not stop.is_set():
            for happened in self.look(stop):
                told(happened)
            stop.wait(self._pace.every)

    def look(self, stop: threading.Event | None = None) -> Iterator[Event]:
        """Looks once, and does what is due. Stops after the present file if `stop` is set (rule 6)."""
        try:
            listed = self._list()
        except OSError as error:
            yield from self._trouble(
                "folder",
                BadInput(
                    f"The folder {called(self._folder)} cannot be listed; it is tried again.",
                    error.strerror or "",
                    "Check that it is there (a network folder: that it is connected), and who may read it.",
                ),
            )
            return
        yield from self._over("folder")
        for path in self._settling.new(listed):
            # What was done in an earlier life is known by its name, size and time, without reading it.
            if self._recorded(path, listed[path]):
                self._settling.done(path, listed[path])
                yield Event("before", self._name(path))
        for path in self._settling.look(listed, self._clock()):
            if stop is not None and stop.is_set():
                return
            try:
                yield from self._try(path, listed[path])
            except CloisterError as error:
                self._settling.tried(path, self._clock())
                yield from self._trouble("results", error)
            else:
                yield from self._over("results")
        unsent = self._results.send()
        if unsent is not None:
            yield from self._trouble("database", unsent)
        else:
            yield from self._over("database")

    def _list(self) -> dict[str, Signature]:
        listed = {}
        for entry in files_in(self._folder, self._suffixes, out=self._results.out):
            try:
                told = entry.stat()
            except OSError:
                continue
            # An empty file is one that nobody has begun to fill.
            if told.st_size:
                listed[entry.path] = (told.st_size, told.st_mtime_ns, told.st_ino)
        return listed

    def _recorded(self, path: str, signature: Signature) -> bool:
        results = self._results
        return results.record.seen(absolute(Path(path)), signature[0], signature[1], results.conditions)

    def _try(self, path: str, signature: Signature) -> Iterator[Event]:
        place, results = Path(path), self._results
        seen = stat_of(place)
        source = results.prepared.read(place, self._name(path))
        after = stat_of(place)
        if isinstance(source.error, NotFound) or seen is None or after is None:
            return
        if _signature(seen) != signature or _signature(after) != signature:
            return
        if results.kept(source, whole=False) is not None:
            self._settling.done(path, signature)
            yield Event("before", self._name(path))
            return
        last = self._settling.last_try(path)
        result = results.compute(source, seen, failures=last)
        if not result.ok and not last:
            self._settling.tried(path, self._clock())
            return
        self._settling.done(path, signature)
        yield Event("result" if result.ok else "failed", self._name(path), replace(result, outputs={}))

    def _name(self, path: str) -> str:
        return called(os.path.relpath(path, self._folder))

    def _trouble(self, where: str, error: CloisterError) -> Iterator[Event]:
        """Told once, not with every look."""
        if self._troubled.get(where) != error.what:
            self._troubled[where] = error.what
            yield Event("trouble", error=error)

    def _over(self, where: str) -> Iterator[Event]:
        if self._troubled.pop(where, None) is not None:
            yield Event("again")


def _signature(told: os.stat_result) -> Signature:
    return told.st_size, told.st_mtime_ns, told.st_ino
