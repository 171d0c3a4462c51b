"""Large bodies as files named by their digest; small ones stay in their row.

Rules:
1. A body is on disk (written, synchronised, renamed) before the transaction that names it commits.
2. What is read from disk is checked against its name. What was just written is not read again while it is held in
   memory (`RECENT`): it is the very object whose digest is its name.
3. Files are their owner's alone (mode 0600), whatever the folder around them lets others do.
4. A file goes when no row names it and nobody is about to: writers *pin* what they wrote until their transaction has
   ended, and the check for references is made while holding the same lock as pinning.
"""

from __future__ import annotations

import contextlib
import errno
import hashlib
import os
import secrets
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO, Final, Protocol

from cloister.foundation.digests import digest, raw
from cloister.foundation.errors import NotFound, Tampered
from cloister.storage.database import out_of_space

INLINE: Final = 64 << 10
"""Bodies up to this many bytes stay in their row."""

RECENT: Final = 256 << 20
"""Bytes of bodies that were just written and are held in memory: most are needed again at once, to be sent or read."""

_CHUNK: Final = 1 << 20
_BINARY: Final = getattr(os, "O_BINARY", 0)  # Windows only


@dataclass(frozen=True)
class Kept:
    """A body that is kept: in its row (`inline`) or as a file named by `digest`. `size` is in bytes."""

    digest: str
    size: int
    inline: bytes | None = field(repr=False, default=None)


class Keep(Protocol):
    """Keeps a body; `name` is its digest if the caller has computed it already, over these very bytes."""

    def __call__(self, body: bytes, name: str | None = None) -> Kept:
        """The kept body. Raises `OutOfSpace`."""
        ...


class Blobs:
    """The folder of large bodies, or (without a folder) a dictionary for tests and simulations.

    Args:
        folder: where the files are.
        recent: bytes of just written bodies that are held in memory besides.
    """

    def __init__(self, folder: Path | None, *, recent: int = RECENT) -> None:
        self._folder = folder
        self._memory: dict[str, bytes] = {}
        self._recent: OrderedDict[str, bytes] = OrderedDict()
        self._recent_bytes, self._recent_limit = 0, recent
        self._pins: Counter[str] = Counter()
        self._lock = threading.Lock()
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            for leftover in folder.glob("*.part"):
                leftover.unlink(missing_ok=True)

    @contextlib.contextmanager
    def keeping(self) -> Iterator[Keep]:
        """Gives a function that keeps bodies; they are safe from collection until this context is left.

        Leave it only after the transaction that names them. Raises `OutOfSpace`.
        """
        pinned: list[str] = []
        done: list[tuple[bytes, Kept]] = []

        def keep(body: bytes, name: str | None = None) -> Kept:
            # One object for many recipients is digested and written once.
            for other, kept in done:
                if other is body:
                    return kept
            name = name or digest(body)
            if len(body) <= INLINE:
                return Kept(name, len(body), body)
            self._pin(name)
            pinned.append(name)
            self._write(name, body)
            done.append((body, Kept(name, len(body))))
            return done[-1][1]

        try:
            yield keep
        finally:
            for name in pinned:
                self._unpin(name)

    def put_stream(self, chunks: Iterable[bytes]) -> Kept:
        """Keeps a body that arrives in pieces, never held whole. Its reference must be committed before `sweep`."""
        if self._folder is None:
            body = b"".join(chunks)
            with self._lock:
                self._memory[digest(body)] = body
            return Kept(digest(body), len(body))
        temporary = self._folder / f"{secrets.token_hex(8)}.part"
        state, size = hashlib.sha256(), 0
        with _space(temporary), _private(temporary) as stream:
            for chunk in chunks:
                state.update(chunk)
                size += len(chunk)
                stream.write(chunk)
            stream.flush()
            os.fsync(stream.fileno())
        name = "sha256:" + state.hexdigest()
        temporary.replace(self._path(name))
        self._sync_folder()
        return Kept(name, size)

    def load(self, kept: Kept) -> bytes:
        """The body. Raises `Tampered` if the file is not what its name says, `NotFound` if it is missing."""
        if kept.inline is not None:
            return kept.inline
        return self.read(kept.digest)

    def read(self, name: str) -> bytes:
        """The body of that digest, checked. Raises `Tampered` or `NotFound`."""
        raw(name)
        with self._lock:
            recent = self._recent.get(name)
            if recent is not None:
                self._recent.move_to_end(name)
                return recent
        try:
            body = self._memory[name] if self._folder is None else self._path(name).read_bytes()
        except (KeyError, FileNotFoundError):
            raise NotFound(
                "A stored body is missing.",
                "Its file is not in the server's folder.",
                "Restore the server's folder from a backup.",
            ) from None
        if digest(body) != name:
            raise Tampered(
                "A stored body has changed.",
                "Its content is not what its name says.",
                "Check the disk, and restore the file from a backup.",
                clause="blob-digest",
            )
        return body

    def chunks(self, name: str) -> Iterator[bytes]:
        """The body in pieces of 1 MiB, unchecked: the reader compares the digest at the end."""
        raw(name)
        if self._folder is None:
            body = self.read(name)
            for start in range(0, len(body), _CHUNK):
                yield body[start : start + _CHUNK]
            return
        with self._path(name).open("rb") as stream:
            while piece := stream.read(_CHUNK):
                yield piece

    def collect(self, names: Iterable[str], referenced: Callable[[str], bool]) -> int:
        """Removes those of `names` that nobody pins or references; returns how many.

        `referenced` looks into the database; call this outside any transaction.
        """
        removed = 0
        for name in set(names):
            with self._lock:
                if self._pins[name] or referenced(name):
                    continue
                self._recent_bytes -= len(self._recent.pop(name, b""))
                if self._folder is None:
                    removed += self._memory.pop(name, None) is not None
                else:
                    path = self._path(name)
                    removed += path.exists()
                    path.unlink(missing_ok=True)
        return removed

    def names(self) -> list[str]:
        """The digests of all files."""
        if self._folder is None:
            return sorted(self._memory)
        return sorted(f"sha256:{path.name}" for path in self._folder.iterdir() if len(path.name) == 64)

    def _path(self, name: str) -> Path:
        assert self._folder is not None
        return self._folder / name.removeprefix("sha256:")

    def _pin(self, name: str) -> None:
        with self._lock:
            self._pins[name] += 1

    def _unpin(self, name: str) -> None:
        with self._lock:
            self._pins[name] -= 1
            if not self._pins[name]:
                del self._pins[name]

    def _write(self, name: str, body: bytes) -> None:
        if self._folder is None:
            with self._lock:
                self._memory[name] = body
            return
        path = self._path(name)
        if path.exists():
            self._remember(name, body)
            return
        temporary = path.with_name(f"{path.name}.{secrets.token_hex(6)}.part")
        with _space(temporary), _private(temporary) as stream:
            stream.write(body)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
        self._sync_folder()
        self._remember(name, body)

    def _remember(self, name: str, body: bytes) -> None:
        with self._lock:
            if len(body) > self._recent_limit or name in self._recent:
                return
            self._recent[name] = body
            self._recent_bytes += len(body)
            while self._recent_bytes > self._recent_limit:
                self._recent_bytes -= len(self._recent.popitem(last=False)[1])

    def _sync_folder(self) -> None:
        # The rename must be on disk before the row that relies on it; where folders cannot be opened, it is anyway.
        if os.name == "posix" and self._folder is not None:
            descriptor = os.open(self._folder, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)


@contextlib.contextmanager
def _space(temporary: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise out_of_space() from None
        raise
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise


def _private(path: Path) -> BinaryIO:
    """A new file that only its owner may read."""
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | _BINARY, 0o600), "wb")
