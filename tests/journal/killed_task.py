"""A process that runs a whole task on disk and kills itself at one point: `killed_task.py FOLDER PARTY POINT NTH SIZE`.

Every transmission is written to `FOLDER/transcript` before it is made, as the carrier would see it.
"""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

from toys import SEATS, programs

from cloister.foundation.digests import digest
from simulators.bus import Bus, Crash, Fate, Result, run_task


class RecordingBus(Bus):
    def __init__(self, transcript: Path) -> None:
        super().__init__(lambda _sent: Fate.DELIVER, 0)
        self._file = transcript

    def carry(self, sender, to, task, phase, kind, sequence, body):  # type: ignore[no-untyped-def]
        with self._file.open("a") as stream:
            stream.write(f"{sender[0]} {to[0]} {sequence} {kind} {digest(body)}\n")
        return super().carry(sender, to, task, phase, kind, sequence, body)

    def kill(self) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


def run(folder: Path, crashes: list[Crash], size: int) -> dict[str, Result]:
    """Runs, or goes on with, the task in a folder."""
    bus = RecordingBus(folder / "transcript")
    try:
        return run_task(programs(size=size), SEATS, crashes=crashes, bus=bus, folder=folder)
    finally:
        for seat in bus.seats.values():
            seat.durable.close()


if __name__ == "__main__":
    run(Path(sys.argv[1]), [Crash(sys.argv[2], sys.argv[3], int(sys.argv[4]))], int(sys.argv[5]))
