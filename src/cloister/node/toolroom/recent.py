"""Results held in memory for a while, so that a person can look at them and say whether to keep them.

Rules:
1. A result is given only to the person (or visitor) who dropped the file; to others there is none by that id.
2. Ids are unguessable. Nothing of a result is on disk before somebody asks to keep it.
3. Number, bytes and time are bounded; the oldest go first, and of those who hold more than a fair part, theirs.
"""

from __future__ import annotations

import hmac
import secrets
import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from cloister.node.toolroom.limits import RoomLimits
from cloister.node.toolroom.workers import Figures
from cloister.sizing.calibration import Calibration
from cloister.tools.corrections import EMPTY, Journal


@dataclass(frozen=True)
class Evidence:
    """Why one may believe that nothing left this machine.

    Attributes:
        sandbox: measure → `enforced`, or why not, of the worker that opened the file (see `engines.sandbox`).
        sent: bytes that this server sent to other organisations while it worked, for other tasks; None without a node, which
            has no connection to anybody.
    """

    sandbox: Mapping[str, str]
    sent: int | None = None

    @property
    def holds(self) -> bool:
        """Whether the worker could neither reach a network nor open a file."""
        return all(
            self.sandbox.get(measure) == "enforced" for measure in ("network", "system-calls", "files")
        )


@dataclass(frozen=True)
class Sample:
    """What a tool found in one file.

    Attributes:
        id: unguessable.
        owner: who dropped it; nobody else is given it before it is kept. Empty where that is not known of a kept one.
        at: when, seconds since the epoch.
        tool: the tool's name.
        title: of the tool, for people.
        version: of the tool.
        digest: of the tool's manifest.
        models: digests by name.
        certificate: digest of the tool's certificate, or None where nobody vouches for it.
        input: digest of the file.
        file: what it was called.
        size: (width, height) of a picture.
        count: of objects, if the tool counts.
        figures: numbers, units and histograms.
        um_per_pixel: as it was computed with; None: lengths are in pixels.
        settings: that the person chose.
        warnings: why the result is doubtful.
        alternative: the overlay in words.
        seconds: that the tool took.
        waited: seconds before it began, for other people's files and for a worker's start.
        evidence: that nothing left this machine.
        files: by name, of `tools.serving.FILES`.
        state: whether it is only in memory, or kept.
        label: of a kept one.
        who: kept it.
        journal: what people corrected; of a kept one it is not here but beside it (`history.History.journal`).
        calibration: where the size of a pixel comes from; None if it was only stated.
    """

    id: str
    owner: str
    at: int
    tool: str
    title: str
    version: str
    digest: str
    models: Mapping[str, str]
    certificate: str | None
    input: str
    file: str
    size: tuple[int, int] | None
    count: int | None
    figures: Figures
    um_per_pixel: float | None
    settings: Mapping[str, Any]
    warnings: tuple[str, ...]
    alternative: str
    seconds: float
    waited: float
    evidence: Evidence
    files: Mapping[str, bytes] = field(repr=False)
    state: Literal["recent", "kept"] = "recent"
    label: str = ""
    who: str = ""
    journal: Journal = EMPTY
    calibration: Calibration | None = None

    @property
    def bytes(self) -> int:
        """Of all its files."""
        return sum(len(content) for content in self.files.values())


def new_id() -> str:
    """An id that nobody guesses (192 bits)."""
    return secrets.token_hex(24)


class Recent:
    """Results in memory. Safe for many threads.

    Args:
        limits: of the room.
    """

    def __init__(self, limits: RoomLimits) -> None:
        self._limits = limits
        self._lock = threading.Lock()
        self._held: OrderedDict[str, Sample] = OrderedDict()

    def hold(self, sample: Sample, now: int) -> None:
        """Holds a result; others may go for it (rule 3)."""
        with self._lock:
            self._expire(now)
            self._held[sample.id] = sample
            while len(self._held) > self._limits.recent or self._bytes() > self._limits.recent_bytes:
                if len(self._held) == 1:
                    break
                self._held.pop(self._first_to_go(sample.id))

    def get(self, sample: str, owner: str, now: int) -> Sample | None:
        """A person's result by id (rule 1)."""
        with self._lock:
            self._expire(now)
            found = self._held.get(sample)
        return (
            found if found is not None and hmac.compare_digest(found.owner.encode(), owner.encode()) else None
        )

    def correct(
        self, sample: str, owner: str, now: int, change: Callable[[Journal], Journal]
    ) -> Sample | None:
        """A person's result with a journal that `change` made of the one it had; nobody else changes it meanwhile."""
        with self._lock:
            self._expire(now)
            found = self._held.get(sample)
            if found is None or not hmac.compare_digest(found.owner.encode(), owner.encode()):
                return None
            self._held[sample] = replace(found, journal=change(found.journal))
            return self._held[sample]

    def of(self, owner: str, now: int) -> list[Sample]:
        """A person's results, newest first."""
        with self._lock:
            self._expire(now)
            return [sample for sample in reversed(self._held.values()) if sample.owner == owner]

    def drop(self, sample: str) -> None:
        """Forgets a result."""
        with self._lock:
            self._held.pop(sample, None)

    def clear(self) -> None:
        """Forgets all."""
        with self._lock:
            self._held.clear()

    def _bytes(self) -> int:
        return sum(sample.bytes for sample in self._held.values())

    def _expire(self, now: int) -> None:
        before = now - self._limits.recent_seconds
        for name in [name for name, sample in self._held.items() if sample.at < before]:
            del self._held[name]

    def _first_to_go(self, newest: str) -> str:
        """The oldest of whoever holds most bytes; never the newest of all."""
        totals: dict[str, int] = {}
        for sample in self._held.values():
            totals[sample.owner] = totals.get(sample.owner, 0) + sample.bytes
        greedy = sorted(totals, key=lambda owner: totals[owner], reverse=True)
        return next(
            name
            for owner in greedy
            for name, sample in self._held.items()
            if sample.owner == owner and name != newest
        )
