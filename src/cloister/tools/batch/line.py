"""Files of a batch on their way through a tool: some at a time, finished in order.

Reading, labels and the record belong to the thread that runs the batch; what a tool makes of one file is made in a thread of
its own. A file waits with its work while it and those before it are too large to be in memory together.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Final

from cloister.data.images import image_size
from cloister.foundation.errors import CloisterError
from cloister.tools.batch.discovery import Found
from cloister.tools.manifest import takes_pictures
from cloister.tools.run import Prepared, Progress, Result, Source

TOGETHER: Final = 30_000_000
"""Pixels of the pictures that are at work at a time: two of 12 megapixels are, one of 50 is alone."""


class Job:
    """A file on its way.

    Args:
        prepared: the tool.
        item: the file.
        shown: what people call it.
        progress: told of its steps, but the last, while it is the first in line.
    """

    def __init__(self, prepared: Prepared, item: Found, shown: str, progress: Progress | None) -> None:
        self.shown = shown
        self.path = item.path
        self.missing = item.error is not None
        self.first = self.begun = False
        self.label = ""
        self.pixels = 0 if self.missing else _pixels(item.path, prepared)
        self.seen: os.stat_result | None = None
        self.source = Source(item.path, shown, None, "", item.error)
        self.work: Future[Result] | None = None
        self._prepared, self._told = prepared, progress

    def read(self) -> None:
        """Reads the file: not before its turn, since a large one takes room as it is."""
        if not self.missing:
            self.seen = stat_of(self.path)
            self.source = self._prepared.read(self.path, self.shown)

    def forget(self) -> None:
        """Lets go of what was read."""
        self.source = replace(self.source, value=None)

    def start(self, workers: ThreadPoolExecutor, label: str, out: Path | None) -> None:
        """Begins the work; its files are called `label` and go to the folder `out`; without one, nothing is drawn."""
        self.label = label
        self.work = workers.submit(
            self._prepared.run, self.source, label, out, self._progress, drawn=out is not None
        )

    def _progress(self, name: str, step: str, share: float) -> None:
        # That it is done says who takes the result: it may have been done before it was its turn.
        if self.first and self._told is not None and step != "done":
            self._told(name, step, share)


def jobs(
    prepared: Prepared,
    named: Iterable[tuple[Found, str]],
    begin: Callable[[Job, Collection[str]], None],
    progress: Progress | None = None,
) -> Iterator[Job]:
    """Each file when it is the first in line, its work begun.

    Args:
        prepared: the tool, and how many files it takes at a time.
        named: the files, and what people call them.
        begin: starts a job's work, or leaves it where nothing has to be done; told of the labels of those before it.
        progress: told of the steps of the first in line; that it is done is for the caller to say.
    """
    line: deque[Job] = deque()
    rest = iter(named)
    while True:
        while len(line) < prepared.at_once and (following := next(rest, None)) is not None:
            line.append(Job(prepared, *following, progress))
            line[0].first = True
            if len(line) == 1 or _fits(line):
                _begin(line[-1], begin, [job.label for job in list(line)[:-1]])
        if not line:
            return
        head = line[0]
        head.first = True
        if not head.begun:
            _begin(head, begin, ())
        yield head
        # With its result; the next file is read into memory before there is another head.
        del head
        line.popleft()


def _begin(job: Job, begin: Callable[[Job, Collection[str]], None], taken: Collection[str]) -> None:
    job.read()
    begin(job, taken)
    job.forget()
    job.begun = True


def _fits(line: deque[Job]) -> bool:
    """Whether the last may be at work beside those before it: there is room, all of them are, and none is the same file."""
    *before, last = line
    return sum(job.pixels for job in line) <= TOGETHER and all(
        job.begun and job.path != last.path for job in before
    )


def _pixels(path: Path, prepared: Prepared) -> int:
    """Of a picture, as its first bytes say; what is none takes no room."""
    if not takes_pictures(prepared.tool.manifest):
        return 0
    try:
        width, height = image_size(path, prepared.chosen.limits)
    except (CloisterError, OSError):
        return 0
    return width * height


def stat_of(path: Path) -> os.stat_result | None:
    """Size and times of a file; None if it cannot be looked at."""
    try:
        return path.stat()
    except OSError:
        return None
