"""What is measured of Flower's rounds, at the server: seconds, processor time of all its processes, bytes of the replies."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any


class Rounds:
    def __init__(self, told: str) -> None:
        self.told = told
        self.begun: list[float] = []
        self.ended: list[float] = []
        self.used, self.up = 0.0, 0

    def begin(self) -> None:
        if not self.begun:
            self.used = -processor_seconds()
        self.begun.append(time.monotonic())

    def end(self) -> None:
        self.ended.append(time.monotonic())

    def tell(self, reached: Any) -> None:
        """Writes it down, beside the first and the last value of what was reached."""
        count = len(self.ended)
        told = {
            "seconds": [after - before for before, after in zip(self.begun, self.ended, strict=True)],
            "cpu": (self.used + processor_seconds()) / count,
            "up": self.up / count,
            "reached": [float(reached.min()), float(reached.max())],
        }
        Path(self.told).write_text(json.dumps(told))


class Counted:
    """A grid that counts the bytes of the replies' contents, as ours counts the bodies of messages."""

    def __init__(self, grid: Any, measured: Rounds) -> None:
        self._grid, self._measured = grid, measured

    def __getattr__(self, name: str) -> Any:
        return getattr(self._grid, name)

    def send_and_receive(self, messages: Any, **options: Any) -> list[Any]:
        replies = list(self._grid.send_and_receive(messages, **options))
        for reply in replies:
            if reply.has_content():
                self._measured.up += sum(record.count_bytes() for record in reply.content.values())
        return replies


def processor_seconds() -> float:
    """Of all processes of this run and those that they waited for; zero where the system does not tell (Linux does)."""
    mark = f"FLWR_HOME={os.environ['FLWR_HOME']}".encode()
    ticks = 0
    for place in Path("/proc").glob("[0-9]*"):
        try:
            if mark in (place / "environ").read_bytes().split(b"\0"):
                ticks += sum(map(int, (place / "stat").read_text().rpartition(")")[2].split()[11:15]))
        except OSError:
            continue
    return ticks / os.sysconf("SC_CLK_TCK") if ticks else 0.0
