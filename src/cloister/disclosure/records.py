"""The records of a disclosure as bytes: what is sealed, and what the recipient checks before anything is written.

```
length 4 bytes  of the head, big endian
head            canonical JSON: kind, columns of a table, and of each record its salt or leaf and the sizes of its parts
parts           one after another: a picture's file, then its labels (canonical JSON) if it has any; or a row's record
```

Rules:
1. Nothing in it is a path or a file's name: whoever opens it names the files by their number and format, so that no package
   can say where something is written, and no name tells what the owner did not mean to tell.
2. A picture is pixels alone (`data.bare_pictures`): no place, time, serial number, thumbnail, comment, nothing behind its end.
   Writer and reader both look, so that neither depends on the other's care.
3. Nothing is compressed here. Number and sizes are bounded and must add up before a part is looked at; a picture's pixels are
   counted, none is kept.
4. Each record must be the one that the disclosure names. A row, or a picture whose registered file was pixels alone, brings its
   salt: with its bytes that gives the leaf (`commitment.leaf`), so that an owner cannot show others than it committed to at
   registration, as far as the leaves are the dataset's. Of another picture the pixels were taken out of the registered file, and
   it brings the leaf alone: that these are its pixels is the owner's word, signed with the disclosure.
5. One meaning has one form of bytes.

Why such a picture does not bring its salt and its file's digest, which would bind it: who has the pixels of a losslessly coded file
could then try times and serial numbers until the digest fits, and would have read what was left out.

Not shown by this: that a leaf is in the dataset's commitment. That proof tells the dataset's size and the record's place in it,
which are the owner's to keep.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from cloister.data import commitment as merkle
from cloister.data.bare_pictures import is_bare
from cloister.data.images import ImageLimits, image_size
from cloister.data.labels import Labels, parse_json_labels
from cloister.data.rows import row_values
from cloister.data.schema import Column, ColumnKind, ColumnName, Digest
from cloister.disclosure.documents import MAX_RECORDS, Disclosure
from cloister.foundation.canonical import canonical, parse_canonical
from cloister.foundation.digests import digest, same
from cloister.foundation.documents import Document, parse_document
from cloister.foundation.errors import BadInput, NotTrusted

MAX_CONTENTS = 128 << 20
"""Bytes of one disclosure: it is sealed and opened in memory."""
MAX_HEAD = 4 << 20
MAX_PIXELS = ImageLimits(max_bytes=MAX_CONTENTS, max_pixels=100_000_000)
_MAX_LABELS = 16 << 20


@dataclass(frozen=True)
class Picture:
    """A picture's pixels and its labels.

    Attributes:
        salt: of its leaf, 32 bytes; None where the registered file carried more than pixels.
        file: a PNG of pixels alone.
        labels: the objects in it, if it has labels.
        registered: the leaf, where it cannot be worked out from salt and file.
    """

    salt: bytes | None = field(repr=False)
    file: bytes = field(repr=False)
    labels: Labels | None = None
    registered: str | None = None

    @property
    def leaf(self) -> str:
        """The registered picture's leaf in the dataset's commitment; of one without a salt as the owner tells it."""
        if self.salt is None:
            return self.registered or ""
        return picture_leaf(self.salt, self.file, self.labels)


def picture_leaf(salt: bytes, file: bytes, labels: Labels | None) -> str:
    """The leaf of a picture as it was registered: its file's digest and its labels, salted."""
    told = None if labels is None else labels.as_json()
    return _leaf(salt, merkle.image_record(digest(file), told))


@dataclass(frozen=True)
class Row:
    """A row of a table as the commitment covers it (`commitment.row_record`), and the salt of its leaf."""

    salt: bytes = field(repr=False)
    record: bytes = field(repr=False)

    @property
    def leaf(self) -> str:
        """Its leaf in the dataset's commitment."""
        return _leaf(self.salt, self.record)


@dataclass(frozen=True)
class Contents:
    """What is disclosed: pictures, or rows of a table with these columns."""

    pictures: tuple[Picture, ...] = ()
    rows: tuple[Row, ...] = ()
    columns: tuple[Column, ...] = ()

    @property
    def leaves(self) -> tuple[str, ...]:
        """The records' leaves, in order."""
        return (*(picture.leaf for picture in self.pictures), *(row.leaf for row in self.rows))

    def values(self) -> list[tuple[Any, ...]]:
        """The rows' cells, in the columns' order. Raises `BadInput`."""
        prefix = merkle.schema_prefix(self.columns)
        return [row_values(prefix, self.columns, row.record) for row in self.rows]


class _Column(Document):
    name: ColumnName
    kind: ColumnKind


class _Record(Document):
    salt: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")] | None
    leaf: Digest | None
    bytes: Annotated[int, Field(ge=1, le=MAX_CONTENTS)]
    labels: Annotated[int, Field(ge=1, le=_MAX_LABELS)] | None


class _Head(Document):
    type: Literal["cloister/disclosed-records@2"] = "cloister/disclosed-records@2"
    kind: Literal["image-points", "table"]
    columns: Annotated[tuple[_Column, ...], Field(max_length=2000)]
    records: Annotated[tuple[_Record, ...], Field(min_length=1, max_length=MAX_RECORDS)]

    @model_validator(mode="after")
    def _coherent(self) -> _Head:
        names = [column.name for column in self.columns]
        if (self.kind == "table") != bool(names) or len(set(names)) != len(names):
            raise ValueError("a table has columns, each once, and pictures have none")
        if self.kind == "table" and any(record.labels is not None for record in self.records):
            raise ValueError("rows have no labels")
        if any((record.salt is None) == (record.leaf is None) for record in self.records):
            raise ValueError("a record has a salt, or a leaf")
        if self.kind == "table" and any(record.salt is None for record in self.records):
            raise ValueError("a row has its salt")
        return self


def write_contents(contents: Contents) -> bytes:
    """The bytes that are sealed. Raises `BadInput` where they would be more than the limits allow, or none."""
    parts: list[bytes] = []
    records: list[_Record] = []
    for picture in contents.pictures:
        if not is_bare(picture.file, MAX_PIXELS):
            raise _more_than_pixels()
        labels = None if picture.labels is None else canonical(picture.labels.as_json())
        salt = None if picture.salt is None else picture.salt.hex()
        leaf = picture.registered if salt is None else None
        records.append(_Record(salt=salt, leaf=leaf, bytes=len(picture.file), labels=_size(labels)))
        parts += [picture.file, labels or b""]
    for row in contents.rows:
        records.append(_Record(salt=row.salt.hex(), leaf=None, bytes=len(row.record), labels=None))
        parts.append(row.record)
    if not 1 <= len(records) <= MAX_RECORDS or (bool(contents.pictures) == bool(contents.rows)):
        raise BadInput(
            "So many records cannot be disclosed at once.",
            f"It takes one to {MAX_RECORDS} pictures, or rows.",
            "Select fewer.",
        )
    head = _Head(
        kind="image-points" if contents.pictures else "table",
        columns=tuple(_Column(name=item.name, kind=item.kind) for item in contents.columns),
        records=tuple(records),
    ).canonical()
    if 4 + len(head) + sum(map(len, parts)) > MAX_CONTENTS or len(head) > MAX_HEAD:
        raise _too_large()
    return b"".join([struct.pack(">I", len(head)), head, *parts])


def read_contents(data: bytes, disclosure: Disclosure) -> Contents:
    """The records, each found to be what the disclosure names.

    Args:
        data: opened, but still foreign bytes.
        disclosure: verified.

    Raises:
        BadInput: malformed, or beyond a limit.
        NotTrusted: not what the disclosure names (clause `disclosed-records`).
    """
    if len(data) > MAX_CONTENTS:
        raise _too_large()
    if len(data) != disclosure.bytes or not same(digest(data), disclosure.contents):
        raise _others()
    head, at = _head(data)
    if (
        head.kind != disclosure.dataset.kind
        or len(head.records) != len(disclosure.records)
        or at + sum(record.bytes + (record.labels or 0) for record in head.records) != len(data)
    ):
        raise _malformed()
    contents = _pictures(head, data, at) if head.kind == "image-points" else _rows(head, data, at)
    if contents.leaves != disclosure.records:
        raise _others()
    contents.values()
    return contents


def _head(data: bytes) -> tuple[_Head, int]:
    if len(data) < 4:
        raise _malformed()
    (size,) = struct.unpack_from(">I", data)
    if size > MAX_HEAD or 4 + size > len(data):
        raise _malformed()
    raw = data[4 : 4 + size]
    parse_canonical(raw, max_bytes=MAX_HEAD)
    head = parse_document(_Head, raw, "The list of disclosed records", max_bytes=MAX_HEAD)
    if head.canonical() != raw:
        raise _malformed()
    return head, 4 + size


def _pictures(head: _Head, data: bytes, at: int) -> Contents:
    found = []
    for number, record in enumerate(head.records, 1):
        file, at = data[at : at + record.bytes], at + record.bytes
        labels = None
        width, height = image_size(file, MAX_PIXELS, name=f"Picture {number}")
        if not is_bare(file, MAX_PIXELS):
            raise _more_than_pixels()
        if record.labels is not None:
            raw, at = data[at : at + record.labels], at + record.labels
            labels = parse_json_labels(raw, f"labels of picture {number}")
            if canonical(labels.as_json()) != raw:
                raise _malformed()
            labels.check_inside(width, height, f"number {number}")
        salt = None if record.salt is None else bytes.fromhex(record.salt)
        found.append(Picture(salt, file, labels, record.leaf))
    return Contents(pictures=tuple(found))


def _rows(head: _Head, data: bytes, at: int) -> Contents:
    found = []
    for record in head.records:
        found.append(Row(bytes.fromhex(record.salt or ""), data[at : at + record.bytes]))
        at += record.bytes
    columns = tuple(Column(name=item.name, kind=item.kind) for item in head.columns)
    return Contents(rows=tuple(found), columns=columns)


def _leaf(salt: bytes, record: bytes) -> Digest:
    return "sha256:" + merkle.leaf(salt, record).hex()


def _size(data: Sequence[int] | None) -> int | None:
    return None if data is None else len(data)


def _too_large() -> BadInput:
    return BadInput(
        "The disclosed records are too large.",
        f"The limit is {MAX_CONTENTS >> 20} MiB for one disclosure.",
        "Select fewer, or disclose them in several parts.",
    )


def _malformed() -> BadInput:
    return BadInput(
        "The disclosed records could not be read.",
        "They are not in the one form in which Cloister writes them.",
        "Ask their owner for the package again.",
    )


def _more_than_pixels() -> BadInput:
    return BadInput(
        "A disclosed picture is more than its pixels.",
        "Pictures travel as PNG files that hold nothing besides.",
        "Ask their owner to disclose them with this release of Cloister.",
    )


def _others() -> NotTrusted:
    return NotTrusted(
        "The package holds other records than its disclosure names.",
        "Their bytes do not lead to the digests that the owner signed.",
        "Delete it, and ask the owner for it again.",
        clause="disclosed-records",
    )
