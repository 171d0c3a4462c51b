"""The tool room: a file goes in, a result comes out, on this machine; the same for the page and the JSON interface.

Rules:
1. A dropped file is opened in a confined worker and nowhere else; it is never written to disk, and it is forgotten with its
   result. A result is on disk only after somebody asked to keep it.
2. Files wait in turns, fairly between people; number and bytes of what waits, time and memory of each are limited, and how often
   somebody may come. A refusal says which limit it was.
3. A tool whose certificate does not hold is not run.
4. The name that a file came with is shown, never used as a path.
"""

from __future__ import annotations

import contextlib
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cloister.foundation.clock import Clock
from cloister.foundation.errors import BadInput, CloisterError, Conflict, NotFound, Unreachable
from cloister.foundation.text import REPLACEMENT, readable
from cloister.node.toolroom.history import History, Pictures
from cloister.node.toolroom.limits import LIMITS, RoomLimits
from cloister.node.toolroom.paces import Paces
from cloister.node.toolroom.recent import Evidence, Recent, Sample, new_id
from cloister.node.toolroom.scales import Draft, Scales
from cloister.node.toolroom.shelf import Opened, Shelf
from cloister.node.toolroom.workers import Looked, Workers
from cloister.node.turns import Turns
from cloister.sizing.calibration import Calibration
from cloister.storage.database import Database
from cloister.tools.corrections import Found, Journal, Redo, Thing, Undo, correct, corrected, parse_outlines
from cloister.tools.corrections.edits import Change
from cloister.tools.serving import METHODS, cleaning_of

OUTLINES = "outlines.json"
_MAX_NAME = 120
_AGAIN = 30


@dataclass(frozen=True)
class Who:
    """Who uses a tool.

    Attributes:
        key: tells people apart: an account, or a visitor's address.
        name: for the record of a kept sample.
        address: where the request came from.
    """

    key: str
    name: str
    address: str


@dataclass(frozen=True)
class Corrected:
    """A result's outlines, and what people corrected.

    Attributes:
        found: by the tool.
        journal: of corrections.
    """

    found: Found
    journal: Journal

    def things(self) -> list[Thing]:
        """The objects as they are now."""
        return list(corrected(self.found, self.journal).values())


class ToolRoom:
    """Tools for the people of one machine; works without a node.

    Args:
        folder: of installed tools; calibrations lie in the folder `calibrations` beside it.
        database: for what is kept.
        clock: tells the time.
        limits: how much is lent.
        sent: bytes that this machine's node sent to other organisations so far; None if there is none.
        methods: what workers can do.
    """

    def __init__(
        self,
        folder: Path,
        database: Database,
        clock: Clock,
        *,
        limits: RoomLimits = LIMITS,
        sent: Callable[[], int | None] = lambda: None,
        methods: Mapping[str, str] = METHODS,
    ) -> None:
        self.limits = limits
        self._clock, self._sent = clock, sent
        self.workers = Workers(limits, methods)
        self.shelf = Shelf(folder, self.workers, clock, limits)
        self.history = History(database, clock, limits)
        self.scales = Scales(folder.with_name("calibrations"), self.workers, clock)
        self._recent = Recent(limits)
        self._paces = Paces(limits.burst, limits.per_hour)
        self._turns = Turns(limits.waiting)
        self._lock = threading.Lock()
        self._waiting_bytes = 0
        self._warming: set[str] = set()

    def run(
        self,
        tool: str,
        name: str,
        data: bytes,
        settings: Mapping[str, Any],
        um_per_pixel: float | None,
        who: Who,
        calibration: Calibration | None = None,
    ) -> Sample:
        """Runs a tool on one file.

        Args:
            tool: its name.
            name: that the file came with.
            data: the file's bytes.
            settings: what the person chose of what the tool lets one set, by name.
            um_per_pixel: of this picture, if it is known.
            who: dropped it.
            calibration: instead of `um_per_pixel`.

        Raises:
            TooOften: this person comes too often (clause `too-often`).
            BadInput: the file or a setting cannot be used.
            NotFound: there is no such tool.
            NotTrusted: the tool's certificate does not hold.
            Unreachable: too much waits already.
            TaskFailed: it took too long, or the worker stopped.
        """
        shown = self._taken(name, data, who)
        came = time.monotonic()
        opened = self.shelf.open(tool)
        with self._room_for(len(data)), self._turns.turn(who.key, self.limits.patience) as had:
            if not had:
                raise _busy()
            sent = self._sent()
            looked = self.workers.look(
                opened.package,
                who.key,
                shown,
                data,
                {
                    "settings": dict(settings),
                    "um_per_pixel": um_per_pixel,
                    "calibration": None if calibration is None else calibration.canonical().decode("utf-8"),
                },
            )
            since = self._sent()
        crossed = None if sent is None or since is None else since - sent
        waited = max(0.0, time.monotonic() - came - looked.told.seconds)
        sample = self._sample(opened, shown, looked, who, Evidence(looked.sandbox, crossed), waited)
        sample = replace(sample, calibration=calibration)
        self._recent.hold(sample, self._clock.now())
        return sample

    def bring_scale(self, name: str, data: bytes, who: Who) -> Draft:
        """Looks at a picture of a scale, in its turn; raises as `run`."""
        shown = self._taken(name, data, who)
        with self._room_for(len(data)), self._turns.turn(who.key, self.limits.patience) as had:
            if not had:
                raise _busy()
            return self.scales.bring(shown, data, who.key)

    def _taken(self, name: str, data: bytes, who: Who) -> str:
        """What a file is called that this person may bring now. Raises `TooOften`, `BadInput`."""
        shown = shown_name(name)
        with self._lock:
            self._paces.take(who.key, who.address, time.monotonic())
        if len(data) > self.limits.file_bytes:
            raise BadInput(
                f"{shown} is too large.",
                f"The limit is {self.limits.file_bytes // 1_000_000} MB.",
                "Save it as PNG or JPEG, or crop it.",
            )
        return shown

    def expect(self, opened: Opened, who: Who) -> None:
        """Has a worker ready for a person who is about to drop a file, if one is free; returns at once and never fails.

        One at a time for each tool: however often a page is looked at, no more is begun than is of use.
        """
        tool = opened.package.tool.digest
        with self._lock:
            if tool in self._warming or not self.workers.lacks(tool, who.key):
                return
            self._warming.add(tool)
        thread = threading.Thread(target=self._warm, args=(opened, who), name="tool-warming", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the system has no more threads: the file will wait a little longer
            with self._lock:
                self._warming.discard(tool)

    def _warm(self, opened: Opened, who: Who) -> None:
        try:
            # What goes wrong here goes wrong again, with an answer, when a file comes.
            with (
                contextlib.suppress(CloisterError, OSError, RuntimeError),
                self._turns.turn(who.key, 0.0) as had,
            ):
                if had:
                    self.workers.warm(opened.package, who.key)
        finally:
            with self._lock:
                self._warming.discard(opened.package.tool.digest)

    # Results -------------------------------------------------------------------------------------------------------

    def sample(self, sample: str, who: Who) -> Sample:
        """A result: one's own from memory, or a kept one. Raises `NotFound`."""
        found = self._recent.get(sample, who.key, self._clock.now())
        return self.history.get(sample) if found is None else found

    def file(self, sample: str, name: str, who: Who) -> bytes:
        """One of a result's files. Raises `NotFound`."""
        found = self._recent.get(sample, who.key, self._clock.now())
        if found is not None and name in found.files:
            return found.files[name]
        return self.history.file(sample, name)

    def corrections(self, sample: str, who: Who) -> Corrected:
        """A result's outlines with what people corrected. Raises `NotFound`: no such result, or its tool gives no outlines."""
        recent = self._recent.get(sample, who.key, self._clock.now())
        journal = self.history.journal(sample) if recent is None else recent.journal
        return Corrected(self._outlines(sample, who), journal)

    def correct(self, sample: str, edit: Change | Undo | Redo, after: int, key: str, who: Who) -> Corrected:
        """Corrects a result's outlines by one entry of its journal (see `tools.corrections`).

        Args:
            sample: the result.
            edit: what to change.
            after: how many entries the person had seen.
            key: drawn for this correction, so that sending it twice does it once.
            who: corrects.

        Raises:
            NotFound: there is no such result, or its tool gives no outlines.
            BadInput: the correction cannot be made.
            Conflict: others corrected meanwhile.
        """
        found = self._outlines(sample, who)

        def change(journal: Journal) -> Journal:
            return correct(
                found,
                journal,
                edit,
                after=after,
                key=key,
                who=who.name,
                whose=who.key,
                at=self._clock.now(),
            )

        recent = self._recent.correct(sample, who.key, self._clock.now(), change)
        journal = self.history.correct(sample, change) if recent is None else recent.journal
        return Corrected(found, journal)

    def cleaned(self, sample: str, who: Who) -> bytes:
        """A cleaned copy of a result's picture, PNG or JPEG, in which its objects are as they were; nothing of it is stored.

        Args:
            sample: the result.
            who: asks.

        Raises:
            NotFound: there is no such result; its picture or outlines were not kept; its tool makes no cleaned picture.
            Conflict: another version of the tool is in use by now.
            TooOften, Unreachable, TaskFailed: as of `run`.
        """
        found = self.sample(sample, who)
        name = next((name for name in sorted(found.files) if name.startswith("original.")), "")
        if not name:
            raise NotFound(
                "The picture itself is not here.",
                "It was not kept with the result.",
                "Drop it again, or keep the next one with the original.",
            )
        state = self.corrections(sample, who)
        opened = self.shelf.open(found.tool)
        if opened.package.tool.digest != found.digest:
            raise Conflict(
                "Another version of the tool is in use by now.",
                "A cleaned picture is made by the tool that outlined its objects.",
                "Drop the picture again.",
            )
        cleaning_of(opened.manifest)
        data = self.file(sample, name, who)
        with self._lock:
            self._paces.take(who.key, who.address, time.monotonic())
        with self._room_for(len(data)), self._turns.turn(who.key, self.limits.patience) as had:
            if not had:
                raise _busy()
            return self.workers.clean(
                opened.package,
                who.key,
                found.file,
                data,
                [thing.points for thing in state.things()],
                {"settings": dict(found.settings), "um_per_pixel": found.um_per_pixel},
            )

    def _outlines(self, sample: str, who: Who) -> Found:
        self.sample(sample, who)
        try:
            content = self.file(sample, OUTLINES, who)
        except NotFound:
            raise NotFound(
                "This result has no outlines.",
                "Its tool does not give them, or they were too large to keep.",
                "Correct the result of a tool that outlines what it finds.",
            ) from None
        return parse_outlines(content)

    def recent(self, who: Who) -> list[Sample]:
        """A person's results that are not kept, newest first."""
        return self._recent.of(who.key, self._clock.now())

    def keep(self, sample: str, label: str, pictures: Pictures, who: Who) -> tuple[str, ...]:
        """Puts a result of one's own on disk; gives the names of files that were too large to keep.

        Raises:
            NotFound: there is no such result in memory any more.
            BadInput: the label cannot be used.
            OutOfSpace: as many samples are kept as this server keeps.
        """
        found = self._recent.get(sample, who.key, self._clock.now())
        if found is None:
            self.history.get(sample)  # kept already, or NotFound
            return ()
        left_out = self.history.keep(found, label, who.name, pictures)
        self._recent.drop(sample)
        return left_out

    def drop(self, sample: str, who: Who) -> None:
        """Forgets a result that is not kept; nothing happens if there is none."""
        if self._recent.get(sample, who.key, self._clock.now()) is not None:
            self._recent.drop(sample)

    def close(self) -> None:
        """Ends the workers and forgets what is in memory."""
        self._turns.close()
        self.workers.close()
        self._recent.clear()
        self.scales.clear()

    # Inside --------------------------------------------------------------------------------------------------------

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        with self._lock:
            if self._waiting_bytes + size > self.limits.waiting_bytes:
                raise _busy()
            self._waiting_bytes += size
        try:
            yield
        finally:
            with self._lock:
                self._waiting_bytes -= size

    def _sample(
        self, opened: Opened, shown: str, looked: Looked, who: Who, evidence: Evidence, waited: float
    ) -> Sample:
        manifest, told = opened.manifest, looked.told
        return Sample(
            id=new_id(),
            owner=who.key,
            at=self._clock.now(),
            tool=manifest.name,
            title=manifest.title,
            version=manifest.version,
            digest=opened.package.tool.digest,
            models=told.models,
            certificate=manifest.certificate,
            input=told.input,
            file=shown,
            size=None if told.size is None else (told.size[0], told.size[1]),
            count=told.count,
            figures=told.figures,
            um_per_pixel=told.um_per_pixel,
            settings=told.settings,
            warnings=tuple(told.warnings),
            alternative=told.alternative,
            seconds=told.seconds,
            waited=waited,
            evidence=evidence,
            files=looked.files,
        )


def shown_name(name: str) -> str:
    """What a file is called on pages: the last part of the name it came with, made fit to be seen (rule 4)."""
    last = re.split(r"[/\\]", name)[-1]
    seen = readable(last).replace("\n", REPLACEMENT).strip()
    if len(seen) > _MAX_NAME:
        seen = seen[: _MAX_NAME // 2] + "…" + seen[-_MAX_NAME // 3 :]
    return seen if seen.strip(".") else "Picture"


def _busy() -> Unreachable:
    return Unreachable(
        "The tools are busy.",
        "As many files wait as this server holds at a time.",
        "Try again in a minute.",
        clause="busy",
        retry_after=_AGAIN,
    )
