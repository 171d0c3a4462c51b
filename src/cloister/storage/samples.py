"""Results of tools that somebody asked to keep: what was measured when, on which file, under which label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from sqlalchemy import Row, Select, delete, func, select, update

from cloister.storage._rows import inserting
from cloister.storage.database import Transaction
from cloister.storage.tables import corrections, sample_files, samples

S = TypeVar("S", bound=Select[Any])
MOST = 5000
"""Rows that one search gives at most."""


@dataclass(frozen=True)
class SampleRow:
    """One kept result.

    Attributes:
        id: unguessable.
        at: when it was measured, seconds since the epoch.
        tool: the tool's name.
        version: its version.
        digest: of its manifest.
        input: the digest of the file that it looked at.
        file: what that file was called.
        label: in the words of whoever kept it: a batch, a line, a shift.
        who: whoever kept it.
        count: of objects, if the tool counts.
        facts: canonical JSON: figures, units, settings, warnings.
        size: bytes of its files.
        owner: whose it is: the key of whoever kept it (`node.toolroom.room.Who`); empty where that is not known.
    """

    id: str
    at: int
    tool: str
    version: str
    digest: str
    input: str
    file: str
    label: str
    who: str
    count: int | None
    facts: bytes
    size: int
    owner: str = ""


@dataclass(frozen=True)
class Wanted:
    """Which samples are looked for; what is empty does not matter.

    Attributes:
        tool: by this tool.
        label: with exactly this label.
        text: with this in the label or the file's name, upper and lower case alike.
        since: measured then or later, seconds.
        until: measured before then.
    """

    tool: str = ""
    label: str = ""
    text: str = ""
    since: int | None = None
    until: int | None = None


class Samples:
    """The kept samples, in one transaction."""

    def __init__(self, tx: Transaction) -> None:
        self._connection = tx.connection

    def add(self, row: SampleRow, files: Mapping[str, bytes]) -> None:
        """Keeps a sample with its files by name."""
        self._connection.execute(inserting(samples), vars(row))
        for name, content in files.items():
            self._connection.execute(
                inserting(sample_files), {"sample": row.id, "name": name, "content": content}
            )

    def get(self, sample: str) -> SampleRow | None:
        """A sample by id."""
        row = self._connection.execute(select(samples).where(samples.c.id == sample)).one_or_none()
        return None if row is None else _row(row)

    def files(self, sample: str) -> dict[str, int]:
        """The names and sizes of a sample's files."""
        query = select(sample_files.c.name, func.length(sample_files.c.content)).where(
            sample_files.c.sample == sample
        )
        return {name: int(size) for name, size in self._connection.execute(query)}

    def file(self, sample: str, name: str) -> bytes | None:
        """One of a sample's files."""
        query = select(sample_files.c.content).where(
            sample_files.c.sample == sample, sample_files.c.name == name
        )
        content = self._connection.execute(query).scalar_one_or_none()
        return None if content is None else bytes(content)

    def corrections(self, sample: str) -> list[bytes]:
        """The entries of a sample's journal of corrections, oldest first."""
        query = (
            select(corrections.c.entry).where(corrections.c.sample == sample).order_by(corrections.c.position)
        )
        return [bytes(entry) for entry in self._connection.execute(query).scalars()]

    def append_correction(self, sample: str, position: int, entry: bytes) -> None:
        """Adds the entry of a sample's journal that has this position, counted from 0; none is ever changed."""
        self._connection.execute(
            inserting(corrections), {"sample": sample, "position": position, "entry": entry}
        )

    def find(
        self,
        wanted: Wanted,
        limit: int,
        before: tuple[int, str] | None = None,
        after: tuple[int, str] | None = None,
    ) -> list[SampleRow]:
        """Samples, newest first, at most `limit` (and `MOST`).

        Args:
            wanted: which.
            limit: how many.
            before: time and id of a sample: only what comes after it in this order (older).
            after: the same the other way (newer); those next to it.
        """
        query = _those(select(samples), wanted)
        at, name = samples.c.at, samples.c.id
        if before is not None:
            query = query.where((at < before[0]) | ((at == before[0]) & (name < before[1])))
        if after is not None:
            query = query.where((at > after[0]) | ((at == after[0]) & (name > after[1])))
            query = query.order_by(at, name)
        else:
            query = query.order_by(at.desc(), name.desc())
        rows = [_row(row) for row in self._connection.execute(query.limit(min(limit, MOST)))]
        return rows[::-1] if after is not None else rows

    def count(self, wanted: Wanted) -> int:
        """How many there are."""
        query = _those(select(func.count()).select_from(samples), wanted)
        return int(self._connection.execute(query).scalar_one())

    def size(self) -> int:
        """Bytes of all files together."""
        return int(self._connection.execute(select(func.coalesce(func.sum(samples.c.size), 0))).scalar_one())

    def tools(self) -> list[str]:
        """Tools that have samples, by name."""
        return list(
            self._connection.execute(select(samples.c.tool).distinct().order_by(samples.c.tool)).scalars()
        )

    def labels(self, limit: int) -> list[str]:
        """Labels, the one used last first."""
        query = (
            select(samples.c.label)
            .where(samples.c.label != "")
            .group_by(samples.c.label)
            .order_by(func.max(samples.c.at).desc(), samples.c.label)
        )
        return list(self._connection.execute(query.limit(limit)).scalars())

    def relabel(self, sample: str, label: str) -> bool:
        """Gives a sample another label; whether there is one."""
        done = self._connection.execute(update(samples).where(samples.c.id == sample).values(label=label))
        return bool(done.rowcount)

    def remove(self, sample: str) -> bool:
        """Forgets a sample, its files and its corrections; whether there was one."""
        self._connection.execute(delete(corrections).where(corrections.c.sample == sample))
        self._connection.execute(delete(sample_files).where(sample_files.c.sample == sample))
        return bool(self._connection.execute(delete(samples).where(samples.c.id == sample)).rowcount)


def _those(query: S, wanted: Wanted) -> S:
    if wanted.tool:
        query = query.where(samples.c.tool == wanted.tool)
    if wanted.label:
        query = query.where(samples.c.label == wanted.label)
    if wanted.text:
        # `icontains` escapes what would be a pattern; databases differ in how they fold letters beyond ASCII.
        text = wanted.text
        query = query.where(
            samples.c.label.icontains(text, autoescape=True) | samples.c.file.icontains(text, autoescape=True)
        )
    if wanted.since is not None:
        query = query.where(samples.c.at >= wanted.since)
    if wanted.until is not None:
        query = query.where(samples.c.at < wanted.until)
    return query


def _row(row: Row[Any]) -> SampleRow:
    return SampleRow(**row._asdict())
