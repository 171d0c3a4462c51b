"""Signed heads of a log in whatever a person has kept: a signed note, an earlier export, or a release's certificate.

Rules:
1. Nothing is believed here: the heads are signed, and `ledger.verify` checks each against the log's keys.
2. Only heads of the log that is verified are taken. A file that has none is an error, not a comparison that agrees.
"""

from __future__ import annotations

import io
from typing import Any

from cloister.foundation.canonical import parse
from cloister.foundation.errors import BadInput, CloisterError
from cloister.identity.envelopes import Envelope
from cloister.ledger.checkpoints import Checkpoint
from cloister.ledger.export import limited_lines, read_export
from cloister.ledger.notes import Note
from cloister.release.certificate import read_statement

EARLIER_LIMIT = 1 << 30
_BUNDLE_LIMIT = 16 << 20


def checkpoints_in(data: bytes, origin: str, name: str) -> list[Note]:
    """The signed heads of the log `origin` in a file.

    Args:
        data: the file.
        origin: of the log that is verified.
        name: what errors call the file.

    Raises:
        BadInput: it is none of the three, or has no head of that log.
    """
    found = _heads(data, name)
    fitting = [note for note in found if _origin(note) == origin]
    if not fitting:
        raise BadInput(
            f"{name} holds no checkpoint of this log.",
            f"Those in it are of {len({_origin(note) for note in found})} other log(s)." if found else "",
            "Name a checkpoint, an export or a certificate that comes from the log's own party.",
        )
    return fitting


def _heads(data: bytes, name: str) -> list[Note]:
    if data[:1] != b"{":
        try:
            return [_signed(data)]
        except CloisterError:
            raise _unknown(name) from None
    try:
        bundle: Any = parse(data, max_bytes=_BUNDLE_LIMIT) if len(data) <= _BUNDLE_LIMIT else None
    except BadInput:
        bundle = None  # an export: many lines of JSON
    try:
        if isinstance(bundle, dict) and "certificate" in bundle:
            evidence = read_statement(Envelope.from_json(bundle["certificate"])).predicate.evidence
            return [_signed(text.encode("utf-8")) for text in evidence.checkpoints]
        notes = read_export(limited_lines(io.BytesIO(data))).checkpoints
        return [_signed(note.encode()) for note in notes]
    except CloisterError:
        raise _unknown(name) from None


def _signed(data: bytes) -> Note:
    note = Note.parse(data)
    Checkpoint.parse(note.text)
    return note


def _origin(note: Note) -> str:
    return note.text.partition("\n")[0]


def _unknown(name: str) -> BadInput:
    return BadInput(
        f"{name} is nothing that holds a log's checkpoint.",
        "It is neither a signed checkpoint, nor an exported log, nor a release's certificate.",
        "Name the file of an earlier `cloister ledger export`, or a release's .certificate.json.",
    )
