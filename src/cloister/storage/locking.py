"""One process per folder: a lock that the operating system lets go when its holder dies.

Two nodes on one folder would give one identity two memories. The lock is on an open file, so a killed node leaves
nothing behind that would keep it from starting again.
"""

from __future__ import annotations

import contextlib
import os
import sys
from pathlib import Path

from cloister.foundation.errors import Conflict


class FolderLock:
    """Holds `<folder>/.lock` until `release`. Raises `Conflict` if another process holds it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._descriptor: int | None = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            _lock(self._descriptor)
        except OSError:
            os.close(self._descriptor)
            self._descriptor = None
            raise Conflict(
                f"Another process uses the folder {folder.name}.",
                "Two servers with one folder would be one party with two memories.",
                "Stop the other server, or give this one a folder of its own.",
                clause="one-node-per-folder",
            ) from None

    def release(self) -> None:
        """Lets the folder go."""
        if self._descriptor is not None:
            with contextlib.suppress(OSError):
                os.close(self._descriptor)
            self._descriptor = None


def _lock(descriptor: int) -> None:
    if sys.platform == "win32":
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
