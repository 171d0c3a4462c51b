"""Calibrations of one server: pictures of scales that people brought, until they are measured, and what was kept by name.

Rules:
1. A picture of a scale is opened in a confined worker that then ends; what is shown of it was encoded anew there.
2. It is held in memory for half an hour, for whoever brought it, and never written to disk: a calibration has its digest.
"""

from __future__ import annotations

import math
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path

from cloister.foundation.clock import Clock
from cloister.foundation.errors import NotFound, TaskFailed
from cloister.node.toolroom.recent import new_id
from cloister.node.toolroom.workers import Workers
from cloister.sizing.calibration import Calibration
from cloister.sizing.ruled_lines import RuledLines
from cloister.tools.calibrations import Calibrations

_HELD = 16
_HELD_SECONDS = 1800


@dataclass(frozen=True)
class Draft:
    """A picture of a scale that is not measured yet.

    Attributes:
        id: unguessable.
        owner: who brought it.
        at: when, seconds.
        name: of the file.
        size: width and height, pixels.
        digest: of the file.
        lines: equally spaced lines that were found in it, or None.
        why: there are none.
        picture: to look at, JPEG; may be smaller than `size`.
    """

    id: str
    owner: str
    at: int
    name: str
    size: tuple[int, int]
    digest: str
    lines: RuledLines | None
    why: str
    picture: bytes = field(repr=False)


class Scales:
    """The calibrations of one server.

    Args:
        folder: where they are kept.
        workers: in which pictures are opened.
        clock: tells the time.
    """

    def __init__(self, folder: Path, workers: Workers, clock: Clock) -> None:
        self.kept = Calibrations(folder)
        self._workers, self._clock = workers, clock
        self._lock = threading.Lock()
        self._drafts: OrderedDict[str, Draft] = OrderedDict()

    def bring(self, name: str, data: bytes, owner: str) -> Draft:
        """Looks at a picture of a scale. Callers give turns. Raises as `Workers.ruler`."""
        told, picture = self._workers.ruler(name, data)
        if told.lines is not None and not (
            all(map(math.isfinite, told.lines)) and told.lines[0] > 0 and told.lines[1] >= 0
        ):
            raise TaskFailed(
                "The worker's answer could not be used.", "Its lines are none.", "Report this.", phase="tool"
            )
        lines = None if told.lines is None else RuledLines(*told.lines)
        size = (told.size[0], told.size[1])
        draft = Draft(new_id(), owner, self._clock.now(), name, size, told.input, lines, told.why, picture)
        with self._lock:
            self._drafts[draft.id] = draft
            while len(self._drafts) > _HELD:
                self._drafts.popitem(last=False)
        return draft

    def draft(self, draft: str, owner: str) -> Draft:
        """A picture that this person brought. Raises `NotFound`."""
        with self._lock:
            for key in [k for k, item in self._drafts.items() if item.at + _HELD_SECONDS < self._clock.now()]:
                del self._drafts[key]
            found = self._drafts.get(draft)
        if found is None or found.owner != owner:
            raise NotFound(
                "This picture of a scale is not here any more.",
                "It is held for half an hour, and given to nobody else.",
                "Choose it again.",
            )
        return found

    def keep(self, draft: Draft, name: str, calibration: Calibration) -> None:
        """Keeps what was measured under a name, and forgets the picture. Raises as `Calibrations.keep`."""
        self.kept.keep(name, calibration)
        with self._lock:
            self._drafts.pop(draft.id, None)

    def clear(self) -> None:
        """Forgets all pictures."""
        with self._lock:
            self._drafts.clear()
