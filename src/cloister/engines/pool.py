"""The node's side of a worker: `Engine.call` by name, with a time limit; started on demand, replaced after a crash.

Rules:
1. A call ends with a result, or with a `CloisterError`; a worker that exceeds its time is killed with all its processes.
2. A worker gets nothing of the node's environment, and no open file but its three streams.
3. What a worker writes to standard error stays here, bounded; it is never part of an error.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

import numpy as np

from cloister.engines.frames import DEFAULT_LIMITS, FrameLimits, read_frame, write_frame
from cloister.engines.methods import check_table
from cloister.foundation.canonical import JSON
from cloister.foundation.errors import CloisterError, Refused, TaskFailed, from_problem

# The kernel's "parent died" signal follows the thread that started a worker, so one thread that lives as long as the process
# starts them all.
_SPAWNER = ThreadPoolExecutor(1, thread_name_prefix="engine-spawner")
_START_SECONDS = 60.0
_LOG_CHUNKS = 64
DEFAULT_SECONDS = 600.0


class Engine:
    """A sandboxed worker process.

    Args:
        methods: name → `cloister.package.module:function`, all that the worker can do.
        memory: cap of private memory in bytes.
        folders: what may be read besides the runtime; None does not confine files (also where the kernel cannot).
        cache: a private folder (0700) for compiled programs; None compiles anew in every process.
        threads: of numerical libraries. One by default: several nodes share a machine, and spinning threads hurt all.
        niceness: how much the worker yields.
        demands: measures of `sandbox` without which it must not run.
        limits: of messages.
    """

    def __init__(
        self,
        methods: Mapping[str, str],
        *,
        memory: int = 4 << 30,
        folders: Sequence[Path] | None = None,
        cache: Path | None = None,
        threads: int = 1,
        niceness: int = 5,
        demands: Sequence[str] = (),
        limits: FrameLimits = DEFAULT_LIMITS,
    ) -> None:
        self._methods = check_table(methods)
        self._memory, self._threads, self._niceness = memory, threads, niceness
        self._folders = None if folders is None else [str(Path(folder).resolve()) for folder in folders]
        self._cache = cache
        self._demands = tuple(demands)
        self._limits = limits
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._report: dict[str, str] = {}
        self._log: deque[bytes] = deque(maxlen=_LOG_CHUNKS)
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(
        self,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, np.ndarray] | None = None,
        deadline: float = DEFAULT_SECONDS,
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Runs a method in the worker; one call at a time.

        Args:
            method: a name of the table.
            arguments: JSON values.
            arrays: numeric arrays.
            deadline: seconds from now, starting the worker included.

        Raises:
            TaskFailed: it did not finish in time, or the worker stopped; the next call starts a new one.
            CloisterError: what the method raised.
        """
        with self._lock:
            if self._closed:
                raise TaskFailed("The engine is closed.", "", "Start a new one.", phase="engine")
            runner = ThreadPoolExecutor(1, thread_name_prefix="engine-call")
            try:
                header, values = runner.submit(
                    self._exchange, method, dict(arguments), dict(arrays or {})
                ).result(deadline)
            except FutureTimeout:
                self._kill()
                raise TaskFailed(
                    f"The engine did not finish {method[:60]!a} in time.",
                    f"It was stopped after {deadline:g} seconds.",
                    "Allow more time or less work.",
                    phase="engine",
                ) from None
            except (EOFError, BrokenPipeError, ConnectionError):
                code = self._kill()
                raise TaskFailed(
                    "The engine stopped unexpectedly.",
                    _cause(code),
                    "Try again; see the server's log.",
                    phase="engine",
                ) from None
            except CloisterError:
                self._kill()
                raise
            finally:
                runner.shutdown(wait=False)
        if "error" in header:
            raise from_problem(header["error"] if isinstance(header["error"], dict) else {})
        result = header.get("result")
        return (result if isinstance(result, dict) else {}), values

    def allow(self, *folders: Path) -> None:
        """Lets the worker read further folders. A confinement cannot be widened: a running worker is replaced at its next call."""
        with self._lock:
            if self._folders is None:
                return
            wanted = [str(folder.resolve()) for folder in folders]
            if not set(wanted) <= set(self._folders):
                self._folders = sorted({*self._folders, *wanted})
                self._kill()

    def sandbox_report(self) -> dict[str, str]:
        """What really confines the worker: measure → `enforced` or the reason why not. Starts it if need be."""
        with self._lock:
            if self._process is None or self._process.poll() is not None:
                self._start()
            return dict(self._report)

    def log_tail(self) -> str:
        """The end of what the worker wrote to standard error, at most 64 KiB; for the operator's eyes only."""
        return b"".join(self._log)[-65536:].decode("utf-8", "replace")

    @property
    def pid(self) -> int | None:
        """The worker's process id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

    def close(self) -> None:
        """Ends the worker."""
        self._closed = True
        self._kill()

    def _exchange(
        self, method: str, arguments: dict[str, JSON], arrays: dict[str, np.ndarray]
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        if self._process is None or self._process.poll() is not None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        write_frame(process.stdin, {"method": method, "arguments": arguments}, arrays, self._limits)
        return read_frame(process.stdout, self._limits)

    def _start(self) -> None:
        self._kill()
        cache = None if self._cache is None else private_folder(self._cache)
        process = _SPAWNER.submit(self._spawn, cache).result(_START_SECONDS)
        self._process = process
        assert process.stdin is not None
        assert process.stdout is not None
        threading.Thread(target=self._drain, args=(process,), daemon=True).start()
        settings = {
            "methods": self._methods,
            "memory": self._memory,
            "niceness": self._niceness,
            "parent": os.getpid(),
            "readable": self._folders,
            "writable": [] if cache is None else [cache],
            "limits": asdict(self._limits),
        }
        process.stdin.write(json.dumps(settings).encode() + b"\n")
        process.stdin.flush()
        greeting, _ = read_frame(process.stdout, self._limits)
        report = greeting.get("sandbox")
        self._report = (
            {str(key): str(value) for key, value in report.items()} if isinstance(report, dict) else {}
        )
        missing = [measure for measure in self._demands if self._report.get(measure) != "enforced"]
        if missing:
            reasons = "; ".join(f"{measure}: {self._report.get(measure, 'unknown')}" for measure in missing)
            raise Refused(
                "The engine is not confined as demanded.",
                reasons,
                "Run on a system that offers it (Linux 5.13 or newer); an operator can accept less, see the server's settings.",
                clause="sandbox",
            )

    def _spawn(self, cache: str | None) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-I", "-m", "cloister.engines.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(self._threads, cache),
            cwd=os.path.abspath(os.sep),  # noqa: PTH100 -- the file system's root on every system
            start_new_session=True,
        )

    def _drain(self, process: subprocess.Popen[bytes]) -> None:
        assert process.stderr is not None
        with contextlib.suppress(OSError, ValueError):
            while chunk := os.read(process.stderr.fileno(), 1024):
                self._log.append(chunk)

    def _kill(self) -> int | None:
        process, self._process = self._process, None
        if process is None:
            return None
        ended = process.poll()
        if ended is None:
            with contextlib.suppress(OSError):
                if sys.platform == "win32":
                    process.kill()
                else:
                    # Its own session: the group is the worker and whatever it may have started.
                    os.killpg(process.pid, signal.SIGKILL)
        code = process.wait(10)
        for stream in (process.stdin, process.stdout, process.stderr):
            with contextlib.suppress(OSError, ValueError):
                if stream is not None:
                    stream.close()
        return code if ended is None else ended


def _cause(code: int | None) -> str:
    if code is None or code == -signal.SIGTERM:
        return "It was ended from outside."
    if code < 0:
        return f"It was ended by signal {-code}, as happens where memory runs out."
    return f"It ended with code {code}."


def environment(threads: int, cache: str | None) -> dict[str, str]:
    """All that a worker finds in its environment: how many threads libraries may use, and where compiled programs lie."""
    count = str(threads)
    flags = "" if threads > 1 else "--xla_cpu_multi_thread_eigen=false"
    result = {
        "PATH": os.defpath,
        "LANG": "C.UTF-8",
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": flags,
        "NPROC": count,
        "PJRT_NPROC": count,
        "OMP_NUM_THREADS": count,
        "OPENBLAS_NUM_THREADS": count,
        "MKL_NUM_THREADS": count,
        "TF_CPP_MIN_LOG_LEVEL": "2",
        # Two arenas and early return of memory: a worker of many short-lived arrays stays small.
        "MALLOC_ARENA_MAX": "2",
        "MALLOC_TRIM_THRESHOLD_": "1048576",
        "MALLOC_MMAP_THRESHOLD_": "1048576",
    }
    if cache is not None:
        result |= {
            "JAX_COMPILATION_CACHE_DIR": cache,
            "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.3",
            "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "0",
        }
    for name in ("SYSTEMROOT", "WINDIR"):
        if name in os.environ:
            result[name] = os.environ[name]
    return result


def private_folder(path: Path) -> str:
    """Makes `path` if missing and checks that nobody else can write there: what lies in it is loaded as program code.

    Raises:
        Refused: it is a link, belongs to somebody else, or others may write to it.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    if sys.platform != "win32":
        state = path.lstat()
        if path.is_symlink() or state.st_uid != os.getuid() or state.st_mode & 0o077:
            raise Refused(
                "The folder for compiled programs is not private.",
                f"{path} is a link, belongs to somebody else, or is open to others.",
                f"Remove it, or: chmod 700 {path}",
                clause="private-cache",
            )
    return str(path.resolve())
