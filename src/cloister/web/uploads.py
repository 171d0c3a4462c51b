"""Files that people send, read into memory within limits and never onto a disk.

Rules:
1. How much comes is known before anything is read: a request without a length is refused, one with too many bytes too (`guard`).
2. What all requests together hold in memory is bounded; who comes when it is full is told to come again.
3. Files stay in memory: nothing is spooled to a temporary folder.
4. Names and fields are text of bounded length; what they mean, others decide.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from fastapi import FastAPI, Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cloister.foundation.errors import BadInput, Unreachable

HELD_MOST = 512 << 20
_FIELDS = 40
_FIELD_BYTES = 10_000
_FRAMING = 1 << 20


@dataclass(frozen=True)
class Upload:
    """One file: the name that its sender gave it, and its bytes."""

    name: str
    data: bytes


@dataclass(frozen=True)
class Sent:
    """A form with files."""

    files: tuple[Upload, ...]
    fields: Mapping[str, str]


class _InMemory(MultiPartParser):
    spool_max_size = 1 << 40  # rule 3


class Uploads:
    """Reads forms with files; one for all routes of an application, so that rule 2 holds.

    Args:
        most: bytes that all requests together may hold.
    """

    def __init__(self, most: int = HELD_MOST) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._held = 0

    def taking(self, files: int) -> Callable[[Request], AsyncIterator[Sent]]:
        """A dependency that reads a form with at most so many files, and holds its room until the answer is made."""

        async def read(request: Request) -> AsyncIterator[Sent]:
            with self._room_for(_length(request)):
                yield await _read(request, files)

        return read

    @contextmanager
    def _room_for(self, size: int) -> Iterator[None]:
        with self._lock:
            if self._held + size > self._most:
                raise Unreachable(
                    "The server is busy with other files.",
                    "As many bytes came as it holds at a time.",
                    "Try again in a minute.",
                    clause="busy",
                )
            self._held += size
        try:
            yield
        finally:
            with self._lock:
                self._held -= size


def uploads_of(app: FastAPI) -> Uploads:
    """The application's one reader of files."""
    if not hasattr(app.state, "uploads"):
        app.state.uploads = Uploads()
    found: Uploads = app.state.uploads
    return found


def body_limit(file_bytes: int, files: int = 1) -> int:
    """How many bytes a route has to take for so many files of that size."""
    return file_bytes * files + _FRAMING


def _length(request: Request) -> int:
    said = request.headers.get("content-length", "")
    if not said.isdecimal() or not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadInput(
            "No file came.",
            "A form with files and its length was expected.",
            "Send it as multipart/form-data.",
        )
    return int(said[:20])


async def _read(request: Request, files: int) -> Sent:
    parser = _InMemory(
        request.headers, request.stream(), max_files=files, max_fields=_FIELDS, max_part_size=_FIELD_BYTES
    )
    form: FormData | None = None
    try:
        form = await parser.parse()
        found, fields = [], {}
        for name, value in form.multi_items():
            if isinstance(value, UploadFile):
                content = await value.read()
                # A browser sends an empty part for a question about files that nobody answered.
                if value.filename or content:
                    found.append(Upload((value.filename or "")[:1000], content))
            else:
                fields[name[:100]] = value
    except MultiPartException as error:
        raise BadInput(
            "What was sent could not be read.",
            error.message[:200],
            f"Send at most {files} files at a time.",
        ) from None
    finally:
        if form is not None:
            await form.close()
    return Sent(tuple(found), fields)
