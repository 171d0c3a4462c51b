"""Starts, kills and stops the demonstration's processes; none outlives it.

Each process is this same program (`python -m cloister.cli.main …`) in a session of its own, with its output in a log
file in its folder. Stopping sends SIGTERM, then SIGKILL to the whole process group, so that worker processes go too.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from cloister.foundation.errors import CloisterError


@dataclass
class Process:
    """One running part: a name, its log, and the process itself."""

    name: str
    arguments: Sequence[str]
    folder: Path
    environment: Mapping[str, str]
    handle: subprocess.Popen[bytes] | None = field(default=None, repr=False)

    @property
    def log(self) -> Path:
        """Where its output goes."""
        return self.folder / f"{self.name}.log"

    def start(self) -> None:
        """Starts it (again)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            self.handle = subprocess.Popen(
                [sys.executable, "-m", "cloister.cli.main", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=dict(self.environment),
                start_new_session=True,
            )

    def kill(self) -> None:
        """SIGKILL, at once, as a power cut would."""
        self._signal(signal.SIGKILL if hasattr(signal, "SIGKILL") else signal.SIGTERM)
        if self.handle is not None:
            self.handle.wait(timeout=10)

    def stop(self, patience: float = 5.0) -> None:
        """SIGTERM, and SIGKILL to what is left after `patience` seconds."""
        if self.handle is None or self.handle.poll() is not None:
            self._signal(signal.SIGTERM)
            return
        self._signal(signal.SIGTERM)
        try:
            self.handle.wait(timeout=patience)
        except subprocess.TimeoutExpired:
            self.kill()

    def running(self) -> bool:
        """Whether it runs."""
        return self.handle is not None and self.handle.poll() is None

    def last_words(self, lines: int = 8) -> str:
        """The end of its log."""
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])
        except OSError:
            return ""

    def _signal(self, number: int) -> None:
        if self.handle is None:
            return
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg"):
                os.killpg(self.handle.pid, number)
            else:
                self.handle.send_signal(number)


class Processes:
    """All of them; leaving the context stops every one."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self.environment = environment
        self.all: dict[str, Process] = {}
        self.peak = 0
        self._ended = threading.Event()
        threading.Thread(target=self._watch, name="memory", daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self._ended.set()
        for process in reversed(self.all.values()):
            process._signal(signal.SIGTERM)  # noqa: SLF001 - all at once, then wait for each
        for process in reversed(self.all.values()):
            process.stop()

    def start(self, name: str, arguments: Sequence[str], folder: Path, **environment: str) -> Process:
        """Starts a part."""
        process = Process(name, arguments, folder, {**self.environment, **environment})
        process.start()
        self.all[name] = process
        return process

    def run(self, arguments: Sequence[str], *, input_text: str | None = None, **environment: str) -> str:
        """Runs a command to its end and returns what it printed. Raises `CloisterError` if it fails."""
        done = subprocess.run(
            [sys.executable, "-m", "cloister.cli.main", *arguments],
            input=input_text,
            capture_output=True,
            text=True,
            env={**self.environment, **environment},
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            raise CloisterError(
                f"The command “cloister {' '.join(arguments[:2])}” failed with exit code {done.returncode}.",
                (done.stderr.strip() or done.stdout.strip())[-600:],
                "Run the demonstration with --keep DIR and read the logs there.",
            )
        return done.stdout

    def _watch(self) -> None:
        while not self._ended.wait(1.0):
            self.peak = max(self.peak, self.memory())

    def memory(self) -> int:
        """Bytes of memory that the parts and all their descendants use now (Linux; elsewhere 0).

        What processes share (libraries, for example) is divided among them: the kernel's proportional set size.
        """
        parents: dict[int, int] = {}
        for entry in Path("/proc").glob("[0-9]*"):
            with contextlib.suppress(OSError, ValueError, IndexError):
                parents[int(entry.name)] = int((entry / "stat").read_text().rsplit(")", 1)[1].split()[1])
        ours = {process.handle.pid for process in list(self.all.values()) if process.handle is not None}
        grew = True
        while grew:
            # Workers are in sessions of their own, so descent counts, not the process group.
            found = {pid for pid, parent in parents.items() if parent in ours} - ours
            ours |= found
            grew = bool(found)
        return sum(_proportional(pid) for pid in ours)


def _proportional(pid: int) -> int:
    with contextlib.suppress(OSError, ValueError, IndexError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def wait_for(path: Path, process: Process, seconds: float = 20.0) -> None:
    """Waits until `path` exists. Raises `CloisterError` with the process's last words if it does not come."""
    end = time.monotonic() + seconds
    while not path.exists():
        if not process.running() or time.monotonic() > end:
            raise CloisterError(
                f"{process.name} did not start.",
                process.last_words(),
                "Free the port or the memory that it lacks and try again.",
            )
        time.sleep(0.05)
