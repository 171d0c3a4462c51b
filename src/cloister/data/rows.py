"""A table's row from its record: what `commitment.row_record` wrote, read back from foreign bytes.

A row that travels is the very bytes that the dataset's commitment covers, so that whoever gets it can check them. Rules:
1. Each cell is read by its column's kind; nothing is guessed and nothing may be left over.
2. Of two records that would mean the same row only the one that `row_record` writes is accepted.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any

from cloister.data.commitment import row_record
from cloister.data.schema import Column
from cloister.foundation.errors import BadInput

MAX_ROW_BYTES = 16 << 20
_PREFIX = 32
_TAGS = {"boolean": 1, "integer": 2, "real": 3, "text": 4, "timestamp": 5}


def row_values(prefix: bytes, columns: Sequence[Column], record: bytes) -> tuple[Any, ...]:
    """The cells of a row's record, in the columns' order; missing ones are None, timestamps microseconds since 1970 UTC.

    Args:
        prefix: of the columns (`commitment.schema_prefix`), 32 bytes.
        columns: of the table.
        record: foreign bytes.

    Raises:
        BadInput: the bytes are no record of a row with these columns.
    """
    if len(record) > MAX_ROW_BYTES or record[:_PREFIX] != prefix:
        raise _malformed()
    at = _PREFIX
    values: list[Any] = []
    try:
        for column in columns:
            tag, at = record[at], at + 1
            if tag == 0:
                values.append(None)
                continue
            if tag != _TAGS[column.kind]:
                raise _malformed()
            value, at = _payload(tag, record, at)
            values.append(value)
        found = tuple(values)
        if at != len(record) or row_record(prefix, columns, found) != record:
            raise _malformed()
    except (IndexError, struct.error, UnicodeDecodeError):
        raise _malformed() from None
    return found


def _payload(tag: int, record: bytes, at: int) -> tuple[Any, int]:
    if tag == 1:
        return record[at] == 1, at + 1
    if tag == 4:
        (size,) = struct.unpack_from(">I", record, at)
        return record[at + 4 : at + 4 + size].decode("utf-8"), at + 4 + size
    form = ">d" if tag == 3 else ">q"
    return struct.unpack_from(form, record, at)[0], at + 8


def _malformed() -> BadInput:
    return BadInput(
        "A row could not be read.",
        "Its bytes are not those of a row with these columns.",
        "Ask its owner for it again.",
    )
