"""Confined processes that run tools, kept warm: the second picture takes only its own time.

Rules:
1. A worker has one tool and works for one person: what a malicious model or picture did to it never meets another's picture.
2. It may read nothing of this machine but its own program, has no network, and dies with this process (`engines.sandbox`).
3. One that does not finish in time, or dies, is replaced at the next call; its caller gets an error that names the file.
4. What it answers is looked at before it is believed: only known files, pictures that begin as such, text that cannot act.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from cloister.engines.frames import FrameLimits
from cloister.engines.pool import Engine
from cloister.foundation.canonical import JSON
from cloister.foundation.digests import digest, same
from cloister.foundation.errors import CloisterError, TaskFailed
from cloister.foundation.text import readable
from cloister.node.engines import demands
from cloister.node.toolroom.limits import RoomLimits
from cloister.tools.package import Package, pack, unpack
from cloister.tools.serving import FILES, METHODS

_START_SECONDS = 60.0
_BEGINNINGS = {"image/png": b"\x89PNG\r\n\x1a\n", "image/jpeg": b"\xff\xd8\xff"}


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Histogram(_Strict):
    """How many of a column's values lie between two neighbouring edges."""

    edges: list[float] = Field(max_length=1001)
    counts: list[int] = Field(max_length=1000)


class Figures(_Strict):
    """Numbers by name, their units, and histograms by column."""

    values: dict[str, float | int | None] = Field(max_length=500)
    units: dict[str, str] = Field(max_length=500)
    histograms: dict[str, Histogram] = Field(max_length=50)


class Told(_Strict):
    """What a worker tells of a result (see `tools.serving.look`)."""

    tool: str
    models: dict[str, str] = Field(max_length=16)
    input: str
    size: list[int] | None = Field(min_length=2, max_length=2)
    count: int | None
    figures: Figures
    um_per_pixel: float | None
    settings: dict[str, Any] = Field(max_length=16)
    alternative: str = Field(max_length=1000)
    warnings: list[str] = Field(max_length=20)
    seconds: float


class RulerTold(_Strict):
    """What a worker tells of a picture of a scale (see `tools.serving.ruler`)."""

    input: str
    size: list[int] = Field(min_length=2, max_length=2)
    lines: list[float] | None = Field(min_length=3, max_length=3)
    why: str = Field(max_length=1000)


@dataclass(frozen=True)
class Looked:
    """What came of one file.

    Attributes:
        told: figures and what they were computed by.
        files: by name, of `tools.serving.FILES`.
        sandbox: measure → `enforced`, or why not, of the worker that did it.
        started: whether a worker had to be started for it.
    """

    told: Told
    files: Mapping[str, bytes]
    sandbox: Mapping[str, str]
    started: bool


class _Warm:
    """A worker, and whether its process has its tool yet."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.loaded: int | None = None
        self.used = time.monotonic()


class Workers:
    """The workers of one tool room. Callers give turns: one call at a time.

    Args:
        limits: of the room.
        methods: what workers can do.
    """

    def __init__(self, limits: RoomLimits, methods: Mapping[str, str] = METHODS) -> None:
        self._limits, self._methods = limits, methods
        self._lock = threading.Lock()
        self._warm: OrderedDict[tuple[str, str], _Warm] = OrderedDict()
        self._timer: threading.Timer | None = None
        self._closed = False

    def builtin(self, name: str) -> Package:
        """A tool that comes with Cloister. Raises `NotFound`."""
        with self._engine() as engine:
            _, arrays = engine.call("builtin", {"name": name}, deadline=_START_SECONDS)
        return unpack(arrays["package"].tobytes(), "The tool")

    def check(self, package: Package) -> dict[str, str]:
        """Loads a tool in a worker that ends at once; gives what confined it. Raises `BadInput` if it cannot run."""
        with self._engine() as engine:
            self._load(engine, package)
            return engine.sandbox_report()

    def ruler(self, name: str, data: bytes) -> tuple[RulerTold, bytes]:
        """What a picture of a scale shows, and the picture as JPEG, from a worker that ends at once.

        Raises:
            TaskFailed: it took too long, or the worker stopped.
            BadInput: the file is no picture, or too large.
        """
        with self._engine() as engine:
            told, arrays = engine.call(
                "ruler",
                {"name": name, "max_bytes": self._limits.file_bytes, "max_pixels": self._limits.pixels},
                {"data": np.frombuffer(data, dtype=np.uint8)},
                self._limits.seconds,
            )
        try:
            seen = RulerTold.model_validate(_readable(told))
        except ValidationError:
            raise _unbelievable("It does not say what is to be said of a scale.") from None
        picture = arrays["picture"].tobytes() if "picture" in arrays else b""
        if not same(seen.input, digest(data)) or not picture.startswith(_BEGINNINGS["image/jpeg"]):
            raise _unbelievable("It is about another file, or without a picture.")
        return seen, picture

    def lacks(self, tool: str, owner: str) -> bool:
        """Whether this person has no worker for a tool (by its digest), and one more would take nobody else's place."""
        with self._lock:
            free = not self._closed and len(self._warm) < self._limits.live
            return free and (tool, owner) not in self._warm

    def warm(self, package: Package, owner: str) -> None:
        """Starts the worker that this person will need for a tool, if that takes nobody else's place."""
        if not self.lacks(package.tool.digest, owner):
            return
        warm = self._get(package.tool.digest, owner)
        self._load(warm.engine, package)
        warm.loaded = warm.engine.pid
        warm.used = time.monotonic()
        self._later()

    def look(
        self, package: Package, owner: str, name: str, data: bytes, arguments: Mapping[str, JSON]
    ) -> Looked:
        """Runs a tool on a file in the worker that this person has for it.

        Args:
            package: the tool.
            owner: whose worker.
            name: what to call the file.
            data: its bytes.
            arguments: `settings`, `um_per_pixel`, `calibration`.

        Raises:
            TaskFailed: it took too long, or the worker stopped.
            CloisterError: the file or a setting cannot be used.
        """
        told, arrays, (sandbox, started) = self._call(
            package,
            owner,
            name,
            "look",
            {"max_rows": self._limits.rows, **arguments},
            {"data": np.frombuffer(data, dtype=np.uint8)},
        )
        return _believed(told, arrays, package, data, sandbox, started=started)

    def clean(
        self,
        package: Package,
        owner: str,
        name: str,
        data: bytes,
        outlines: Sequence[NDArray[np.float64]],
        arguments: Mapping[str, JSON],
    ) -> bytes:
        """A cleaned copy of a picture, PNG or JPEG, made in the worker that this person has for a tool.

        Args:
            package: the tool.
            owner: whose worker.
            name: what to call the picture.
            data: its bytes.
            outlines: what is kept as it is, corners [n, 2], pixels.
            arguments: `settings`, `um_per_pixel`.

        Raises:
            TaskFailed: it took too long, or the worker stopped.
            CloisterError: the picture cannot be cleaned.
        """
        points = np.concatenate([np.zeros((0, 2)), *outlines])
        _, arrays, _ = self._call(
            package,
            owner,
            name,
            "clean",
            {"corners": [len(outline) for outline in outlines], **arguments},
            {"data": np.frombuffer(data, dtype=np.uint8), "points": points},
        )
        made = arrays.get("cleaned")
        content = b"" if made is None or made.dtype != np.uint8 else made.tobytes()
        if not content.startswith((_BEGINNINGS["image/png"], _BEGINNINGS["image/jpeg"])):
            raise _unbelievable("It is no picture.")
        return content

    def live(self) -> int:
        """How many workers run now."""
        with self._lock:
            return sum(warm.engine.pid is not None for warm in self._warm.values())

    def forget(self, tool: str) -> None:
        """Ends the workers of a tool, by digest."""
        with self._lock:
            for key in [key for key in self._warm if key[0] == tool]:
                self._warm.pop(key).engine.close()

    def close(self) -> None:
        """Ends all workers."""
        with self._lock:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
            for warm in self._warm.values():
                warm.engine.close()
            self._warm.clear()

    # Inside --------------------------------------------------------------------------------------------------------

    def _engine(self) -> Engine:
        return Engine(
            self._methods,
            memory=self._limits.memory,
            folders=(),
            demands=demands(),
            threads=2,
            limits=FrameLimits(arrays=256 << 20),
        )

    def _load(self, engine: Engine, package: Package) -> None:
        packed = np.frombuffer(pack(package), dtype=np.uint8)
        engine.call("load", {"threads": 0}, {"package": packed}, _START_SECONDS)

    def _get(self, tool: str, owner: str) -> _Warm:
        with self._lock:
            if self._closed:
                raise TaskFailed(
                    "The tools are closed.", "The server is stopping.", "Try again.", phase="tool"
                )
            key = (tool, owner)
            if key not in self._warm:
                while len(self._warm) >= self._limits.live:
                    self._warm.popitem(last=False)[1].engine.close()
                self._warm[key] = _Warm(self._engine())
            self._warm.move_to_end(key)
            return self._warm[key]

    def _stopped(self, name: str, error: CloisterError, seconds: float) -> TaskFailed:
        if seconds >= self._limits.seconds:
            why, remedy = (
                f"It was stopped after {self._limits.seconds:g} seconds.",
                "Use a smaller picture, or crop it.",
            )
            return TaskFailed(f"{name} took too long.", why, remedy, phase="tool", clause="too-slow")
        return TaskFailed(
            f"The tool stopped while it looked at {name}.",
            error.why,
            "Use a smaller picture. If it happens again, tell whoever released the tool.",
            phase="tool",
            clause="worker-stopped",
        )

    def _call(
        self,
        package: Package,
        owner: str,
        name: str,
        method: str,
        arguments: Mapping[str, JSON],
        arrays: Mapping[str, NDArray[Any]],
    ) -> tuple[dict[str, Any], Mapping[str, Any], tuple[dict[str, str], bool]]:
        """What a person's worker for a tool answers, what confined it, and whether it had to be started for it."""
        warm = self._get(package.tool.digest, owner)
        started = warm.engine.pid is None or warm.loaded != warm.engine.pid
        began = time.monotonic()
        try:
            if started:
                self._load(warm.engine, package)
                warm.loaded = warm.engine.pid
            began = time.monotonic()
            told, answered = warm.engine.call(
                method,
                {
                    "tool": package.tool.digest,
                    "name": name,
                    "max_bytes": self._limits.file_bytes,
                    "max_pixels": self._limits.pixels,
                    **arguments,
                },
                dict(arrays),
                self._limits.seconds,
            )
            sandbox = warm.engine.sandbox_report()
        except TaskFailed as error:
            if warm.engine.pid is not None:
                raise
            raise self._stopped(name, error, time.monotonic() - began) from None
        warm.used = time.monotonic()
        self._later()
        return told, answered, (sandbox, started)

    def _later(self) -> None:
        """Ends workers that nobody used for a while, without a thread that always runs."""
        with self._lock:
            if self._timer is None and not self._closed:
                self._timer = threading.Timer(self._limits.idle, self._tidy)
                self._timer.daemon = True
                self._timer.start()

    def _tidy(self) -> None:
        with self._lock:
            self._timer = None
            before = time.monotonic() - self._limits.idle
            for key in [key for key, warm in self._warm.items() if warm.used <= before]:
                self._warm.pop(key).engine.close()
            again = bool(self._warm)
        if again:
            self._later()


def _believed(
    told: dict[str, Any],
    arrays: Mapping[str, Any],
    package: Package,
    data: bytes,
    sandbox: Mapping[str, str],
    *,
    started: bool,
) -> Looked:
    """Rule 4."""
    try:
        seen = Told.model_validate(_readable(told))
    except ValidationError:
        raise _unbelievable("It does not say what a result must say.") from None
    if not same(seen.tool, package.tool.digest) or not same(seen.input, digest(data)):
        raise _unbelievable("It is about another tool or another file.")
    files = {}
    for name, array in arrays.items():
        content = array.tobytes()
        kind = FILES.get(name)
        if kind is None or array.dtype != np.uint8 or not content.startswith(_BEGINNINGS.get(kind, b"")):
            raise _unbelievable("It has a file that no result has.")
        files[name] = content
    return Looked(seen, files, dict(sandbox), started)


def _readable(value: Any) -> Any:
    if isinstance(value, str):
        return readable(value[:2000])
    if isinstance(value, list):
        return [_readable(item) for item in value]
    if isinstance(value, dict):
        return {readable(str(key)[:100]): _readable(item) for key, item in value.items()}
    return value


def _unbelievable(why: str) -> TaskFailed:
    return TaskFailed(
        "The tool's answer could not be used.", why, "Report this.", phase="tool", clause="tool-answer"
    )
