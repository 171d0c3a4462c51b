"""The records that an owner selects, read from its files and found to be those that were registered.

Rules:
1. A person names each record: a picture by its file, a row by its number. There is no pattern and no "all".
2. Each record's leaf must be the one that its registration holds: what was changed since is never disclosed.
3. Of a picture its pixels are taken, into a new file (`data.bare_pictures`). What else the registered file was seen to carry is told
   to whoever decides, and goes nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cloister.data.bare_pictures import bare, carried
from cloister.data.commitment import record_salt, row_record, schema_prefix
from cloister.data.readers import LabelledImage
from cloister.data.registry import Registration
from cloister.data.tables import rows_of
from cloister.disclosure.documents import MAX_RECORDS
from cloister.disclosure.records import MAX_CONTENTS, MAX_PIXELS, Contents, Picture, Row, picture_leaf
from cloister.foundation.errors import BadInput, NotFound, Tampered
from cloister.foundation.files import read_limited


@dataclass(frozen=True)
class Selected:
    """The chosen records.

    Attributes:
        contents: as they are disclosed.
        left_out: what the registered files of pictures were seen to carry besides pixels, which stays here; in words, sorted.
    """

    contents: Contents
    left_out: tuple[str, ...] = ()


def select(registration: Registration, chosen: Sequence[str]) -> Selected:
    """The chosen records of an own dataset.

    Args:
        registration: with its salt and leaves; checked to be unchanged just before.
        chosen: files of pictures as they lie in the dataset's folder, such as `a.png`; or numbers of rows, from 1.

    Raises:
        NotFound: there is no such picture or row.
        BadInput: none, too many, or one twice.
        Tampered: a record is not the one that was registered.
    """
    if not 1 <= len(chosen) <= MAX_RECORDS:
        raise BadInput(
            "So many records cannot be disclosed at once.", f"It takes one to {MAX_RECORDS}.", "Select fewer."
        )
    if len(set(chosen)) != len(chosen):
        raise BadInput("A record is selected twice.", "", "Name each record once.")
    return (
        _pictures(registration, chosen)
        if registration.description.kind == "image-points"
        else Selected(_rows(registration, chosen))
    )


def _pictures(registration: Registration, chosen: Sequence[str]) -> Selected:
    by_name = {image.path.name: (index, image) for index, image in enumerate(registration.images())}
    found, seen, left = [], set[str](), MAX_CONTENTS
    for name in chosen:
        if name not in by_name:
            raise _no_such(f"It has no picture {name[:80]!r}.")
        index, image = by_name[name]
        file = read_limited(image.path, MAX_CONTENTS)
        picture = _picture(registration, index, image, file)
        seen.update(carried(file, MAX_PIXELS))
        left -= len(picture.file)
        if left < 0:
            raise BadInput(
                "The disclosed records are too large.",
                f"As pixels they are over {MAX_CONTENTS >> 20} MiB, the limit for one disclosure.",
                "Select fewer, or disclose them in several parts.",
            )
        found.append(picture)
    return Selected(Contents(pictures=tuple(found)), tuple(sorted(seen)))


def _picture(registration: Registration, index: int, image: LabelledImage, file: bytes) -> Picture:
    salt = record_salt(bytes.fromhex(registration.manifest.salt), index)
    leaf = picture_leaf(salt, file, image.labels)
    _require_registered(registration, index, leaf)
    pixels = bare(file, MAX_PIXELS, name=image.path.name)
    if pixels == file:
        return Picture(salt, file, image.labels)
    return Picture(None, pixels, image.labels, leaf)


def _rows(registration: Registration, chosen: Sequence[str]) -> Contents:
    columns, secret = registration.description.columns, bytes.fromhex(registration.manifest.salt)
    numbers = [_number(text, registration.manifest.records) for text in chosen]
    if len(set(numbers)) != len(numbers):
        raise BadInput("A record is selected twice.", "", "Name each record once.")
    prefix, table = schema_prefix(columns), registration.table()
    found = []
    for number in numbers:
        values: Any = next(iter(rows_of(table.slice(number, 1), columns)))
        row = Row(record_salt(secret, number), row_record(prefix, columns, values))
        _require_registered(registration, number, row.leaf)
        found.append(row)
    return Contents(rows=tuple(found), columns=columns)


def _number(text: str, records: int) -> int:
    """A row's place, from 0."""
    if not text.isascii() or not text.isdecimal() or len(text) > 12 or not 1 <= int(text) <= records:
        raise _no_such(f"It has no row {text[:40]!r}; rows are numbered from 1.")
    return int(text) - 1


def _require_registered(registration: Registration, index: int, leaf: str) -> None:
    if registration.leaves[32 * index : 32 * index + 32].hex() != leaf.removeprefix("sha256:"):
        raise Tampered(
            "A selected record is not the one that was registered.",
            "Its file was changed.",
            f"See what changed: cloister dataset check {registration.description.name}",
            clause="dataset-unchanged",
        )


def names_of(registration: Registration) -> list[str]:
    """What can be selected of pictures: their files' names, in registered order; empty for a table."""
    if registration.description.kind != "image-points":
        return []
    return [Path(fact.path).name for fact in registration.manifest.files if not _is_label(fact.path)]


def _is_label(path: str) -> bool:
    return path.startswith("labels/") or path == "labels.csv"


def _no_such(why: str) -> NotFound:
    return NotFound("There is no such record in the dataset.", why, "Check the name or number.")
