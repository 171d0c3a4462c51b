"""Files that people send, read into memory within limits and never onto a disk.

Rules:
1. How much comes is known before anything is read: a request without a length is refused, one with too many bytes too (`guard`).
2. What all requests together hold in memory is bounded (`held`).
3. Files stay in memory: nothing is spooled to a temporary folder.
4. Names and fields are text of bounded length; what they mean, others decide.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser

from cloister.foundation.errors import BadInput

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


def taking(files: int) -> Callable[[Request], Awaitable[Sent]]:
    """A dependency that reads a form with at most so many files."""

    async def read(request: Request) -> Sent:
        _check(request)
        return await _read(request, files)

    return read


def body_limit(file_bytes: int, files: int = 1) -> int:
    """How many bytes a route has to take for so many files of that size."""
    return file_bytes * files + _FRAMING


def _check(request: Request) -> None:
    said = request.headers.get("content-length", "")
    if not said.isdecimal() or not request.headers.get("content-type", "").startswith("multipart/form-data"):
        raise BadInput(
            "No file came.",
            "A form with files and its length was expected.",
            "Send it as multipart/form-data.",
        )


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
