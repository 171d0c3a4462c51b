"""What confines a worker, applied by the worker to itself before it reads anything but its settings.

Each measure is tried and reported as it really is: `enforced`, or why not. Rules:
1. No measure is reported that was not confirmed by the system.
2. A worker whose caller demands a measure that cannot be had does not start.
3. Nothing here needs privileges; as an ordinary user in an ordinary container most of it holds.

| measure | what holds |
|---|---|
| session | own session and process group: it can be killed as a whole |
| parent | it dies with its parent (Linux: the kernel's signal; everywhere: end of its input) |
| core-dumps | no memory image is ever written, and other processes of the user cannot attach |
| memory | private memory is capped |
| open-files | 256 |
| privileges | it can gain none, not even through setuid programs |
| system-calls | no sockets, no other programs or processes, no namespaces, tracing, mounts, io_uring; nothing shared with, and no signal or limit to, other processes; no modes, owners, times or attributes of files changed (see `seccomp`) |
| files | only its runtime and the folders given are readable, only its cache is writable (see `landlock`) |
| network | follows from system-calls |
| environment | nothing of the node's environment is passed on |
| niceness | it yields to the node |
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path
from typing import Any

ENFORCED = "enforced"
MEASURES = (
    "session",
    "parent",
    "core-dumps",
    "memory",
    "open-files",
    "privileges",
    "system-calls",
    "files",
    "network",
    "environment",
    "niceness",
)


def enter(settings: dict[str, Any]) -> dict[str, str]:
    """Confines this process; see the table above.

    Args:
        settings: `memory` (bytes), `niceness`, `parent` (process id), `readable` (paths, or None for no confinement of
            files), `writable` (paths).

    Returns:
        Measure → `enforced` or the reason why not.
    """
    report: dict[str, str] = {"environment": ENFORCED}
    if sys.platform == "win32":
        return {measure: report.get(measure, "not available on Windows") for measure in MEASURES} | {
            "parent": "by the end of its input"
        }
    _try(report, "session", lambda: None if os.getsid(0) == os.getpid() else "it shares its parent's session")
    _try(report, "niceness", lambda: _nice(int(settings["niceness"])))
    _try(report, "open-files", lambda: _limit("RLIMIT_NOFILE", 256))
    if sys.platform != "linux":
        report["parent"] = "by the end of its input"
        _try(report, "core-dumps", lambda: _limit("RLIMIT_CORE", 0))
        for measure in MEASURES:
            report.setdefault(measure, "available on Linux only")
        return report
    libc = ctypes.CDLL(None, use_errno=True)
    _try(report, "core-dumps", lambda: _limit("RLIMIT_CORE", 0) or _control(libc, 4, 0))
    _try(report, "memory", lambda: _limit("RLIMIT_DATA", int(settings["memory"])))
    _try(
        report,
        "parent",
        lambda: (
            _control(libc, 1, signal.SIGKILL)
            or (None if os.getppid() == settings["parent"] else "its parent is gone")
        ),
    )
    _try(report, "privileges", lambda: _control(libc, 38, 1))
    _try(report, "files", lambda: _files(settings))
    _try(report, "system-calls", _system_calls)
    report["network"] = report["system-calls"]
    return report


def _try(report: dict[str, str], measure: str, action: Callable[[], str | None]) -> None:
    try:
        report[measure] = action() or ENFORCED
    except (OSError, ValueError, AttributeError, ImportError) as error:
        report[measure] = f"not available here ({type(error).__name__})"


def _limit(name: str, value: int) -> str | None:
    import resource

    kind = getattr(resource, name)
    _, hard = resource.getrlimit(kind)
    ceiling = value if hard == resource.RLIM_INFINITY else min(value, hard)
    resource.setrlimit(kind, (ceiling, ceiling))
    return None if resource.getrlimit(kind)[0] == ceiling else "the limit was not taken"


def _nice(value: int) -> str | None:
    os.nice(value)
    return None


def _control(libc: ctypes.CDLL, option: int, value: int) -> str | None:
    if libc.prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return None


def _system_calls() -> str | None:
    import socket

    from cloister.engines import seccomp

    seccomp.install()
    try:
        socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()
    except PermissionError:
        return None
    return "the filter did not take"


def _files(settings: dict[str, Any]) -> str | None:
    from cloister.engines import landlock

    if settings["readable"] is None:
        return "not asked for"
    landlock.restrict([*runtime_folders(), *settings["readable"]], settings["writable"])
    return None


def runtime_folders() -> list[str]:
    """What Python and its libraries need to read."""
    import cloister

    own = [str(Path(path).resolve().parent) for path in cloister.__path__]
    paths = sysconfig.get_paths()
    return [
        sys.prefix,
        sys.base_prefix,
        paths["stdlib"],
        paths["purelib"],
        paths["platlib"],
        *own,
        "/usr",
        "/lib",
        "/lib64",
        "/etc/ld.so.cache",
        "/etc/localtime",
        "/proc/self",
        "/proc/cpuinfo",
        "/proc/meminfo",
        "/proc/stat",
        "/sys/devices/system",
        "/sys/fs/cgroup",
        "/dev/null",
        "/dev/urandom",
        "/dev/random",
        "/dev/zero",
    ]
