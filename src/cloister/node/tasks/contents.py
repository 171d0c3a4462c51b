"""The parts of computations (ONNX models and the like), by digest: inert bytes, checked each time they are read."""

from __future__ import annotations

from pathlib import Path

from cloister.foundation.digests import digest, raw, same
from cloister.foundation.errors import BadInput, NotFound, Tampered
from cloister.foundation.files import read_limited, write_atomically

MAX_CONTENT = 512 << 20


class Contents:
    """A folder of content-addressed files."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def put(self, data: bytes, expected: str | None = None) -> str:
        """Keeps `data`; returns its digest. Raises `Tampered` if it is not what was expected, `BadInput` if too large."""
        if len(data) > MAX_CONTENT:
            raise BadInput(
                "A part of a computation is too large.",
                f"The limit is {MAX_CONTENT} bytes.",
                "Use a smaller one.",
            )
        name = digest(data)
        if expected is not None and not same(name, expected):
            raise Tampered(
                "A part of a computation is not what the plan names.",
                "Its digest differs.",
                "Ask for it again.",
            )
        path = self._path(name)
        if not path.exists():
            write_atomically(path, data, private=True)
        return name

    def get(self, name: str) -> bytes:
        """The bytes of that digest. Raises `NotFound`, or `Tampered` if the file was changed."""
        path = self._path(name)
        if not path.exists():
            raise NotFound(
                "A part of a computation is not here.",
                "It was never received, or was deleted.",
                "Ask the requester.",
            )
        data = read_limited(path, MAX_CONTENT)
        if not same(digest(data), name):
            raise Tampered(
                "A part of a computation was changed on this disk.",
                "Its content no longer has its digest.",
                "Delete the file; it will be fetched again.",
            )
        return data

    def remove(self, name: str) -> None:
        """Deletes it, if it is here."""
        self._path(name).unlink(missing_ok=True)

    def has(self, name: str) -> bool:
        """Whether it is here."""
        return self._path(name).exists()

    def size(self, name: str) -> int:
        """Bytes. Raises `NotFound`."""
        if not self.has(name):
            raise NotFound("A part of a computation is not here.", "", "Ask the requester.")
        return self._path(name).stat().st_size

    def _path(self, name: str) -> Path:
        return self._folder / raw(name).hex()
