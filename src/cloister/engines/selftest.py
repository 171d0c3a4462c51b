"""Methods with which an engine shows what it really can and cannot do: the operator's `doctor` and the tests call them.

`probe` tries what a confined worker must not be able to do and tells how each attempt ended; `misbehave` fails in a chosen way,
so that what the node makes of a failing worker can be seen.
"""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Result = tuple[dict[str, Any], dict[str, Any]]


def probe(arguments: Mapping[str, Any], _arrays: Mapping[str, Any]) -> Result:
    """Attempts and their outcomes: `done`, or the name of the error.

    Args:
        arguments: `read`, `write` and `open_up` (to other users), lists of paths to try.
        _arrays: not used.
    """
    outcomes: dict[str, Any] = {
        "connect": _outcome(lambda: socket.create_connection(("127.0.0.1", 9), 1).close()),
        "listen": _outcome(lambda: socket.socket().close()),
        "run": _outcome(lambda: subprocess.run([sys.executable, "-c", ""], check=True)),
        "process": _outcome(_process),
        "thread": _outcome(_thread),
        "signal": _outcome(lambda: os.kill(os.getppid(), 0)),
        "shared-memory": _outcome(_shared_memory),
        "limit": _outcome(_limit_of_the_parent),
        "environment": sorted(os.environ),
        "descriptors": _descriptors(),
    }
    for path in arguments.get("read", ()):
        outcomes[f"read {path}"] = _outcome(lambda path=path: Path(path).read_bytes())  # type: ignore[misc]  # binds the loop's value
    for path in arguments.get("write", ()):
        outcomes[f"write {path}"] = _outcome(lambda path=path: Path(path).write_bytes(b"x"))  # type: ignore[misc]  # as above
    for path in arguments.get("open_up", ()):
        outcomes[f"open up {path}"] = _outcome(lambda path=path: Path(path).chmod(0o666))  # type: ignore[misc]  # as above
    return outcomes, {}


def _process() -> None:
    """Another process, which the end of this one would not end."""
    child = os.fork()
    if child == 0:
        os._exit(0)
    os.waitpid(child, 0)


def _thread() -> None:
    threads = [threading.Thread(target=lambda: None) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def _shared_memory() -> None:
    """Memory that any process of the machine may map."""
    libc = ctypes.CDLL(None, use_errno=True)
    private, create = 0, 0o1666
    found = libc.shmget(private, 4096, create)
    if found < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmctl(found, 0, None)


def _limit_of_the_parent() -> None:
    import resource

    resource.prlimit(os.getppid(), resource.RLIMIT_NOFILE)


def _outcome(action: Callable[[], object]) -> str:
    try:
        action()
    except Exception as error:
        return type(error).__name__
    return "done"


def _descriptors() -> int:
    """How many files are open."""
    try:
        return len(os.listdir("/proc/self/fd"))  # noqa: PTH208 -- the count is all that matters
    except OSError:
        return -1


def misbehave(arguments: Mapping[str, Any], _arrays: Mapping[str, Any]) -> Result:
    """Fails as `how` says: `sleep`, `exit`, `raise`, `chatter` or `gorge` (takes memory without end)."""
    how = arguments.get("how")
    if how == "sleep":
        time.sleep(3600)
    if how == "exit":
        os._exit(3)
    if how == "raise":
        raise ValueError("record 17 says: " + str(arguments.get("text", "")))
    if how == "chatter":
        sys.stdout.write("x" * (1 << 20))
        sys.stderr.write("y" * (1 << 20))
    if how == "gorge":
        held = []
        while True:
            held.append(bytearray(64 << 20))
    return {"how": how}, {}
