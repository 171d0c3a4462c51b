"""The folders of opened records at the recipient's node: written once, deleted whole.

Rules:
1. Names are made here from numbers and formats; nothing that a package says becomes part of a path.
2. A folder is written beside its place and renamed, so that it is there whole or not at all; nothing is overwritten.
3. It is laid out as a dataset is (`data.readers`), so that tools and trainings read it as it lies.
4. Deleting follows no link out of the folder. What a disk keeps of deleted files is beyond a program's reach.
"""

from __future__ import annotations

import csv
import io
import os
import secrets
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from cloister.data.schema import Column
from cloister.disclosure.records import Contents
from cloister.foundation.canonical import canonical
from cloister.foundation.errors import CloisterError, Conflict
from cloister.foundation.files import write_atomically

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def write_copies(place: Path, contents: Contents, about: bytes) -> None:
    """Writes the records, and the signed disclosure as `disclosure.json`, into the new folder `place`.

    Raises:
        Conflict: it is there already.
        OutOfSpace: nothing is left behind.
    """
    if place.exists():
        raise Conflict(f"{place} exists.", "Nothing is overwritten.", "See: cloister disclosure list")
    place.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = place.with_name(f".{place.name}.{secrets.token_hex(6)}.part")
    try:
        temporary.mkdir(mode=0o700)
        for name, data in _files(contents):
            write_atomically(temporary / name, data, private=True)
        write_atomically(temporary / "disclosure.json", about, private=True)
        temporary.rename(place)
    except BaseException:
        shutil.rmtree(temporary, ignore_errors=True)
        raise


def delete_copies(place: Path) -> None:
    """Deletes the folder, if it is there, and whatever was left of writing it. Raises `CloisterError` if anything remains."""
    for folder in [place, *place.parent.glob(f".{place.name}.*.part")]:
        if folder.is_symlink():
            folder.unlink()
        elif folder.exists():
            shutil.rmtree(folder, ignore_errors=True)
        if os.path.lexists(folder):
            raise CloisterError(
                "The disclosed records could not be deleted.",
                f"Something in {folder} withstands: a file that is open, or without the right to delete it.",
                "Close programs that use it, then: cloister disclosure delete",
            )


def _files(contents: Contents) -> Iterator[tuple[str, bytes]]:
    for number, picture in enumerate(contents.pictures, 1):
        yield f"images/{number:04d}.png", picture.file
        if picture.labels is not None:
            yield f"labels/{number:04d}.json", canonical(picture.labels.as_json())
    if contents.rows:
        yield "rows.csv", _csv(contents.columns, contents.values())


def _csv(columns: tuple[Column, ...], rows: list[tuple[Any, ...]]) -> bytes:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.name for column in columns])
    for row in rows:
        writer.writerow([_cell(column.kind, value) for column, value in zip(columns, row, strict=True)])
    return text.getvalue().encode("utf-8")


def _cell(kind: str, value: Any) -> str:
    if value is None:
        return ""
    if kind == "boolean":
        return "true" if value else "false"
    if kind == "real":
        return repr(float(value))
    if kind == "timestamp":
        try:
            return (_EPOCH + timedelta(microseconds=value)).isoformat()
        except OverflowError:
            return str(value)
    return str(value)
