"""This node's log, looked through by its own people: entries by kind, time and document; one entry with its proof.

Rules:
1. One look reads at most `SCANNED` entries and gives at most `SHOWN`; it says where to go on.
2. What only this node knows of an entry (its document and salt) is shown to its own people, and is in no export.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from cloister.foundation.errors import BadInput, CloisterError, NotFound
from cloister.identity.keys import b64
from cloister.ledger.checkpoints import Checkpoint
from cloister.ledger.leaves import KINDS, Leaf
from cloister.ledger.notes import Note
from cloister.ledger.tree import Tree, leaf_hash, verify_inclusion
from cloister.storage.checkpoints import Checkpoints
from cloister.storage.database import Database, Transaction
from cloister.storage.log import LogRow, LogRows, TreeNodes

SCANNED = 20_000
SHOWN = 50
_PART = 500
_DIGEST_LEAST = 6


@dataclass(frozen=True)
class Wanted:
    """What is looked for.

    Attributes:
        kind: of entry; any if empty.
        start: the first day, as `2026-01-31`; any if empty.
        end: the last day.
        digest: how the digest of the entry, or of the document that it is about, begins; any if empty.
        before: entries below this index only; from the newest if absent.
    """

    kind: str = ""
    start: str = ""
    end: str = ""
    digest: str = ""
    before: int | None = None

    def check(self) -> None:
        """Raises `BadInput` for what cannot be looked for."""
        if self.kind and self.kind not in KINDS:
            raise BadInput("There is no such kind of entry.", "", f"Kinds: {', '.join(KINDS)}.")
        for day in (self.start, self.end):
            parts = day.split("-")
            if day and ([len(part) for part in parts] != [4, 2, 2] or not "".join(parts).isdecimal()):
                raise BadInput("A day could not be read.", "", "Write it as 2026-01-31.")
        plain = self.digest.removeprefix("sha256:")
        if plain and (len(plain) < _DIGEST_LEAST or not set(plain) <= set("0123456789abcdef")):
            raise BadInput(
                "A digest could not be read.",
                f"It takes at least {_DIGEST_LEAST} of its digits, 0-9 and a-f.",
                "Copy the digest, or its beginning.",
            )


@dataclass(frozen=True)
class Entry:
    """One entry.

    Attributes:
        index: its place, from 0.
        kind: of entry; `spoiled` for one that cannot be read.
        time: when it was written, RFC 3339.
        digest: what stands in the log.
        document: the digest of the document that it is about, which only this node knows.
    """

    index: int
    kind: str
    time: str
    digest: str
    document: str | None = field(repr=False, default=None)


@dataclass(frozen=True)
class Found:
    """What a look gave.

    Attributes:
        entries: newest first.
        older: from where to go on, or None at the end.
        size: how many entries the log has.
        scanned: how many were looked at.
    """

    entries: tuple[Entry, ...]
    older: int | None
    size: int
    scanned: int


def look(database: Database, wanted: Wanted, shown: int = SHOWN) -> Found:
    """The newest entries that are looked for. Raises `BadInput`."""
    wanted.check()
    with database.read() as tx:
        rows = LogRows(tx)
        size = rows.size()
        end = size if wanted.before is None else max(0, min(wanted.before, size))
        first = end
        found: list[Entry] = []
        while first > 0 and end - first < SCANNED and len(found) <= shown:
            start = max(0, first - _PART)
            part = [_entry(row) for row in rows.scan(start, first)]
            found += [entry for entry in reversed(part) if _fits(entry, wanted)]
            first = start
    more = len(found) > shown
    entries = tuple(found[:shown])
    older = entries[-1].index if more else first
    return Found(entries, older or None, size, end - first)


def one(database: Database, origin: str, index: int) -> dict[str, Any]:
    """An entry with everything that shows that it is in the log: salt and document, the proof, the checkpoint that it leads to.

    Raises:
        NotFound: there is no such entry.
    """
    with database.read() as tx:
        row = LogRows(tx).get(index) if 0 <= index < 1 << 53 else None
        if row is None:
            raise NotFound("There is no such entry in this log.", "", "Choose one from the list.")
        kept = Checkpoints(tx).latest(origin)
        proof = _proof(tx, row, kept)
    entry = _entry(row)
    return {
        "index": entry.index,
        "kind": entry.kind,
        "time": entry.time,
        "digest": entry.digest,
        "document": row.document,
        "salt": None if row.salt is None else b64(row.salt),
        "leaf_hash": leaf_hash(row.leaf).hex(),
        "proof": proof,
    }


def _proof(tx: Transaction, row: LogRow, kept: tuple[int, bytes] | None) -> dict[str, Any] | None:
    """The way from an entry to the newest checkpoint; None where no checkpoint covers it yet."""
    if kept is None or kept[0] <= row.index:
        return None
    size, note = kept
    root = Checkpoint.parse(Note.parse(note).text).root
    try:
        hashes = Tree(TreeNodes(tx), LogRows(tx).size()).inclusion_proof(row.index, size)
        verify_inclusion(leaf_hash(row.leaf), row.index, size, hashes, root)
        holds = True
    except CloisterError:
        hashes, holds = [], False
    return {"size": size, "root": b64(root), "hashes": [item.hex() for item in hashes], "holds": holds}


def checkpoints(database: Database, origin: str, most: int = 8) -> list[dict[str, Any]]:
    """The newest signed heads that are kept, newest first, each with who cosigned it."""
    with database.read() as tx:
        kept = Checkpoints(tx)
        notes = kept.all(origin)[-most:]
        return [
            {
                "size": size,
                "root": b64(Checkpoint.parse(Note.parse(note).text).root),
                "cosigned_by": sorted(name.rpartition("/")[2] for name in kept.cosignatures(origin, size)),
            }
            for size, note in reversed(notes)
        ]


def _entry(row: LogRow) -> Entry:
    try:
        leaf = Leaf.decode(row.leaf)
    except BadInput:
        return Entry(row.index, "spoiled", "", "", row.document)
    return Entry(row.index, leaf.kind, leaf.time, leaf.digest, row.document)


def _fits(entry: Entry, wanted: Wanted) -> bool:
    day = entry.time[:10]
    begin = "sha256:" + wanted.digest.removeprefix("sha256:")
    return (
        (not wanted.kind or entry.kind == wanted.kind)
        and (not wanted.start or day >= wanted.start)
        and (not wanted.end or (bool(day) and day <= wanted.end))
        and (not wanted.digest or entry.digest.startswith(begin) or (entry.document or "").startswith(begin))
    )
