"""How much one machine lends to the tools of its page."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class RoomLimits:
    """Of one tool room.

    Attributes:
        file_bytes: of one dropped file.
        pixels: of one picture, width times height.
        rows: of one table.
        seconds: for one file, from when its turn has come.
        memory: private memory of a worker, bytes.
        live: workers kept warm.
        idle: seconds after which a worker that nobody used is ended.
        patience: seconds that a file waits for its turn.
        waiting: files of one person that wait at a time.
        waiting_bytes: of all files that wait.
        burst: files that one person may drop at once.
        per_hour: files of one person in the long run; one address may have twice as many.
        recent: results held in memory.
        recent_bytes: of these together.
        recent_seconds: how long.
        kept: samples kept on disk.
        kept_bytes: of these together.
        kept_file: of one of their files; a larger one is left out, and that is told.
        tool_bytes: of a tool's file that is installed through the page.
    """

    file_bytes: int = 100_000_000
    pixels: int = 60_000_000
    rows: int = 1_000_000
    seconds: float = 180.0
    memory: int = 3 << 30
    live: int = 2
    idle: float = 600.0
    patience: float = 120.0
    waiting: int = 8
    waiting_bytes: int = 256 << 20
    burst: int = 200
    per_hour: int = 2000
    recent: int = 400
    recent_bytes: int = 384 << 20
    recent_seconds: int = 3600
    kept: int = 100_000
    kept_bytes: int = 16 << 30
    kept_file: int = 32 << 20
    tool_bytes: int = 100_000_000


LIMITS = RoomLimits()
