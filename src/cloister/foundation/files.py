"""Files that are either wholly written or not at all, readable by their owner only where it matters."""

from __future__ import annotations

import contextlib
import errno
import os
import secrets
from pathlib import Path

from cloister.foundation.errors import BadInput, NotFound, OutOfSpace


def write_atomically(path: Path, data: bytes, *, private: bool = False) -> None:
    """Writes `data` to `path` through a temporary file beside it, synchronised to disk before the rename.

    Args:
        path: where to; its folder is made if missing.
        data: the whole content.
        private: readable and writable by the owner only (mode 0600).

    Raises:
        OutOfSpace: the disk is full; the old file, if any, is unchanged.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(6)}.part")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600 if private else 0o644)
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink()
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise OutOfSpace(
                f"There is no space left to write {path.name}.",
                "The disk or the quota is full; what was there before is unchanged.",
                "Free some space and try again.",
            ) from None
        raise


def read_limited(path: Path, limit: int) -> bytes:
    """The content of `path`, at most `limit` bytes. Raises `NotFound` or `BadInput`."""
    try:
        with path.open("rb") as stream:
            data = stream.read(limit + 1)
    except FileNotFoundError:
        raise NotFound(f"There is no file {path}.", "", "Check the path.") from None
    except IsADirectoryError:
        raise BadInput(f"{path} is a folder.", "A file was expected.", "Name the file itself.") from None
    if len(data) > limit:
        raise BadInput(f"{path.name} is too large.", f"The limit is {limit} bytes.", "Use a smaller file.")
    return data
